//! Every list goes both ways, and what cannot be understood never counts as more than it is.

mod bundles;
mod held;
mod registrations;
mod selectors;
mod succession;

use api::wire;
use prost::Message;
use signal::{Revocation, Subject};
use types::{Timestamp, TrustDomain};

use super::*;

fn organisation() -> TrustDomain {
    TrustDomain::parse("acme.internal").unwrap()
}

fn revocation(subject: &str) -> Revocation {
    Revocation {
        subject: Subject::parse(subject, &organisation()).unwrap(),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::from_micros(5),
        until: Some(Timestamp::from_micros(9)),
        epoch: 3,
    }
}

#[test]
fn revocations_go_both_ways_and_what_is_not_understood_is_counted() {
    let all = ["finance/payments", "serial:5c1e01", &format!("key:{}", "0f".repeat(32))].map(revocation);
    let mut items: Vec<Vec<u8>> = all.iter().map(revocation_item).collect();
    let later = wire::Revocation { subject: "aura:green".to_owned(), ..wire::Revocation::default() };
    items.push(later.encode_to_vec());
    items.push(vec![0xff]);
    let read = read_revocations(items.iter().map(Vec::as_slice), &organisation()).unwrap();
    assert_eq!((read.known.as_slice(), read.unknown), (all.as_slice(), 2));
}

#[test]
fn the_order_of_items_makes_no_difference_and_their_borders_do() {
    let digest_of = |items: &[&[u8]]| digest(items.iter().copied());
    assert_eq!(digest_of(&[b"a", b"b"]), digest_of(&[b"b", b"a"]));
    assert_ne!(digest_of(&[b"ab"]), digest_of(&[b"a", b"b"]));
    assert_ne!(digest_of(&[]), digest_of(&[b""]));
}
