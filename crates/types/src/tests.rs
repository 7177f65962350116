//! Table and property tests of the vocabulary.

use crate::{spiffe::SpiffeIdError, *};

#[test]
fn time_is_written_as_rfc_3339() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (1_772_442_000, "2026-03-02T09:00:00.000000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
    ] {
        assert_eq!(Timestamp::from_seconds(seconds).to_string(), text);
    }
}

#[test]
fn reasons_are_unique_and_say_their_stage() {
    for reason in Reason::ALL {
        assert!(reason.code().starts_with(&format!("{}.", reason.stage().as_str())), "{reason}");
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        for text in [reason.title(), reason.hint()] {
            assert!(!text.ends_with('.') && !text.contains('!'), "{reason}: {text}");
        }
    }
    assert_eq!(Reason::from_code("policy.unknown"), None);
}

#[test]
fn failures_are_reasons_or_have_a_code_of_their_own() {
    for failure in Failure::OTHERS {
        assert_eq!(Failure::from_code(failure.code()), Some(*failure));
        assert_eq!(Reason::from_code(failure.code()), None, "{failure:?}");
        assert!(failure.code().len() <= 64, "the log cuts it");
    }
    for reason in Reason::ALL {
        assert_eq!(Failure::from_code(reason.code()), Some(Failure::Reason(*reason)));
    }
    assert_eq!(Failure::from_code(""), None);
}

