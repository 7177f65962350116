//! Who claims which host: a host belongs to one domain, because it has one certificate, and a host with its prefix to
//! one service.

use std::collections::{BTreeSet, HashMap};

use types::{Host, Label, ServiceId, Template, template::Segment};

use crate::{
    decode::Spanned,
    host::HostPrefix,
    problem::{File, quote},
    routes::Listed,
};

/// A service's claims and routes, with the file in which the claims stand.
pub(crate) struct Claimant<'a> {
    pub(crate) id: ServiceId,
    pub(crate) file: File<'a>,
    pub(crate) hosts: &'a [Spanned<HostPrefix>],
    /// Whether `hosts` is all that is claimed.
    pub(crate) hosts_are_whole: bool,
    pub(crate) routes: &'a [Listed<'a>],
}

#[derive(Clone, Copy)]
struct Claim<'a> {
    by: &'a Claimant<'a>,
    host: &'a Spanned<HostPrefix>,
}

impl Claim<'_> {
    fn place(&self) -> String {
        format!("{}:{}", self.by.file.path, self.by.file.line(self.host.span.start))
    }
}

/// The claims on one host.
struct OnHost<'a> {
    first: Claim<'a>,
    /// By prefix, such as `/people`; `""` for the whole host.
    by_prefix: HashMap<&'a str, Claim<'a>>,
}

/// Reports claims that contradict each other, and routes that no claim leads to. `claimants` come in the order of their
/// files; the later of two claims is reported. Gives back the hosts of which it is not known who has them.
pub(crate) fn check(claimants: &[Claimant<'_>]) -> BTreeSet<Host> {
    let mut disputed = BTreeSet::new();
    let mut hosts: HashMap<&Host, OnHost<'_>> = HashMap::new();
    for by in claimants {
        for host in by.hosts {
            let claim = Claim { by, host };
            let new = || OnHost { first: claim, by_prefix: HashMap::new() };
            let known = hosts.entry(host.value.host()).or_insert_with(new);
            if report_contradiction(claim, known) {
                disputed.insert(host.value.host().clone());
            }
            known.by_prefix.entry(host.value.prefix()).or_insert(claim);
        }
    }
    let is_certain =
        |by: &&Claimant<'_>| by.hosts_are_whole && by.hosts.iter().all(|host| !disputed.contains(host.value.host()));
    for by in claimants.iter().filter(is_certain) {
        by.routes.iter().for_each(|route| report_unreachable(by, route, &hosts));
    }
    disputed
}

fn report_contradiction(claim: Claim<'_>, known: &OnHost<'_>) -> bool {
    let (Claimant { id, file, .. }, Spanned { value, span }) = (claim.by, claim.host);
    if known.first.by.id.domain() != id.domain() {
        let (mine, theirs): (&Label, &Label) = (id.domain(), known.first.by.id.domain());
        let host = quote(value.host().as_str());
        let message = format!("the host {host} is claimed by two domains, `{theirs}` and `{mine}`");
        let other = format!("`{}` claims it in {}", known.first.by.id, known.first.place());
        let hint = format!("{other}; a host has one certificate, so one domain");
        file.error("host.two-domains", span, message, Some(hint));
        return true;
    }
    if let Some(other) = known.by_prefix.get(value.prefix()) {
        let message = format!("the host `{value}` is claimed twice");
        let other = format!("`{}` claims it too, in {}", other.by.id, other.place());
        file.error(
            "host.claimed-twice",
            span,
            message,
            Some(format!("{other}; give one of them a prefix: `{value}/PATH`")),
        );
        return true;
    }
    false
}

/// A route is unreachable where no claim of its service covers its paths, and shadowed where on every host that could
/// lead to it a longer prefix of another service takes all of them.
fn report_unreachable(by: &Claimant<'_>, route: &Listed<'_>, hosts: &HashMap<&Host, OnHost<'_>>) {
    let mut taker = None;
    for claim in by.hosts.iter().filter(|claim| claim.value.may_cover(&route.template)) {
        let prefixes = literal_prefixes(&route.template, claim.value.depth());
        let known = hosts.get(claim.value.host());
        let mut deeper = prefixes.iter().filter_map(|prefix| known?.by_prefix.get(prefix.as_str()));
        match deeper.next_back() {
            Some(longest) if longest.by.id != by.id => taker = Some(*longest),
            Some(_) | None => return,
        }
    }
    report_route(route, taker);
}

/// The prefixes that cover all paths of a template and are deeper than `depth`, shortest first.
fn literal_prefixes(template: &Template, depth: usize) -> Vec<String> {
    let mut prefixes = Vec::new();
    let mut prefix = String::new();
    for (at, segment) in template.segments().iter().enumerate() {
        let Segment::Literal(literal) = segment else { break };
        prefix.push('/');
        prefix.push_str(literal);
        if at >= depth {
            prefixes.push(prefix.clone());
        }
    }
    prefixes
}

fn report_route(route: &Listed<'_>, taker: Option<Claim<'_>>) {
    let name = format!("{} {}", route.method, route.template);
    let (code, message, hint) = match taker {
        Some(taker) => (
            "route.shadowed",
            format!("`{name}` never comes here: `{}` takes its paths", taker.by.id),
            format!("it claims `{}` in {}; the longest prefix wins", taker.host.value, taker.place()),
        ),
        None => (
            "route.unreachable",
            format!("`{name}` lies under no host of its service"),
            "a prefix of `hosts` is never stripped: write the route with it".to_owned(),
        ),
    };
    route.file.warn(code, &route.span, message, Some(hint));
}
