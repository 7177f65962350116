//! What a candidate checks less strictly than the current revision, a sentence each.

use std::collections::BTreeSet;

use policy::model::{self, Effect, Modes, PolicyMode, Unlisted};
use types::{CanonicalRequest, KeyKind, Label, Mode, PolicyId, ServiceId, Template, template::Segment};

use crate::{
    operator::Owner,
    organisation::spoken,
    revision::{Domain, Revision, Service},
    stale::Stale,
};

/// All that loosens a check. What a domain that is new says itself is no loosening: it needs the organisation's owners
/// anyway. Of a service that is new the strictest is taken for what it was.
pub(super) fn of(current: &Revision, candidate: &Revision) -> Vec<String> {
    let mut found = Vec::new();
    // One that is new, and in shadow, refuses no less than none at all.
    let in_both = |id: &PolicyId| [current, candidate].iter().all(|of| of.policies().describe(id).is_some());
    for (name, new) in candidate.domains() {
        if let Some(old) = current.domains().get(name) {
            settings(name, old, new, &mut found);
        }
        if let (Some(old), Some(new)) = (current.model().domains.get(name), candidate.model().domains.get(name)) {
            modes(name, &old.modes, new, &in_both, &mut found);
        }
    }
    for (id, new) in candidate.services() {
        if current.domains().contains_key(id.domain()) {
            service(id, current.services().get(id).map(|old| &**old), new, &mut found);
        }
    }
    routes(current, candidate, &mut found);
    found
}

fn settings(name: &Label, old: &Domain, new: &Domain, found: &mut Vec<String>) {
    if old.owners != new.owners {
        let (old, new) = (listed(&old.owners), listed(&new.owners));
        found.push(format!("{name}: the owners change from {old} to {new}"));
    }
    if new.svid_ttl > old.svid_ttl {
        let (old, new) = (spoken(old.svid_ttl), spoken(new.svid_ttl));
        found.push(format!("{name}: certificates live {new} instead of {old}"));
    }
    if new.jwt_ttl > old.jwt_ttl {
        let (old, new) = (spoken(old.jwt_ttl), spoken(new.jwt_ttl));
        found.push(format!("{name}: JWT-SVIDs live {new} instead of {old}"));
    }
    if strength(new.key) < strength(old.key) {
        found.push(format!("{name}: keys are {} instead of {}", new.key, old.key));
    }
    let stale =
        [("when_stale", old.when_stale, new.when_stale), ("signals_stale", old.signals_stale, new.signals_stale)];
    let weaker = |old: &Stale, new: &Stale| (new.then, new.after) > (old.then, old.after);
    for (key, old, new) in stale.iter().filter(|(_, old, new)| weaker(old, new)) {
        found.push(format!("{name}: `{key}` goes from {old} to {new}"));
    }
}

/// Bits of security (NIST SP 800-57 part 1, table 2).
const fn strength(kind: KeyKind) -> u16 {
    match kind {
        KeyKind::Rsa2048 => 112,
        KeyKind::P256 => 128,
        KeyKind::P384 => 192,
    }
}

fn listed(owners: &[Owner]) -> String {
    let names: Vec<String> = owners.iter().map(|owner| format!("`{owner}`")).collect();
    if names.is_empty() { "those of the organisation".to_owned() } else { names.join(", ") }
}

fn modes(name: &Label, old: &Modes, new: &model::Domain, in_both: &dyn Fn(&PolicyId) -> bool, found: &mut Vec<String>) {
    let checks = [
        ("`requires.identity`", old.identity, new.modes.identity),
        ("`consent`", old.consent, new.modes.consent),
        ("`routes.unlisted`", old.unlisted, new.modes.unlisted),
        ("`permit`", old.permit, new.modes.permit),
        ("every other check", old.default, new.modes.default),
    ];
    for (check, old, new) in checks.iter().filter(|(_, old, new)| new < old) {
        found.push(format!("{name}: the mode of {check} goes from {old} to {new}"));
    }
    let of = |modes: &Modes, id| modes.policies.get(id).copied().unwrap_or_else(|| PolicyMode::from(modes.default));
    let named: BTreeSet<_> = old.policies.keys().chain(new.modes.policies.keys()).collect();
    for id in named.into_iter().filter(|id| in_both(id)) {
        let (before, after) = (of(old, id), of(&new.modes, id));
        let share = |it: PolicyMode| if it.mode == Mode::Enforce { 100 } else { it.enforce_for };
        if after.mode < before.mode || share(after) < share(before) {
            found.push(format!("{id}: its mode goes from {} to {}", shown(before), shown(after)));
        }
    }
}

