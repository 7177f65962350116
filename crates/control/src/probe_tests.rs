//! Upstreams that answer, that do not, and that answer too many.

use std::net::TcpListener;

use api::admin::Severity;

use super::*;
use crate::fixture::{revision_of, with};

/// The starter with its upstreams at these addresses.
fn revision(upstream: &str) -> std::sync::Arc<Revision> {
    let files = with("domains/shop/domain.yaml", |text| {
        let lines = text.lines().map(|line| match line.split_once("http://") {
            Some((before, rest)) if before.contains("urls") => {
                let after = rest.trim_start_matches(|c: char| !matches!(c, ']' | ',' | ' '));
                format!("{before}{upstream}{after}")
            }
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    revision_of(&files)
}

#[test]
fn an_upstream_that_answers_on_loopback_alone_is_good_and_a_silent_one_is_a_problem() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let found = upstreams(&revision(&url));
    assert!(matches!(&found[..], [one] if one.severity == Severity::Good), "{found:?}");
    drop(listener);
    let found = upstreams(&revision(&url));
    assert_eq!(found[0].severity, Severity::Problem);
    assert!(found[0].message.contains("shop/") && found[0].message.contains("does not answer"), "{found:?}");
}

#[test]
fn an_upstream_that_listens_everywhere_can_be_reached_around_the_gateway() {
    // a machine without any address but loopback cannot be reached around
    let Some(ours) = own_addresses().first().copied() else { return };
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let found = upstreams(&revision(&format!("http://127.0.0.1:{port}")));
    assert_eq!(found[0].severity, Severity::Warning, "{found:?} {ours}");
    assert!(found[0].message.contains("goes around the gateway"), "{found:?}");
}
