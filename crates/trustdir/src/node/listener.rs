//! Listeners: where calls are taken, and where control takes proxies and agents.

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

/// What a listener does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Gateway,
    Wire,
}

impl Does {
    const ALL: [Self; 2] = [Self::Gateway, Self::Wire];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Wire => "wire",
        }
    }

    const fn roles(self) -> &'static [Kind] {
        match self {
            Self::Gateway => &[Kind::Up, Kind::Proxy],
            Self::Wire => &[Kind::Up, Kind::Control],
        }
    }
}

/// Reads `listeners`: gateways, and the one wire.
pub(super) fn read(
    node: &Node,
    file: &File<'_>,
    kind: Kind,
    known: Option<&BTreeSet<Label>>,
) -> (Vec<Listener>, Option<WireListener>) {
    let mut taken: Vec<(Label, SocketAddr)> = Vec::new();
    let (mut gateways, mut wire) = (Vec::new(), None);
    for node in list(node, file, "a list of listeners").unwrap_or_default() {
        let Some((does, listener)) = read_one(node, file, kind, known) else { continue };
        check_taken(&listener, &taken, node, file);
        taken.push((listener.name.clone(), listener.address));
        match does {
            Does::Gateway => gateways.push(listener),
            Does::Wire if wire.is_none() => {
                wire = Some(WireListener { name: listener.name, address: listener.address })
            }
            Does::Wire => {
                let hint = "one takes all proxies and agents".to_owned();
                file.error(
                    "value.duplicate",
                    node.point(),
                    "there are two listeners of kind `wire`".to_owned(),
                    Some(hint),
                );
            }
        }
    }
    (gateways, wire)
}

fn check_taken(listener: &Listener, taken: &[(Label, SocketAddr)], node: &Node, file: &File<'_>) {
    if taken.iter().any(|(name, _)| *name == listener.name) {
        let message = format!("two listeners are named {}", quote(listener.name.as_str()));
        file.error("value.duplicate", node.point(), message, None);
    }
    if listener.address.port() != 0 && taken.iter().any(|(_, address)| *address == listener.address) {
        let message = format!("two listeners have the address `{}`", listener.address);
        file.error("value.duplicate", node.point(), message, None);
    }
}

/// Reads one; of a wire only name and address mean anything.
fn read_one(node: &Node, file: &File<'_>, kind: Kind, known: Option<&BTreeSet<Label>>) -> Option<(Does, Listener)> {
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
    fields.finish();
    Some((does?, Listener { name: name?, address: address?, domains, insecure_plaintext }))
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
