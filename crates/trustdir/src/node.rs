//! `node.yaml`: where one process listens, where it keeps its data. Never part of a revision.

use std::{collections::BTreeSet, net::SocketAddr};

use types::{Label, limits};

use crate::{
    decode::{Fields, Spanned, bad_value, boolean, items, list, one_of, parsed, size, text},
    domain::label,
    problem::{File, Problem, Sink, Text, quote},
    suggest,
    yaml::{self, Node},
};

/// What one process is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// The node's name; absent where the binary chooses one.
    pub name: Option<Label>,
    /// The data directory, an absolute path; absent for the usual place.
    pub data: Option<String>,
    /// Where to listen; empty for the usual loopback listener.
    pub listeners: Vec<Listener>,
    /// Where the console listens, on loopback; absent for the usual place.
    pub admin_address: Option<SocketAddr>,
    /// The decision log.
    pub decision_log: DecisionLog,
}

/// One listener. Its kind is `gateway`: a reverse proxy by host that asks for a client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// The name in records.
    pub name: Label,
    /// Address and port.
    pub address: SocketAddr,
    /// The domains it serves; absent for all.
    pub domains: Option<BTreeSet<Label>>,
    /// Whether it speaks plain HTTP, for callers that cannot speak TLS yet. Everybody on the way can read and change what
    /// passes, and nobody's identity is known; so it serves only domains that do not enforce `requires.identity`.
    pub insecure_plaintext: bool,
}

/// The decision log. Its durability is `process` (records survive the death of the process), and when it is full calls
/// are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecisionLog {
    /// The most that all its segments may take, in bytes.
    pub max_size: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let decision_log = DecisionLog { max_size: limits::LOG_BYTES.default };
        Self { name: None, data: None, listeners: Vec::new(), admin_address: None, decision_log }
    }
}

/// The least room in which the log's lanes can each hold a segment and preallocate the next.
const SMALLEST_LOG: u64 = 4 * limits::SEGMENT_BYTES.default;

/// Reads a `node.yaml`. `path` is how messages name the file; `known` are the domains of the trust directory, where the
/// caller knows them.
///
/// # Errors
/// Every problem of the file.
pub fn parse(path: &str, content: &str, known: Option<&BTreeSet<Label>>) -> Result<NodeConfig, Vec<Problem>> {
    let sink = Sink::default();
    let text = Text::new(content.to_owned());
    let file = File { path, text: &text, sink: &sink };
    let config = if u64::try_from(content.len()).is_ok_and(|size| size <= limits::FILE_BYTES.default) {
        yaml::read(&file).map(|root| read(&root, &file, known))
    } else {
        sink.push(Problem::error("file.too-large", path, "the file is too large"));
        None
    };
    match config {
        Some(config) if !sink.has_errors() => Ok(config),
        _ => Err(sink.into_problems()),
    }
}

fn read(root: &Node, file: &File<'_>, known: Option<&BTreeSet<Label>>) -> NodeConfig {
    let mut config = NodeConfig::default();
    let Some(mut fields) = Fields::open(root, file, "a node") else { return config };
    config.name = fields.take("name", label);
    config.data = fields.take("data", read_data);
    let listeners = fields.take("listeners", |node, file| Some(read_listeners(node, file, known)));
    config.listeners = listeners.unwrap_or_default();
    config.admin_address = fields.take("admin", read_admin);
    config.decision_log = fields.take("decision_log", read_log).unwrap_or(config.decision_log);
    fields.finish();
    let taken = config.listeners.iter().find(|listener| Some(listener.address) == config.admin_address);
    if let (Some(listener), Some(node)) = (taken.filter(|it| it.address.port() != 0), root.get("admin")) {
        let message = format!("the listener {} has the same address", quote(listener.name.as_str()));
        file.error("value.duplicate", node.node.point(), message, None);
    }
    config
}

