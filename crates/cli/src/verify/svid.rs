//! `verify svid`: an X.509-SVID against the roots of its trust domain.

use identity::{examine, verify};
use runtime::clock::SystemClock;
use rustls::pki_types::CertificateDer;
use types::Clock;

use super::verdict::{Failing, Verdict};
use crate::args::VerifySvid;
use crate::env::Env;
use crate::exit::{Failed, Outcome};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or a bundle is none.
pub fn run(args: &VerifySvid, env: &Env) -> Outcome {
    let bundles = super::bundles(&args.with.bundles)?;
    let text = super::text(&args.chain, "the certificate")?;
    let chain = control::pem::read_certificates(&text).filter(|chain| !chain.is_empty()).ok_or_else(|| {
        Failed::new(format!("`{}` holds no certificate in PEM", args.chain.display()))
            .hint("the leaf comes first, then intermediates; from DER: openssl x509 -inform DER -in FILE")
    })?;
    let chain: Vec<CertificateDer<'_>> = chain.into_iter().map(CertificateDer::from).collect();
    let at = args.with.at.unwrap_or_else(|| SystemClock.now());
    let verdict = match verify(&chain, &bundles, at) {
        Ok(peer) => Verdict {
            kind: "x509-svid",
            subject: peer.spiffe_id().to_string(),
            at: Some(at),
            facts: facts(&peer),
            failed: Vec::new(),
        },
        Err(first) => {
            let mut all = examine(&chain, &bundles, at);
            // whatever the examination says, what the verifier refused for is told
            if !all.iter().any(|one| (one.rule, &one.detail) == (first.rule, &first.detail)) {
                all.insert(0, first.clone());
            }
            let claimed = first.claimed.or_else(|| all.iter().find_map(|one| one.claimed.clone()));
            Verdict {
                kind: "x509-svid",
                subject: claimed.map(|id| id.to_string()).unwrap_or_default(),
                at: Some(at),
                facts: Vec::new(),
                failed: all.into_iter().map(|one| Failing { rule: one.rule, detail: one.detail }).collect(),
            }
        }
    };
    verdict.tell(args.with.json, env)
}

fn facts(peer: &identity::VerifiedPeer) -> Vec<(&'static str, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut facts = vec![
        ("serial", peer.serial().to_owned()),
        ("not_before", peer.not_before().to_string()),
        ("not_after", peer.not_after().to_string()),
        ("sha256", hex(peer.sha256())),
        ("key_sha256", hex(peer.key_sha256())),
    ];
    facts.extend(peer.via().map(|operator| ("via", operator.to_owned())));
    facts.extend(peer.node().map(|node| ("node", node.to_owned())));
    if !peer.predecessors().is_empty() {
        let serials: Vec<&str> = peer.predecessors().iter().map(|one| one.serial.as_str()).collect();
        facts.push(("follows", serials.join(" ")));
    }
    facts
}
