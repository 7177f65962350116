//! `verify jwt-svid`: a JWT-SVID against the keys of its trust domain.

use std::path::Path;

use identity::{examine_jwt_svid, verify_jwt_svid};
use runtime::clock::SystemClock;
use types::Clock;

use super::verdict::{Failing, Verdict};
use crate::args::VerifyJwtSvid;
use crate::env::Env;
use crate::exit::{Failed, Outcome};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or a bundle is none.
pub fn run(args: &VerifyJwtSvid, env: &Env) -> Outcome {
    let bundles = super::bundles(&args.with.bundles)?;
    let token = token(&args.token)?;
    let at = args.with.at.unwrap_or_else(|| SystemClock.now());
    let verdict = match verify_jwt_svid(&token, &args.audience, &bundles, at) {
        Ok(svid) => Verdict {
            kind: "jwt-svid",
            subject: svid.spiffe_id().to_string(),
            at: Some(at),
            facts: facts(&svid),
            failed: Vec::new(),
        },
        Err(first) => {
            let mut all = examine_jwt_svid(&token, &args.audience, &bundles, at);
            // whatever the examination says, what the verifier refused for is told
            if !all.iter().any(|one| (one.rule, &one.detail) == (first.rule, &first.detail)) {
                all.insert(0, first.clone());
            }
            let claimed = first.claimed.or_else(|| all.iter().find_map(|one| one.claimed.clone()));
            Verdict {
                kind: "jwt-svid",
                subject: claimed.map(|id| id.to_string()).unwrap_or_default(),
                at: Some(at),
                facts: Vec::new(),
                failed: all.into_iter().map(|one| Failing { rule: one.rule, detail: one.detail }).collect(),
            }
        }
    };
    verdict.tell(args.with.json, env)
}

/// The token itself, that of a file, or that of standard input. The line feed at the end of a file is not part of it.
fn token(given: &str) -> Result<String, Failed> {
    let path = match given.strip_prefix('@') {
        Some(path) => path,
        None if given == "-" => given,
        None => return Ok(given.to_owned()),
    };
    let text = super::text(Path::new(path), "the token")?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

fn facts(svid: &identity::VerifiedJwtSvid) -> Vec<(&'static str, String)> {
    let mut facts = vec![("not_after", svid.expires_at().to_string())];
    facts.extend(svid.issued_at().map(|at| ("issued_at", at.to_string())));
    facts.extend(svid.key_id().map(|kid| ("key_id", kid.to_owned())));
    facts.extend(svid.claims().get("aud").map(|audience| ("audience", audience.to_string())));
    facts
}
