//! `verify`: why a credential is or would be refused. Offline, by the code that decides calls.

mod id;
mod jwt_svid;
mod rules;
mod svid;
mod verdict;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use identity::{Bundle, BundleSet};
use types::{TrustDomain, limits};

use crate::args::Verify;
use crate::env::Env;
use crate::exit::{Failed, Outcome};
use crate::term::causes;

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, or is none of what it should be.
pub fn run(what: &Verify, env: &Env) -> Outcome {
    match what {
        Verify::Id(args) => id::run(args, env),
        Verify::Svid(args) => svid::run(args, env),
        Verify::JwtSvid(args) => jwt_svid::run(args, env),
    }
}

/// The text of a file, or of standard input for `-`.
fn text(path: &Path, what: &str) -> Result<String, Failed> {
    let shown = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    let unreadable = |why: &dyn std::fmt::Display| Failed::new(format!("{what} in `{shown}` cannot be read: {why}"));
    let most = limits::BUNDLE_BYTES.default.max(limits::FILE_BYTES.default);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(most + 1).read_to_string(&mut text))
    };
    read.map_err(|error| unreadable(&error))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > most) {
        return Err(unreadable(&format!("it is larger than {most} bytes")));
    }
    Ok(text)
}

/// The bundles that the command line names, each for its own trust domain and no other.
fn bundles(named: &[(TrustDomain, PathBuf)]) -> Result<BundleSet, Failed> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for (domain, path) in named {
        if bundles.iter().any(|bundle| bundle.trust_domain() == domain) {
            let hint = "a trust domain has one bundle: put its roots into one file";
            return Err(Failed::usage(format!("`{domain}` has two bundles")).hint(hint));
        }
        bundles.push(bundle(domain.clone(), path)?);
    }
    Ok(bundles.into_iter().collect())
}

fn bundle(domain: TrustDomain, path: &Path) -> Result<Bundle, Failed> {
    let text = text(path, "the bundle")?;
    let is_json = text.trim_start().starts_with('{');
    let read = if is_json {
        Bundle::from_document(domain.clone(), &text).map(|document| document.bundle)
    } else {
        Bundle::from_pem(domain.clone(), &text)
    };
    read.map_err(|error| {
        Failed::new(format!("the bundle of `{domain}` in `{}` cannot be used: {}", path.display(), causes(&error)))
            .hint("it is a SPIFFE bundle document (`countersign identity bundle DOMAIN`), or roots in PEM (`--pem`)")
    })
}
