//! Everything that a caller can make large or slow has an end.

use std::io::Read;

use bytes::Bytes;
use countersign_e2e::{Answer, Curl, Http2, Raw, Refused, Rest, Site, Upstream, body_of, echo, streamed, wait_until};
use http::Request;

use crate::{API, CALLER, PROTOCOLS};

const TOO_LARGE: Refused<'_> = Refused { status: 431, reason: "parse.head-too-large", caller: CALLER };

#[test]
fn heads_beyond_the_limits_are_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let long = format!("X-Long: {}", "a".repeat(40_000));
    let many: Vec<String> = (0..101).map(|number| format!("X-Many-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().flat_map(|field| ["-H", field]).collect();
    for protocol in PROTOCOLS {
        let call = || Curl::to(&site, API).by(CALLER).over(protocol);
        site.refused(&call().args(&["-H", &long]).get("/items"), TOO_LARGE);
        site.refused(&call().args(&many).get("/items"), TOO_LARGE);
        assert_eq!(call().args(&many[..180]).get("/items").status, 200, "90 fields of its own are fine");
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_head_beyond_what_the_http2_library_takes_is_refused_too() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Http2::by(&site, CALLER, API);
    let request =
        Request::get(format!("https://{API}/items")).header("x-long", "a".repeat(200_000)).body(body_of("")).unwrap();
    if let Ok(answer) = client.ask(request) {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    assert_eq!(upstream.bytes(), b"");
}

/// The limit of the service, in bytes.
const LIMIT: usize = 65_536;

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_is_read() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        for body in [LIMIT, LIMIT + 1] {
            let call =
                Curl::to(&site, API).by(CALLER).over(protocol).args(&["--data-binary", "@-"]).input(vec![b'a'; body]);
            let answer = call.send("PUT", "/items/1");
            if body == LIMIT {
                site.ended_well(&answer, CALLER);
            } else {
                site.refused(&answer, Refused { status: 413, reason: "limits.body", caller: CALLER });
            }
        }
    }
    assert_eq!(upstream.count(), 2);
    // also when nothing but the head is sent
    let answer = Raw::by(&site, CALLER, API).ask(format!(
        "PUT /items/1 HTTP/1.1\r\nHost: {API}\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    ));
    site.refused(&answer, Refused { status: 413, reason: "limits.body", caller: CALLER });
    assert_eq!(upstream.count(), 2);
}

/// Looks that a call was allowed, and then failed by the caller's own doing.
fn failed(site: &Site, answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{answer:?}");
    let record = site.allowed(answer, CALLER);
    assert_eq!(record["completion"]["reason"], reason, "{record:#}");
    assert!(record["completion"]["status"].is_null(), "{record:#}");
}

/// Sends a body without saying how long it is. Over HTTP/2, curl may lose an answer that comes before it has sent
/// everything.
fn upload(site: &Site, protocol: &str, body: usize) -> Answer {
    if protocol != "h2" {
        return Curl::to(site, API)
            .by(CALLER)
            .over(protocol)
            .args(&["-T", "-"])
            .input(vec![b'a'; body])
            .send("PUT", "/items/1");
    }
    let (sender, sent) = streamed();
    std::thread::spawn(move || {
        for part in vec![b'a'; body].chunks(10_000) {
            // the gateway may have heard enough
            let _ = sender.blocking_send(Bytes::copy_from_slice(part));
        }
    });
    Http2::by(site, CALLER, API).ask(Request::put(format!("https://{API}/items/1")).body(sent).unwrap()).unwrap()
}

#[test]
fn a_body_that_grows_too_large_is_cut_and_the_upstream_never_sees_its_end() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for protocol in PROTOCOLS {
        for body in [LIMIT, LIMIT + 1, 4 * LIMIT] {
            let answer = upload(&site, protocol, body);
            if body == LIMIT {
                site.ended_well(&answer, CALLER);
                continue;
            }
            failed(&site, &Answer { broken: String::new(), ..answer }, 413, "limits.body");
        }
    }
    // the gateway may know of the end before the upstream has seen the beginning
    wait_until("every connection to end", || upstream.calls().iter().all(|call| call.whole || call.left));
    let calls = upstream.calls();
    assert_eq!(calls.iter().filter(|call| call.whole).count(), 2);
    assert!(calls.len() > 2 && calls.iter().all(|call| call.body.len() <= LIMIT));
}

#[test]
fn a_body_that_breaks_off_or_stalls_is_never_a_whole_one() {
    const SLOW: &str = "slow.e2e.internal";
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let head = |framing: &str| format!("PUT /items/1 HTTP/1.1\r\nHost: {SLOW}\r\n{framing}\r\n\r\n");
    // silence longer than `limits.idle`
    for begin in [head("Content-Length: 10") + "abc", head("Transfer-Encoding: chunked") + "3\r\nabc\r\n"] {
        let answer = Raw::by(&site, CALLER, SLOW).ask(begin);
        failed(&site, &answer, 408, "limits.body-incomplete");
    }
    // broken chunks
    for chunk in ["3\r\nabcX\r\n0\r\n\r\n", "zz\r\nabc\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "-1\r\n\r\n"] {
        let mut client = Raw::by(&site, CALLER, SLOW);
        let answer = client.ask(head("Transfer-Encoding: chunked") + chunk);
        assert_eq!(answer.status, 400, "{chunk:?} {answer:?}");
        assert!(client.rest().bytes.is_empty());
    }
    // a caller that says it has finished
    let mut client = Raw::by(&site, CALLER, SLOW);
    client.send(head("Content-Length: 10") + "abc").unwrap();
    client.finish();
    let answer = client.answer().unwrap();
    failed(&site, &answer, 408, "limits.body-incomplete");

    // HTTP/2
    let mut client = Http2::by(&site, CALLER, SLOW);
    let (sender, body) = streamed();
    let feeding = std::thread::spawn(move || {
        sender.blocking_send(Bytes::from_static(b"abc")).unwrap();
        sender
    });
    let answer = client.ask(Request::put(format!("https://{SLOW}/items/1")).body(body).unwrap()).unwrap();
    drop(feeding.join());
    failed(&site, &answer, 408, "limits.body-incomplete");
    assert!(upstream.calls().iter().all(|call| !call.whole), "{:?}", upstream.calls());
}

#[test]
fn an_http2_caller_that_takes_nothing_of_its_answer_holds_no_upstream() {
    const LENGTH: usize = 8 << 20;
    let upstream = Upstream::start(|turn| {
        turn.reply("200 OK", &[], &vec![0; LENGTH]);
        turn.until_left()
    });
    let site = Site::up(&upstream);
    // `limits.idle` of the one, `limits.total` of the other
    for (host, reason) in [("slow.e2e.internal", "caller-stalled"), ("brief.e2e.internal", "upstream.timeout")] {
        let mut client = Http2::without_window(&site, CALLER, host);
        let response = client.begin(Request::get(format!("https://{host}/items/1")).body(body_of("")).unwrap());
        let id = response.headers()["countersign-decision"].to_str().unwrap().to_owned();
        upstream.wait_for("the end of the connection", |call| call.decision() == id && call.left);
        // the record is written when the stream ends, and names what ended the exchange before
        drop(response);
        let record = site.record(&id);
        let end = &record["completion"];
        assert_eq!((&end["reason"], &end["status"]), (&reason.into(), &200.into()), "{record:#}");
        assert!(end["response_bytes"].as_u64().is_some_and(|bytes| bytes < LENGTH as u64), "{record:#}");
    }
}

#[test]
fn trailers_are_bounded_and_dropped() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let request = |trailer: &str| {
        format!(
            "PUT /items/1 HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailer}\r\n\r\n"
        )
    };
    let answer = Raw::by(&site, CALLER, API).ask(request("Authorization: Bearer x"));
    site.ended_well(&answer, CALLER);
    assert_eq!(upstream.last().field("authorization"), None);
    let answer = Raw::by(&site, CALLER, API).ask(request(&format!("X: {}", "a".repeat(5000))));
    failed(&site, &answer, 400, "limits.trailers");
    assert_eq!(upstream.calls().iter().filter(|call| call.whole).count(), 1);
}

#[test]
fn whoever_dawdles_is_not_waited_for() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    // half a head, and a connection without even a handshake
    let mut slow = Raw::by(&site, CALLER, API);
    slow.send(format!("GET /items HTTP/1.1\r\nHost: {API}\r\nX-Slow: ")).unwrap();
    let mut silent = std::net::TcpStream::connect(site.gateway()).unwrap();
    let mut back = Vec::new();
    // a reset is as good as an end
    let _ = silent.read_to_end(&mut back);
    assert_eq!(back, b"");
    site.refused_at_tls("accept.timeout");
    let answer = slow.answer().unwrap();
    site.refused(&answer, Refused { status: 408, reason: "parse.head-timeout", caller: CALLER });
    assert_eq!(slow.rest(), Rest { bytes: Vec::new(), clean: true });
    assert_eq!(upstream.bytes(), b"");
}
