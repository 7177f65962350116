//! What is sent, and how the command ends.

use api::admin::Completion;
use clap::Parser;

use super::*;
use crate::args::{Cli, Command};
use crate::term::listing::tests::decision;

fn parsed(arguments: &[&str]) -> Result<Asked, Failed> {
    let line = ["countersign", "call", "--as", "finance/payments"].iter().chain(arguments);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Call(args) => asked(&args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_request_is_what_was_asked() {
    let asked = parsed(&["POST", "https://ledger.acme.internal/entries?a=1", "-d", "{}", "-H", "x-a: b"]).unwrap();
    assert_eq!(asked.host.as_str(), "ledger.acme.internal");
    assert_eq!(asked.request.uri(), "/entries?a=1");
    assert_eq!(asked.request.headers()["host"], "ledger.acme.internal");
    assert_eq!(asked.request.headers()["content-type"], "application/json");
    assert_eq!(asked.request.headers()["x-a"], "b");
    let asked = parsed(&["PUT", "https://h.acme/a", "-d", "x", "-H", "Content-Type: text/plain"]).unwrap();
    assert_eq!(asked.request.headers().get_all("content-type").iter().count(), 1);
}

#[test]
fn odd_paths_travel_as_they_are() {
    for path in ["//", "/a//b", "/a%2fb", "/../x", "/a/./b", "/a%5cb"] {
        assert_eq!(parsed(&["GET", &format!("https://h.acme{path}")]).unwrap().request.uri(), path);
    }
}

#[test]
fn what_is_no_call_is_wrong_usage() {
    for url in ["http://h.acme/", "/entries", "h.acme", "https:///x", "https://1.2.3.4/x y"] {
        assert_eq!(parsed(&["GET", url]).err().map(|failed| failed.exit), Some(Exit::Usage), "{url}");
    }
    assert!(parsed(&["GET", "https://h.acme/", "-H", "no colon"]).is_err());
}

#[test]
fn refusals_of_ours_and_failures_of_the_service_end_differently() {
    let response = |status: u16, kind: &str, body: &str| {
        let built = Response::builder().status(status).header("content-type", kind);
        exit_of(&built.body(Bytes::from(body.to_owned())).unwrap(), None)
    };
    let problem = |reason: &str| format!(r#"{{"type":"urn:countersign:reason:{reason}"}}"#);
    assert_eq!(response(201, "application/json", "{}"), Exit::Yes);
    assert_eq!(response(404, "application/json", "{}"), Exit::Yes, "the service's own answer");
    assert_eq!(response(403, "application/problem+json", &problem("policy.no-permit")), Exit::No);
    assert_eq!(response(503, "application/problem+json", &problem("record.full")), Exit::No);
    assert_eq!(response(502, "application/problem+json", &problem("upstream.unreachable")), Exit::CouldNot);
    assert_eq!(response(500, "text/plain", "oops"), Exit::CouldNot);
    assert_eq!(response(403, "application/problem+json", r#"{"type":"about:blank"}"#), Exit::Yes);
}

/// The story of a call that the upstream gave this status, or of one that was refused for this reason.
fn story_of(status: Option<u16>, reason: &str) -> Explanation {
    let mut decision = decision("finance/payments", ("finance/ledger", "GET", "/entries"), reason, 1);
    decision.completion = decision.completion.map(|end| Completion { status, ..end });
    Explanation {
        forwarded: reason.is_empty(),
        decision,
        steps: Vec::new(),
        policies: Vec::new(),
        revision_in_force: true,
        unknown: Vec::new(),
        to_change: String::new(),
        nearest: Vec::new(),
        told: String::new(),
        revision_since: None,
        mode: None,
    }
}

#[test]
fn what_the_record_says_counts_more_than_what_the_response_says() {
    let ended = |status: u16, reason: &str, story: &Explanation| {
        let problem = format!(r#"{{"type":"urn:countersign:reason:{reason}"}}"#);
        let built = Response::builder().status(status).header("content-type", "application/problem+json");
        exit_of(&built.body(Bytes::from(problem)).unwrap(), Some(story))
    };
    // a service that imitates us is a service that answered
    assert_eq!(ended(403, "policy.no-permit", &story_of(Some(403), "")), Exit::Yes);
    assert_eq!(ended(503, "record.full", &story_of(Some(503), "")), Exit::CouldNot);
    // the same words are ours where nothing was forwarded, or nobody answered
    assert_eq!(ended(403, "policy.no-permit", &story_of(None, "policy.no-permit")), Exit::No);
    assert_eq!(ended(413, "limits.body", &story_of(None, "")), Exit::No);
    assert_eq!(ended(502, "upstream.unreachable", &story_of(None, "")), Exit::CouldNot);
}

#[test]
fn a_listener_on_every_address_is_reached_over_loopback() {
    assert_eq!(reachable("0.0.0.0:8443".parse().unwrap()), "127.0.0.1:8443".parse().unwrap());
    assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
    assert_eq!(reachable("10.0.0.1:1".parse().unwrap()), "10.0.0.1:1".parse().unwrap());
}
