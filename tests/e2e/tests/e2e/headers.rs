//! Header fields: what callers may not say never arrives, what concerns one connection stays on it.

use countersign_e2e::{Curl, Raw, Site, Upstream, echo};

use crate::{API, CALLER, PROTOCOLS};

/// Names that only a proxy may say (HD-1, HD-4, PA-5).
const SPOOFED: &[&str] = &[
    "X-Forwarded-Client-Cert",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Real-IP",
    "Forwarded",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-SPIFFE-ID",
    "X-SPIFFE-Anything",
    "X-Envoy-Internal",
    "X-Envoy-Original-Path",
    "X-Original-URL",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "Txn-Token",
    "Countersign-Assertion",
    "Countersign-Decision",
    "Countersign-Anything",
];

/// The value by which a spoofed field is found, wherever it may have got to.
const VALUE: &str = "spoofed-by-the-caller";

#[test]
fn identity_fields_of_callers_never_reach_the_upstream_in_any_spelling() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for name in SPOOFED {
        let spellings = [(*name).to_owned(), name.to_uppercase(), name.replace('-', "_"), name.replacen('-', "_", 1)];
        for protocol in PROTOCOLS {
            let fields: Vec<String> = spellings.iter().map(|name| format!("{name}: {VALUE}")).collect();
            let fields: Vec<&str> = fields.iter().flat_map(|field| ["-H", field]).collect();
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).args(&fields).get("/items");
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            let seen = upstream.last();
            assert!(!seen.fields.iter().any(|(_, value)| value.contains(VALUE)), "{name}: {seen:?}");
            assert_eq!(seen.decision(), answer.decision(), "one decision, ours");
        }
    }
    assert!(!String::from_utf8_lossy(&upstream.bytes()).contains(VALUE));
}

#[test]
fn ordinary_fields_arrive_as_they_were() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let fields = [
        ("Authorization", "Bearer abc"),
        ("X-Request-Id", "r-1"),
        ("Accept", "text/csv; q=0.5"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("X_Own", "underscore"),
    ];
    for protocol in PROTOCOLS {
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines: Vec<&str> = lines.iter().flat_map(|line| ["-H", line]).collect();
        Curl::to(&site, API).by(CALLER).over(protocol).args(&lines).args(&["-H", "Cookie: a=1; b=2"]).get("/items");
        let seen = upstream.last();
        for (name, value) in fields {
            assert_eq!(seen.field(name), Some(value), "{protocol} {seen:?}");
        }
        assert_eq!(seen.field("cookie"), Some("a=1; b=2"), "{protocol}: one field, as HTTP/1.1 wants it");
    }
    // repeated fields stay apart, in order
    let mut client = Raw::by(&site, CALLER, API);
    client.ask(format!("GET /items HTTP/1.1\r\nHost: {API}\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n"));
    let seen = upstream.last();
    let values: Vec<_> = seen
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-a"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["1", "3"]);
}

#[test]
fn connection_fields_stay_on_their_connection_and_change_no_decision() {
    let upstream = Upstream::start(|turn| {
        turn.read_body();
        let fields = [
            ("Connection", "X-Upstream-Hop, keep-alive"),
            ("X-Upstream-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"),
            ("Countersign-Decision", "forged"),
            ("X-Kept", "1"),
        ];
        turn.reply("200 OK", &fields, b"ok")
    });
    let site = Site::up(&upstream);
    let ask =
        |fields: &str| Raw::by(&site, CALLER, API).ask(format!("GET /items HTTP/1.1\r\nHost: {API}\r\n{fields}\r\n"));
    let plain = ask("Authorization: Bearer x\r\n");
    let named = ask("Connection: authorization, x-hop, host\r\nAuthorization: Bearer x\r\nX-Hop: 1\r\nX-Kept: 1\r\n");
    let hops = ask(
        "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nTE: trailers\r\n\
         Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTrailer: X-T\r\n",
    );
    for answer in [&plain, &named, &hops] {
        let record = site.ended_well(answer, CALLER);
        assert_eq!(record["determining"][0], "alpha/caller-uses-everything");
        for name in ["keep-alive", "x-upstream-hop", "upgrade", "proxy-authenticate"] {
            assert_eq!(answer.field(name), None, "{answer:?}");
        }
        assert_eq!(answer.field("x-kept"), Some("1"));
    }
    let calls = upstream.calls();
    assert_eq!(calls[0].field("authorization"), Some("Bearer x"));
    assert_eq!(
        (calls[1].field("authorization"), calls[1].field("x-hop"), calls[1].field("x-kept")),
        (None, None, Some("1"))
    );
    assert_eq!(calls[1].field("host"), Some(API), "what is ours cannot be named away");
    for name in ["upgrade", "http2-settings", "te", "keep-alive", "proxy-connection", "proxy-authorization", "trailer"]
    {
        assert_eq!(calls[2].field(name), None, "{:?}", calls[2]);
    }
}

#[test]
fn the_connection_is_the_callers_to_close() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    let answer = client.ask(format!("GET /items HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n"));
    assert_eq!(answer.field("connection"), Some("close"), "{answer:?}");
    assert!(client.rest().clean);
    let mut client = Raw::by(&site, CALLER, API);
    client.ask(format!("GET /items HTTP/1.0\r\nHost: {API}\r\n\r\n"));
    assert!(client.rest().clean);
}
