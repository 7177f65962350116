//! What the map shows: domains with their services and callers, and the calls of some time between them.

use std::collections::{BTreeMap, BTreeSet};

use api::admin::{Answer, Count, MapDomain};

use crate::show::{count, cut, grouped, number};

/// With more boxes than this, domains that nobody opened are drawn as one box each.
const ROOMY: usize = 64;
/// Callers that are no workloads of ours, one box each up to here.
const STRANGERS: usize = 6;
/// The group of callers that are no workloads of ours.
pub(crate) const OUTSIDE: &str = "outside";
/// The box of calls without an identity.
pub(crate) const NOBODY: &str = "(no identity)";
/// Routes that an edge names.
const ROUTES: usize = 6;

/// What a box stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// It can be called.
    Service,
    /// It calls only.
    Caller,
    /// A whole domain.
    Domain,
}

/// A box.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    /// Unlike that of any other: `finance/ledger`, or a domain's name.
    pub key: String,
    /// What stands in it.
    pub label: String,
    /// What stands behind it: a sensitivity, `""` for nothing.
    pub detail: String,
    pub kind: Kind,
}

/// A container of boxes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub name: String,
    /// The word for its mode, `""` for none.
    pub mode: &'static str,
    /// What `check` lists as relaxed.
    pub relaxed: Vec<String>,
    /// The highest sensitivity of its services, 0 to 3; absent where it has none.
    pub band: Option<u8>,
    pub nodes: Vec<Node>,
    /// Whether it is drawn as one box.
    pub is_closed: bool,
}

/// All calls of one box to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub from: String,
    pub to: String,
    pub allow: u64,
    pub would: u64,
    pub deny: u64,
    /// How often which route, the most frequent first.
    pub routes: Vec<(String, u64)>,
}

impl Call {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.allow + self.would + self.deny
    }

    /// What a pointer is told, in one sentence.
    pub fn told(&self, minutes: u64) -> String {
        let mut text = format!("{} → {}: {}", self.from, self.to, rate(self.total(), minutes));
        if self.would > 0 {
            text.push_str(&format!(", {} would be refused", grouped(self.would)));
        }
        if self.deny > 0 {
            text.push_str(&format!(", {} refused", grouped(self.deny)));
        }
        for (place, (route, times)) in self.routes.iter().take(ROUTES).enumerate() {
            text.push_str(&format!("{}{route} {}", if place == 0 { "; " } else { ", " }, grouped(*times)));
        }
        match self.routes.len().saturating_sub(ROUTES) {
            0 => text,
            more => text + &format!(" and {}", count(number(more), "more route", "more routes")),
        }
    }
}

/// `120 calls in 15 minutes, 8 a minute`.
pub(crate) fn rate(total: u64, minutes: u64) -> String {
    let all = format!("{} in {}", count(total, "call", "calls"), count(minutes, "minute", "minutes"));
    match total / minutes.max(1) {
        0 => all,
        each => format!("{all}, {} a minute", grouped(each)),
    }
}

/// What is drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Model {
    pub groups: Vec<Group>,
    pub calls: Vec<Call>,
    /// Refusals before a service was known, which no edge can show.
    pub nowhere: u64,
    /// Whether some domain is drawn as one box.
    pub is_folded: bool,
}

impl Model {
    /// Puts the map together. `open` names the domains that are drawn whole however many boxes there are.
    pub fn of(domains: &[MapDomain], counts: &[Count], open: &BTreeSet<String>) -> Self {
        let boxes: usize = domains.iter().map(|domain| domain.services.len() + domain.workloads.len()).sum();
        let is_closed = |domain: &MapDomain| boxes > ROOMY && !open.contains(&domain.name);
        let mut groups: Vec<Group> = domains.iter().map(|domain| group(domain, is_closed(domain))).collect();
        let known = Known::of(domains, &groups, counts);
        let calls = calls(&known, counts);
        if !known.strangers.is_empty() {
            groups.insert(0, known.outside());
        }
        let nowhere = counts.iter().filter(|line| known.target(&line.service).is_none()).map(|line| line.count).sum();
        let is_folded = groups.iter().any(|group| group.is_closed);
        Self { groups, calls, nowhere, is_folded }
    }
}

