//! Where a service really listens.

use core::{fmt, ops::Range};
use std::net::IpAddr;

use types::Host;

use crate::{
    decode::{Fields, Spanned, bad_value, boolean, items, text},
    problem::{File, quote},
    yaml::Node,
};

/// The upstream of a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upstream {
    /// At least one, in the order of the file.
    pub urls: Vec<UpstreamUrl>,
}

/// `http://host:port`: requests are forwarded to it in plain text with their path unchanged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UpstreamUrl {
    host: UpstreamHost,
    port: u16,
}

/// The host of an upstream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum UpstreamHost {
    /// An address.
    Address(IpAddr),
    /// A name to be resolved.
    Name(Host),
}

impl UpstreamUrl {
    /// The host.
    pub const fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// The port; 80 where the URL names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it can only be this machine: a loopback address, or `localhost` (RFC 6761 6.3).
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            UpstreamHost::Address(address) => address.is_loopback(),
            UpstreamHost::Name(name) => name.as_str() == "localhost" || name.as_str().ends_with(".localhost"),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("http://").ok_or("an upstream is `http://host:port`")?;
        if rest.contains(['/', '?', '#']) {
            return Err("an upstream has no path: requests keep their own");
        }
        if rest.contains('@') {
            return Err("an upstream has no user name");
        }
        let (host, port) = parse_authority(rest, 80)?;
        Ok(Self { host, port })
    }
}

/// `http://host:port`.
impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            UpstreamHost::Address(IpAddr::V6(address)) => write!(f, "http://[{address}]:{}", self.port),
            UpstreamHost::Address(IpAddr::V4(address)) => write!(f, "http://{address}:{}", self.port),
            UpstreamHost::Name(name) => write!(f, "http://{name}:{}", self.port),
        }
    }
}

/// Reads `upstream`.
pub(crate) fn read(node: &Node, file: &File<'_>) -> Option<Upstream> {
    let mut fields = Fields::open(node, file, "an upstream")?;
    let urls = fields.required("urls", "urls: [http://127.0.0.1:7101]");
    let urls = urls.map(|node| items(node, file, "a list of URLs", read_url)).unwrap_or_default();
    let insecure = fields.optional("insecure_plaintext");
    fields.finish();
    match insecure.map(|node| (boolean(node, file), &node.at)) {
        None | Some((Some(false), _)) => refuse_plaintext(&urls, file),
        Some((Some(true), span)) => warn_plaintext(&urls, span, file),
        Some((None, _)) => {}
    }
    Some(Upstream { urls: urls.into_iter().map(|url| url.value).collect() })
}

/// Plain text stays on the machine, unless somebody says in the file that it need not.
fn refuse_plaintext(urls: &[Spanned<UpstreamUrl>], file: &File<'_>) {
    for url in urls.iter().filter(|url| !url.value.is_loopback()) {
        let message = format!("`{}` is plain text beyond this machine", url.value);
        let hint = "use a loopback address, or accept it with `insecure_plaintext: true` beside `urls`";
        file.error("upstream.plaintext", &url.span, message, Some(hint.to_owned()));
    }
}

fn warn_plaintext(urls: &[Spanned<UpstreamUrl>], span: &Range<usize>, file: &File<'_>) {
    let (message, hint) = if urls.iter().all(|url| url.value.is_loopback()) {
        ("`insecure_plaintext` is not needed", "leave it out: every upstream is on this machine")
    } else {
        (
            "calls leave this machine in plain text, without proof of who answers",
            "a gateway on the service's own machine needs no `insecure_plaintext`",
        )
    };
    file.warn("settings.insecure", span, message.to_owned(), Some(hint.to_owned()));
}

fn read_url(node: &Node, file: &File<'_>) -> Option<UpstreamUrl> {
    let written = text(node, file, "a URL such as `http://127.0.0.1:7101`")?;
    match UpstreamUrl::parse(written) {
        Ok(url) => Some(url),
        Err(hint) => {
            bad_value(node, file, format!("{} is not the URL of an upstream", quote(written)), hint);
            None
        }
    }
}

/// `host:port` of a URL, with the port that is meant where none is written.
pub(crate) fn parse_authority(text: &str, usual: u16) -> Result<(UpstreamHost, u16), &'static str> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
        _ => (text, usual),
    };
    Ok((parse_host(host).ok_or("the host is a name, an IPv4 address, or an IPv6 address in brackets")?, port))
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or("a port is a number from 1 to 65535")
}

fn parse_host(text: &str) -> Option<UpstreamHost> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']')?.parse().ok()?;
        return Some(UpstreamHost::Address(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse() {
        return Some(UpstreamHost::Address(IpAddr::V4(address)));
    }
    // What ends in digits only is an address to some resolvers (`127.1`), so it must have been a whole one.
    let numeric_end = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    Host::parse(text).ok().filter(|_| !numeric_end).map(UpstreamHost::Name)
}
