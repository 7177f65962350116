//! Calls that are allowed arrive whole, both ways, over both protocols.

use std::sync::Arc;

use bytes::Bytes;
use countersign_e2e::{After, Curl, Http2, Raw, Site, Turn, Upstream, body_of, echo, streamed, wait_until};
use http::Request;
use serde_json::Value;

use crate::{API, CALLER, PROTOCOLS};

/// The host of the service that takes large bodies.
const BULK: &str = "bulk.e2e.internal";

/// Bytes that are nowhere the same for long.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn a_call_is_forwarded_and_answered_over_both_protocols() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let answer = Curl::to(&site, API).by(CALLER).over(protocol).get("/items/7?a=1&a=%20b");
        assert_eq!((answer.status, answer.text().as_str()), (200, "GET /items/7?a=1&a=%20b 0\n"));
        let record = site.ended_well(&answer, CALLER);
        assert_eq!(record["protocol"], protocol);
        assert_eq!(record["service"], "alpha/api");
        assert_eq!(record["method"], "GET");
        assert_eq!(record["template"], "/items/{id}");
        assert_eq!(record["host"], API);
        assert_eq!(record["risk"], 20);
        assert_eq!(record["determining"], Value::from(vec!["alpha/caller-uses-everything"]));
        assert_eq!(record["identity"]["verified"]["spiffe_id"], "spiffe://alpha.e2e.internal/caller");
        assert_eq!(record["identity"]["verified"]["via"], "local", "the certificate was fetched by an operator");
        assert_eq!(record["revision"], site.status()["revision"]);
        let seen = upstream.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/items/7?a=1&a=%20b"));
        assert_eq!(seen.field("host"), Some(API));
        assert_eq!(seen.decision(), answer.decision());
    }
    let answer = Curl::to(&site, API).by("beta/guest").get("/items");
    site.ended_well(&answer, "beta/guest");
    let answer = Curl::to(&site, "people.e2e.internal").by(CALLER).get("/people");
    site.ended_well(&answer, CALLER);
    assert_eq!(upstream.count(), 4);
}

#[test]
fn bodies_of_known_and_unknown_length_arrive_as_sent() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let body = pattern(40_000);
    for protocol in PROTOCOLS {
        for arguments in
            [&["--data-binary", "@-"][..], &["-T", "-"][..], &["-T", "-", "-H", "Expect: 100-continue"][..]]
        {
            let call = Curl::to(&site, API).by(CALLER).over(protocol).args(arguments).input(body.clone());
            let answer = call.send("PUT", "/items/1");
            assert_eq!((answer.status, answer.text().as_str()), (200, "PUT /items/1 40000\n"), "{answer:?}");
            let record = site.ended_well(&answer, CALLER);
            assert_eq!(record["completion"]["request_bytes"], 40_000);
            assert_eq!(record["completion"]["response_bytes"], 19);
            let seen = upstream.last();
            assert!(seen.body == body && seen.whole, "{protocol} {arguments:?}");
            assert!(seen.field("expect").is_none(), "the gateway answered it itself");
        }
    }
}

/// Sends `body` in the way that the target names.
fn file(turn: &mut Turn<'_>, body: &[u8]) -> After {
    if turn.head().target == "/files/length" {
        return turn.reply("200 OK", &[], body);
    }
    let last = turn.head().target == "/files/close";
    let head = if last {
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    } else {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    };
    let mut whole = turn.write(head.as_bytes());
    for part in body.chunks(50_000) {
        let framed =
            if last { part.to_vec() } else { [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat() };
        whole = whole && turn.write(&framed);
    }
    if last || !whole || !turn.write(b"0\r\nX-Trailer: 1\r\n\r\n") { After::Close } else { After::Keep }
}

#[test]
fn large_bodies_stream_both_ways() {
    const LENGTH: usize = 12 << 20;
    let body = Arc::new(pattern(LENGTH));
    let upstream = {
        let body = Arc::clone(&body);
        Upstream::start(move |turn| if turn.head().method == "PUT" { echo(turn) } else { file(turn, &body) })
    };
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        for name in ["length", "chunked", "close"] {
            let answer = Curl::to(&site, BULK).by(CALLER).over(protocol).get(&format!("/files/{name}"));
            assert_eq!(
                (answer.status, answer.body.len(), answer.broken.as_str()),
                (200, LENGTH, ""),
                "{protocol} {name}"
            );
            assert!(answer.body == *body, "{protocol} {name}");
            let record = site.ended_well(&answer, CALLER);
            assert_eq!(record["completion"]["response_bytes"], LENGTH);
        }
        for arguments in [&["--data-binary", "@-", "-H", "Expect:"][..], &["-T", "-"][..]] {
            let call = Curl::to(&site, BULK).by(CALLER).over(protocol).args(arguments).input(body.to_vec());
            let answer = call.send("PUT", "/files/up");
            assert_eq!(answer.text(), format!("PUT /files/up {LENGTH}\n"), "{protocol} {answer:?}");
            assert!(upstream.last().body == *body, "{protocol} {arguments:?}");
            let record = site.ended_well(&answer, CALLER);
            assert_eq!(record["completion"]["request_bytes"], LENGTH);
        }
    }
}

