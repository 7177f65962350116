use std::collections::BTreeMap;

use api::{
    issuance::{Bundles, JwtKey},
    wire::{BundleItem, JwtKey as JwtKeyMessage, Succession as SuccessionMessage},
};
use proptest::prelude::*;
use prost::Message;
use rcgen::PublicKeyData;
use testkit::{Authority, ManualClock};
use types::{Clock, TrustDomain, limits};

use super::super::{Succession, bundle_items, read_bundles, usable_bundles};

fn domain(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

fn item(domain: &str, roots: Vec<Vec<u8>>) -> Vec<u8> {
    BundleItem { trust_domain: domain.to_owned(), roots, ..BundleItem::default() }.encode_to_vec()
}

pub(super) fn root(of: &str) -> Authority {
    Authority::of(of, ManualClock::default().now())
}

#[test]
fn bundles_go_both_ways() {
    let (finance, partner) = (domain("finance.acme.internal"), domain("partner.example"));
    let key = rcgen::KeyPair::generate().unwrap();
    let jwt_key = JwtKey { kid: "k1".to_owned(), spki_der: key.subject_public_key_info() };
    let bundles = Bundles {
        generation: 7,
        roots: BTreeMap::from([
            (finance.clone(), vec![root("finance.acme.internal").der().to_vec()]),
            // an empty bundle is a bundle: it revokes everything of that trust domain
            (partner.clone(), vec![]),
        ]),
        jwt_keys: BTreeMap::from([(finance.clone(), vec![jwt_key])]),
        federated: [partner].into(),
    };
    let follows = root("finance.acme.internal").der().to_vec();
    let succession = Succession { by: [7; 32], root_der: follows.clone(), signature: vec![1, 2] };
    let items = bundle_items(&bundles, &BTreeMap::from([(finance, vec![succession])]));
    let told = read_bundles(&items).unwrap();
    assert_eq!(told[0].successions[0].certificate, follows);
    assert_eq!(told.iter().map(super::super::ToldBundle::item).collect::<Vec<_>>(), items);
    let (read, set) = usable_bundles(7, &told).unwrap();
    assert_eq!(read, bundles);
    assert_eq!(set.iter().count(), 2);
}

#[test]
fn bundles_that_cannot_be_used_are_named() {
    let told = read_bundles(&[item("finance.acme.internal", vec![vec![1, 2]])]).unwrap();
    let bad = usable_bundles(1, &told).unwrap_err();
    assert!(bad.to_string().contains("finance.acme.internal"), "{bad}");
    let twice = [item("finance.acme.internal", vec![]), item("finance.acme.internal", vec![])];
    assert!(read_bundles(&twice).unwrap_err().to_string().contains("two bundles"));
}

#[test]
fn a_bundle_with_more_than_a_peer_takes_is_refused_and_named() {
    let base = || BundleItem { trust_domain: "finance.acme.internal".to_owned(), ..BundleItem::default() };
    let keys = limits::BUNDLE_JWT_KEYS.default_usize() + 1;
    let successions = limits::BUNDLE_SUCCESSIONS.default_usize() + 1;
    for item in [
        BundleItem { jwt_keys: vec![JwtKeyMessage::default(); keys], ..base() },
        BundleItem { successions: vec![SuccessionMessage::default(); successions], ..base() },
    ] {
        let refused = read_bundles(&[item.encode_to_vec()]).unwrap_err().to_string();
        assert!(refused.contains("finance.acme.internal") && refused.contains("more than 64"), "{refused}");
    }
    let many: Vec<_> =
        (0..=limits::TRUST_DOMAINS.default).map(|number| item(&format!("d{number}.x"), vec![])).collect();
    assert!(read_bundles(&many).is_err());
}

proptest! {
    #[test]
    fn whatever_comes_nothing_panics(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..3)) {
        if let Ok(told) = read_bundles(&items) {
            let _ = usable_bundles(1, &told);
        }
    }
}
