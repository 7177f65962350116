//! Bodies: both framings, their limits, and every way to break a chunk.

use bytes::BytesMut;
use proptest::prelude::*;
use std::time::Duration;
use types::limits;

use crate::http1::{
    BodyError, Framing,
    body::{Incoming, Piece},
};

/// What came out, what was left, and how it ended: `Ok(true)` at the end, `Ok(false)` when more is needed.
fn decode(framing: Framing, parts: &[&[u8]], limit: u64) -> (Vec<u8>, Vec<u8>, Result<bool, BodyError>) {
    let mut incoming = Incoming::new(framing, limit, Duration::ZERO);
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    for part in parts {
        input.extend_from_slice(part);
        loop {
            match incoming.next(&mut input) {
                Ok(Piece::Data(data)) => {
                    assert!(!data.is_empty());
                    out.extend_from_slice(&data);
                }
                Ok(Piece::More) => break,
                Ok(Piece::End) => {
                    assert!(incoming.is_complete());
                    break;
                }
                Err(error) => {
                    assert!(!incoming.is_complete());
                    return (out, input.to_vec(), Err(error));
                }
            }
        }
    }
    (out, input.to_vec(), Ok(incoming.is_complete()))
}

fn chunked(text: &str) -> (Vec<u8>, Vec<u8>, Result<bool, BodyError>) {
    decode(Framing::Chunked, &[text.as_bytes()], 1000)
}

#[test]
fn lengths() {
    let next = b"abcGET".as_slice();
    assert_eq!(decode(Framing::None, &[next], 0), (vec![], next.to_vec(), Ok(true)));
    assert_eq!(decode(Framing::Length(0), &[next], 0), (vec![], next.to_vec(), Ok(true)));
    assert_eq!(decode(Framing::Length(3), &[b"a", b"", b"bcGET"], 3), (b"abc".to_vec(), b"GET".to_vec(), Ok(true)));
    assert_eq!(decode(Framing::Length(4), &[b"abc"], 4), (b"abc".to_vec(), vec![], Ok(false)));
    assert_eq!(decode(Framing::Length(4), &[b"abcd"], 3).2, Err(BodyError::TooLarge));
    assert_eq!(decode(Framing::Length(u64::MAX), &[b"abcd"], 3).2, Err(BodyError::TooLarge));
}

#[test]
fn chunks() {
    for (text, body, rest) in [
        ("0\r\n\r\n", "", ""),
        ("3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET"),
        ("00003\r\nabc\r\n000\r\n\r\n", "abc", ""),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("3;a\r\nabc\r\n0;b=c;d=\"e;\\\" f\"\r\n\r\n", "abc", ""),
        ("3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\nX: y\r\n\r\nGET", "abc", "GET"),
    ] {
        let expected = (body.as_bytes().to_vec(), rest.as_bytes().to_vec(), Ok(true));
        assert_eq!(chunked(text), expected, "{text:?}");
    }
}

#[test]
fn the_end_is_known_with_the_last_piece_where_it_is_there() {
    for (text, complete) in
        [("3\r\nabc\r\n0\r\n\r\n", true), ("3\r\nabc\r\n0\r\n", false), ("3\r\nabc\r\n1\r\nd", false)]
    {
        let mut incoming = Incoming::new(Framing::Chunked, 10, Duration::ZERO);
        let piece = incoming.next(&mut BytesMut::from(text));
        assert!(matches!(piece, Ok(Piece::Data(data)) if data == "abc"));
        assert_eq!((incoming.is_complete(), incoming.left()), (complete, complete.then_some(0)), "{text:?}");
    }
}

#[test]
fn broken_chunks_are_refused() {
    for text in [
        "\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n",
        "-1\r\n\r\n",
        "+3\r\nabc\r\n",
        "1_0\r\nabc\r\n",
        " 3\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "3\t\r\nabc\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc\rX0\r\n\r\n",
        "5\r\nabc\r\n0\r\n\r\n",
        "3\r\r\nabc\r\n",
        "g\r\n",
        "\u{663}\r\n",
        ";a\r\n",
        "3;\r\nabc\r\n",
        "3;;a\r\nabc\r\n",
        "3; a\r\nabc\r\n",
        "3 ;a\r\nabc\r\n",
        "3;a=\r\nabc\r\n",
        "3;a=b c\r\nabc\r\n",
        "3;a=\"b\r\nabc\r\n",
        "3;a=\"b\"c\r\nabc\r\n",
        "3;a=\"\u{1}\"\r\nabc\r\n",
        "3 a\r\nabc\r\n",
        "00000000000000003\r\nabc\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: \u{7f}\r\n\r\n",
    ] {
        assert!(matches!(chunked(text).2, Err(BodyError::Malformed(_))), "{text:?}: {:?}", chunked(text));
    }
}

#[test]
fn content_is_limited_as_it_is_announced() {
    assert_eq!(decode(Framing::Chunked, &[b"5\r\n"], 5).2, Ok(false));
    assert_eq!(decode(Framing::Chunked, &[b"6\r\n"], 5).2, Err(BodyError::TooLarge));
    let (out, _, end) = decode(Framing::Chunked, &[b"3\r\nabc\r\n3\r\n"], 5);
    assert_eq!((out.as_slice(), end), (&b"abc"[..], Err(BodyError::TooLarge)));
    assert_eq!(chunked("ffffffffffffffff\r\n").2, Err(BodyError::TooLarge));
    let wraps = b"1\r\na\r\nffffffffffffffff\r\n".as_slice();
    assert_eq!(decode(Framing::Chunked, &[wraps], u64::MAX).2, Err(BodyError::TooLarge));
}

#[test]
fn lines_are_bounded() {
    let bound = limits::CHUNK_LINE_BYTES.default_usize();
    let fits = format!("0;{}\r\n\r\n", "a".repeat(bound - 4));
    assert_eq!(chunked(&fits).2, Ok(true));
    assert!(matches!(chunked(&format!("0;{}\r\n\r\n", "a".repeat(bound - 3))).2, Err(BodyError::Malformed(_))));
    assert!(matches!(chunked(&"0".repeat(bound)).2, Err(BodyError::Malformed(_))));
    let bound = limits::TRAILER_BYTES.default_usize();
    assert_eq!(chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(bound - 7))).2, Ok(true));
    assert_eq!(chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(bound - 6))).2, Err(BodyError::TrailersTooLarge));
    assert_eq!(chunked(&format!("0\r\n{}", "X: y\r\n".repeat(bound))).2, Err(BodyError::TrailersTooLarge));
}

proptest! {
    #[test]
    fn any_bytes_and_any_split(
        text in "([0-9a-fA-F;=\"x\r\n :]|0\r\n|3\r\nabc\r\n|\r\n){0,40}",
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = text.as_bytes();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let whole = decode(Framing::Chunked, &[bytes], 50);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        for parts in [&[first, second][..], &single] {
            let split = decode(Framing::Chunked, parts, 50);
            prop_assert_eq!((&split.0, &split.2), (&whole.0, &whole.2));
        }
    }

    #[test]
    fn what_was_encoded_comes_out(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6)) {
        let mut wire = Vec::new();
        for piece in &pieces {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\nrest");
        prop_assert_eq!(decode(Framing::Chunked, &[&wire], 1000), (pieces.concat(), b"rest".to_vec(), Ok(true)));
    }
}
