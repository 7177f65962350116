//! Requests that could mean two things are refused, not repaired.

use countersign_e2e::{Curl, Http2, Raw, Refused, Site, Upstream, body_of, echo};
use http::Request;

use crate::{API, CALLER, PROTOCOLS};

/// Targets that are refused over both protocols, and why.
const TARGETS: &[(&str, &str)] = &[
    ("//items", "parse.empty-segment"),
    ("/items//1", "parse.empty-segment"),
    ("/items/1//", "parse.empty-segment"),
    ("/items%2f1", "parse.encoded-slash"),
    ("/items/%2F", "parse.encoded-slash"),
    ("/items/../unpermitted", "parse.dot-segment"),
    ("/items/..", "parse.dot-segment"),
    ("/./items", "parse.dot-segment"),
    ("/items/%2e%2e/unpermitted", "parse.dot-segment"),
    ("/items/%2E%2e", "parse.dot-segment"),
    ("/items/.%2e/unpermitted", "parse.dot-segment"),
    ("/items/%2e", "parse.dot-segment"),
    ("/items\\1", "parse.backslash"),
    ("/..\\items", "parse.backslash"),
    ("/items%5c1", "parse.backslash"),
    ("/items/1?a=\\", "parse.backslash"),
    ("/items/%00", "parse.bad-character"),
    ("/items/1%0d%0aX:1", "parse.bad-character"),
    ("/items/%7f", "parse.bad-character"),
    ("/items;a=1", "parse.path-parameter"),
    ("/items;/1", "parse.path-parameter"),
    ("/items/..;/unpermitted", "parse.path-parameter"),
    ("/items%3ba", "parse.path-parameter"),
    ("/items/%252e%252e", "parse.double-encoding"),
    ("/items%252f1", "parse.double-encoding"),
    ("/items/%zz", "parse.bad-escape"),
    ("/items/%6", "parse.bad-escape"),
    ("/items/%", "parse.bad-escape"),
    ("/items/%c0%ae", "parse.bad-escape"),
    ("/items/1?%zz", "parse.bad-escape"),
    ("/items/\u{e9}", "parse.bad-character"),
    ("/items/{1}", "parse.bad-character"),
];

#[test]
fn odd_targets_are_refused_over_both_protocols() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let long = format!("/items/{}", "a".repeat(5000));
    let deep = "/a".repeat(65);
    let query = format!("/items?{}", "a".repeat(17_000));
    let too_long = [&long, &deep, &query].map(|target| (target.as_str(), "parse.target-too-long"));
    for (target, reason) in TARGETS.iter().chain(&too_long) {
        let status = if *reason == "parse.target-too-long" { 414 } else { 400 };
        for protocol in PROTOCOLS {
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).get(target);
            assert_eq!(answer.status, status, "{protocol} {target}: {answer:?}");
            let record = site.refused(&answer, Refused { status, reason, caller: CALLER });
            assert_eq!((&record["template"], &record["service"]), (&"".into(), &"".into()), "{record:#}");
            assert!(!record.to_string().contains("unpermitted"), "a path stands in the record: {record:#}");
        }
    }
    assert_eq!(upstream.bytes(), b"");
}

