//! `node.yaml`.

use std::collections::BTreeSet;

use types::Label;

use crate::{line_column, node};

fn domains() -> BTreeSet<Label> {
    ["finance", "hr"].map(|name| Label::parse(name).expect(name)).into()
}

#[test]
fn a_node_is_read() {
    let text = "name: gw-1
data: /var/lib/countersign
listeners:
  - { name: gateway, kind: gateway, address: 127.0.0.1:8443, domains: [finance, hr] }
  - { name: six, kind: gateway, address: '[::1]:8444', insecure_plaintext: true }
admin: { address: 127.0.0.1:8441 }
decision_log: { durability: process, when_full: refuse, max_size: 1GiB }
";
    let config = node::parse("node.yaml", text, Some(&domains())).expect("no problems");
    assert_eq!(config.name.map(|name| name.to_string()).as_deref(), Some("gw-1"));
    assert_eq!(config.data.as_deref(), Some("/var/lib/countersign"));
    let told: Vec<_> = config.listeners.iter().map(|l| (l.address.to_string(), l.domains.clone())).collect();
    assert_eq!(told, [("127.0.0.1:8443".to_owned(), Some(domains())), ("[::1]:8444".to_owned(), None)]);
    let plaintext: Vec<_> = config.listeners.iter().map(|listener| listener.insecure_plaintext).collect();
    assert_eq!(plaintext, [false, true]);
    assert_eq!(config.admin_address, Some("127.0.0.1:8441".parse().expect("an address")));
    assert_eq!(config.decision_log.max_size, 1 << 30);
    assert_eq!(node::parse("node.yaml", "{}", None), Ok(node::NodeConfig::default()));
}

#[test]
fn what_is_wrong_with_a_node_is_said_at_once() {
    let text = "name: GW
data: relative
control: { url: https://control }
listeners:
  - { name: a, kind: sidecar_inbound, address: 127.0.0.1:1 }
  - { name: b, kind: gateway, address: localhost:1, domains: [] }
  - { name: c, kind: gateway, address: 127.0.0.1:1, domains: [legal] }
  - { name: c, kind: gateway, address: 127.0.0.1:1 }
  - { name: d, kind: gateway, address: 127.0.0.1:0 }
  - { name: e, kind: gateway, address: 127.0.0.1:0 }
decision_log: { durability: lossy, when_full: drop, max_size: 1MiB }
";
    let problems = node::parse("node.yaml", text, Some(&domains())).expect_err("problems");
    let told: Vec<_> = problems
        .iter()
        .map(|p| format!("{}:{}", p.code, line_column(text, p.span.clone().unwrap_or_default().start).0))
        .collect();
    assert_eq!(
        told,
        [
            "value.bad:1",
            "value.bad:2",
            "yaml.unknown-key:3",
            "value.unknown:5",
            "value.bad:6",
            "value.empty:6",
            "name.unknown-domain:7",
            "value.duplicate:8",
            "value.duplicate:8",
            "value.unknown:11",
            "value.unknown:11",
            "value.bad:11",
        ]
    );
}

#[test]
fn the_kinds_of_listeners_that_exist_are_named() {
    let text = "listeners: [ { name: a, kind: ext_authz, address: 127.0.0.1:1 } ]";
    let problems = node::parse("node.yaml", text, None).expect_err("problems");
    assert_eq!(problems[0].message, "unknown value `ext_authz`");
    assert_eq!(problems[0].hint.as_deref(), Some("the only value is `gateway`"));
}

#[test]
fn the_console_stays_on_loopback() {
    for (admin, want) in [
        ("{ address: '[::1]:0' }", &[][..]),
        ("{ address: 127.9.9.9:8441 }", &[]),
        (
            "{ address: 0.0.0.0:8441 }",
            &["`0.0.0.0:8441` is beyond loopback, which needs TLS, and the console has none yet \
               | use `127.0.0.1:8441`, and reach it from elsewhere through a tunnel such as `ssh -L`"],
        ),
        (
            "{ address: '[2001:db8::1]:8441' }",
            &["`[2001:db8::1]:8441` is beyond loopback, which needs TLS, and the console has none yet \
               | use `127.0.0.1:8441`, and reach it from elsewhere through a tunnel such as `ssh -L`"],
        ),
        ("{}", &["missing key `address` | `admin` needs it, such as `address: 127.0.0.1:8441`"]),
        ("{ adress: 127.0.0.1:8441 }", &["unknown key `adress` | did you mean `address`?"]),
        ("{ address: 127.0.0.1:8443 }", &["the listener `gateway` has the same address | "]),
        ("127.0.0.1:8441", &["expected the keys of `admin`, found the text `127.0.0.1:8441` | "]),
    ] {
        let listeners = "listeners: [ { name: gateway, kind: gateway, address: 127.0.0.1:8443 } ]";
        let parsed = node::parse("node.yaml", &format!("{listeners}\nadmin: {admin}\n"), None);
        let told = parsed.err().unwrap_or_default();
        let told: Vec<_> =
            told.iter().map(|p| format!("{} | {}", p.message, p.hint.as_deref().unwrap_or_default())).collect();
        assert_eq!(told, want, "{admin}");
    }
}

#[test]
fn plaintext_is_said_with_true() {
    let listener = |value: &str| {
        let text =
            format!("listeners: [ {{ name: a, kind: gateway, address: 10.0.0.1:80, insecure_plaintext: {value} }} ]");
        node::parse("node.yaml", &text, None)
    };
    assert!(listener("true").is_ok_and(|config| config.listeners[0].insecure_plaintext));
    assert!(listener("false").is_ok_and(|config| !config.listeners[0].insecure_plaintext));
    let problems = listener("yes").expect_err("problems");
    assert_eq!(problems[0].hint.as_deref(), Some("write `true`"));
}