fn shown(mode: PolicyMode) -> String {
    match mode.enforce_for {
        0 => mode.mode.to_string(),
        percent => format!("{}, enforced for {percent}% of callers", mode.mode),
    }
}

fn service(id: &ServiceId, old: Option<&Service>, new: &Service, found: &mut Vec<String>) {
    let judges = |service: &Service| matches!(service.model.unlisted, Unlisted::Judge(_));
    if judges(new) && !old.is_some_and(judges) {
        found.push(format!("{id}: `unlisted_routes` goes from deny to judge"));
    }
    if let Some(old) = old.filter(|old| new.model.sensitivity < old.model.sensitivity) {
        let (old, new) = (old.model.sensitivity.as_str(), new.model.sensitivity.as_str());
        found.push(format!("{id}: its sensitivity goes from {old} to {new}"));
    }
    let is_plain = |url: &&crate::UpstreamUrl| !url.is_loopback();
    let known: BTreeSet<String> = old.iter().flat_map(|old| &old.upstream.urls).map(ToString::to_string).collect();
    for url in new.upstream.urls.iter().filter(is_plain).filter(|url| !known.contains(&url.to_string())) {
        found.push(format!("{id}: calls leave the machine in plain text, to {url}"));
    }
}

/// Holds what the candidate makes of a request against what the current revision makes of it, for requests of every route
/// of both, whichever service that is: a new name, a nearer template or another domain excuses nothing.
fn routes(current: &Revision, candidate: &Revision, found: &mut Vec<String>) {
    let asked: BTreeSet<String> = [current, candidate].into_iter().flat_map(samples).collect();
    let mut told = BTreeSet::new();
    for request in asked.iter().filter_map(|text| request(text)) {
        let Ok((_, new)) = candidate.route(&request) else { continue };
        let old = current.route(&request).ok().map(|(_, old)| old);
        if new.insecure_open && !old.as_ref().is_some_and(|old| old.insecure_open) {
            told.insert(format!("{}: it is open to everyone", new.id));
        }
        let Some(old) = old else { continue };
        if new.sensitivity < old.sensitivity {
            let (before, after) = (old.sensitivity.as_str(), new.sensitivity.as_str());
            told.insert(format!("{}: its sensitivity goes from {before} to {after}", new.id));
        }
        // What nobody had listed counts as written without anybody having said so.
        if new.effect == Effect::Read && old.effect == Effect::Write && old.id.call().is_some() {
            told.insert(format!("{}: its effect goes from write to read", new.id));
        }
    }
    found.extend(told);
}

/// A request for each route under each of its hosts, as `METHOD HOST PATH`. One that leads to another route does no harm.
fn samples(revision: &Revision) -> Vec<String> {
    let mut samples = Vec::new();
    for service in revision.services().values() {
        for (method, template) in service.model.routes.iter().filter_map(|route| route.id.call()) {
            let path = sample(template);
            samples.extend(service.hosts.iter().map(|host| format!("{method} {} {path}", host.host())));
        }
    }
    samples
}

/// A path that a template matches.
fn sample(template: &Template) -> String {
    let parts = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => text.as_str(),
        Segment::Parameter(_) => ANY,
    });
    let path = parts.fold(String::new(), |path, part| path + "/" + part);
    if path.is_empty() { "/".to_owned() } else { path }
}

fn request(text: &str) -> Option<CanonicalRequest> {
    let (method, rest) = text.split_once(' ')?;
    let (host, target) = rest.split_once(' ')?;
    CanonicalRequest::parse(method, host, target).ok()
}

/// A segment that stands for a parameter. A literal of this very text would be taken for one.
const ANY: &str = "~any~";
