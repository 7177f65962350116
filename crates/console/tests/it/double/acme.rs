//! The example organisation: who calls what, what its services are, and how a story of it goes.

use api::admin::{Answer, Decision, Identity, MapDomain, MapService, Step, StepResult};
use types::Mode;

use super::{Double, World};

/// Calls of one kind: caller, service, method, template, how many in a quarter of an hour, answer, reason, check.
pub(super) type Kind =
    (&'static str, &'static str, &'static str, &'static str, u64, Answer, &'static str, &'static str);

pub(super) const KINDS: &[Kind] = &[
    ("finance/payments", "finance/ledger", "POST", "/entries", 118, Answer::Allow, "", ""),
    ("finance/payments", "finance/ledger", "GET", "/accounts/{number}", 42, Answer::Allow, "", ""),
    ("finance/payments", "hr/payroll", "GET", "/runs/{month}/total", 12, Answer::Allow, "", ""),
    ("finance/payments", "internal-tools/expenses", "GET", "/reports/{id}", 17, Answer::Allow, "", ""),
    ("finance/treasury", "finance/ledger", "GET", "/balances", 31, Answer::Allow, "", ""),
    ("finance/treasury", "internal-tools/directory", "GET", "/colleagues/{handle}", 9, Answer::Allow, "", ""),
    ("finance/month-end", "finance/ledger", "POST", "/periods/{month}/closing", 2, Answer::Allow, "", ""),
    ("finance/ledger", "platform/audit", "POST", "/events", 160, Answer::Allow, "", ""),
    ("finance/invoices", "platform/audit", "POST", "/events", 38, Answer::Allow, "", ""),
    ("hr/payroll", "finance/invoices", "POST", "/invoices", 4, Answer::Allow, "", ""),
    ("hr/people", "platform/audit", "POST", "/events", 22, Answer::Allow, "", ""),
    ("hr/portal", "hr/payroll", "GET", "/payslips/{id}", 26, Answer::Allow, "", ""),
    ("hr/portal", "internal-tools/directory", "GET", "/teams", 13, Answer::Allow, "", ""),
    ("hr/portal", "platform/status", "GET", "/status", 15, Answer::Allow, "", ""),
    ("hr/onboarding", "hr/people", "POST", "/people", 3, Answer::Allow, "", ""),
    ("hr/compensation", "hr/payroll", "GET", "/salaries/{id}", 6, Answer::Allow, "", ""),
    ("internal-tools/directory", "hr/people", "GET", "/people/{id}", 51, Answer::Allow, "", ""),
    ("internal-tools/search", "internal-tools/directory", "GET", "/search", 64, Answer::Allow, "", ""),
    (
        "internal-tools/search",
        "hr/people",
        "GET",
        "/people",
        9,
        Answer::WouldDeny,
        "requires.identity",
        "requires.identity",
    ),
    ("internal-tools/expenses", "finance/ledger", "GET", "/accounts/{number}", 14, Answer::Allow, "", ""),
    ("internal-tools/expenses", "finance/invoices", "POST", "/invoices", 8, Answer::Allow, "", ""),
    ("internal-tools/intranet", "platform/status", "GET", "/incidents", 20, Answer::Allow, "", ""),
    ("internal-tools/chatops", "platform/deploys", "POST", "/deploys", 5, Answer::Allow, "", ""),
    (
        "internal-tools/chatops",
        "platform/deploys",
        "POST",
        "/deploys/{id}/approval",
        3,
        Answer::WouldDeny,
        "policy.forbidden",
        "policy.freeze-on-friday",
    ),
    ("platform/access", "hr/people", "GET", "/people", 7, Answer::Allow, "", ""),
    ("platform/oncall", "platform/status", "PATCH", "/incidents/{id}", 4, Answer::Allow, "", ""),
    ("platform/ci", "platform/deploys", "POST", "/deploys", 11, Answer::Allow, "", ""),
    ("platform/ci", "hr/payroll", "GET", "/salaries/{id}", 9, Answer::Deny, "consent.provider", "consent"),
    ("platform/ci", "finance/ledger", "GET", "/accounts/{number}", 5, Answer::Deny, "consent.provider", "consent"),
    ("platform/ci", "hr/people", "GET", "/people/{id}/contact", 4, Answer::Deny, "policy.no-permit", "permit"),
    ("", "finance/ledger", "GET", "/accounts", 2, Answer::Deny, "requires.identity", "requires.identity"),
    ("", "", "", "", 3, Answer::Deny, "identity.missing", ""),
];

/// A permit that comes near.
pub(super) const NEAR_SOURCE: &str = "@id(\"directory-reads-people\")\n@reason(\"The directory shows names, teams and phones.\")\npermit (\n  principal in Domain::\"internal-tools\",\n  action == Action::\"GET\",\n  resource in Service::\"hr/people\"\n) when {\n  resource.sensitivity < 3 && context.risk < 40\n};\n";