fn group(domain: &MapDomain, is_closed: bool) -> Group {
    let services = domain.services.iter().map(|service| Node {
        key: format!("{}/{}", domain.name, service.name),
        label: service.name.clone(),
        detail: service.sensitivity.clone(),
        kind: Kind::Service,
    });
    let callers = domain.workloads.iter().map(|workload| Node {
        key: format!("{}/{workload}", domain.name),
        label: workload.clone(),
        detail: String::new(),
        kind: Kind::Caller,
    });
    let whole = || {
        let label = format!(
            "{}, {}",
            count(number(domain.services.len()), "service", "services"),
            count(number(domain.workloads.len()), "caller", "callers")
        );
        Node { key: domain.name.clone(), label, detail: String::new(), kind: Kind::Domain }
    };
    Group {
        name: domain.name.clone(),
        mode: domain.mode.as_str(),
        relaxed: domain.relaxed.clone(),
        band: domain.services.iter().map(|service| band(&service.sensitivity)).max(),
        nodes: if is_closed { vec![whole()] } else { services.chain(callers).collect() },
        is_closed,
    }
}

/// The place of a sensitivity in its order; what is not known counts as the highest.
pub(crate) fn band(sensitivity: &str) -> u8 {
    match sensitivity {
        "public" => 0,
        "internal" => 1,
        "confidential" => 2,
        _ => 3,
    }
}

/// Which box stands for a workload or service.
struct Known {
    boxes: BTreeMap<String, String>,
    strangers: BTreeMap<String, String>,
}

impl Known {
    fn of(domains: &[MapDomain], groups: &[Group], counts: &[Count]) -> Self {
        let mut boxes = BTreeMap::new();
        for (domain, group) in domains.iter().zip(groups) {
            let services = domain.services.iter().map(|service| &service.name);
            for name in services.chain(&domain.workloads) {
                let id = format!("{}/{name}", domain.name);
                let stands = if group.is_closed { domain.name.clone() } else { id.clone() };
                boxes.insert(id, stands);
            }
        }
        let mut strangers = BTreeMap::new();
        for line in counts.iter().filter(|line| boxes.contains_key(&line.service) && !boxes.contains_key(&line.caller))
        {
            let many = strangers.len() >= STRANGERS;
            let stands = match line.caller.as_str() {
                "" => NOBODY.to_owned(),
                _ if many => "others".to_owned(),
                caller => caller.to_owned(),
            };
            strangers.entry(line.caller.clone()).or_insert(stands);
        }
        Self { boxes, strangers }
    }

    fn target(&self, service: &str) -> Option<&String> {
        self.boxes.get(service)
    }

    fn source(&self, caller: &str) -> Option<&String> {
        self.boxes.get(caller).or_else(|| self.strangers.get(caller))
    }

    fn outside(&self) -> Group {
        let keys: BTreeSet<&String> = self.strangers.values().collect();
        let node = |key: &String| Node {
            key: key.clone(),
            label: cut(key.trim_start_matches("spiffe://"), 30),
            detail: String::new(),
            kind: Kind::Caller,
        };
        Group {
            name: OUTSIDE.to_owned(),
            mode: "",
            relaxed: Vec::new(),
            band: None,
            nodes: keys.into_iter().map(node).collect(),
            is_closed: false,
        }
    }
}

