//! The JSON Schema of `node.yaml` and its parser: every key of one is a key of the other, and samples fare alike.
//!
//! The schema is read by a small validator of exactly the keywords that it uses; another keyword fails.

use std::collections::BTreeSet;

use crate::{
    node::{self, Kind},
    problem::{File, Sink, Text},
    yaml::{self, Node, Value},
};

fn tree(text: &str) -> Node {
    let (sink, content) = (Sink::default(), Text::new(text.to_owned()));
    yaml::read(&File { path: "a", text: &content, sink: &sink }).unwrap_or_else(|| panic!("{text}"))
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).map(|entry| &entry.node)
}

fn texts(node: Option<&Node>) -> Vec<&str> {
    let Some(Node { value: Value::List(items), .. }) = node else { return Vec::new() };
    items
        .iter()
        .map(|item| if let Value::Text(text) = &item.value { text.as_str() } else { panic!("no text") })
        .collect()
}

fn keys(node: Option<&Node>) -> BTreeSet<&str> {
    let Some(Node { value: Value::Map(entries), .. }) = node else { return BTreeSet::new() };
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

struct Schema(Node);

impl Schema {
    fn definition(&self, name: &str) -> &Node {
        get(get(&self.0, "$defs").expect("definitions"), name).expect(name)
    }

    /// Whether a value is valid under a schema.
    fn accepts(&self, schema: &Node, value: &Node) -> bool {
        let Value::Map(keywords) = &schema.value else { panic!("a schema is a mapping") };
        keywords.iter().all(|entry| match (entry.key.as_str(), &entry.node.value, &value.value) {
            ("title" | "description", ..) => true,
            ("$ref", Value::Text(name), _) => {
                self.accepts(self.definition(name.strip_prefix("#/$defs/").expect("a local one")), value)
            }
            ("anyOf", Value::List(branches), _) => branches.iter().any(|branch| self.accepts(branch, value)),
            ("type", Value::Text(name), found) => match (name.as_str(), found) {
                ("object", Value::Map(_)) | ("array", Value::List(_)) | ("string", Value::Text(_)) => true,
                ("boolean", Value::Bool(_)) => true,
                (known, _) => {
                    assert!(["object", "array", "string", "boolean"].contains(&known), "type {known}");
                    false
                }
            },
            ("const", want, found) => want == found,
            ("pattern", Value::Text(pattern), Value::Text(text)) => matches(pattern, text),
            ("maxLength", Value::Number(most), Value::Text(text)) => text.len() <= most.parse().expect("a number"),
            ("minItems", Value::Number(least), Value::List(items)) => items.len() >= least.parse().expect("a number"),
            ("maxItems", Value::Number(most), Value::List(items)) => items.len() <= most.parse().expect("a number"),
            ("uniqueItems", Value::Bool(true), Value::List(items)) => {
                items.iter().enumerate().all(|(at, item)| items[..at].iter().all(|other| other.value != item.value))
            }
            ("items", Value::Map(_), Value::List(items)) => items.iter().all(|item| self.accepts(&entry.node, item)),
            ("properties", Value::Map(properties), Value::Map(_)) => properties
                .iter()
                .all(|property| get(value, &property.key).is_none_or(|node| self.accepts(&property.node, node))),
            ("required", Value::List(_), Value::Map(_)) => {
                texts(Some(&entry.node)).iter().all(|key| get(value, key).is_some())
            }
            ("dependentRequired", Value::Map(dependent), Value::Map(_)) => dependent.iter().all(|key| {
                get(value, &key.key).is_none()
                    || texts(Some(&key.node)).iter().all(|needed| get(value, needed).is_some())
            }),
            ("additionalProperties", Value::Bool(false), Value::Map(_)) => {
                keys(Some(value)).is_subset(&keys(get(schema, "properties")))
            }
            // what is about another type says nothing
            (
                "pattern"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "uniqueItems"
                | "items"
                | "properties"
                | "required"
                | "dependentRequired"
                | "additionalProperties",
                ..,
            ) => true,
            (keyword, ..) => panic!("the keyword {keyword} is not known here"),
        })
    }
}

/// The patterns that the schema uses, each written out.
fn matches(pattern: &str, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match pattern {
        "^/" => text.starts_with('/'),
        "^https://" => text.starts_with("https://"),
        "^[a-z][a-z0-9-]{0,62}$" => types::Label::parse(text).is_ok(),
        "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" => {
            let ends = |byte: Option<&u8>| byte.is_some_and(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
            let clean = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
            clean && ends(text.as_bytes().first()) && ends(text.as_bytes().last())
        }
        "^[!-~]+$" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()),
        "^[0-9a-f]{64}$" => text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "^([0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$" => text.rsplit_once(':').is_some_and(|(host, port)| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let v6 = inner.is_some_and(|host| {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
            });
            let v4 = !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            digits(port) && port.len() <= 5 && (v4 || v6)
        }),
        "^[0-9]+(B|KiB|MiB|GiB|TiB)$" => {
            ["TiB", "GiB", "MiB", "KiB", "B"].iter().find_map(|unit| text.strip_suffix(unit)).is_some_and(digits)
        }
        other => panic!("the pattern {other} is not known here"),
    }
}

