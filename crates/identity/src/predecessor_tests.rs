//! The extension written and read back, and what is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use types::Timestamp;

use super::{Predecessor, predecessors_value, read_predecessors};

fn one(serial: &str) -> Predecessor {
    Predecessor {
        certificate_sha256: [7; 32],
        key_sha256: [0x9c; 32],
        serial: serial.to_owned(),
        until: Timestamp::from_seconds(1_772_442_000),
    }
}

#[test]
fn what_is_written_is_read_back() {
    for serials in [vec!["01"], vec!["7f", "80", "9c1e01"], vec!["ff"; 8], vec![&"f".repeat(40)]] {
        let predecessors: Vec<Predecessor> = serials.iter().map(|serial| one(serial)).collect();
        assert_eq!(read_predecessors(&predecessors_value(&predecessors).unwrap()), Some(predecessors));
    }
    let epoch = Predecessor { until: Timestamp::from_seconds(0), ..one("01") };
    assert_eq!(read_predecessors(&predecessors_value(std::slice::from_ref(&epoch)).unwrap()), Some(vec![epoch]));
}

/// Byte for byte as docs/token-binding.md says, so that others can read it.
#[test]
fn the_bytes_are_those_of_the_document() {
    let value = predecessors_value(&[one("9c1e01")]).unwrap();
    let expected = [
        &[0x30, 0x52, 0x30, 0x50, 0x04, 0x20][..],
        &[7; 32],
        &[0x04, 0x20],
        &[0x9c; 32],
        &[0x02, 0x04, 0x00, 0x9c, 0x1e, 0x01, 0x02, 0x04, 0x69, 0xa5, 0x51, 0x90],
    ];
    assert_eq!(value.len(), 0x54, "{value:02x?}");
    assert_eq!(value, expected.concat());
}

#[test]
fn what_is_none_is_not_written() {
    assert_eq!(predecessors_value(&[]), None);
    assert_eq!(predecessors_value(&vec![one("01"); 9]), None);
    for serial in ["", "0", "1", "00", "0001", "9C", "xy", "é1", &"f".repeat(42)] {
        assert_eq!(predecessors_value(&[one(serial)]), None, "{serial}");
    }
}

#[test]
fn what_is_not_the_one_way_to_write_it_is_not_read() {
    let good = predecessors_value(&[one("9c1e01")]).unwrap();
    assert!(read_predecessors(&good).is_some());
    assert_eq!(read_predecessors(&[good.as_slice(), &[0]].concat()), None, "bytes after it");
    assert_eq!(read_predecessors(&[0x30, 0x00]), None, "none");
    let entry = &good[2..];
    let nine = [&[0x30, 0x82][..], &u16::try_from(entry.len() * 9).unwrap().to_be_bytes(), &entry.repeat(9)].concat();
    assert_eq!(read_predecessors(&nine), None, "more than the limit");
}

proptest! {
    #[test]
    fn bytes_are_read_back_as_they_were_or_not_at_all(bytes in vec(any::<u8>(), 0..200), at in 0_usize..84, to: u8) {
        let mut changed = predecessors_value(&[one("9c1e01")]).unwrap();
        changed[at] = to;
        for value in [bytes, changed] {
            if let Some(read) = read_predecessors(&value) {
                prop_assert_eq!(predecessors_value(&read), Some(value));
            }
        }
    }
}
