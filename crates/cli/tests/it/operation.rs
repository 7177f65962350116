//! `doctor`, `login`, the paths for probes, and what docs/operation.md says of figures.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::running::{Place, Up, upstream};

const OPERATION: &str = include_str!("../../../../docs/operation.md");

fn running() -> (Place, Up) {
    let place = Place::new().with_served_shop(upstream());
    let domain = "shop/domains/shop/domain.yaml";
    // the other service is served, too, so that everything is well
    let served = place.read(domain).replace("127.0.0.1:7002", &upstream().to_string());
    place.write(domain, &served);
    let up = place.up(&["shop"]);
    (place, up)
}

/// The console's address, as a login link names it.
fn console(place: &Place) -> String {
    let link = place.run(&["login", "--json"]).json();
    let url = link[0]["url"].as_str().unwrap();
    url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned()
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn the_doctor_looks_at_everything_and_exits_by_what_is_worst() {
    let (place, _up) = running();
    let well = place.run(&["doctor"]);
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.out.lines().any(|line| line.starts_with("✓ good ") && line.contains("decision log")), "{}", well.out);
    assert!(well.out.lines().last().unwrap().starts_with("no problem, "), "{}", well.out);
    // a directory that does not validate any more is worth a look, and what runs goes on
    place.write("shop/domains/shop/policies/orders.cedar", "permit");
    let looked = place.run(&["doctor", "--json"]);
    assert_eq!(looked.code, 0, "{looked:?}");
    let findings = looked.json();
    assert!(findings.iter().any(|finding| finding["severity"] == "warning"), "{findings:?}");
    let order = ["problem", "warning", "good"];
    let place_of = |finding: &serde_json::Value| order.iter().position(|word| finding["severity"] == *word).unwrap();
    assert!(findings.is_sorted_by_key(place_of), "worst first");
}

#[test]
fn a_service_that_is_gone_is_a_finding_and_not_silence() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new().with_served_shop(gone);
    let _up = place.up(&["shop"]);
    let looked = place.run(&["doctor", "--json"]);
    let found = looked.json().into_iter().find(|finding| finding.to_string().contains(&gone.to_string()));
    let found = found.unwrap_or_else(|| panic!("{looked:?}"));
    assert_ne!(found["severity"], "good", "{found}");
    assert_eq!(looked.code, i32::from(found["severity"] == "problem"));
}

#[test]
fn probes_are_answered_without_a_login_and_pages_are_not() {
    let (place, _up) = running();
    let address = console(&place);
    assert_eq!(get(&address, "/healthz").0, 200);
    assert_eq!(get(&address, "/readyz").0, 200);
    assert_eq!(get(&address, "/metrics").0, 200);
    assert_ne!(get(&address, "/").0, 200, "nobody is logged in");
}

/// Names of families, as `# TYPE` lines give them.
fn families(metrics: &str) -> BTreeSet<(String, String)> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.map(|line| line.split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned())).unwrap()).collect()
}

#[test]
fn the_figures_are_those_that_the_documentation_lists() {
    let (place, _up) = running();
    for caller in ["shop/storefront", "shop/orders"] {
        place.run(&["call", "--as", caller, "POST", "https://orders.example.internal/orders", "-d", "{}"]);
    }
    let served = get(&console(&place), "/metrics").1;
    let table = OPERATION.split_once("<!-- figures -->").unwrap().1.split_once("<!-- /figures -->").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect();
    let families = families(&served);
    let missing: Vec<_> = families.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/operation.md does not list {missing:#?}");
    let gone: Vec<_> = documented.difference(&families).collect();
    assert!(gone.is_empty(), "docs/operation.md lists what is not served: {gone:#?}\n{served}");
}