#[test]
fn an_answer_is_read_only_as_fast_as_the_caller_takes_it() {
    const LENGTH: usize = 48 << 20;
    let upstream = Upstream::start(|turn| {
        // one write after the other, counted by the length of the request's body that nobody sent
        let mut whole = turn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes());
        for _ in 0..LENGTH / 65_536 {
            whole = whole && turn.write(&[0; 65_536]);
            turn.note(65_536);
        }
        After::Close
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let before = upstream.noted();
        let stalled = |written: usize| (1..LENGTH / 2).contains(&(written - before));
        if protocol == "h2" {
            let mut client = Http2::by(&site, CALLER, BULK);
            let request = Request::get(format!("https://{BULK}/files/x")).body(body_of("")).unwrap();
            let mut response = client.begin(request).into_body();
            client.next(&mut response).unwrap();
            upstream.until_still();
            assert!(stalled(upstream.noted()), "{} bytes were taken unasked", upstream.noted() - before);
            let mut read = 0;
            while let Some(part) = client.next(&mut response) {
                read += part.len();
            }
            assert!(read > LENGTH / 2 && read < LENGTH, "{read}");
        } else {
            let mut client = Raw::by(&site, CALLER, BULK);
            client.send(format!("GET /files/x HTTP/1.1\r\nHost: {BULK}\r\n\r\n")).unwrap();
            client.peek(1).unwrap();
            upstream.until_still();
            assert!(stalled(upstream.noted()), "{} bytes were taken unasked", upstream.noted() - before);
            let answer = client.answer().unwrap();
            assert_eq!((answer.body.len(), answer.broken.as_str()), (LENGTH, ""));
        }
    }
}

#[test]
fn a_request_is_forwarded_while_it_is_still_being_sent() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    client
        .send(format!("PUT /items/1 HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
        .unwrap();
    upstream.wait_for("the first part", |call| call.body == b"abc");
    client.send("2\r\nde\r\n0\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().text(), "PUT /items/1 5\n");

    let mut client = Http2::by(&site, CALLER, API);
    let (sender, body) = streamed();
    let request = Request::put(format!("https://{API}/items/2")).body(body).unwrap();
    let seen = upstream.clone();
    let feeding = std::thread::spawn(move || {
        sender.blocking_send(Bytes::from_static(b"abc")).unwrap();
        seen.wait_for("the first part", |call| call.target == "/items/2" && call.body == b"abc");
        sender.blocking_send(Bytes::from_static(b"de")).unwrap();
    });
    let answer = client.ask(request).unwrap();
    feeding.join().unwrap();
    assert_eq!(answer.text(), "PUT /items/2 5\n");
    site.ended_well(&answer, CALLER);
}

#[test]
fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|turn| match turn.head().target.as_str() {
        "/items/204" => {
            turn.write(b"HTTP/1.1 204 No Content\r\nX-Is: 204\r\n\r\n");
            After::Keep
        }
        "/items/304" => {
            turn.write(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n");
            After::Keep
        }
        _ => turn.reply("200 OK", &[("X-Is", "200")], b"12345"),
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let call = || Curl::to(&site, API).by(CALLER).over(protocol);
        let head = call().send("HEAD", "/items/1");
        assert_eq!((head.status, head.field("content-length")), (200, Some("5")), "{head:?}");
        let no_content = call().get("/items/204");
        assert_eq!((no_content.status, no_content.field("x-is")), (204, Some("204")), "{no_content:?}");
        let not_modified = call().arg("-H").arg("If-None-Match: \"a\"").get("/items/304");
        assert_eq!((not_modified.status, not_modified.field("etag")), (304, Some("\"a\"")), "{not_modified:?}");
        for answer in [&head, &no_content, &not_modified] {
            assert_eq!((answer.body.len(), answer.broken.as_str()), (0, ""), "{answer:?}");
            let record = site.ended_well(answer, CALLER);
            assert_eq!(record["completion"]["response_bytes"], 0);
        }
    }
    // what follows on the same connection is not taken for a body
    let mut client = Raw::by(&site, CALLER, API);
    for target in ["/items/204", "/items/304", "/items/1"] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert_eq!(answer.body.len(), if target == "/items/1" { 5 } else { 0 }, "{target} {answer:?}");
    }
    client
        .send(format!("HEAD /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\nGET /items/204 HTTP/1.1\r\nHost: {API}\r\n\r\n"))
        .unwrap();
    client.finish();
    let rest = String::from_utf8(client.rest().bytes).unwrap();
    assert!(!rest.contains("12345"), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 2, "{rest}");
}

#[test]
fn many_calls_on_one_connection_each_have_a_record_of_their_own() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut http1 = Raw::by(&site, CALLER, API);
    let mut http2 = Http2::by(&site, CALLER, API);
    let mut ids = Vec::new();
    for number in 0..30 {
        let path = if number % 5 == 4 { "/unpermitted".to_owned() } else { format!("/items/{number}") };
        let first = http1.ask(format!("GET {path} HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        let second = http2.ask(Request::get(format!("https://{API}{path}")).body(body_of("")).unwrap()).unwrap();
        for answer in [first, second] {
            assert_eq!(answer.status, if number % 5 == 4 { 403 } else { 200 }, "{answer:?}");
            ids.push((answer.decision(), if number % 5 == 4 { "deny" } else { "allow" }));
        }
    }
    // pipelined
    http1.send(format!("GET /items/a HTTP/1.1\r\nHost: {API}\r\n\r\n").repeat(5)).unwrap();
    ids.extend((0..5).map(|_| (http1.answer().unwrap().decision(), "allow")));
    let expected = ids.len();
    wait_until("every end", || {
        site.decisions().iter().filter(|decision| decision["completion"].is_object()).count() == 53
    });
    let records = site.decisions();
    assert_eq!(records.len(), expected);
    for (id, outcome) in ids {
        let found: Vec<_> = records.iter().filter(|record| record["id"] == id).collect();
        assert_eq!(found.len(), 1, "{id}");
        assert_eq!(found[0]["outcome"], outcome, "{id}");
    }
    assert_eq!(upstream.count(), 53);
}