fn calls(known: &Known, counts: &[Count]) -> Vec<Call> {
    type Sums = ([u64; 3], BTreeMap<String, u64>);
    let mut sums: BTreeMap<(String, String), Sums> = BTreeMap::new();
    for line in counts {
        let (Some(from), Some(to)) = (known.source(&line.caller), known.target(&line.service)) else { continue };
        let (answers, routes) = sums.entry((from.clone(), to.clone())).or_default();
        let [allow, would, deny] = answers;
        match line.answer {
            Answer::Allow => *allow += line.count,
            Answer::WouldDeny => *would += line.count,
            Answer::Deny => *deny += line.count,
        }
        *routes.entry(format!("{} {}", line.method, line.template)).or_default() += line.count;
    }
    let call = |((from, to), ([allow, would, deny], routes)): ((String, String), Sums)| {
        let mut routes: Vec<(String, u64)> = routes.into_iter().collect();
        routes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Call { from, to, allow, would, deny, routes }
    };
    sums.into_iter().map(call).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use api::admin::MapService;
    use types::Mode;

    use super::*;

    pub(crate) fn domain(name: &str, services: usize, workloads: usize) -> MapDomain {
        let service = |index: usize| MapService {
            name: format!("service-{index}"),
            sensitivity: ["public", "internal", "confidential", "restricted"][index % 4].into(),
            hosts: Vec::new(),
            routes: vec!["GET /".into()],
        };
        MapDomain {
            name: name.into(),
            mode: Mode::Enforce,
            relaxed: Vec::new(),
            services: (0..services).map(service).collect(),
            workloads: (0..workloads).map(|index| format!("caller-{index}")).collect(),
        }
    }

    pub(crate) fn line(caller: &str, service: &str, answer: Answer, count: u64) -> Count {
        Count {
            caller: caller.into(),
            service: service.into(),
            method: "GET".into(),
            template: "/".into(),
            answer,
            check: String::new(),
            reason: String::new(),
            count,
        }
    }

    #[test]
    fn calls_of_one_pair_are_one_edge_that_says_everything() {
        let counts = [
            line("a/caller-0", "a/service-0", Answer::Allow, 118),
            line("a/caller-0", "a/service-0", Answer::Deny, 2),
            line("", "", Answer::Deny, 7),
            line("", "a/service-0", Answer::WouldDeny, 1),
        ];
        let model = Model::of(&[domain("a", 1, 1)], &counts, &BTreeSet::new());
        assert_eq!(model.nowhere, 7);
        assert_eq!(model.groups.len(), 2);
        let told: Vec<String> = model.calls.iter().map(|call| call.told(15)).collect();
        assert_eq!(
            told,
            [
                "(no identity) → a/service-0: 1 call in 15 minutes, 1 would be refused; GET / 1",
                "a/caller-0 → a/service-0: 120 calls in 15 minutes, 8 a minute, 2 refused; GET / 120",
            ]
        );
    }

    #[test]
    fn many_boxes_are_folded_by_domain_and_opened_by_name() {
        let domains: Vec<MapDomain> = (0..8).map(|index| domain(&format!("d{index}"), 25, 10)).collect();
        let counts = [
            line("d0/caller-0", "d1/service-0", Answer::Allow, 1),
            line("d0/caller-1", "d1/service-2", Answer::Allow, 1),
        ];
        let folded = Model::of(&domains, &counts, &BTreeSet::new());
        assert_eq!((folded.groups.iter().map(|group| group.nodes.len()).sum::<usize>(), folded.calls.len()), (8, 1));
        let opened = Model::of(&domains, &counts, &BTreeSet::from(["d1".to_owned()]));
        assert_eq!((opened.groups.iter().map(|group| group.nodes.len()).sum::<usize>(), opened.calls.len()), (42, 2));
    }

    #[test]
    fn a_flood_of_strangers_gets_few_boxes() {
        let counts: Vec<Count> =
            (0..500).map(|index| line(&format!("spiffe://x/{index}"), "a/service-0", Answer::Deny, 1)).collect();
        let model = Model::of(&[domain("a", 1, 0)], &counts, &BTreeSet::new());
        assert_eq!(model.groups.first().unwrap().nodes.len(), STRANGERS + 1);
        assert_eq!(model.calls.iter().map(Call::total).sum::<u64>(), 500);
    }
}
