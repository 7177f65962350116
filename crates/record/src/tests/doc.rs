//! `docs/log-format.md`: its example is what the code writes, and what the code reads; its tables are those of the code.

use std::{fs, net::IpAddr};

use types::{DecisionId, Label, Mode, RevisionId, Timestamp, facts::*};

use super::support::read;
use crate::{
    codec::{self, COMPLETION_BYTES, Stamp},
    format::{HEADER_BYTES, Header, LaneKey, SegmentName, StartId, frame_bytes},
};

const DOC: &str = include_str!("../../../../docs/log-format.md");

/// The blocks of the document that open with this fence.
fn blocks(fence: &str) -> Vec<&'static str> {
    DOC.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The bytes of a hex dump: `offset  bytes  meaning`, the bytes in pairs of digits.
fn bytes(dump: &str) -> Vec<u8> {
    let digits = |word: &str| u8::from_str_radix(word, 16).ok().filter(|_| word.len() == 2);
    dump.lines().flat_map(|line| line.split_whitespace().skip(1).map_while(digits)).collect()
}

fn header() -> Header {
    let lane = Label::parse("worker-0").unwrap();
    let start = StartId::new(1_763_888_400_000_000);
    Header {
        enforcer: Label::parse("gw-1").unwrap(),
        name: SegmentName { key: LaneKey { start, lane }, number: 0 },
        salt: 0x5eed_5a17,
        first_sequence: 0,
        created: Timestamp::from_micros(1_763_888_442_118_000),
        latest: Timestamp::default(),
        capacity: 16_777_216,
    }
}

fn id() -> DecisionId {
    DecisionId::new(1_763_888_442_117, [0xc4; 10])
}

fn decision() -> Facts<'static> {
    Facts::Decision(Decision {
        id: id(),
        outcome: Outcome::Allow,
        reason: "",
        note: "",
        listener: "gateway",
        revision: Some(RevisionId::from_digest([0x3f; 32])),
        source: Some(IpAddr::from([127, 0, 0, 1])),
        protocol: Protocol::Http2,
        caller: Caller::Verified(Peer {
            spiffe_id: "spiffe://finance.acme.internal/payments",
            serial: "5c1e",
            sha256: [0x9a; 32],
            not_before: Timestamp::from_seconds(1_763_887_000),
            not_after: Timestamp::from_seconds(1_763_890_600),
            via: "",
        }),
        host: "ledger.acme.internal",
        service: "finance/ledger",
        method: "POST",
        template: "/entries",
        risk: Some(50),
        determining: vec!["finance/payments-posts-entries"],
        noted: vec![Noted {
            check: "policy.freeze",
            mode: Mode::Shadow,
            reason: "policy.forbidden",
            policy: "finance/freeze",
        }],
        epoch: Some(300),
    })
}

fn completion() -> Facts<'static> {
    let (status, micros, request_bytes, response_bytes) = (Some(201), 3_100, 412, 97);
    Facts::Completion(Completion {
        id: id(),
        status,
        reason: "",
        micros,
        request_bytes,
        response_bytes,
        revision: None,
        epoch: None,
    })
}

fn frame(seed: u32, stamp: Stamp, facts: &Facts<'_>) -> Vec<u8> {
    let mut payload = vec![0; codec::encoded_len(stamp, facts)];
    codec::encode(&mut payload, stamp, facts).unwrap();
    let mut frame =
        [&(payload.len() as u32).to_le_bytes()[..], &crc32c::crc32c_append(seed, &payload).to_le_bytes(), &payload]
            .concat();
    frame.resize(frame_bytes(payload.len()), 0);
    frame
}

fn example() -> Vec<u8> {
    let header = header();
    let at = |micros: u64| Timestamp::from_micros(1_763_888_442_118_000 + micros);
    let first = frame(header.seed(), Stamp { sequence: 0, at: at(0) }, &decision());
    let second = frame(header.seed(), Stamp { sequence: 1, at: at(3_104) }, &completion());
    [&header.encode()[..], &first, &second].concat()
}

#[test]
fn the_example_is_what_is_written() {
    let dump = blocks("```hex").concat();
    let expected = example();
    let found = bytes(&dump);
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(format!("{found:02x}"), format!("{expected:02x}"), "byte {at} of the example");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_example_is_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = header().name.to_string();
    assert!(DOC.contains(&format!("`{file}`")), "{file}");
    fs::write(dir.path().join(file), bytes(&blocks("```hex").concat())).unwrap();
    let (records, damage) = read(dir.path());
    assert_eq!(damage, []);
    let [first, second] = &records[..] else { panic!("two records: {records:?}") };
    assert_eq!((first.view().facts, second.view().facts), (decision(), completion()));
    let json: Vec<_> = records.iter().map(|record| serde_json::to_string(&record.view()).unwrap()).collect();
    assert_eq!(blocks("```json").concat().trim(), json.join("\n"));
}

/// Every tag of the code stands in the table, with a name, and the table has no other.
#[test]
fn the_table_of_fields_is_complete() {
    let source = include_str!("../codec/mod.rs");
    let (_, tags) = source.split_once("mod tag {").unwrap();
    let tags = tags.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) const ")?.split_once(": u8 = "));
    let code: Vec<_> = tags.map(|(name, tag)| (tag.trim_end_matches(';').to_owned(), name.to_lowercase())).collect();
    let (_, table) = DOC.split_once("## Fields").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows = cells.filter(|(tag, _)| tag.trim().parse::<u8>().is_ok());
    let doc: Vec<_> = rows
        .map(|(tag, rest)| (tag.trim().to_owned(), rest.split('|').next().unwrap().trim().trim_matches('`').to_owned()))
        .collect();
    assert_eq!(doc, code);
}

#[test]
fn the_sizes_are_those_of_the_code() {
    let kept = frame_bytes(COMPLETION_BYTES);
    assert!(DOC.contains(&format!("{kept} bytes for its completion")), "{kept}");
    assert!(DOC.contains(&format!("header of {HEADER_BYTES} bytes")));
}
