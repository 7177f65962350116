//! SPIFFE IDs: every case of the suite, and MUST by MUST ID-1 to ID-6.

use proptest::prelude::*;
use types::spiffe::SpiffeIdError;
use types::{SpiffeId, TrustDomain};

use crate::vectors::{own, settle};

#[test]
fn the_spiffe_id_suite_is_answered_as_it_says() {
    let suite = own("spiffe-id.json");
    let cases = suite["cases"].as_array().unwrap();
    let mut differing = Vec::new();
    for case in cases {
        let parsed = SpiffeId::parse(case["input"].as_str().unwrap());
        let as_it_says = match &parsed {
            Err(_) => case["valid"] == false,
            Ok(id) => {
                case["valid"] == true && case["trust_domain"] == id.trust_domain().as_str() && case["path"] == id.path()
            }
        };
        if !as_it_says {
            println!("{case} gave {parsed:?}");
            differing.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    assert!(cases.len() > 100, "the suite has shrunk");
    settle("spiffe-id", differing);
}

fn refused(uri: &str) -> SpiffeIdError {
    SpiffeId::parse(uri).unwrap_err()
}

#[test]
fn id_1_the_scheme_is_spiffe_and_only_a_name_and_a_path_follow() {
    for other in ["", "a", "spiffe:", "spiffe:/a/b", "http://a/b", "spiffe//a/b", " spiffe://a/b", "spiffes://a/b"] {
        assert_eq!(refused(other), SpiffeIdError::WrongScheme, "{other}");
    }
    for empty in ["spiffe://", "spiffe:///b"] {
        assert_eq!(refused(empty), SpiffeIdError::EmptyTrustDomain, "{empty}");
    }
    for extra in ["spiffe://user@a/b", "spiffe://a:443/b", "spiffe://u:p@a/b", "spiffe://a?q", "spiffe://a#f"] {
        assert_eq!(refused(extra), SpiffeIdError::BadTrustDomainCharacter, "{extra}");
    }
    for extra in ["spiffe://a/b?q", "spiffe://a/b#f", "spiffe://a/b?", "spiffe://a/b#"] {
        assert_eq!(refused(extra), SpiffeIdError::BadPathCharacter, "{extra}");
    }
}

#[test]
fn id_2_a_trust_domain_has_a_fixed_alphabet_and_at_most_255_bytes() {
    for good in ["a", "example.org", "a-b_c.9", "127.0.0.1", "..", "-"] {
        assert_eq!(TrustDomain::parse(good).unwrap().as_str(), good);
    }
    for bad in ["A", "exämple.org", "a b", "a%41", "a/b", "a:1", "[::1]", "a\u{0}"] {
        assert_eq!(TrustDomain::parse(bad), Err(SpiffeIdError::BadTrustDomainCharacter), "{bad}");
    }
    assert!(TrustDomain::parse(&"a".repeat(255)).is_ok());
    assert_eq!(TrustDomain::parse(&"a".repeat(256)), Err(SpiffeIdError::TrustDomainTooLong));
    assert_ne!(TrustDomain::parse("example.org."), TrustDomain::parse("example.org"), "it is no DNS name");
}

#[test]
fn id_3_a_path_is_made_of_plain_segments() {
    for good in ["spiffe://a", "spiffe://a/b", "spiffe://a/b/c", "spiffe://a/...", "spiffe://a/.b", "spiffe://a/B-_9."]
    {
        assert_eq!(SpiffeId::parse(good).unwrap().as_str(), good);
    }
    for empty in ["spiffe://a/", "spiffe://a//b", "spiffe://a/b/", "spiffe://a/b//c"] {
        assert_eq!(refused(empty), SpiffeIdError::EmptySegment, "{empty}");
    }
    for dots in ["spiffe://a/.", "spiffe://a/..", "spiffe://a/./b", "spiffe://a/b/../c"] {
        assert_eq!(refused(dots), SpiffeIdError::DotSegment, "{dots}");
    }
    for bad in
        ["spiffe://a/%41", "spiffe://a/b c", "spiffe://a/ä", "spiffe://a/b~", "spiffe://a/b;c", "spiffe://a/b\\c"]
    {
        assert_eq!(refused(bad), SpiffeIdError::BadPathCharacter, "{bad}");
    }
}

#[test]
fn id_4_up_to_2048_bytes_are_accepted_and_no_more_are_made() {
    let of = |bytes: usize| format!("spiffe://a/{}", "b".repeat(bytes - "spiffe://a/".len()));
    assert_eq!(SpiffeId::parse(&of(2048)).unwrap().as_str().len(), 2048);
    assert_eq!(refused(&of(2049)), SpiffeIdError::TooLong);
    let domain = TrustDomain::parse("a").unwrap();
    assert_eq!(SpiffeId::from_segments(&domain, &[&"b".repeat(2038)]), Err(SpiffeIdError::TooLong));
}

#[test]
fn id_5_upper_case_is_refused_and_never_folded() {
    for upper in ["SPIFFE://a/b", "Spiffe://a/b"] {
        assert_eq!(refused(upper), SpiffeIdError::WrongScheme);
    }
    assert_eq!(refused("spiffe://A/b"), SpiffeIdError::BadTrustDomainCharacter);
}

#[test]
fn id_6_ids_are_compared_as_exact_text() {
    let id = |uri: &str| SpiffeId::parse(uri).unwrap();
    assert_eq!(id("spiffe://a/b"), id("spiffe://a/b"));
    for other in ["spiffe://a/B", "spiffe://a/b/c", "spiffe://a", "spiffe://a./b", "spiffe://a/b."] {
        assert_ne!(id("spiffe://a/b"), id(other));
    }
}

/// The matchers of the suite that exist here: exact comparison and membership. Nothing matches by the start of a path.
#[test]
fn the_matcher_table_is_answered_as_it_says() {
    let id = |uri: &str| SpiffeId::parse(uri).unwrap();
    let mut differing = Vec::new();
    for case in own("matchers.json").as_array().unwrap() {
        let matches = |uri: &str| match case["kind"].as_str().unwrap() {
            "id" => Some(id(case["arg"].as_str().unwrap()) == id(uri)),
            "oneof" => Some(case["arg"].as_array().unwrap().iter().any(|one| id(one.as_str().unwrap()) == id(uri))),
            _ => None,
        };
        let results = case["results"].as_object().unwrap();
        if results.iter().any(|(uri, expected)| matches(uri) != expected.as_bool()) {
            differing.push(case["matcher"].as_str().unwrap().to_owned());
        }
    }
    settle("matchers", differing);
}

proptest! {
    #[test]
    fn any_text_is_read_back_exactly_or_refused(text in ".{0,60}", path in "[a-zA-Z0-9._/%?#-]{0,40}") {
        for text in [text, format!("spiffe://example.org/{path}")] {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(id.as_str(), &text);
                let segments: Vec<&str> = id.segments().collect();
                prop_assert_eq!(SpiffeId::from_segments(id.trust_domain(), &segments), Ok(id.clone()));
            }
        }
    }
}
