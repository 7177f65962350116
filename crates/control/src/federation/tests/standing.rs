//! What may take the place of what is in force, without a network.

use std::time::Duration;

use testkit::Authority;
use types::{Timestamp, limits};

use super::super::standing::{Change, Standing, source};
use super::server::Web;
use super::{PARTNER, authority, document, federated, name, spiffe_entry, web_entry, web_entry_with_first};
use crate::fixture::revision_of;
use crate::store::KeptBundle;

fn at(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp::from_seconds(seconds))
}

fn standing(text: &str) -> Standing {
    let kept = KeptBundle { source: [0; 32], document: text.to_owned(), sequence: None, fetched: at(1) };
    Standing::kept(&name(PARTNER), &kept).unwrap()
}

/// A document with members beside the keys.
fn with_members(root: &Authority, members: &str) -> String {
    let text = document(&[root], 1);
    let keys = text.split_once("\"spiffe_").unwrap().0.trim_end_matches(',');
    if members.is_empty() { format!("{keys}}}") } else { format!("{keys},{members}}}") }
}

#[test]
fn bu_3_a_sequence_never_goes_back_and_its_absence_does_not_reset_it() {
    let root = authority();
    let held = standing(&document(&[&root], 7));
    let words = |text: &str| held.follow(text, at(2)).unwrap_err().to_string();
    assert_eq!(
        words(&document(&[&root], 6)),
        "the bundle goes back from sequence 7 to 6; the newer one is kept (BU-3)"
    );
    assert_eq!(held.follow(&document(&[&root], 7), at(2)).unwrap().sequence, Some(7));
    assert_eq!(held.follow(&document(&[&root], u64::MAX), at(2)).unwrap().sequence, Some(u64::MAX), "64 bits");
    let without = held.follow(&with_members(&root, ""), at(2)).unwrap();
    assert_eq!(without.sequence, Some(7), "the number that was seen stays");
    assert!(without.follow(&document(&[&root], 6), at(3)).is_err());
    let wrong = held.follow(&with_members(&root, "\"spiffe_sequence\":\"8\""), at(2));
    assert!(wrong.unwrap_err().to_string().contains("spiffe_sequence"));
}

#[test]
fn bu_3_the_refresh_hint_is_clamped_and_five_minutes_where_there_is_none() {
    let root = authority();
    let seconds = |limit: &limits::Limit| limit.default / 1_000;
    for (members, want) in [
        (String::new(), 300),
        ("\"spiffe_refresh_hint\":60".to_owned(), 60),
        ("\"spiffe_refresh_hint\":0".to_owned(), seconds(&limits::BUNDLE_HINT_LEAST_TIME)),
        (format!("\"spiffe_refresh_hint\":{}", u64::MAX), seconds(&limits::BUNDLE_HINT_MOST_TIME)),
    ] {
        assert_eq!(standing(&with_members(&root, &members)).interval, Duration::from_secs(want), "{members}");
    }
}

#[test]
fn what_changes_is_told_apart() {
    let (one, two) = (authority(), authority());
    let (both, first, none) = (document(&[&one, &two], 1), document(&[&one], 1), document(&[], 1));
    for (from, to, want) in [
        (&first, &first, Change::Nothing),
        (&both, &first, Change::Less),
        (&first, &both, Change::New),
        (&first, &document(&[&two], 1), Change::New),
        (&both, &none, Change::Less),
        (&none, &none, Change::Nothing),
    ] {
        assert_eq!(standing(from).change(&standing(to)), want, "{from} to {to}");
    }
}

#[test]
fn another_place_is_another_source() {
    let web = Web::new();
    let of = |entry: &str, first: &str| {
        let beside = [("first.json", first), ("web.pem", web.pem())];
        let named: Vec<_> = beside.into_iter().filter(|(path, _)| entry.contains(path)).collect();
        let revision = revision_of(&federated(entry, &named));
        source(&revision.federation()[&name(PARTNER)])
    };
    let (a, b) = (document(&[&authority()], 1), document(&[&authority()], 1));
    let url = "https://b.example/x";
    let plain = format!("{{ name: {PARTNER}, url: '{url}', profile: https_web }}");
    let all = [
        of(&plain, &a),
        of(&web_entry(url), &a),
        of(&web_entry("https://b.example/y"), &a),
        of(&web_entry_with_first(url), &a),
        of(&web_entry_with_first(url), &b),
        of(&spiffe_entry(url, "spiffe://partner.example/a"), &a),
        of(&spiffe_entry(url, "spiffe://partner.example/b"), &a),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "number {at} is an earlier one");
    }
    let private = plain.replace(" }", ", private_network: true }");
    assert_eq!(of(&private, &a), all[0], "where it is reached says nothing about who it is");
}
