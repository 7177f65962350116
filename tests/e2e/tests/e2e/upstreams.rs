//! Upstreams that are down, slow, broken or early: the caller is told the truth, and never gets half an answer for a whole.

use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_e2e::{After, Answer, Curl, Http2, Raw, Site, Turn, Upstream, body_of, echo, streamed};
use http::Request;
use serde_json::Value;

use crate::{API, CALLER, PROTOCOLS};

const SLOW: &str = "slow.e2e.internal";

/// Looks that a call was permitted, that there was no usable answer, and that the caller was told so.
fn no_answer(site: &Site, answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{answer:?}");
    let record = site.allowed(answer, CALLER);
    assert_eq!(record["completion"]["reason"], reason, "{record:#}");
    assert_eq!(record["completion"]["status"], Value::Null, "{record:#}");
}

/// Looks that a call was answered, that the answer broke off, and that the caller saw it break.
fn broken_off(site: &Site, answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.broken, "", "a clean end: {} bytes", answer.body.len());
    let record = site.allowed(answer, CALLER);
    assert_eq!(record["completion"]["reason"], reason, "{record:#}");
    assert_eq!(record["completion"]["status"], 200, "{record:#}");
}

#[test]
fn nobody_listens() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let answer = Curl::to(&site, "down.e2e.internal").by(CALLER).over(protocol).get("/items");
        no_answer(&site, &answer, 502, "upstream.unreachable");
    }
}

#[test]
fn no_first_byte_comes_in_time() {
    let upstream = Upstream::start(|turn| turn.until_left());
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let answer = Curl::to(&site, SLOW).by(CALLER).over(protocol).get("/items/1");
        no_answer(&site, &answer, 504, "upstream.timeout");
        upstream.wait_for("the end of the connection", |call| call.left);
        let answer = Curl::to(&site, "brief.e2e.internal").by(CALLER).over(protocol).get("/items/1");
        no_answer(&site, &answer, 504, "upstream.timeout");
    }
    assert_eq!(upstream.count(), 4, "nothing was asked twice");
}

#[test]
fn a_slow_caller_is_not_the_upstreams_fault() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, SLOW);
    client.send(format!("PUT /items/1 HTTP/1.1\r\nHost: {SLOW}\r\nContent-Length: 5\r\n\r\n")).unwrap();
    // each pause is shorter than `idle`, all of them longer than `first_byte`
    for byte in ["a", "b", "c", "d", "e"] {
        let begin = Instant::now();
        countersign_e2e::wait_until("a pause to pass", || begin.elapsed() > Duration::from_millis(150));
        client.send(byte).unwrap();
    }
    let answer = client.answer().unwrap();
    assert_eq!(answer.text(), "PUT /items/1 5\n");
    site.ended_well(&answer, CALLER);
}

