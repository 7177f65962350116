//! Whatever bytes come from outside, reading them ends with an answer.

use api::wire::{self, BundleItem, Kind, Registration, Rule, Signed};
use countersign_wire::{content, fact};
use proptest::prelude::*;
use prost::Message;
use types::Timestamp;

use crate::fake::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn rule() -> impl Strategy<Value = Rule> {
    let path = prop_oneof![Just(String::new()), "/[a-z./$]{0,12}", "[a-z./$]{0,12}"];
    (
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        path,
        any::<bool>(),
        prop_oneof![Just(vec![]), Just(vec![7; 32]), bytes()],
    )
        .prop_map(|(uid, gid, path, in_data, sha256)| Rule { uid, gid, path, in_data, sha256 })
}

proptest! {
    #[test]
    fn items_are_read_or_refused(items in prop::collection::vec(bytes(), 0..4)) {
        let read = content::read_revocations(items.iter().map(Vec::as_slice), &organisation()).unwrap();
        prop_assert_eq!(read.known.len() + read.unknown, items.len());
        let _ = content::read_bundles(1, &items);
    }

    #[test]
    fn a_bundle_is_read_or_refused(trust_domain in "[a-z.]{0,20}", roots in prop::collection::vec(bytes(), 0..3)) {
        let roots_given = roots.len();
        let item = BundleItem { trust_domain, roots }.encode_to_vec();
        if content::read_bundles(1, &[item]).is_ok() {
            prop_assert_eq!(roots_given, 0, "random bytes are no root");
        }
    }

    #[test]
    fn a_rule_that_is_read_is_the_one_that_was_written(rule in rule()) {
        let spiffe_id = "spiffe://shop.example.internal/checkout".to_owned();
        let message = Registration { spiffe_id, rules: vec![rule] };
        if let Ok(read) = content::read_registrations(std::slice::from_ref(&message)) {
            let (id, rules) = &read[0];
            let written = content::registration(id, rules);
            prop_assert_eq!(content::read_registrations(&[written]).unwrap(), read);
        }
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

    #[test]
    fn selectors_go_both_ways(pid in any::<u32>(), path in "(/[a-z]{1,5}){0,3}", digest in any::<Option<[u8; 32]>>()) {
        let selectors = types::Selectors {
            pid,
            uid: pid / 2,
            gid: pid / 3,
            path: (!path.is_empty()).then_some(path),
            path_in_data: None,
            sha256: digest,
        };
        prop_assert_eq!(content::read_selectors(content::selectors_message(&selectors)), Some(selectors));
        let bad = wire::Selectors { sha256: vec![1], ..wire::Selectors::default() };
        prop_assert_eq!(content::read_selectors(bad), None);
    }
}
