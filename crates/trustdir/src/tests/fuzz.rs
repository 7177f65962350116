//! Whatever stands in a file: no panic, and places that lie in their files.

use proptest::prelude::*;

use super::directory::{GOOD, good};
use crate::*;

/// Loads, and holds every problem's place against its file.
fn load_and_check(files: &MemoryFiles) {
    let loaded = load(files);
    assert_eq!(loaded.revision.is_none(), loaded.problems.iter().any(|p| p.severity == Severity::Error));
    for problem in &loaded.problems {
        if let (Some(span), Some(text)) = (&problem.span, loaded.sources.get(&problem.path)) {
            assert!(text.get(span.clone()).is_some(), "{problem:?}");
            line_column(text, span.start);
        }
    }
    if let Some(revision) = &loaded.revision {
        run_tests(revision);
    }
}

/// Bytes, texts that look like YAML, and good files with something put into them.
fn content(path: &'static str, good: &'static str) -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let parts = prop::sample::select(vec![
        "a",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "|\n",
        "&x ",
        "*x",
        "!t ",
        "<<",
        "?",
        "#",
        "---\n",
        "%",
        "\t",
        "\u{e9}",
        "\u{feff}",
        "1",
        "0x1",
        "null",
        "hosts",
        "routes",
        "\"GET /{a}\"",
        "openapi: 3.0.0",
        "paths",
        "/x",
        "get",
        "15m",
        "1MiB",
    ]);
    let yaml = prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat());
    let place = any::<prop::sample::Index>();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        yaml.clone().prop_map(String::into_bytes),
        (place, yaml, 0..20_usize).prop_map(move |(place, inserted, cut)| {
            let start = place.index(good.len());
            let end = (start + cut).min(good.len());
            let bytes = good.as_bytes();
            [&bytes[..start], inserted.as_bytes(), &bytes[end..]].concat()
        }),
    ]
    .prop_map(move |bytes| (path, bytes))
}

fn any_file() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let more = [("countersign.yaml", ORGANISATION), ("domains/hr/domain.yaml", DOMAIN)];
    let files: Vec<_> = GOOD.into_iter().chain(more).collect();
    prop::sample::select(files).prop_flat_map(|(path, text)| content(path, text))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_in_a_file_panics((path, bytes) in any_file()) {
        let mut files = good();
        files.insert(path, bytes);
        load_and_check(&files);
    }

    #[test]
    fn nothing_in_a_node_file_panics((_, bytes) in content("node.yaml", NODE)) {
        let text = String::from_utf8_lossy(&bytes);
        for kind in node::Kind::ALL {
            let _ = node::parse("node.yaml", &text, kind, None);
        }
    }
}

const ORGANISATION: &str = "organisation: acme.internal
operators: { alice: { uid: 1001, roles: [owner] }, bob: {} }
owners: [operator:alice, operator:local]
nodes: { vm: { join: token, rejoin_within: 2d } }
defaults: { when_stale: { after: 15m, then: serve } }
floor: { signals_stale: { after: 1h, then: deny } }
";

const DOMAIN: &str = "domain: hr
owners: [operator:bob]
signals_stale: { after: 1m, then: deny }
workloads: { jobs: { runs_on: [vm], attest: { any: [ { unix: { uid: 7 } } ] } } }
";

const NODE: &str = "name: gw-1
control: { url: https://control.acme.internal:8440, root_sha256: 9f86, token_file: /t }
listeners:
  - { name: gateway, kind: gateway, address: 127.0.0.1:8443, domains: [finance] }
  - { name: wire, kind: wire, address: 127.0.0.1:8440 }
admin: { address: 127.0.0.1:8441, tls: true, names: [a.b] }
socket: /run/workload.sock
decision_log: { max_size: 1GiB }
intake: { max_size: 1GiB }
";
