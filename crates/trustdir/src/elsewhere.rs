//! Workloads whose identities another trust domain issues: each needs a trust domain that is federated, and an ID that no
//! other workload has.

use std::collections::BTreeMap;

use policy::model::Federated;
use types::{SpiffeId, TrustDomain, WorkloadId};

use crate::{
    consent::Domains,
    decode::Spanned,
    organisation::Organisation,
    problem::{File, quote},
    suggest,
};

/// Reports IDs that cannot be federated ones or that two workloads have, and gives back the rest.
pub(crate) fn check(domains: &Domains<'_>, organisation: &Organisation) -> Federated {
    let mut known: BTreeMap<SpiffeId, WorkloadId> = BTreeMap::new();
    for (domain, (file, raw)) in domains.iter().filter_map(|(name, content)| Some((name, (*content)?))) {
        for (name, workload) in raw.workloads.iter() {
            let Some(id) = &workload.spiffe_id else { continue };
            check_trust_domain(id, organisation, &file);
            let me = WorkloadId::new(domain.clone(), name.value.clone());
            if let Some(other) = known.get(&id.value).filter(|other| **other != me) {
                let message = format!("{} is `{other}` already", quote(id.value.as_str()));
                let hint = "who calls is one workload of one domain; name the ID once, and let policies and consent say what \
                            it may call elsewhere";
                file.error("workload.same-id", &id.span, message, Some(hint.to_owned()));
            }
            known.entry(id.value.clone()).or_insert(me);
        }
    }
    known.into_iter().collect()
}

fn check_trust_domain(id: &Spanned<SpiffeId>, organisation: &Organisation, file: &File<'_>) {
    let theirs = id.value.trust_domain();
    if organisation.name.as_ref().is_some_and(|own| is_own(theirs, own)) {
        let message = format!("{} is an ID of this organisation", quote(id.value.as_str()));
        let hint =
            "it is issued here: name what attests the workload, `attest: { any: [ … ] }`, in its domain".to_owned();
        return file.error("federation.own", &id.span, message, Some(hint));
    }
    if organisation.federation.has(theirs) || !organisation.federation.names_are_known {
        return;
    }
    let hint = suggest::hint(theirs.as_str(), organisation.federation.names(), "federated trust domains");
    let hint = hint.unwrap_or_else(|| {
        format!("add it to `federation` in countersign.yaml: `{{ name: {theirs}, url: …, profile: https_web }}`")
    });
    let message = format!("the trust domain {} is not federated", quote(theirs.as_str()));
    file.error("name.unknown-trust-domain", &id.span, message, Some(hint));
}

/// Whether a trust domain is the organisation's own, now or once a domain of that name is added.
pub(crate) fn is_own(name: &TrustDomain, organisation: &TrustDomain) -> bool {
    name.as_str().strip_suffix(organisation.as_str()).is_some_and(|rest| rest.ends_with('.'))
}