/// What only HTTP/1.1 can say. `{}` is the Host field.
const HEADS: &[(&str, u16, &str)] = &[
    ("GET /items#x HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.fragment"),
    ("GET items HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.target-form"),
    ("GET * HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.target-form"),
    ("OPTIONS * HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.target-form"),
    ("GET http://other.e2e.internal/items HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.host"),
    ("CONNECT api.e2e.internal:443 HTTP/1.1\r\n{}\r\n\r\n", 405, "parse.method"),
    ("GET /items HTTP/1.1\r\n\r\n", 400, "parse.host"),
    ("GET /items HTTP/1.1\r\n{}\r\n{}\r\n\r\n", 400, "parse.host"),
    ("GET /items HTTP/1.1\r\nHost: a@api.e2e.internal\r\n\r\n", 400, "parse.host"),
    ("GET /items HTTP/1.1\r\nHost: api.e2e.internal, b\r\n\r\n", 400, "parse.host"),
    ("GET /items HTTP/2.0\r\n{}\r\n\r\n", 400, "parse.malformed"),
    ("GET /items HTTP/1.1\r\n{}\r\nA: b\rc\r\n\r\n", 400, "parse.malformed"),
    ("GET /items HTTP/1.1\r\n{}\r\nA: b\0c\r\n\r\n", 400, "parse.malformed"),
    ("GET /items HTTP/1.1\r\n{}\r\nA : b\r\n\r\n", 400, "parse.malformed"),
    ("GET /items HTTP/1.1\r\n{}\r\nA: b\r\n c\r\n\r\n", 400, "parse.malformed"),
    ("GET /items HTTP/1.1\r\n A: b\r\n{}\r\n\r\n", 400, "parse.malformed"),
    ("GET  /items HTTP/1.1\r\n{}\r\n\r\n", 400, "parse.malformed"),
    (
        "POST /items HTTP/1.1\r\n{}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "parse.framing",
    ),
    (
        "POST /items HTTP/1.1\r\n{}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "parse.framing",
    ),
    ("POST /items HTTP/1.1\r\n{}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "parse.framing"),
    ("POST /items HTTP/1.1\r\n{}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "parse.framing"),
    ("POST /items HTTP/1.0\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "parse.framing"),
    ("POST /items HTTP/1.1\r\n{}\r\nContent-Length: +3\r\n\r\nabc", 400, "parse.framing"),
];

#[test]
fn heads_that_are_not_clear_are_refused_and_end_the_connection() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for (head, status, reason) in HEADS {
        let head = head.replace("{}", &format!("Host: {API}"));
        let mut client = Raw::by(&site, CALLER, API);
        // whatever follows is not taken for a request
        let answer = client.ask(format!("{head}GET /items/smuggled HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert_eq!(answer.status, *status, "{head:?}: {answer:?}");
        site.refused(&answer, Refused { status: *status, reason, caller: CALLER });
        if !matches!(*reason, "parse.fragment" | "parse.target-form" | "parse.host" | "parse.method") {
            let rest = client.rest();
            assert!(rest.clean && rest.bytes.is_empty(), "{head:?}: {rest:?}");
        }
    }
    assert!(
        upstream.calls().iter().all(|call| call.target == "/items/smuggled" && call.method == "GET"),
        "{:?}",
        upstream.calls()
    );
}

#[test]
fn http2_requests_for_another_scheme_are_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Http2::by(&site, CALLER, API);
    let mut ask =
        |scheme: &str| client.ask(Request::get(format!("{scheme}://{API}/items")).body(body_of("")).unwrap()).unwrap();
    for scheme in ["http", "ftp"] {
        site.refused(&ask(scheme), Refused { status: 400, reason: "parse.target-form", caller: CALLER });
    }
    assert_eq!(upstream.bytes(), b"");
    site.ended_well(&ask("https"), CALLER);
}

#[test]
fn http2_requests_that_contradict_themselves_are_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Http2::by(&site, CALLER, API);
    let request = |uri: &str| Request::post(uri).version(http::Version::HTTP_2);
    let good = format!("https://{API}/items");

    // two names for the host
    let answer = client.ask(request(&good).header("host", "bulk.e2e.internal").body(body_of("x")).unwrap()).unwrap();
    site.refused(&answer, Refused { status: 400, reason: "parse.host", caller: CALLER });

    // a length that is not the body's: the stream is reset, and what was begun is no whole request
    for length in ["1", "5"] {
        let body = request(&good).header("content-length", length).body(body_of("abc")).unwrap();
        if let Ok(answer) = client.ask(body) {
            assert!(answer.status >= 400, "{length}: {answer:?}");
        }
        client = Http2::by(&site, CALLER, API);
    }
    assert!(upstream.calls().iter().all(|call| !call.whole), "{:?}", upstream.calls());

    // a body where none was announced: it is no part of what is forwarded
    let body = request(&good).header("content-length", "0").body(body_of("abc")).unwrap();
    drop(client.ask(body));
    assert!(upstream.calls().iter().all(|call| call.body.is_empty() || !call.whole), "{:?}", upstream.calls());
    let mut client = Http2::by(&site, CALLER, API);

    // a fragment, which the HTTP/2 library drops: what was decided on is what is forwarded
    let answer = Curl::to(&site, API).by(CALLER).over("h2").get("/items#/../unpermitted");
    assert_eq!((answer.status, upstream.last().target.as_str()), (200, "/items"), "{answer:?}");
    assert_eq!(site.ended_well(&answer, CALLER)["template"], "/items");
    let answer = Curl::to(&site, API).by(CALLER).over("h2").get("/unpermitted#/items");
    site.refused(&answer, Refused { status: 403, reason: "policy.no-permit", caller: CALLER });

    // the connection is still good for others
    let answer = client.ask(request(&good).body(body_of("x")).unwrap()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}