const ROOT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A value for every key of every role, so that both sides must know it.
fn everything(kind: Kind) -> String {
    let control = format!("control: {{ url: 'https://control:8440', root_sha256: {ROOT}, token_file: /t }}\n");
    let gateway = "{ name: g, kind: gateway, address: '127.0.0.1:1', domains: [finance], insecure_plaintext: true }";
    let wire = "{ name: w, kind: wire, address: '[::1]:2' }";
    let bundle = "{ name: b, kind: bundle, address: '[::1]:4', certificate: /b.pem, key: /b.key }";
    let keys = "keys: { passphrase_file: /etc/countersign/passphrase }\n";
    let k8s = "k8s: [{ cluster: prod, issuer: 'https://k', audience: countersign, jwks: /prod.json, token: /token }]\n";
    let log = "decision_log: { durability: process, when_full: refuse, max_size: 1GiB }\n";
    let admin = "admin: { address: '0.0.0.0:3', tls: true, names: [control.acme.internal] }\n";
    let intake = "intake: { max_size: 16GiB }\n";
    let rest = match kind {
        Kind::Up => format!("listeners: [{gateway}, {wire}, {bundle}]\n{log}{admin}{intake}{keys}{k8s}"),
        Kind::Control => format!("listeners: [{wire}, {bundle}]\n{log}{admin}{intake}{keys}"),
        Kind::Proxy => format!("{control}listeners: [{gateway}]\n{log}"),
        Kind::Agent => format!("{control}socket: /run/workload.sock\n{k8s}"),
    };
    format!("name: edge-1\ndata: /srv/data\n{rest}")
}

#[test]
fn every_key_of_the_schema_is_a_key_of_the_parser_and_the_other_way_round() {
    let schema = Schema(tree(node::schema()));
    for kind in Kind::ALL {
        let role = schema.definition(kind.as_str());
        let text = everything(kind);
        assert_eq!(node::parse("node.yaml", &text, kind, None).err(), None, "{kind:?}");
        assert_eq!(keys(get(role, "properties")), keys(Some(&tree(&text))), "{kind:?}");
        assert!(schema.accepts(role, &tree(&text)), "{kind:?}");
        for other in Kind::ALL.iter().filter(|other| **other != kind) {
            let (by_schema, by_parser) = (
                schema.accepts(schema.definition(other.as_str()), &tree(&text)),
                node::parse("node.yaml", &text, *other, None),
            );
            assert_eq!(by_schema, by_parser.is_ok(), "{kind:?} as {other:?}");
        }
    }
    for (definition, sample) in [
        ("gateway", "{ name: g, kind: gateway, address: '127.0.0.1:1', domains: [a], insecure_plaintext: false }"),
        ("wire", "{ name: w, kind: wire, address: '127.0.0.1:1' }"),
        ("bundle", "{ name: b, kind: bundle, address: '127.0.0.1:1', certificate: /c, key: /k }"),
        ("keys", "{ passphrase_file: /p }"),
        ("cluster", "{ cluster: prod, issuer: i, audience: a, jwks: /j, token: /t }"),
        ("admin", "{ address: '127.0.0.1:1', tls: true, names: [a] }"),
        ("decision_log", "{ durability: process, when_full: refuse, max_size: 64MiB }"),
        ("intake", "{ max_size: 64MiB }"),
        ("control_address", "{ url: 'https://a', root_sha256: b, token_file: /t }"),
    ] {
        assert_eq!(keys(get(schema.definition(definition), "properties")), keys(Some(&tree(sample))), "{definition}");
    }
}

