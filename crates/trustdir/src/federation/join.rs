//! Joins what `federation` says with the files of the folder `federation`: first bundles and roots.

use std::collections::BTreeMap;

use identity::{Bundle, BundleError};
use types::TrustDomain;

use super::{Federation, Profile, RawFederation, RawFederations, RawProfile};
use crate::{
    decode::Spanned,
    files::{Collected, Place},
    organisation::PATH,
    problem::{File, Problem, Sink, quote},
    suggest,
};

/// Joins the entries with the files that they name, reports files that cannot be used, and warns of files that none names.
pub(crate) fn join(all: &RawFederations, collected: &Collected, sink: &Sink) -> BTreeMap<TrustDomain, Federation> {
    warn_unused(all, collected, sink);
    let Some(text) = collected.texts.get(PATH) else { return BTreeMap::new() };
    let file = File { path: PATH, text, sink };
    let joined = all.entries.iter().filter_map(|entry| join_one(entry, collected, &file));
    joined.map(|federation| (federation.trust_domain.clone(), federation)).collect()
}

fn join_one(entry: &RawFederation, collected: &Collected, file: &File<'_>) -> Option<Federation> {
    let first = entry.bundle.as_ref().map(|path| first_bundle(entry, path, collected, file));
    let profile = match &entry.profile {
        RawProfile::HttpsWeb { roots: None } => Profile::HttpsWeb { roots: None },
        RawProfile::HttpsWeb { roots: Some(path) } => {
            Profile::HttpsWeb { roots: Some(web_roots(entry, path, collected, file)?) }
        }
        RawProfile::HttpsSpiffe { endpoint_id } => Profile::HttpsSpiffe { endpoint_id: endpoint_id.value.clone() },
    };
    Some(Federation {
        trust_domain: entry.name.value.clone(),
        url: entry.url.clone(),
        profile,
        private_network: entry.private_network,
        first: first.map_or(Some(None), |text| text.map(Some))?,
    })
}

fn first_bundle(entry: &RawFederation, path: &Spanned<String>, files: &Collected, file: &File<'_>) -> Option<String> {
    let content = content(path, files, file)?;
    let bundle = match Bundle::from_document(entry.name.value.clone(), content) {
        Ok(document) => document.bundle,
        Err(error) => {
            let hint = "`spire-server bundle show -format spiffe` and `countersign identity bundle` print one";
            file.sink.push(Problem::error("federation.bundle", &path.value, error.to_string()).hint(hint));
            return None;
        }
    };
    let self_serving = matches!(&entry.profile, RawProfile::HttpsSpiffe { endpoint_id }
        if *endpoint_id.value.trust_domain() == entry.name.value);
    if bundle.roots().next().is_none() {
        let message = format!("the bundle has no root: nobody of `{}` can be known by it", entry.name.value);
        file.sink.push(if self_serving {
            let hint = "nor can its endpoint: get the newest bundle from its operator";
            Problem::error("federation.bundle", &path.value, message).hint(hint)
        } else {
            let hint = "they are refused until the endpoint gives another";
            Problem::warning("federation.bundle", &path.value, message).hint(hint)
        });
    }
    Some(content.to_owned())
}

fn web_roots(
    entry: &RawFederation,
    path: &Spanned<String>,
    files: &Collected,
    file: &File<'_>,
) -> Option<Vec<Vec<u8>>> {
    // a root of the web is read by the same rules as any other: a certificate authority with a strong key
    match Bundle::from_pem(entry.name.value.clone(), content(path, files, file)?) {
        Ok(roots) => Some(roots.roots().map(<[u8]>::to_vec).collect()),
        Err(error) => {
            let hint = match error {
                BundleError::Pem => {
                    "a file of certificates, each between `-----BEGIN CERTIFICATE-----` and `-----END …`"
                }
                _ => "only roots belong there: leave servers' own certificates out",
            };
            file.sink.push(Problem::error("federation.roots", &path.value, error.to_string()).hint(hint));
            None
        }
    }
}

fn content<'c>(path: &Spanned<String>, files: &'c Collected, file: &File<'_>) -> Option<&'c str> {
    if let Some(text) = files.texts.get(&path.value) {
        return Some(text.as_str());
    }
    if !files.may_be_refused(&path.value, "federation/") {
        let names =
            files.places.iter().filter(|(_, place)| **place == Place::Federation).map(|(path, _)| path.as_str());
        let hint = suggest::hint(&path.value, names, "files");
        let hint = hint.unwrap_or_else(|| "put it into the folder `federation` of the trust directory".to_owned());
        file.error("federation.missing", &path.span, format!("there is no file {}", quote(&path.value)), Some(hint));
    }
    None
}

fn warn_unused(all: &RawFederations, collected: &Collected, sink: &Sink) {
    let names = |path: &str| {
        all.entries.iter().any(|entry| {
            let roots = match &entry.profile {
                RawProfile::HttpsWeb { roots } => roots.as_ref(),
                RawProfile::HttpsSpiffe { .. } => None,
            };
            entry.bundle.iter().chain(roots).any(|named| named.value == path)
        })
    };
    // where an entry did not read, nobody knows what it names
    let all_read = all.names_are_known && all.entries.len() == all.names.len();
    for (path, _) in collected.places.iter().filter(|(_, place)| **place == Place::Federation) {
        if all_read && !names(path) {
            let warning = Problem::warning("federation.unused", path, "no entry of `federation` names this file");
            sink.push(warning.hint("name it as `bundle` or `roots` of an entry in countersign.yaml, or remove it"));
        }
    }
}
