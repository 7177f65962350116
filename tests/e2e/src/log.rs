//! The decision log as another program reads it: by docs/log-format.md and nothing else.

use std::fs;
use std::path::Path;

/// The length of a segment's header.
const HEADER: usize = 256;

/// A record.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The file that holds it.
    pub segment: String,
    /// 1 decision, 2 completion, 3 refusals, 4 issuance, 5 lifecycle, 6 administration.
    pub kind: u8,
    /// Microseconds since 1970.
    pub at: u64,
    fields: Vec<(u8, Vec<u8>)>,
}

impl Logged {
    /// The text of a field; `""` where it is absent.
    pub fn text(&self, tag: u8) -> String {
        String::from_utf8_lossy(self.bytes(tag)).into_owned()
    }

    /// The bytes of a field as lower-case hexadecimal.
    pub fn hex(&self, tag: u8) -> String {
        self.bytes(tag).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes of a field.
    pub fn bytes(&self, tag: u8) -> &[u8] {
        self.fields.iter().find(|(known, _)| *known == tag).map(|(_, value)| value.as_slice()).unwrap_or_default()
    }

    /// Whether it is an administrative act that was done, of this name.
    pub fn is_done(&self, act: &str) -> bool {
        self.kind == 6 && self.bytes(2) == [1] && self.text(33) == act
    }
}

/// Every whole record of a data directory's log, by time.
///
/// # Panics
/// When a segment is not as documented.
pub fn read_log(data: &Path) -> Vec<Logged> {
    let mut files: Vec<_> = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    let mut records: Vec<Logged> = files.iter().flat_map(|path| read_segment(path)).collect();
    records.sort_by_key(|record| record.at);
    records
}

fn read_segment(path: &Path) -> Vec<Logged> {
    let bytes = fs::read(path).unwrap();
    let segment = path.file_name().unwrap().to_string_lossy().into_owned();
    if bytes.len() < HEADER || bytes[..4] == [0; 4] {
        return Vec::new();
    }
    assert_eq!(&bytes[..8], b"CSIGNLOG", "{segment}");
    assert_eq!(number(&bytes[8..12]), 1, "{segment}: version");
    let mut records = Vec::new();
    let mut at = HEADER;
    while let Some(length) = bytes.get(at..at + 4).map(number).filter(|length| *length > 0) {
        let payload = &bytes[at + 8..at + 8 + length as usize];
        records.push(read_record(&segment, payload));
        at = (at + 8 + length as usize).next_multiple_of(4);
    }
    records
}

fn read_record(segment: &str, payload: &[u8]) -> Logged {
    let kind = payload[0];
    let mut rest = &payload[1..];
    let _sequence = varint(&mut rest);
    let at = number(&rest[..8]);
    rest = &rest[8..];
    let mut fields = Vec::new();
    while let Some((&tag, after)) = rest.split_first() {
        rest = after;
        let length = varint(&mut rest) as usize;
        fields.push((tag, rest[..length].to_vec()));
        rest = &rest[length..];
    }
    Logged { segment: segment.to_owned(), kind, at, fields }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = bytes.split_first().expect("a varint");
        *bytes = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than 64 bits")
}