#[test]
fn samples_fare_alike() {
    let schema = Schema(tree(node::schema()));
    let joining = format!("name: edge-1\ncontrol: {{ url: 'https://control', root_sha256: {ROOT} }}\n");
    let joining_with = |rest: &str| format!("{joining}{rest}\n");
    let listener = |text: &str| format!("listeners: [{text}]\n");
    for (kind, text, good) in [
        (Kind::Up, "{}".to_owned(), true),
        (Kind::Control, "{}".to_owned(), true),
        (Kind::Proxy, "{}".to_owned(), false),
        (Kind::Agent, "name: edge-1\n".to_owned(), false),
        (Kind::Proxy, joining_with(""), true),
        (Kind::Agent, joining_with("socket: run/x"), false),
        (Kind::Agent, joining_with(&format!("socket: /{}", "x".repeat(200))), false),
        (Kind::Agent, joining_with("admin: { address: '127.0.0.1:1' }"), false),
        (Kind::Proxy, joining.replace("https:", "http:"), false),
        (Kind::Proxy, joining.replace(ROOT, "9f86"), false),
        (Kind::Proxy, joining.replace("edge-1", "Edge"), false),
        (Kind::Proxy, joining.replace("root_sha256", "sha256"), false),
        (Kind::Up, "data: here\n".to_owned(), false),
        (Kind::Up, "colour: blue\n".to_owned(), false),
        (Kind::Up, "[]".to_owned(), false),
        (Kind::Up, "listeners: []\n".to_owned(), false),
        (Kind::Up, "listeners: {}\n".to_owned(), false),
        (Kind::Up, listener("{ name: a, kind: sidecar, address: '127.0.0.1:1' }"), false),
        (Kind::Up, listener("{ name: a, kind: wire, address: '127.0.0.1:1', domains: [a] }"), false),
        (Kind::Up, listener("{ name: a, kind: gateway, address: 'localhost:1' }"), false),
        (Kind::Up, listener("{ name: a, kind: gateway, address: '127.0.0.1' }"), false),
        (Kind::Up, listener("{ kind: gateway, address: '127.0.0.1:1' }"), false),
        (Kind::Up, listener("{ name: a, kind: gateway, address: '127.0.0.1:1', domains: [] }"), false),
        (Kind::Up, listener("{ name: a, kind: gateway, address: '127.0.0.1:1', domains: [b, b] }"), false),
        (Kind::Up, listener("{ name: a, kind: gateway, address: '127.0.0.1:1', insecure_plaintext: 'yes' }"), false),
        (Kind::Control, listener("{ name: a, kind: gateway, address: '127.0.0.1:1' }"), false),
        (Kind::Proxy, joining_with("listeners: [{ name: a, kind: wire, address: '127.0.0.1:1' }]"), false),
        (Kind::Up, listener("{ name: a, kind: bundle, address: '127.0.0.1:1' }"), false),
        (Kind::Up, listener("{ name: a, kind: bundle, address: '127.0.0.1:1', certificate: c, key: /k }"), false),
        (Kind::Up, listener("{ name: a, kind: wire, address: '127.0.0.1:1', certificate: /c, key: /k }"), false),
        (
            Kind::Proxy,
            joining_with("listeners: [{ name: a, kind: bundle, address: '127.0.0.1:1', certificate: /c, key: /k }]"),
            false,
        ),
        (Kind::Control, "keys: { passphrase_file: /p }\n".to_owned(), true),
        (Kind::Control, "keys: { passphrase_file: p }\n".to_owned(), false),
        (Kind::Control, "keys: {}\n".to_owned(), false),
        (Kind::Control, "keys: { passphrase: hunter2 }\n".to_owned(), false),
        (Kind::Agent, joining_with("keys: { passphrase_file: /p }"), false),
        (Kind::Agent, joining_with("k8s: [{ cluster: prod, issuer: i, audience: a, jwks: /j, token: /t }]"), true),
        (Kind::Agent, joining_with("k8s: [{ cluster: Prod, issuer: i, audience: a, jwks: /j, token: /t }]"), false),
        (Kind::Agent, joining_with("k8s: [{ cluster: prod, issuer: '', audience: a, jwks: /j, token: /t }]"), false),
        (Kind::Agent, joining_with("k8s: [{ cluster: prod, issuer: i, audience: a, jwks: j, token: /t }]"), false),
        (Kind::Agent, joining_with("k8s: [{ cluster: prod, issuer: i, jwks: /j, token: /t }]"), false),
        (Kind::Agent, joining_with("k8s: []"), false),
        (Kind::Control, "k8s: [{ cluster: prod, issuer: i, audience: a, jwks: /j, token: /t }]\n".to_owned(), false),
        (Kind::Up, "admin: { address: '127.0.0.1:1' }\n".to_owned(), true),
        (Kind::Up, "admin: { tls: true, names: [a] }\n".to_owned(), false),
        (Kind::Up, "admin: { address: '127.0.0.1:1', names: [a] }\n".to_owned(), false),
        (Kind::Up, "admin: { address: '127.0.0.1:1', tls: true, names: [] }\n".to_owned(), false),
        (Kind::Up, "decision_log: { durability: lossy }\n".to_owned(), false),
        (Kind::Up, "decision_log: { max_size: 1GB }\n".to_owned(), false),
        (Kind::Control, "intake: { max_size: 64MiB }\n".to_owned(), true),
        (Kind::Control, "intake: { min_size: 64MiB }\n".to_owned(), false),
        (Kind::Proxy, joining_with("intake: { max_size: 64MiB }"), false),
    ] {
        assert_eq!(node::parse("node.yaml", &text, kind, None).is_ok(), good, "parser, {kind:?}: {text}");
        assert_eq!(schema.accepts(schema.definition(kind.as_str()), &tree(&text)), good, "schema, {kind:?}: {text}");
        if good {
            let Value::Map(mut whole) = schema.0.value.clone() else { panic!("a mapping") };
            whole.retain(|entry| entry.key == "anyOf");
            let any = Node { value: Value::Map(whole), ..schema.0.clone() };
            assert!(schema.accepts(&any, &tree(&text)), "{text}");
        }
    }
}