/// Begins an answer of 10 bytes in the framing that the target names, and gives what is left to do.
fn begin(turn: &mut Turn<'_>) {
    let framing = match turn.head().target.as_str() {
        "/items/length" => "Content-Length: 10\r\n\r\n12345",
        _ => "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    };
    turn.write(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes());
}

#[test]
fn a_body_that_stalls_is_cut() {
    let upstream = Upstream::start(|turn| {
        begin(turn);
        turn.until_left()
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        for target in ["/items/length", "/items/chunked"] {
            let answer = Curl::to(&site, SLOW).by(CALLER).over(protocol).get(target);
            assert_eq!(answer.text(), "12345");
            broken_off(&site, &answer, "upstream.timeout");
        }
    }
    // `total` cuts what trickles
    let answer = Curl::to(&site, "brief.e2e.internal").by(CALLER).get("/items/length");
    broken_off(&site, &answer, "upstream.timeout");
}

#[test]
fn a_body_that_breaks_off_never_ends_cleanly() {
    let upstream = Upstream::start(|turn| {
        begin(turn);
        // the first part shall be on its way before the end is seen
        turn.dawdle(Duration::from_millis(50));
        After::Close
    });
    let site = Site::up(&upstream);
    for target in ["/items/length", "/items/chunked"] {
        for protocol in PROTOCOLS {
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).get(target);
            assert_eq!(answer.text(), "12345");
            broken_off(&site, &answer, "upstream.failed");
        }
        // no last chunk, and the connection ends without a close notification that could be taken for an end
        let mut client = Raw::by(&site, CALLER, API);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
        let rest = client.rest();
        let text = String::from_utf8_lossy(&rest.bytes).into_owned();
        assert!(text.contains("12345") && !text.contains("\r\n0\r\n"), "{text}");
        assert!(!rest.clean, "the connection was closed as if all were well");
    }
}

#[test]
fn bad_chunks_of_an_upstream_are_no_end() {
    let upstream = Upstream::start(|turn| {
        turn.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n");
        turn.dawdle(Duration::from_millis(50));
        turn.write(b"xyz\r\n0\r\n\r\n");
        After::Close
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        broken_off(&site, &Curl::to(&site, API).by(CALLER).over(protocol).get("/items"), "upstream.failed");
    }
}

/// What is no answer at all.
const GARBAGE: &[&[u8]] = &[
    b"hello\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x16",
    b"",
];

#[test]
fn garbage_is_no_answer_and_nothing_is_asked_twice() {
    let upstream = Upstream::start(|turn| {
        let number: usize = turn.head().target.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap();
        turn.write(GARBAGE[number]);
        After::Close
    });
    let site = Site::up(&upstream);
    for number in 0..GARBAGE.len() {
        for protocol in PROTOCOLS {
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).get(&format!("/items/{number}"));
            no_answer(&site, &answer, 502, "upstream.failed");
        }
    }
    assert_eq!(upstream.count(), GARBAGE.len() * 2);
}

#[test]
fn an_answer_with_a_head_beyond_the_limit_is_no_answer() {
    let upstream = Upstream::start(|turn| {
        let length = turn.head().target.rsplit('/').next().and_then(|length| length.parse().ok()).unwrap();
        turn.reply("200 OK", &[("X-Long", &"a".repeat(length))], b"ok")
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let answer = Curl::to(&site, API).by(CALLER).over(protocol).get("/items/300000");
        no_answer(&site, &answer, 502, "upstream.failed");
    }
    let answer = Curl::to(&site, API).by(CALLER).over("http/1.1").get("/items/50000");
    assert_eq!(answer.field("x-long").map(str::len), Some(50_000));
    site.ended_well(&answer, CALLER);
}

#[test]
fn the_length_of_an_answer_is_what_arrives_not_what_a_field_says() {
    let upstream = Upstream::start(|turn| {
        let fields = match turn.head().target.as_str() {
            "/items/less" => "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "/items/more" => "Transfer-Encoding: chunked\r\nContent-Length: 6",
            _ => return turn.reply("200 OK", &[], b"12345"),
        };
        turn.write(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\n12345\r\n0\r\n\r\n").as_bytes());
        After::Close
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        for target in ["/items/less", "/items/more", "/items/known"] {
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).get(target);
            assert_eq!((answer.status, answer.text().as_str()), (200, "12345"), "{protocol} {target} {answer:?}");
            site.ended_well(&answer, CALLER);
            let length = answer.field("content-length");
            assert_eq!(length, (target == "/items/known").then_some("5"), "{protocol} {target} {answer:?}");
        }
        // where no body comes, a field is all that tells its length
        let answer = Curl::to(&site, API).by(CALLER).over(protocol).send("HEAD", "/items/known");
        assert_eq!(answer.field("content-length"), Some("5"), "{protocol} {answer:?}");
    }
}

#[test]
fn what_an_upstream_says_unasked_is_nobodys_answer() {
    let upstream = Upstream::start(|turn| match turn.head().target.as_str() {
        "/items/twice" => {
            turn.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            );
            After::Keep
        }
        "/items/later" => {
            turn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            turn.dawdle(Duration::from_millis(20));
            turn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            turn.until_left()
        }
        _ => echo(turn),
    });
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    for _ in 0..5 {
        for target in ["/items/twice", "/items/1", "/items/later", "/items/2"] {
            let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n"));
            if target == "/items/later" {
                upstream
                    .wait_for("the end of the connection", |call| call.decision() == answer.decision() && call.left);
            }
            let fine = answer.text() == "ok" || answer.text() == format!("GET {target} 0\n");
            assert!(fine, "{target}: {answer:?}");
        }
    }
}

#[test]
fn an_answer_before_the_body_is_complete_is_passed_on() {
    let upstream = Upstream::start(|turn| {
        turn.reply("409 Conflict", &[("Connection", "close")], b"early");
        After::Close
    });
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        let body = vec![b'a'; 60_000];
        let answer =
            Curl::to(&site, API).by(CALLER).over(protocol).args(&["-T", "-"]).input(body).send("PUT", "/items/1");
        assert_eq!((answer.status, answer.text().as_str()), (409, "early"), "{protocol} {answer:?}");
        site.ended_well(&Answer { broken: String::new(), ..answer }, CALLER);
    }
    // a caller that waits for the answer before it goes on
    let mut client = Raw::by(&site, CALLER, API);
    let answer = client.ask(format!("PUT /items/1 HTTP/1.1\r\nHost: {API}\r\nContent-Length: 50000\r\n\r\nabc"));
    assert_eq!((answer.status, answer.text().as_str()), (409, "early"), "{answer:?}");
}

#[test]
fn an_upload_does_not_outlive_its_answer_and_its_connection_serves_nobody_else() {
    let upstream = Upstream::start(|turn| match turn.head().method.as_str() {
        // all of the answer at once; the rest of the body is still read
        "PUT" => turn.reply("409 Conflict", &[], b"early"),
        _ => echo(turn),
    });
    let site = Site::up(&upstream);
    let (mut http1, mut http2) = (Raw::by(&site, CALLER, API), Http2::by(&site, CALLER, API));
    for protocol in PROTOCOLS {
        let (sender, body) = streamed();
        sender.blocking_send(Bytes::from_static(b"abc")).unwrap();
        let answer = if protocol == "h2" {
            http2.ask(Request::put(format!("https://{API}/items/1")).body(body).unwrap()).unwrap()
        } else {
            http1.ask(format!("PUT /items/1 HTTP/1.1\r\nHost: {API}\r\nContent-Length: 6\r\n\r\nabc"))
        };
        assert_eq!((answer.status, answer.text().as_str()), (409, "early"), "{protocol} {answer:?}");
        site.ended_well(&answer, CALLER);
        if protocol == "h2" {
            // the gateway may have reset the stream already
            let _ = sender.blocking_send(Bytes::from_static(b"def"));
            drop(sender);
        } else {
            http1.send("def").unwrap();
        }
        let id = answer.decision();
        let upload = upstream.wait_for("the end", |call| call.decision() == id && (call.left || call.whole));
        // from the same connection, which is the same worker's
        let answer = if protocol == "h2" {
            http2.ask(Request::get(format!("https://{API}/items/2")).body(body_of("")).unwrap()).unwrap()
        } else {
            http1.ask(format!("GET /items/2 HTTP/1.1\r\nHost: {API}\r\n\r\n"))
        };
        site.ended_well(&answer, CALLER);
        assert_ne!(upstream.last().connection, upload.connection, "{protocol}");
        assert!(!upload.whole && b"abc".starts_with(&upload.body), "{protocol} {upload:?}");
    }
}

#[test]
fn a_caller_that_goes_away_ends_the_exchange() {
    let upstream = Upstream::start(|turn| {
        if turn.head().target == "/items/answering" {
            begin(turn);
        }
        turn.until_left()
    });
    let site = Site::up(&upstream);
    for target in ["/items/answering", "/items/silent"] {
        let mut client = Raw::by(&site, CALLER, API);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
        let seen = upstream.wait_for("the request", |call| call.target == target);
        if target == "/items/answering" {
            client.peek(1).unwrap();
        }
        drop(client);
        upstream.wait_for("the end of the connection", |call| call.decision() == seen.decision() && call.left);
        let record = site.record(&seen.decision());
        assert_eq!(record["completion"]["reason"], "caller-gone", "{record:#}");
    }
    let mut client = Http2::by(&site, CALLER, API);
    let request = Request::get(format!("https://{API}/items/answering")).body(body_of("")).unwrap();
    let response = client.begin(request);
    let id = response.headers()["countersign-decision"].to_str().unwrap().to_owned();
    drop(response);
    upstream.wait_for("the end of the connection", |call| call.decision() == id && call.left);
    assert_eq!(site.record(&id)["completion"]["reason"], "caller-gone");
    // the HTTP/2 connection itself goes on
    drop(client.begin(Request::get(format!("https://{API}/items/answering")).body(body_of("")).unwrap()));
}

#[test]
fn connections_to_the_upstream_are_kept_and_replaced_when_it_closes_them() {
    let upstream = Upstream::start(|turn| {
        echo(turn);
        if turn.head().target == "/items/last" { After::Close } else { After::Keep }
    });
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    for target in ["/items/1", "/items/2", "/items/last", "/items/3"] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{target} {answer:?}");
        if target == "/items/last" {
            // the gateway has to see the end before the next request
            countersign_e2e::wait_until("the next connection to work", || {
                client.ask(format!("GET /items/again HTTP/1.1\r\nHost: {API}\r\n\r\n")).status == 200
            });
        }
    }
    let calls = upstream.calls();
    assert_eq!(calls[0].connection, calls[1].connection, "kept");
    assert_ne!(calls[2].connection, calls.last().unwrap().connection, "replaced");
}
