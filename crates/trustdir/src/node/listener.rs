//! Listeners: where calls are taken, where control takes proxies and agents, and where others fetch our bundles.

use std::{collections::BTreeSet, net::SocketAddr};

use types::Label;

use super::{Kind, address, role};
use crate::{
    decode::{Fields, Spanned, boolean, items, list, one_of},
    domain::label,
    problem::{File, quote},
    suggest,
    yaml::{Node, Value},
};

/// A listener of kind `gateway`: a reverse proxy by host that asks for a client certificate.
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

/// The listener of kind `wire`: where control takes proxies and agents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireListener {
    /// The name in messages.
    pub name: Label,
    /// Address and port.
    pub address: SocketAddr,
}

/// The listener of kind `bundle`: where other organisations fetch the bundles of our domains (`https_web`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundleListener {
    /// The name in messages.
    pub name: Label,
    /// Address and port.
    pub address: SocketAddr,
    /// The file with its certificate of the web and whatever leads to a root, PEM, leaf first: an absolute path.
    pub certificate: String,
    /// The file with the private key, PEM: an absolute path.
    pub key: String,
}

/// All listeners of a node.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) gateways: Vec<Listener>,
    pub(super) wire: Option<WireListener>,
    pub(super) bundle: Option<BundleListener>,
}

/// What a listener does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Gateway,
    Wire,
    Bundle,
}

impl Does {
    const ALL: [Self; 3] = [Self::Gateway, Self::Wire, Self::Bundle];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Wire => "wire",
            Self::Bundle => "bundle",
        }
    }

    const fn roles(self) -> &'static [Kind] {
        match self {
            Self::Gateway => &[Kind::Up, Kind::Proxy],
            Self::Wire | Self::Bundle => &[Kind::Up, Kind::Control],
        }
    }
}

/// One listener as read.
enum One {
    Gateway(Listener),
    Wire(WireListener),
    Bundle(BundleListener),
}

impl One {
    const fn place(&self) -> (&Label, SocketAddr) {
        match self {
            Self::Gateway(it) => (&it.name, it.address),
            Self::Wire(it) => (&it.name, it.address),
            Self::Bundle(it) => (&it.name, it.address),
        }
    }
}

/// Reads `listeners`: gateways, and at most one of each other kind.
pub(super) fn read(node: &Node, file: &File<'_>, kind: Kind, known: Option<&BTreeSet<Label>>) -> Listeners {
    let mut taken: Vec<(Label, SocketAddr)> = Vec::new();
    let mut all = Listeners::default();
    for node in list(node, file, "a list of listeners").unwrap_or_default() {
        let Some(one) = read_one(node, file, kind, known) else { continue };
        let (name, address) = one.place();
        check_taken(name, address, &taken, node, file);
        taken.push((name.clone(), address));
        match one {
            One::Gateway(listener) => all.gateways.push(listener),
            One::Wire(listener) if all.wire.is_none() => all.wire = Some(listener),
            One::Bundle(listener) if all.bundle.is_none() => all.bundle = Some(listener),
            One::Wire(_) => twice(Does::Wire, "one takes all proxies and agents", node, file),
            One::Bundle(_) => twice(Does::Bundle, "one serves the bundles of all domains", node, file),
        }
    }
    all
}

fn twice(does: Does, hint: &str, node: &Node, file: &File<'_>) {
    let message = format!("there are two listeners of kind `{}`", does.as_str());
    file.error("value.duplicate", node.point(), message, Some(hint.to_owned()));
}

fn check_taken(name: &Label, address: SocketAddr, taken: &[(Label, SocketAddr)], node: &Node, file: &File<'_>) {
    if taken.iter().any(|(other, _)| other == name) {
        let message = format!("two listeners are named {}", quote(name.as_str()));
        file.error("value.duplicate", node.point(), message, None);
    }
    if address.port() != 0 && taken.iter().any(|(_, other)| *other == address) {
        let message = format!("two listeners have the address `{address}`");
        file.error("value.duplicate", node.point(), message, None);
    }
}

/// Reads one. Of one whose kind is not known every key may be meant.
fn read_one(node: &Node, file: &File<'_>, kind: Kind, known: Option<&BTreeSet<Label>>) -> Option<One> {
    let mut fields = Fields::open(node, file, "a listener")?;
    let example = if kind == Kind::Control { ("name: wire", "kind: wire") } else { ("name: gateway", "kind: gateway") };
    let name = fields.required("name", example.0).and_then(|node| label(node, file));
    let does = fields.required("kind", example.1).and_then(|node| read_kind(node, file, kind));
    let address = fields.required("address", "address: 127.0.0.1:8443");
    let address = address.and_then(|node| address::socket_address(node, file));
    let (mut domains, mut insecure_plaintext) = (None, false);
    if does.is_none_or(|does| does == Does::Gateway) {
        domains = fields.take("domains", |node, file| Some(read_domains(node, file, known)));
        insecure_plaintext = fields.take("insecure_plaintext", boolean).unwrap_or(false);
    }
    let pem = |node, file: &File<'_>| address::path(node, file, "/etc/countersign/bundle.pem");
    let (mut certificate, mut key) = (None, None);
    if does == Some(Does::Bundle) {
        certificate = fields.required("certificate", "certificate: /etc/countersign/bundle.pem");
        key = fields.required("key", "key: /etc/countersign/bundle.key");
    } else if does.is_none() {
        (certificate, key) = (fields.optional("certificate"), fields.optional("key"));
    }
    let (certificate, key) = (certificate.and_then(|node| pem(node, file)), key.and_then(|node| pem(node, file)));
    fields.finish();
    let (name, address) = (name?, address?);
    Some(match does? {
        Does::Gateway => One::Gateway(Listener { name, address, domains, insecure_plaintext }),
        Does::Wire => One::Wire(WireListener { name, address }),
        Does::Bundle => One::Bundle(BundleListener { name, address, certificate: certificate?, key: key? }),
    })
}

fn read_kind(node: &Node, file: &File<'_>, kind: Kind) -> Option<Does> {
    let of_role = |does: &Does| does.roles().contains(&kind);
    let elsewhere = Does::ALL.into_iter().filter(|does| !of_role(does));
    if let Some(does) = elsewhere.into_iter().find(|does| node.value == Value::Text(does.as_str().to_owned())) {
        let message = format!("a listener of kind `{}` is not for `{}`", does.as_str(), kind.as_str());
        role::refuse(&message, node.point(), does.roles(), file);
        return Some(does);
    }
    let words: Vec<_> = Does::ALL.into_iter().filter(of_role).map(|does| (does.as_str(), does)).collect();
    one_of(node, file, "a kind of listener", &words)
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