#[test]
fn limits_are_named_once() {
    let mut names: Vec<_> = limits::ALL.iter().map(|limit| limit.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(all, names.len());
}

#[test]
fn labels_follow_the_grammar() {
    for good in ["a", "finance", "internal-tools", "k8s"] {
        assert!(Label::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "_gateway", "Finance", "4eyes", "a_b", "a/b", "a.b", &"x".repeat(64)] {
        assert!(Label::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn spiffe_ids_parse_exactly() {
    let id = SpiffeId::parse("spiffe://finance.acme.internal/a/b").expect("valid");
    assert_eq!(id.trust_domain().as_str(), "finance.acme.internal");
    assert_eq!(id.path(), "/a/b");
    assert_eq!(id.segments().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(SpiffeId::parse("spiffe://td").expect("valid").segments().count(), 0);
    for (uri, why) in [
        ("http://td/a", SpiffeIdError::WrongScheme),
        ("SPIFFE://td/a", SpiffeIdError::WrongScheme),
        ("spiffe:///a", SpiffeIdError::EmptyTrustDomain),
        ("spiffe://TD/a", SpiffeIdError::BadTrustDomainCharacter),
        ("spiffe://u@td/a", SpiffeIdError::BadTrustDomainCharacter),
        ("spiffe://td:1/a", SpiffeIdError::BadTrustDomainCharacter),
        ("spiffe://td/a/", SpiffeIdError::EmptySegment),
        ("spiffe://td//a", SpiffeIdError::EmptySegment),
        ("spiffe://td/../a", SpiffeIdError::DotSegment),
        ("spiffe://td/a?x", SpiffeIdError::BadPathCharacter),
        ("spiffe://td/%41", SpiffeIdError::BadPathCharacter),
    ] {
        assert_eq!(SpiffeId::parse(uri), Err(why), "{uri}");
    }
}

fn path(raw: &str) -> Result<String, Reason> {
    CanonicalRequest::parse("GET", "api.example", raw).map(|request| request.target())
}

#[test]
fn odd_targets_are_refused_and_equivalent_escapes_become_one_form() {
    for (raw, want) in [
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/a/", Ok("/a/")),
        ("/%61dmin", Ok("/admin")),
        ("/caf%c3%a9", Ok("/caf%C3%A9")),
        ("/a%20b", Ok("/a%20b")),
        ("/100%25", Ok("/100%25")),
        ("/a?b=//../%2f", Ok("/a?b=//../%2f")),
        ("/...", Ok("/...")),
        ("//", Err(Reason::ParseEmptySegment)),
        ("/a//b", Err(Reason::ParseEmptySegment)),
        ("/.", Err(Reason::ParseDotSegment)),
        ("/a/../b", Err(Reason::ParseDotSegment)),
        ("/%2e%2E/b", Err(Reason::ParseDotSegment)),
        ("/a%2fb", Err(Reason::ParseEncodedSlash)),
        ("/a%5Cb", Err(Reason::ParseBackslash)),
        ("/a\\b", Err(Reason::ParseBackslash)),
        ("/a;b", Err(Reason::ParsePathParameter)),
        ("/a%3bb", Err(Reason::ParsePathParameter)),
        ("/a%252fb", Err(Reason::ParseDoubleEncoding)),
        ("/a%252%66b", Err(Reason::ParseDoubleEncoding)),
        ("/%25%32%65", Err(Reason::ParseDoubleEncoding)),
        ("/a%00", Err(Reason::ParseBadCharacter)),
        ("/a%0d%0ab", Err(Reason::ParseBadCharacter)),
        ("/\u{e9}", Err(Reason::ParseBadCharacter)),
        ("/a b", Err(Reason::ParseBadCharacter)),
        ("/%c0%ae", Err(Reason::ParseBadEscape)),
        ("/%6", Err(Reason::ParseBadEscape)),
        ("/%zz", Err(Reason::ParseBadEscape)),
        ("/%+1", Err(Reason::ParseBadEscape)),
        ("/a#b", Err(Reason::ParseFragment)),
        ("/a?b#c", Err(Reason::ParseFragment)),
        ("/a?%", Err(Reason::ParseBadEscape)),
        ("a", Err(Reason::ParseTargetForm)),
        ("", Err(Reason::ParseTargetForm)),
        ("*", Err(Reason::ParseTargetForm)),
        ("http://api.example/a", Err(Reason::ParseTargetForm)),
    ] {
        assert_eq!(path(raw), want.map(str::to_owned), "{raw}");
    }
    assert_eq!(path(&format!("/{}", "a".repeat(4096))), Err(Reason::ParseTargetTooLong));
    assert_eq!(path(&"/a".repeat(65)), Err(Reason::ParseTargetTooLong));
    assert_eq!(path(&format!("/?{}", "a".repeat(16_385))), Err(Reason::ParseTargetTooLong));
}

#[test]
fn canonical_form_is_a_fixed_point() {
    use proptest::prelude::*;
    proptest!(|(raw in "/([ -~]|%[2-7][0-9a-f]){0,40}")| {
        if let Ok(once) = path(&raw) {
            prop_assert_eq!(path(&once), Ok(once.clone()));
        }
    });
}

#[test]
fn methods_are_case_sensitive_and_few() {
    assert_eq!("GET".parse(), Ok(Method::Get));
    for bad in ["get", "CONNECT", "TRACE", "", "BREW"] {
        assert_eq!(bad.parse::<Method>(), Err(Reason::ParseMethod), "{bad}");
    }
}

#[test]
fn hosts_are_folded_and_checked() {
    for (raw, want) in [
        ("API.Example", Ok(("api.example", None))),
        ("api.example.", Ok(("api.example", None))),
        ("api.example:8443", Ok(("api.example", Some(8443)))),
        ("", Err(Reason::ParseHost)),
        ("a..b", Err(Reason::ParseHost)),
        ("u@api.example", Err(Reason::ParseHost)),
        ("api.example:", Err(Reason::ParseHost)),
        ("api.example:99999", Err(Reason::ParseHost)),
        ("api.example:+80", Err(Reason::ParseHost)),
        ("[::1]:443", Err(Reason::ParseHost)),
        ("api.example, evil", Err(Reason::ParseHost)),
        ("api.example\\@evil", Err(Reason::ParseHost)),
    ] {
        let got = Host::parse_with_port(raw);
        assert_eq!(got.map(|(host, port)| (host.to_string(), port)), want.map(|(h, p)| (h.to_owned(), p)), "{raw}");
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect(text)
}

#[test]
fn templates_match_decoded_segments() {
    for (text, raw, want) in [
        ("/", "/", true),
        ("/", "/a", false),
        ("/entries", "/entries", true),
        ("/entries", "/entries/", false),
        ("/entries/", "/entries/", true),
        ("/entries/{id}", "/entries/7", true),
        ("/entries/{id}", "/entries/", false),
        ("/entries/{id}", "/entries/7/lines", false),
        ("/a@b", "/a%40b", true),
    ] {
        let request = CanonicalRequest::parse("GET", "h", raw).expect(raw);
        assert_eq!(template(text).matches(request.path().segments()), want, "{text} {raw}");
    }
    for bad in ["", "a", "/a//b", "/{", "/{}", "/a{b}", "/{id}/{id}", "/a b", "/..", "/%41"] {
        assert!(Template::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_literal_beats_a_parameter_and_crossed_templates_are_ambiguous() {
    for (a, b, ambiguous) in [
        ("/x/{a}", "/x/{b}", true),
        ("/{a}/x", "/y/{b}", true),
        ("/x/{a}", "/x/y", false),
        ("/x", "/y", false),
        ("/x/{a}", "/x", false),
        ("/x/{a}", "/x/", false),
    ] {
        assert_eq!(template(a).is_ambiguous_with(&template(b)), ambiguous, "{a} {b}");
        assert_eq!(template(b).is_ambiguous_with(&template(a)), ambiguous, "{b} {a}");
    }
    assert_eq!(template("/x/y").beats(&template("/x/{a}")), Some(true));
    assert_eq!(template("/x/{a}").beats(&template("/x/{b}")), None);
}

#[test]
fn ids_print_what_they_parse() {
    let id = DecisionId::new(1_772_442_000_000, [7; 10]);
    assert_eq!(id.to_string().parse(), Ok(id));
    let revision = RevisionId::from_digest([0xab; 32]);
    assert_eq!(revision.to_string().parse(), Ok(revision));
    assert_eq!(revision.short(), "abababa");
    assert_eq!("finance/payments".parse::<WorkloadId>().map(|id| id.to_string()), Ok("finance/payments".to_owned()));
    assert!("finance".parse::<WorkloadId>().is_err());
    assert!("zz".parse::<RevisionId>().is_err());
}
