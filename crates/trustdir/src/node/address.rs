//! Addresses and paths of `node.yaml`: control's, the console's, sockets and files.

use std::net::{IpAddr, SocketAddr};

use types::{Host, RevisionId};

use super::NodeConfig;
use crate::{
    decode::{Fields, bad_value, boolean, items, parsed, text},
    problem::{File, quote},
    upstream::{UpstreamHost, parse_authority},
    yaml::{Node, Value},
};

/// Where control takes a proxy or an agent, and how it is known there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlAddress {
    /// `https://HOST:PORT`, in one spelling.
    pub url: String,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port; 8440 where the URL names none.
    pub port: u16,
    /// SHA-256 of the system root's certificate. Nobody whose chain does not end in that root is control.
    pub root_sha256: [u8; 32],
    /// The file with the join token, an absolute path; absent for a node that joined.
    pub token_file: Option<String>,
}

/// Where the console and the admin API listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether TLS is spoken. Always beyond loopback.
    pub tls: bool,
    /// The names of the certificate. At least one with TLS, none without.
    pub names: Vec<Host>,
}

/// Where control takes peers if its URL says nothing else.
const PORT: u16 = 8440;

/// The longest path of a Unix socket: `sun_path` of Linux with its NUL.
const SOCKET_PATH: usize = 107;

/// Reads `control`.
pub(super) fn control(node: &Node, file: &File<'_>) -> Option<ControlAddress> {
    let mut fields = Fields::open(node, file, "`control`")?;
    let url = fields.required("url", "url: https://control.acme.internal:8440").and_then(|node| read_url(node, file));
    let root = fields.required("root_sha256", "root_sha256: 9f86…");
    let root = root.and_then(|node| read_sha256(node, file));
    let token_file = fields.take("token_file", |node, file| path(node, file, "/etc/countersign/token"));
    fields.finish();
    let (host, port) = url?;
    let (url, host) = match &host {
        UpstreamHost::Address(IpAddr::V6(address)) => (format!("https://[{address}]:{port}"), address.to_string()),
        UpstreamHost::Address(address) => (format!("https://{address}:{port}"), address.to_string()),
        UpstreamHost::Name(name) => (format!("https://{name}:{port}"), name.to_string()),
    };
    Some(ControlAddress { url, host, port, root_sha256: root?, token_file })
}

fn read_url(node: &Node, file: &File<'_>) -> Option<(UpstreamHost, u16)> {
    let written = text(node, file, "a URL such as `https://control.acme.internal:8440`")?;
    let parsed =
        written.strip_prefix("https://").ok_or("control is reached at `https://HOST:PORT`, never in plain text");
    match parsed.and_then(|rest| parse_authority(rest.strip_suffix('/').unwrap_or(rest), PORT)) {
        Ok(authority) => Some(authority),
        Err(hint) => {
            bad_value(node, file, format!("{} is not the URL of control", quote(written)), hint);
            None
        }
    }
}

fn read_sha256(node: &Node, file: &File<'_>) -> Option<[u8; 32]> {
    let written = match &node.value {
        // A digest of digits alone is a number to YAML.
        Value::Number(text) => text,
        _ => text(node, file, "64 hexadecimal digits")?,
    };
    let digest = written.parse::<RevisionId>().ok().map(|parsed| *parsed.digest());
    if digest.is_none() {
        let message = format!("{} is not a SHA-256", quote(written));
        bad_value(node, file, message, "64 hexadecimal digits, as `countersign join-token` prints them");
    }
    digest
}

/// Reads `admin`.
pub(super) fn admin(node: &Node, file: &File<'_>) -> Option<Admin> {
    let mut fields = Fields::open(node, file, "`admin`")?;
    let address = fields.required("address", "address: 127.0.0.1:8441");
    let tls = fields.take("tls", boolean);
    let names = fields.optional("names");
    fields.finish();
    let hosts = names.map(|node| items(node, file, "a list of host names", host)).unwrap_or_default();
    let (address_node, address) = address.and_then(|node| Some((node, socket_address(node, file)?)))?;
    let (tls_written, tls) = (tls.is_some() || node.get("tls").is_none(), tls.unwrap_or(false));
    if tls_written && !tls && !address.ip().to_canonical().is_loopback() {
        let message = format!("`{address}` is beyond loopback, which needs TLS");
        bad_value(
            address_node,
            file,
            message,
            "add `tls: true` and the `names` it is reached by, or use `127.0.0.1:8441`",
        );
    }
    match names {
        None if tls => {
            let hint = "`admin` with `tls` needs it, such as `names: [control.acme.internal]`";
            file.error("yaml.missing-key", node.point(), "missing key `names`".to_owned(), Some(hint.to_owned()));
        }
        Some(names) if tls_written && !tls => {
            let hint = "they are the names of a certificate: add `tls: true`, or leave them out";
            bad_value(names, file, "`names` mean nothing without TLS".to_owned(), hint);
        }
        _ => {}
    }
    Some(Admin { address, tls, names: hosts.into_iter().map(|host| host.value).collect() })
}

fn host(node: &Node, file: &File<'_>) -> Option<Host> {
    let written = text(node, file, "a host name such as `control.acme.internal`")?;
    let host = Host::parse(written).ok();
    if host.is_none() {
        bad_value(node, file, format!("{} is not a host name", quote(written)), "such as `control.acme.internal`");
    }
    host
}

/// An address and a port.
pub(super) fn socket_address(node: &Node, file: &File<'_>) -> Option<SocketAddr> {
    parsed(node, file, "an address such as `127.0.0.1:8443`", |text| {
        let words = || format!("{} is not an address and a port, such as `127.0.0.1:8443`", quote(text));
        text.parse::<SocketAddr>().map_err(|_| words())
    })
}

/// An absolute path.
pub(super) fn path(node: &Node, file: &File<'_>, example: &str) -> Option<String> {
    let path = text(node, file, &format!("a path such as `{example}`"))?;
    if path.starts_with('/') && !path.contains('\0') {
        return Some(path.to_owned());
    }
    bad_value(node, file, format!("{} is not an absolute path", quote(path)), &format!("such as `{example}`"));
    None
}

/// The path of a Unix socket.
pub(super) fn socket(node: &Node, file: &File<'_>) -> Option<String> {
    let path = path(node, file, "/run/countersign/workload.sock")?;
    if path.len() <= SOCKET_PATH {
        return Some(path);
    }
    let message = format!("the path of a socket has at most {SOCKET_PATH} bytes, and this one has {}", path.len());
    bad_value(node, file, message, "choose a shorter one, such as `/run/countersign/workload.sock`");
    None
}

/// Reports a console that would listen where a listener does.
pub(super) fn check_taken(config: &NodeConfig, root: &Node, file: &File<'_>) {
    let Some(admin) = config.admin.as_ref().filter(|admin| admin.address.port() != 0) else { return };
    let gateways = config.listeners.iter().map(|it| (&it.name, it.address));
    let wire = config.wire.iter().map(|it| (&it.name, it.address));
    let mut all = gateways.chain(wire).chain(config.bundle.iter().map(|it| (&it.name, it.address)));
    if let (Some((name, _)), Some(entry)) = (all.find(|(_, address)| *address == admin.address), root.get("admin")) {
        let message = format!("the listener {} has the same address", quote(name.as_str()));
        file.error("value.duplicate", entry.node.point(), message, None);
    }
}