/// Where the console listens. It has no TLS yet, and what is typed into it must not cross a network.
fn read_admin(node: &Node, file: &File<'_>) -> Option<SocketAddr> {
    let mut fields = Fields::open(node, file, "`admin`")?;
    let address = fields.required("address", "address: 127.0.0.1:8441");
    fields.finish();
    let (node, address) = address.and_then(|node| Some((node, read_address(node, file)?)))?;
    if address.ip().to_canonical().is_loopback() {
        return Some(address);
    }
    let message = format!("`{address}` is beyond loopback, which needs TLS, and the console has none yet");
    bad_value(
        node,
        file,
        message,
        "use `127.0.0.1:8441`, and reach it from elsewhere through a tunnel such as `ssh -L`",
    );
    None
}

fn read_data(node: &Node, file: &File<'_>) -> Option<String> {
    let path = text(node, file, "a path such as `/var/lib/countersign`")?;
    if path.starts_with('/') && !path.contains('\0') {
        return Some(path.to_owned());
    }
    bad_value(node, file, format!("{} is not an absolute path", quote(path)), "such as `/var/lib/countersign`");
    None
}

fn read_listeners(node: &Node, file: &File<'_>, known: Option<&BTreeSet<Label>>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for node in list(node, file, "a list of listeners").unwrap_or_default() {
        let Some(listener) = read_listener(node, file, known) else { continue };
        if listeners.iter().any(|other| other.name == listener.name) {
            let message = format!("two listeners are named {}", quote(listener.name.as_str()));
            file.error("value.duplicate", node.point(), message, None);
        }
        let port_is_fixed = listener.address.port() != 0;
        if port_is_fixed && listeners.iter().any(|other| other.address == listener.address) {
            let message = format!("two listeners have the address `{}`", listener.address);
            file.error("value.duplicate", node.point(), message, None);
        }
        listeners.push(listener);
    }
    listeners
}

fn read_listener(node: &Node, file: &File<'_>, known: Option<&BTreeSet<Label>>) -> Option<Listener> {
    let mut fields = Fields::open(node, file, "a listener")?;
    let name = fields.required("name", "name: gateway").and_then(|node| label(node, file));
    let kind = fields.required("kind", "kind: gateway");
    let kind = kind.and_then(|node| one_of(node, file, "a kind of listener", &[("gateway", ())]));
    let address = fields.required("address", "address: 127.0.0.1:8443").and_then(|node| read_address(node, file));
    let domains = fields.take("domains", |node, file| Some(read_domains(node, file, known)));
    let insecure_plaintext = fields.take("insecure_plaintext", boolean).unwrap_or(false);
    fields.finish();
    kind?;
    Some(Listener { name: name?, address: address?, domains, insecure_plaintext })
}

fn read_address(node: &Node, file: &File<'_>) -> Option<SocketAddr> {
    parsed(node, file, "an address such as `127.0.0.1:8443`", |text| {
        let words = || format!("{} is not an address and a port, such as `127.0.0.1:8443`", quote(text));
        text.parse::<SocketAddr>().map_err(|_| words())
    })
}

fn read_domains(node: &Node, file: &File<'_>, known: Option<&BTreeSet<Label>>) -> BTreeSet<Label> {
    let named = items(node, file, "a list of domains", label);
    for Spanned { value, span } in &named {
        if let Some(known) = known.filter(|known| !known.contains(value)) {
            let hint = suggest::hint(value.as_str(), known.iter().map(Label::as_str), "domains");
            file.error("name.unknown-domain", span, format!("there is no domain {}", quote(value.as_str())), hint);
        }
    }
    named.into_iter().map(|domain| domain.value).collect()
}

fn read_log(node: &Node, file: &File<'_>) -> Option<DecisionLog> {
    let mut fields = Fields::open(node, file, "`decision_log`")?;
    fields.take("durability", |node, file| one_of(node, file, "`process`", &[("process", ())]));
    fields.take("when_full", |node, file| one_of(node, file, "`refuse`", &[("refuse", ())]));
    let max_size = fields.take("max_size", |node, file| {
        let bytes = size(node, file)?;
        if bytes < SMALLEST_LOG {
            let hint = format!("at least {}MiB", SMALLEST_LOG >> 20);
            bad_value(node, file, "the decision log would be too small".to_owned(), &hint);
        }
        Some(bytes)
    });
    fields.finish();
    Some(DecisionLog { max_size: max_size.unwrap_or(limits::LOG_BYTES.default) })
}
