//! `node.yaml`.

use std::collections::BTreeSet;

use types::Label;

use crate::{
    line_column,
    node::{self, Kind, NodeConfig},
};

fn domains() -> BTreeSet<Label> {
    ["finance", "hr"].map(|name| Label::parse(name).expect(name)).into()
}

/// Message and hint of every problem; empty for a good file.
fn told(kind: Kind, text: &str) -> Vec<String> {
    let problems = node::parse("node.yaml", text, kind, Some(&domains())).err().unwrap_or_default();
    problems.iter().map(|p| format!("{} | {}", p.message, p.hint.as_deref().unwrap_or_default())).collect()
}

fn good(kind: Kind, text: &str) -> NodeConfig {
    node::parse("node.yaml", text, kind, Some(&domains())).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

const ROOT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What a proxy or agent cannot do without.
fn joining(rest: &str) -> String {
    format!("name: edge-1\ncontrol: {{ url: https://control.acme.internal:8440, root_sha256: {ROOT} }}\n{rest}")
}

#[test]
fn a_node_is_read() {
    let text = "name: gw-1
data: /var/lib/countersign
listeners:
  - { name: gateway, kind: gateway, address: 127.0.0.1:8443, domains: [finance, hr] }
  - { name: six, kind: gateway, address: '[::1]:8444', insecure_plaintext: true }
  - { name: peers, kind: wire, address: 0.0.0.0:8440 }
admin: { address: 127.0.0.1:8441 }
decision_log: { durability: process, when_full: refuse, max_size: 1GiB }
intake: { max_size: 2GiB }
";
    let config = good(Kind::Up, text);
    assert_eq!(config.name.map(|name| name.to_string()).as_deref(), Some("gw-1"));
    assert_eq!(config.data.as_deref(), Some("/var/lib/countersign"));
    let told: Vec<_> = config.listeners.iter().map(|l| (l.address.to_string(), l.domains.clone())).collect();
    assert_eq!(told, [("127.0.0.1:8443".to_owned(), Some(domains())), ("[::1]:8444".to_owned(), None)]);
    let plaintext: Vec<_> = config.listeners.iter().map(|listener| listener.insecure_plaintext).collect();
    assert_eq!(plaintext, [false, true]);
    let wire = config.wire.expect("a wire");
    assert_eq!((wire.name.as_str(), wire.address.to_string().as_str()), ("peers", "0.0.0.0:8440"));
    let admin = config.admin.expect("an address");
    assert_eq!((admin.address.to_string().as_str(), admin.tls, admin.names.len()), ("127.0.0.1:8441", false, 0));
    assert_eq!((config.decision_log.max_size, config.intake.max_size), (1 << 30, 2 << 30));
    for kind in [Kind::Up, Kind::Control] {
        assert_eq!(good(kind, "{}"), NodeConfig::default());
    }
}

#[test]
fn a_joining_node_knows_where_control_is() {
    for (url, want, host, port) in [
        ("https://control.acme.internal:8440", "https://control.acme.internal:8440", "control.acme.internal", 8440),
        ("https://Control.Acme.internal/", "https://control.acme.internal:8440", "control.acme.internal", 8440),
        ("https://192.0.2.7:9000", "https://192.0.2.7:9000", "192.0.2.7", 9000),
        ("https://[2001:DB8::0:7]", "https://[2001:db8::7]:8440", "2001:db8::7", 8440),
    ] {
        let text = format!(
            "name: edge-1\ncontrol: {{ url: '{url}', root_sha256: {ROOT}, token_file: /etc/countersign/token }}\n"
        );
        for kind in [Kind::Proxy, Kind::Agent] {
            let control = good(kind, &text).control.expect("control");
            assert_eq!((control.url.as_str(), control.host.as_str(), control.port), (want, host, port));
            assert_eq!(control.root_sha256[..2], [0x9f, 0x86]);
            assert_eq!(control.token_file.as_deref(), Some("/etc/countersign/token"));
        }
    }
    let digits = ROOT.replace(|c: char| c.is_ascii_lowercase(), "7");
    let text = format!("name: a\ncontrol: {{ url: https://c, root_sha256: {digits} }}\n");
    assert_eq!(good(Kind::Agent, &text).control.expect("control").token_file, None);
    let socket = good(Kind::Agent, &joining("socket: /run/countersign/workload.sock\n")).socket;
    assert_eq!(socket.as_deref(), Some("/run/countersign/workload.sock"));
}

#[test]
fn what_is_wrong_with_where_control_is_is_told() {
    for (control, want) in [
        ("{}", &["missing key `root_sha256` | `control` needs it, such as `root_sha256: 9f86…`"][..]),
        (
            "{ url: http://control:8440 }",
            &[
                "`http://control:8440` is not the URL of control | control is reached at `https://HOST:PORT`, never in plain text",
            ],
        ),
        (
            "{ url: https://control/v1 }",
            &[
                "`https://control/v1` is not the URL of control | the host is a name, an IPv4 address, or an IPv6 address in brackets",
            ],
        ),
        (
            "{ url: 'https://control:0' }",
            &["`https://control:0` is not the URL of control | a port is a number from 1 to 65535"],
        ),
        (
            "{ url: 'https://alice@control' }",
            &[
                "`https://alice@control` is not the URL of control | the host is a name, an IPv4 address, or an IPv6 address in brackets",
            ],
        ),
        (
            "{ root_sha256: 9f86 }",
            &["`9f86` is not a SHA-256 | 64 hexadecimal digits, as `countersign join-token` prints them"],
        ),
        ("{ token_file: token }", &["`token` is not an absolute path | such as `/etc/countersign/token`"]),
        ("{ token: s3cret }", &["unknown key `token` | `control` takes `url`, `root_sha256` and `token_file`"]),
        ("https://control:8440", &["expected the keys of `control`, found the text `https://control:8440` | "]),
    ] {
        let lines = told(Kind::Proxy, &format!("name: edge-1\ncontrol: {control}\n"));
        assert!(want.iter().all(|want| lines.iter().any(|line| line.starts_with(want))), "{control}: {lines:#?}");
    }
}

#[test]
fn a_proxy_and_an_agent_say_who_they_are_and_where_control_is() {
    let missing = [
        "missing key `control` | a node needs it, such as `control: { url: https://control.acme.internal:8440, \
         root_sha256: 9f86… }`",
        "missing key `name` | a node needs it, such as `name: edge-1`",
    ];
    for kind in [Kind::Proxy, Kind::Agent] {
        assert_eq!(told(kind, "{}"), missing, "{kind:?}");
        assert_eq!(told(kind, &joining("")), [""; 0], "{kind:?}");
    }
}

/// Every key, and for each role whether it takes it.
#[test]
fn a_key_that_a_role_does_not_use_says_which_does() {
    let control = format!("control: {{ url: https://c, root_sha256: {ROOT} }}");
    for (key, text, users) in [
        ("control", control.as_str(), "`proxy` and `agent`"),
        ("admin", "admin: { address: 127.0.0.1:8441 }", "`up` and `control`"),
        ("socket", "socket: /run/workload.sock", "`agent`"),
        ("decision_log", "decision_log: { max_size: 1GiB }", "`up`, `control` and `proxy`"),
        ("intake", "intake: { max_size: 1GiB }", "`up` and `control`"),
        ("name", "name: edge-1", "`up`, `control`, `proxy` and `agent`"),
        ("data", "data: /srv", "`up`, `control`, `proxy` and `agent`"),
    ] {
        for kind in Kind::ALL {
            let refused = format!("`{key}` is not for `{}` | it is for {users}; leave it out here", kind.as_str());
            let uses = users.contains(&format!("`{}`", kind.as_str()));
            assert_eq!(told(kind, text).contains(&refused), !uses, "{key} with {kind:?}: {:#?}", told(kind, text));
        }
    }
    let listeners = |listener: &str, kind: Kind| {
        let name = if kind.as_str() == "up" || kind.as_str() == "control" { String::new() } else { joining("") };
        told(kind, &format!("{name}listeners: [{listener}]\n"))
    };
    let (gateway, wire) =
        ("{ name: g, kind: gateway, address: 127.0.0.1:1 }", "{ name: w, kind: wire, address: 127.0.0.1:2 }");
    assert_eq!(listeners(gateway, Kind::Up), [""; 0]);
    assert_eq!(listeners(&format!("{gateway}, {wire}"), Kind::Up), [""; 0]);
    assert_eq!(listeners(wire, Kind::Control), [""; 0]);
    assert_eq!(listeners(gateway, Kind::Proxy), [""; 0]);
    let of_kind = |kind, role, users| {
        format!("a listener of kind `{kind}` is not for `{role}` | it is for {users}; leave it out here")
    };
    assert_eq!(listeners(gateway, Kind::Control), [of_kind("gateway", "control", "`up` and `proxy`")]);
    assert_eq!(listeners(wire, Kind::Proxy), [of_kind("wire", "proxy", "`up` and `control`")]);
    assert_eq!(
        listeners(wire, Kind::Agent),
        ["`listeners` is not for `agent` | it is for `up`, `control` and `proxy`; leave it out here"]
    );
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
  - { name: f, kind: wire, address: 127.0.0.1:1, domains: [hr] }
  - { name: g, kind: wire, address: 127.0.0.1:2 }
decision_log: { durability: lossy, when_full: drop, max_size: 1MiB }
intake: { max_size: 1MiB, keep: 1d }
colour: blue
";
    let problems = node::parse("node.yaml", text, Kind::Up, Some(&domains())).expect_err("problems");
    let told: Vec<_> = problems
        .iter()
        .map(|p| format!("{}:{}", p.code, line_column(text, p.span.clone().unwrap_or_default().start).0))
        .collect();
    assert_eq!(
        told,
        [
            "value.bad:1",
            "value.bad:2",
            "node.role:3",
            "value.unknown:5",
            "value.bad:6",
            "value.empty:6",
            "name.unknown-domain:7",
            "value.duplicate:8",
            "value.duplicate:8",
            "value.duplicate:11",
            "yaml.unknown-key:11",
            "value.duplicate:12",
            "value.unknown:13",
            "value.unknown:13",
            "value.bad:13",
            "value.bad:14",
            "yaml.unknown-key:14",
            "yaml.unknown-key:15",
        ]
    );
}

#[test]
fn the_kinds_of_listeners_that_a_role_has_are_named() {
    for (kind, hint) in [
        (Kind::Up, "the values are `gateway`, `wire` and `bundle`"),
        (Kind::Control, "the values are `wire` and `bundle`"),
        (Kind::Proxy, "the only value is `gateway`"),
    ] {
        let text = "listeners: [ { name: a, kind: ext_authz, address: 127.0.0.1:1 } ]";
        let lines = told(kind, text);
        assert!(lines.contains(&format!("unknown value `ext_authz` | {hint}")), "{kind:?}: {lines:#?}");
    }
}

#[test]
fn the_console_leaves_loopback_with_tls_only() {
    let beyond = |address| {
        format!(
            "`{address}` is beyond loopback, which needs TLS | add `tls: true` and the `names` it is reached by, or use \
             `127.0.0.1:8441`"
        )
    };
    for (admin, want) in [
        ("{ address: '[::1]:0' }", vec![]),
        ("{ address: 127.9.9.9:8441 }", vec![]),
        ("{ address: 0.0.0.0:8441, tls: true, names: [control.acme.internal] }", vec![]),
        ("{ address: 127.0.0.1:8441, tls: true, names: [localhost] }", vec![]),
        ("{ address: 0.0.0.0:8441 }", vec![beyond("0.0.0.0:8441")]),
        ("{ address: 0.0.0.0:8441, tls: false }", vec![beyond("0.0.0.0:8441")]),
        ("{ address: '[2001:db8::1]:8441' }", vec![beyond("[2001:db8::1]:8441")]),
        ("{ address: '[::ffff:127.0.0.1]:8441' }", vec![]),
        (
            "{ address: 0.0.0.0:8441, tls: true }",
            vec!["missing key `names` | `admin` with `tls` needs it, such as `names: [control.acme.internal]`".to_owned()],
        ),
        (
            "{ address: 127.0.0.1:8441, names: [control.acme.internal] }",
            vec![
                "`names` mean nothing without TLS | they are the names of a certificate: add `tls: true`, or leave them \
                 out"
                .to_owned(),
            ],
        ),
        (
            "{ address: 127.0.0.1:8441, tls: true, names: ['a b'] }",
            vec!["`a b` is not a host name | such as `control.acme.internal`".to_owned()],
        ),
        (
            "{ address: 127.0.0.1:8441, tls: true, names: [] }",
            vec!["expected a list of host names, found an empty list | ".to_owned()],
        ),
        (
            "{ address: 0.0.0.0:8441, tls: yes, names: [control.acme.internal] }",
            vec!["expected `true` or `false`, found the text `yes` | write `true`".to_owned()],
        ),
        ("{}", vec!["missing key `address` | `admin` needs it, such as `address: 127.0.0.1:8441`".to_owned()]),
        ("{ adress: 127.0.0.1:8441 }", vec!["unknown key `adress` | did you mean `address`?".to_owned()]),
        ("{ address: 127.0.0.1:8443 }", vec!["the listener `gateway` has the same address | ".to_owned()]),
        ("{ address: 127.0.0.1:8440 }", vec!["the listener `wire` has the same address | ".to_owned()]),
        (
            "127.0.0.1:8441",
            vec!["expected the keys of `admin`, found the text `127.0.0.1:8441` | ".to_owned()],
        ),
    ] {
        let listeners = "listeners: [ { name: gateway, kind: gateway, address: 127.0.0.1:8443 }, \
                         { name: wire, kind: wire, address: 127.0.0.1:8440 } ]";
        assert_eq!(told(Kind::Up, &format!("{listeners}\nadmin: {admin}\n")), want, "{admin}");
    }
}

#[test]
fn a_socket_is_short_enough_for_the_system() {
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(told(Kind::Agent, &joining(&format!("socket: {}\n", path(107)))), [""; 0]);
    assert_eq!(
        told(Kind::Agent, &joining(&format!("socket: {}\n", path(108)))),
        ["the path of a socket has at most 107 bytes, and this one has 108 | choose a shorter one, such as \
          `/run/countersign/workload.sock`"]
    );
    assert_eq!(
        told(Kind::Agent, &joining("socket: workload.sock\n")),
        ["`workload.sock` is not an absolute path | such as `/run/countersign/workload.sock`"]
    );
}

#[test]
fn plaintext_is_said_with_true() {
    let listener = |value: &str| {
        let text =
            format!("listeners: [ {{ name: a, kind: gateway, address: 10.0.0.1:80, insecure_plaintext: {value} }} ]");
        node::parse("node.yaml", &text, Kind::Up, None)
    };
    assert!(listener("true").is_ok_and(|config| config.listeners[0].insecure_plaintext));
    assert!(listener("false").is_ok_and(|config| !config.listeners[0].insecure_plaintext));
    let problems = listener("yes").expect_err("problems");
    assert_eq!(problems[0].hint.as_deref(), Some("write `true`"));
}