/// The domains of a world.
pub(super) fn map(double: &Double) -> Vec<MapDomain> {
    let service = |name: &str, sensitivity: &str, routes: &[&str]| MapService {
        name: name.into(),
        sensitivity: sensitivity.into(),
        hosts: vec![double.foreign(&format!("{name}.acme.internal"))],
        routes: routes.iter().map(|route| (*route).to_owned()).collect(),
    };
    let domain = |name: &str, mode, relaxed: &[&str], services: Vec<MapService>, workloads: &[&str]| MapDomain {
        name: name.into(),
        mode,
        relaxed: relaxed.iter().map(|line| double.foreign(line)).collect(),
        services,
        workloads: workloads.iter().map(|name| (*name).to_owned()).collect(),
    };
    match double.world {
        World::Empty => Vec::new(),
        World::Large => (0..12)
            .map(|at| {
                let services = (0..17).map(|n| {
                    service(
                        &format!("service-{n}"),
                        ["public", "internal", "confidential", "restricted"][(at + n) % 4],
                        &["GET /things/{id}"],
                    )
                });
                domain(
                    &format!("domain-{at}"),
                    Mode::ALL[at % 3],
                    &[],
                    services.collect(),
                    &["caller-0", "caller-1", "caller-2", "caller-3", "caller-4"],
                )
            })
            .collect(),
        World::Acme | World::Hostile => vec![
            domain(
                "finance",
                Mode::Enforce,
                &[],
                vec![
                    service("ledger", "confidential", &["POST /entries", "GET /balances", "GET /accounts/{number}"]),
                    service("invoices", "internal", &["POST /invoices"]),
                ],
                &["payments", "month-end", "treasury"],
            ),
            domain(
                "hr",
                Mode::Enforce,
                &["requires.identity: shadow"],
                vec![
                    service("people", "confidential", &["GET /people", "GET /people/{id}/contact"]),
                    service("payroll", "restricted", &["GET /salaries/{id}", "GET /payslips/{id}"]),
                ],
                &["portal", "onboarding", "compensation"],
            ),
            domain(
                "internal-tools",
                Mode::Shadow,
                &[],
                vec![
                    service("directory", "internal", &["GET /teams", "GET /search"]),
                    service("expenses", "confidential", &["GET /reports/{id}"]),
                ],
                &["search", "intranet", "chatops"],
            ),
            domain(
                "platform",
                Mode::Enforce,
                &[],
                vec![
                    service("deploys", "internal", &["POST /deploys"]),
                    service("audit", "confidential", &["POST /events"]),
                    service("status", "public", &["GET /status"]),
                ],
                &["ci", "access", "oncall"],
            ),
        ],
    }
}

/// What each step found.
pub(super) fn steps(decision: &Decision) -> Vec<Step> {
    let step = |name: &str, result, summary: &str, facts: &[&str]| Step {
        name: name.into(),
        result,
        summary: summary.into(),
        facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
    };
    let refused = |stage: &str| decision.reason.starts_with(stage);
    let shadowed = decision.noted.first();
    let spiffe = match &decision.identity {
        Identity::Verified(certificate) => certificate.spiffe_id.clone(),
        Identity::Unidentified { claimed } => claimed.clone(),
    };
    let order = [
        "identity", "parse", "route", "signals", "limits", "risk", "consent", "requires", "policy", "record",
        "upstream",
    ];
    let stop = order.iter().position(|name| refused(name)).unwrap_or(order.len());
    let one = |(place, name): (usize, &&str)| match *name {
        "record" => step(name, StepResult::Passed, "lane worker-0", &["record 812"]),
        _ if place == stop => step(
            name,
            StepResult::Refused,
            "the called domain does not accept calls from the caller's domain",
            &[decision.reason.as_str(), decision.note.as_str(), "domains/hr/domain.yaml:7"],
        ),
        _ if place > stop => step(name, StepResult::NotReached, "not reached", &[]),
        "identity" => step(name, StepResult::Passed, "verified", &[spiffe.as_str()]),
        "parse" => step(name, StepResult::Passed, "one canonical form", &[]),
        "route" => step(
            name,
            StepResult::Passed,
            &format!("{} {} {}", decision.service, decision.method, decision.template),
            &[],
        ),
        "signals" => step(name, StepResult::Passed, "nothing about this caller", &["epoch 4,211"]),
        "limits" => step(name, StepResult::Passed, "within", &[]),
        "risk" => step(name, StepResult::Noted, "50", &["unknown caller, default"]),
        "consent" => step(name, StepResult::Passed, "given by both sides", &[]),
        "requires" if shadowed.is_some() => step(
            name,
            StepResult::WouldRefuse,
            "a verified identity is required",
            &["requires.identity", "mode shadow: domains/hr/domain.yaml:3"],
        ),
        "requires" => step(name, StepResult::Passed, "met", &[]),
        "policy" => step(name, StepResult::Passed, "permitted", &["finance/payments-posts-entries"]),
        _ => step(name, StepResult::Passed, "status 200", &["2,048 bytes of response body"]),
    };
    order.iter().enumerate().map(one).collect()
}
