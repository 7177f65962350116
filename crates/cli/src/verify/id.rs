//! `verify id`: whether a text is a SPIFFE ID.

use types::spiffe::SpiffeIdError;
use types::{SpiffeId, TrustDomain};

use super::verdict::{Failing, Verdict};
use crate::args::VerifyId;
use crate::env::Env;
use crate::exit::Outcome;

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &VerifyId, env: &Env) -> Outcome {
    verdict(&args.text).tell(args.json, env)
}

fn verdict(text: &str) -> Verdict {
    let parsed = SpiffeId::parse(text);
    let failed = parsed.as_ref().err().map(|first| broken(text, *first)).unwrap_or_default();
    let facts = parsed.map(|id| {
        let domain = ("trust_domain", id.trust_domain().to_string());
        let path = (!id.path().is_empty()).then(|| ("path", id.path().to_owned()));
        [domain].into_iter().chain(path).collect()
    });
    Verdict { kind: "spiffe-id", subject: text.to_owned(), at: None, facts: facts.unwrap_or_default(), failed }
}

/// What the parser stopped at, and what it would stop at in the other parts of the text.
fn broken(text: &str, first: SpiffeIdError) -> Vec<Failing> {
    let mut found = vec![first];
    if let Some(rest) = text.strip_prefix("spiffe://") {
        let (name, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        found.extend(TrustDomain::parse(name).err());
        let segments =
            path.split('/').skip(1).filter_map(|segment| SpiffeId::parse(&format!("spiffe://x/{segment}")).err());
        found.extend(segments);
    }
    let mut failed: Vec<Failing> = Vec::new();
    for error in found {
        let one = Failing { rule: rule(text, error), detail: error.to_string() };
        if !failed.iter().any(|other| (other.rule, &other.detail) == (one.rule, &one.detail)) {
            failed.push(one);
        }
    }
    failed
}

/// The rule behind an error. What fails only for its upper case is told so.
fn rule(text: &str, error: SpiffeIdError) -> &'static str {
    let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
    let name = rest.split('/').next().unwrap_or_default();
    let is_case = match error {
        SpiffeIdError::WrongScheme => scheme.eq_ignore_ascii_case("spiffe"),
        SpiffeIdError::BadTrustDomainCharacter => TrustDomain::parse(&name.to_ascii_lowercase()).is_ok(),
        _ => false,
    };
    match error {
        _ if is_case => "ID-5",
        SpiffeIdError::WrongScheme | SpiffeIdError::EmptyTrustDomain => "ID-1",
        SpiffeIdError::TrustDomainTooLong | SpiffeIdError::BadTrustDomainCharacter => "ID-2",
        SpiffeIdError::EmptySegment | SpiffeIdError::DotSegment | SpiffeIdError::BadPathCharacter => "ID-3",
        SpiffeIdError::TooLong => "ID-4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        verdict(text).failed.iter().map(|one| one.rule).collect()
    }

    #[test]
    fn each_part_that_is_wrong_is_told() {
        assert_eq!(rules("spiffe://example.org/a/b"), [""; 0]);
        assert_eq!(rules("spiffe://example.org"), [""; 0]);
        assert_eq!(rules("https://example.org/a"), ["ID-1"]);
        assert_eq!(rules("spiffe:///a"), ["ID-1"]);
        assert_eq!(rules("SPIFFE://example.org/a"), ["ID-5"]);
        assert_eq!(rules("spiffe://Example.org/a"), ["ID-5"]);
        assert_eq!(rules("spiffe://user@example.org/a"), ["ID-2"]);
        assert_eq!(rules("spiffe://example.org:80/a/../b//"), ["ID-2", "ID-3", "ID-3"]);
        assert_eq!(rules(&format!("spiffe://example.org/{}", "a".repeat(2_048)))[0], "ID-4");
        assert_eq!(rules(""), ["ID-1"]);
    }

    /// The verdict is the parser's, whatever else is listed.
    #[test]
    fn what_is_listed_agrees_with_the_parser() {
        for text in ["spiffe://a", "spiffe://a/", "spiffe://a/.", "spiffe://a/b c", "spiffe://A/B", "x", "spiffe://a?b"]
        {
            assert_eq!(SpiffeId::parse(text).is_ok(), rules(text).is_empty(), "{text}");
        }
    }
}
