//! Whatever bytes come from outside, reading them ends with an answer.

use api::wire::{Kind, Signed};
use countersign_wire::{content, fact};
use proptest::prelude::*;
use types::Timestamp;

use crate::fake::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #[test]
    fn items_are_read_or_refused(items in prop::collection::vec(bytes(), 0..4)) {
        let read = content::read_revocations(items.iter().map(Vec::as_slice), &organisation()).unwrap();
        prop_assert_eq!(read.known.len() + read.unknown, items.len());
        let _ = content::read_bundles(&items);
        let _ = content::read_registrations(&items);
    }

    #[test]
    fn a_digest_is_that_of_the_set(items in prop::collection::vec(bytes(), 0..6), turn in any::<prop::sample::Index>()) {
        let mut turned = items.clone();
        if !turned.is_empty() {
            let by = turn.index(turned.len());
            turned.rotate_left(by);
        }
        let of = |items: &[Vec<u8>]| content::digest(items.iter().map(Vec::as_slice));
        prop_assert_eq!(of(&items), of(&turned));
        let more = [items.as_slice(), &[vec![0; 201]]].concat();
        prop_assert_ne!(of(&items), of(&more));
    }

    #[test]
    fn nothing_random_is_believed(fact in bytes(), signature in bytes(), chain in prop::collection::vec(bytes(), 0..3)) {
        let signed = Signed { fact, signature, chain };
        let now = Timestamp::from_seconds(1_772_442_000);
        let opened = fact::open(&signed, Kind::Signals, &organisation(), &identity::BundleSet::default(), now);
        prop_assert!(opened.is_err());
    }
}
