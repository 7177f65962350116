//! Payloads: every kind comes back as it went in, and no bytes make the decoder panic.

use core::net::IpAddr;

use proptest::{collection::vec, option, prelude::*};
use types::{DecisionId, Recordable, Timestamp, facts::Facts, limits};

use super::support::{Sample, done};
use crate::{
    codec::{self, COMPLETION_BYTES, Malformed, Stamp},
    format::Header,
};

fn encoded(stamp: Stamp, facts: &Facts<'_>) -> Vec<u8> {
    let mut bytes = vec![0u8; codec::encoded_len(stamp, facts)];
    codec::encode(&mut bytes, stamp, facts).unwrap();
    bytes
}

const STAMP: Stamp = Stamp { sequence: 7, at: Timestamp::from_micros(9) };

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(prop_oneof![4 => ".{0,40}", 1 => ".{0,900}", 1 => Just(String::new())], 12)
}

pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let things = (0u8..6, any::<[u8; 16]>(), texts(), vec(".{0,60}", 0..5));
    let values = (any::<[u64; 3]>(), any::<[u8; 32]>(), option::of(any::<IpAddr>()));
    let rest = (option::of(any::<u16>()), option::of(any::<u8>()), any::<[bool; 3]>(), 0u8..3);
    (things, values, rest).prop_map(|((kind, id, texts, policies), (numbers, digest, source), rest)| {
        let (status, risk, [allow, revision, verified], protocol) = rest;
        let id = DecisionId::from_bytes(id);
        Sample { kind, id, texts, policies, numbers, digest, source, status, risk, allow, revision, verified, protocol }
    })
}

/// The longest start within `bytes`, character by character.
fn cut(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.len() + letter.len_utf8() > bytes {
            break;
        }
        kept.push(letter);
    }
    kept
}

/// What a log keeps of a sample.
pub(super) fn kept(mut sample: Sample) -> Sample {
    sample.texts[1] = cut(&sample.texts[1], limits::NOTE_BYTES.default_usize());
    sample.texts[6] = cut(&sample.texts[6], limits::SPIFFE_ID_BYTES.default_usize());
    sample.texts[7] = cut(&sample.texts[7], limits::HOST_BYTES.default_usize());
    match sample.kind % 6 {
        1 => sample.texts[0] = cut(&sample.texts[0], 64),
        5 => {
            sample.texts[3] = cut(&sample.texts[3], limits::SPIFFE_ID_BYTES.default_usize());
            sample.texts[11] = cut(&sample.texts[11], limits::NOTE_BYTES.default_usize());
        }
        _ => {}
    }
    sample
}

proptest! {
    #[test]
    fn every_kind_comes_back_as_it_went_in(sample in sample(), sequence: u64, micros: u64) {
        let stamp = Stamp { sequence, at: Timestamp::from_micros(micros) };
        let bytes = encoded(stamp, &sample.facts());
        let (read, facts) = codec::decode(&bytes).unwrap();
        prop_assert_eq!((read.sequence, read.at), (stamp.sequence, stamp.at));
        let kept = kept(sample.clone());
        prop_assert_eq!(facts, kept.facts());
    }

    #[test]
    fn a_completion_never_takes_more_than_is_kept_for_it(mut sample in sample(), sequence: u64) {
        sample.kind = 1;
        let stamp = Stamp { sequence, at: Timestamp::from_micros(u64::MAX) };
        prop_assert!(codec::encoded_len(stamp, &sample.facts()) <= COMPLETION_BYTES);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = codec::decode(&bytes);
        let _ = Header::decode(&bytes);
    }

    #[test]
    fn no_change_of_a_payload_makes_the_decoder_panic(sample in sample(), at: prop::sample::Index, byte: u8, keep: prop::sample::Index) {
        let mut bytes = encoded(STAMP, &sample.facts());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = codec::decode(&bytes);
        bytes.truncate(keep.index(bytes.len()));
        let _ = codec::decode(&bytes);
    }

    #[test]
    fn unknown_fields_are_skipped(sample in sample(), tag in 100u8.., value in vec(any::<u8>(), 0..100)) {
        let mut bytes = encoded(STAMP, &sample.facts());
        bytes.push(tag);
        bytes.push(value.len() as u8);
        bytes.extend(&value);
        let (_, facts) = codec::decode(&bytes).unwrap();
        let kept = kept(sample.clone());
        prop_assert_eq!(facts, kept.facts());
    }
}

#[test]
fn the_longest_completion_takes_exactly_what_is_kept_for_it() {
    let mut longest = Sample { revision: true, verified: true, ..done(1) };
    longest.texts[0] = "x".repeat(100);
    let stamp = Stamp { sequence: u64::MAX, at: Timestamp::from_micros(u64::MAX) };
    assert_eq!(codec::encoded_len(stamp, &longest.facts()), COMPLETION_BYTES);
}

#[test]
fn what_does_not_fit_is_named() {
    let whole = encoded(STAMP, &done(1).facts());
    let read = |bytes: &[u8]| codec::decode(bytes).unwrap_err();
    assert_eq!(read(&[]), Malformed::Short);
    assert_eq!(read(&whole[..whole.len() - 1]), Malformed::Short);
    assert_eq!(read(&[&[99], &whole[1..]].concat()), Malformed::Kind(99));
    assert_eq!(read(&[&whole[..], &[1, 2, 0, 0]].concat()), Malformed::Value(1), "an id of two bytes");
    assert_eq!(read(&[&whole[..], &[21, 2, 0, 0]].concat()), Malformed::Twice(21));
    assert_eq!(read(&whole[..10]), Malformed::Missing(1), "a completion without an id");
    assert_eq!(read(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Malformed::Varint);
    assert_eq!(read(&[&whole[..10], &[3, 1, 0xff]].concat()), Malformed::Value(3), "a text that is not UTF-8");
}

#[test]
fn a_usual_decision_takes_about_300_bytes() {
    let mut texts = vec![String::new(); 12];
    for (at, text) in [
        (2, "gateway"),
        (3, "spiffe://finance.acme.internal/payments"),
        (4, "5c1e0000000000000000000000000000"),
        (7, "ledger.acme.internal"),
        (8, "finance/ledger"),
        (9, "POST"),
        (10, "/entries"),
    ] {
        texts[at] = text.to_owned();
    }
    let sample = Sample {
        texts,
        policies: vec!["finance/payments-posts-entries".to_owned()],
        numbers: [1_763_888_400_000_000, 1_763_892_000_000_000, 0],
        source: Some(IpAddr::from([127, 0, 0, 1])),
        risk: Some(50),
        allow: true,
        revision: true,
        verified: true,
        ..Sample::default()
    };
    let stamp = Stamp { sequence: 1_000_000, at: Timestamp::from_micros(1_763_888_400_000_000) };
    assert_eq!(codec::encoded_len(stamp, &sample.facts()), 306);
}
