//! Every rule about heads, as tables, and what holds for all bytes.

use bytes::Bytes;
use proptest::prelude::*;
use types::{Reason, limits};

use crate::http1::{
    Framing, Head, HeadError,
    head::{HeadLimits, HeadParser, Version},
};

/// Parses one head from the start of `bytes`; gives it with the number of bytes it takes.
fn parse_within(bytes: &[u8], limits: HeadLimits) -> Result<Option<(Head, usize)>, HeadError> {
    let mut parser = HeadParser::new(limits);
    let Some(end) = parser.advance(bytes)? else { return Ok(None) };
    Ok(Some((parser.finish(&Bytes::copy_from_slice(&bytes[..end]))?, end)))
}

fn parse(text: impl AsRef<[u8]>) -> Result<Option<(Head, usize)>, HeadError> {
    parse_within(text.as_ref(), HeadLimits::default())
}

fn accepted(text: impl AsRef<[u8]>) -> Head {
    let text = text.as_ref();
    let (head, length) = parse(text).unwrap().expect("a whole head");
    assert_eq!(length, text.len());
    head
}

fn refused(text: impl AsRef<[u8]>) -> HeadError {
    match parse(&text) {
        Err(error) => error,
        Ok(found) => panic!("accepted {:?} as {found:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

/// A GET with these lines after Host.
fn with(lines: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: api.example\r\n{lines}\r\n")
}

/// A request with this line and a Host.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: api.example\r\n\r\n")
}

#[test]
fn a_plain_request() {
    let head = accepted("POST /a/b?c=d HTTP/1.1\r\nHost: Api.Example:8443\r\nX-A:\t 1 2\t\r\nX-a: \r\n\r\n");
    assert_eq!((head.method.as_str(), head.target.as_str()), ("POST", "/a/b?c=d"));
    assert_eq!(
        (head.version, head.framing, head.keep_alive, head.expect_continue),
        (Version::Http11, Framing::None, true, false)
    );
    assert_eq!(head.authority, "Api.Example:8443");
    let values: Vec<_> = head.fields.get_all("x-a").iter().collect();
    assert_eq!(values, ["1 2", ""]);
}

#[test]
fn framing() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("Content-Length: 0042\r\n", Framing::Length(42)),
        ("content-LENGTH:\t18446744073709551615 \r\n", Framing::Length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("transfer-encoding:  CHUNKED\t\r\n", Framing::Chunked),
    ] {
        assert_eq!(accepted(with(lines)).framing, framing, "{lines:?}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    for (rule, lines) in [
        ("FR-1", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
        ("FR-1", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"),
        ("FR-2", "Transfer-Encoding: xchunked\r\n"),
        ("FR-2", "Transfer-Encoding: gzip, chunked\r\n"),
        ("FR-2", "Transfer-Encoding: chunked, chunked\r\n"),
        ("FR-2", "Transfer-Encoding: chunked,\r\n"),
        ("FR-2", "Transfer-Encoding: chunked;q=1\r\n"),
        ("FR-2", "Transfer-Encoding: \"chunked\"\r\n"),
        ("FR-2", "Transfer-Encoding: identity\r\n"),
        ("FR-2", "Transfer-Encoding:\r\n"),
        ("FR-2", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("FR-3", "Content-Length: 3\r\nContent-Length: 3\r\n"),
        ("FR-3", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("FR-3", "Content-Length: 3, 3\r\n"),
        ("FR-3", "Content-Length: +3\r\n"),
        ("FR-3", "Content-Length: -3\r\n"),
        ("FR-3", "Content-Length: 0x3\r\n"),
        ("FR-3", "Content-Length: 3 3\r\n"),
        ("FR-3", "Content-Length: 3.0\r\n"),
        ("FR-3", "Content-Length:\r\n"),
        ("FR-3", "Content-Length: \u{663}\r\n"),
        ("FR-3", "Content-Length: 18446744073709551616\r\n"),
        ("FR-3", "Content-Length: 99999999999999999999999999\r\n"),
    ] {
        let error = refused(with(lines));
        assert_eq!((error.reason, error.rule), (Reason::ParseFraming, rule), "{lines:?}");
    }
}

#[test]
fn http_1_0() {
    let head = accepted(
        "POST /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!((head.version, head.keep_alive, head.expect_continue), (Version::Http10, false, false));
    assert_eq!(accepted("POST /a HTTP/1.0\r\nHost: a\r\n\r\n").framing, Framing::None);
    let error = refused("POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!((error.reason, error.rule), (Reason::ParseFraming, "FR-2"));
    assert_eq!(refused("GET /a HTTP/1.0\r\n\r\n").reason, Reason::ParseHost);
}

#[test]
fn lines_that_are_no_fields() {
    for lines in [
        "X-A : 1\r\n",
        "X-A\t: 1\r\n",
        " X-A: 1\r\n",
        "\tX-A: 1\r\n",
        "X-A: 1\r\n 2\r\n",
        "X-A: 1\r\n\t2\r\n",
        " \r\n",
        "X-A: 1\nX-B: 2\r\n",
        "X-A: 1\n",
        "X-A: 1\rX-B: 2\r\n",
        "X-A: 1\r\r\n",
        "\rX-A: 1\r\n",
        "X-A\r: 1\r\n",
        "X-A: \0\r\n",
        "X-A: 1\u{b}\r\n",
        "X-A: \u{1b}[2J\r\n",
        "X-A: \u{7f}\r\n",
        ": 1\r\n",
        "X-A\r\n",
        "X A: 1\r\n",
        "X@A: 1\r\n",
        "X\"A: 1\r\n",
        "X-\u{e9}: 1\r\n",
        "(X): 1\r\n",
        "X\0: 1\r\n",
    ] {
        let error = refused(with(lines));
        assert_eq!((error.reason, error.rule), (Reason::ParseMalformed, "FR-4"), "{lines:?}");
    }
    assert_eq!(refused("GET /a HTTP/1.1\nHost: a\n\n").rule, "FR-4");
    assert_eq!(refused(with("X-A: 1\rX-B: 2\r\n")).detail, "a bare carriage return");
    assert_eq!(refused("GET /a HTTP/1.1\r\nHost: a\r\n\n").rule, "FR-4");
}

#[test]
fn odd_but_allowed_fields() {
    let head = accepted(with("X_A: a:b\r\n!#$%&'*+-.^_`|~09aZ: \u{e9}\t\u{e9}\r\n"));
    assert_eq!(head.fields.get("x_a").unwrap(), "a:b");
    assert_eq!(head.fields.get("!#$%&'*+-.^_`|~09az").unwrap().as_bytes(), "\u{e9}\t\u{e9}".as_bytes());
}

#[test]
fn request_lines() {
    for text in [
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET /a HTTP/1.1 ",
        " GET /a HTTP/1.1",
        "GET\t/a HTTP/1.1",
        "GET /a /b HTTP/1.1",
        "G ET /a HTTP/1.1",
        "GET /a",
        "GET",
        "/a HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "G(T /a HTTP/1.1",
        "GET /a HTTP/1.2",
        "GET /a HTTP/2.0",
        "GET /a HTTP/0.9",
        "GET /a HTTP/1.1x",
        "GET /a http/1.1",
        "GET /a HTTP/01.1",
        "GET /a ICE/1.0",
        "PRI * HTTP/2.0",
        "GET /a HTTP/1.1\r",
    ] {
        assert_eq!(refused(line(text)).reason, Reason::ParseMalformed, "{text:?}");
    }
    assert_eq!(refused("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n").reason, Reason::ParseBadCharacter);
    assert_eq!(refused("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n").reason, Reason::ParseBadCharacter);
    assert_eq!(refused(line("CONNECT a:443 HTTP/1.1")).reason, Reason::ParseMethod);
    assert_eq!(accepted(line("M-SEARCH /a HTTP/1.1")).method, "M-SEARCH");
}

#[test]
fn a_host_is_there_once_and_valid() {
    for lines in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host:\r\n",
        "Host: a, b\r\n",
        "Host: user@a\r\n",
        "Host: a/b\r\n",
        "Host: a:\r\n",
        "Host: a:80:80\r\n",
        "Host: a:99999\r\n",
        "Host: a..b\r\n",
        "Host: [::1]\r\n",
        "Host: \u{e9}\r\n",
        "Host: a b\r\n",
    ] {
        let error = refused(format!("GET /a HTTP/1.1\r\n{lines}\r\n"));
        assert_eq!((error.reason, error.rule), (Reason::ParseHost, "FR-5"), "{lines:?}");
    }
}

#[test]
fn the_absolute_form_must_name_the_same_authority() {
    for (target, host, origin) in [
        ("http://api.example/a?b", "api.example", "/a?b"),
        ("HTTP://API.example./a", "api.example", "/a"),
        ("http://api.example:80/a", "api.example", "/a"),
        ("https://api.example/a", "api.example:443", "/a"),
        ("http://api.example", "api.example", "/"),
        ("http://api.example?q", "api.example", "/?q"),
    ] {
        let head = accepted(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((head.target.as_str(), head.authority.as_str()), (origin, host), "{target}");
    }
    for (target, reason) in [
        ("http://evil.example/a", Reason::ParseHost),
        ("http://api.example:81/a", Reason::ParseHost),
        ("http://api.example@evil.example/a", Reason::ParseHost),
        ("http://x@api.example/a", Reason::ParseHost),
        ("http:///a", Reason::ParseHost),
        ("https://api.example:80/a", Reason::ParseHost),
        ("ftp://api.example/a", Reason::ParseTargetForm),
        ("http:/api.example/a", Reason::ParseTargetForm),
        ("api.example:80", Reason::ParseTargetForm),
        ("a/b", Reason::ParseTargetForm),
        ("*", Reason::ParseTargetForm),
        ("?q", Reason::ParseTargetForm),
    ] {
        assert_eq!(refused(line(&format!("GET {target} HTTP/1.1"))).reason, reason, "{target}");
    }
    assert_eq!(refused(line("OPTIONS http://api.example HTTP/1.1")).reason, Reason::ParseTargetForm);
}

#[test]
fn connection_and_expect() {
    for (lines, keep_alive) in [
        ("Connection: close\r\n", false),
        ("Connection: a, CLOSE ,b\r\n", false),
        ("Connection: keep-alive\r\nConnection: close\r\n", false),
        ("Connection: closed\r\n", true),
        ("Connection: ,,\r\n", true),
        ("Connection:\r\n", true),
    ] {
        assert_eq!(accepted(with(lines)).keep_alive, keep_alive, "{lines:?}");
    }
    assert_eq!(refused(with("Connection: a b\r\n")).rule, "FR-7");
    assert_eq!(refused(with("Expect: 200-ok\r\n")).reason, Reason::ParseMalformed);
    assert!(accepted(with("Expect: 100-Continue\r\nContent-Length: 1\r\n")).expect_continue);
    assert!(!accepted(with("Expect: 100-continue\r\nContent-Length: 0\r\n")).expect_continue);
    assert!(!accepted(with("Expect: 100-continue\r\n")).expect_continue);
}

#[test]
fn empty_lines_before_the_request_are_ignored_within_a_bound() {
    let bound = limits::BLANK_LINES.default_usize();
    assert_eq!(accepted("\r\n".repeat(bound) + &with("")).target, "/a");
    assert_eq!(refused("\r\n".repeat(bound + 1)).reason, Reason::ParseMalformed);
    assert_eq!(refused("\nGET / HTTP/1.1\r\n").reason, Reason::ParseMalformed);
}

#[test]
fn bounds() {
    let limits = HeadLimits { bytes: 300, fields: 3, target: 100, blank_lines: 1 };
    let reason =
        |text: String| parse_within(text.as_bytes(), limits).map(|found| found.is_some()).map_err(|e| e.reason);
    let target = |length: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
    assert_eq!(reason(target(100)), Ok(true));
    assert_eq!(reason(target(101)), Err(Reason::ParseTargetTooLong));
    assert_eq!(reason("a".repeat(163)), Ok(false));
    assert_eq!(reason("a".repeat(164)), Err(Reason::ParseTargetTooLong));
    assert_eq!(reason(with("A: 1\r\nB: 2\r\n")), Ok(true));
    assert_eq!(reason(with("A: 1\r\nB: 2\r\nC: 3\r\n")), Err(Reason::ParseHeadTooLarge));
    let padded = |length: usize| with(&format!("A: {}\r\n", "a".repeat(length - with("A: \r\n").len())));
    assert_eq!(padded(300).len(), 300);
    assert_eq!(reason(padded(300)), Ok(true));
    assert_eq!(reason(padded(301)), Err(Reason::ParseHeadTooLarge));
    assert_eq!(reason(padded(400).chars().take(299).collect()), Ok(false));
    assert_eq!(reason(padded(400).chars().take(300).collect()), Err(Reason::ParseHeadTooLarge));
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    assert_eq!(refused(b"\x16\x03\x01").reason, Reason::ParseMalformed);
    assert_eq!(refused(b"\0").reason, Reason::ParseMalformed);
}

/// Pieces that make interesting heads when they are thrown together.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n", "Host: a\r\n", "Content-Length: 3\r\n", "\r\n", "\n", "\r", " ",
            "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "X: y\r\n", "X : y\r\n", "http://a/", ":", "\t", "\0",
            "Expect: 100-continue\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// The outcome of feeding `bytes` piece by piece.
fn fed(bytes: &[u8], cuts: &[usize], limits: HeadLimits) -> Result<Option<(String, usize)>, HeadError> {
    let mut parser = HeadParser::new(limits);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    for end in ends {
        if let Some(length) = parser.advance(&bytes[..end])? {
            let head = parser.finish(&Bytes::copy_from_slice(&bytes[..length]))?;
            return Ok(Some((format!("{head:?}"), length)));
        }
    }
    Ok(None)
}

proptest! {
    #[test]
    fn no_bytes_panic_and_split_points_change_nothing(
        bytes in pieces(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        size in 20_usize..400,
    ) {
        for limits in [HeadLimits::default(), HeadLimits { bytes: size, fields: 4, target: 40, blank_lines: 2 }] {
            let whole = parse_within(&bytes, limits).map(|found| found.map(|(head, end)| (format!("{head:?}"), end)));
            prop_assert_eq!(&fed(&bytes, &cuts, limits), &whole);
            // byte by byte, the first answer is the answer
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&fed(&bytes, &every, limits), &whole);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse([&b"GET / HTTP/1.1\r\n"[..], &bytes].concat());
    }
}
