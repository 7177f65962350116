//! Calls of the example organisation that are refused, or would be, and what an operator is told of each: from the
//! policies' verdict over the record's facts and the story to the printed text. The texts lie in `snapshots/`.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use api::admin::{Certificate, Completion, Decision, Identity, Noted};
use control::{DirFiles, Known, explain};
use policy::{Principal, Question};
use trustdir::{Files, MemoryFiles, Revision};
use types::facts::{Outcome, Protocol};
use types::{CanonicalRequest, DecisionId, Reason, SpiffeId, Timestamp, WorkloadId};

use super::super::Palette;
use super::super::time::Times;
use super::Teller;

/// The example organisation, with changes to its files: path, text, and what is written in its place.
fn acme(changes: &[(&str, &str, &str)]) -> (Arc<Revision>, MemoryFiles) {
    let dir = DirFiles::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme"));
    let mut files = MemoryFiles::default();
    for entry in dir.list().expect("the example") {
        let mut text = String::from_utf8(dir.read(&entry.path).expect("a file")).expect("text");
        for (_, old, new) in changes.iter().filter(|(path, ..)| *path == entry.path) {
            assert!(text.contains(old), "{old} is not in {}", entry.path);
            text = text.replace(old, new);
        }
        files.insert(&entry.path, text);
    }
    let loaded = trustdir::load(&files);
    let revision = loaded.revision.unwrap_or_else(|| panic!("{:#?}", loaded.problems));
    (revision, files)
}

fn as_it_is() -> &'static (Arc<Revision>, MemoryFiles) {
    static ACME: OnceLock<(Arc<Revision>, MemoryFiles)> = OnceLock::new();
    ACME.get_or_init(|| acme(&[]))
}

/// A call: who (`nobody` for no identity), what, at which risk, when in UTC.
#[derive(Clone, Copy)]
struct Call<'a> {
    who: &'a str,
    what: &'a str,
    risk: u8,
    at: &'a str,
}

/// On a Monday, 10:00 in Berlin.
const fn call<'a>(who: &'a str, what: &'a str, risk: u8) -> Call<'a> {
    Call { who, what, risk, at: "2026-03-02T09:00:00.131Z" }
}

const fn when<'a>(who: &'a str, what: &'a str, risk: u8, at: &'a str) -> Call<'a> {
    Call { who, what, risk, at }
}

fn moment(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_micros(moment.as_microsecond().try_into().expect("after 1970"))
}

/// The record of the call, as far as it got: what the enforcer writes.
fn record(revision: &Revision, call: Call<'_>) -> Decision {
    let at = moment(call.at);
    let (method, url) = call.what.split_once(' ').expect(call.what);
    let (host, path) = url.split_once('/').expect(url);
    let mut decision = blank(call.who, host, at);
    let request = match CanonicalRequest::parse(method, host, &format!("/{path}")) {
        Ok(request) => request,
        Err(reason) => return refused(decision, reason, ""),
    };
    decision.method = request.method().to_string();
    decision.revision = Some("3f9c21e".to_owned() + &"0".repeat(57));
    let (service, route) = match revision.route(&request) {
        Ok(found) => found,
        Err(reason) => {
            let nearest = revision.nearest_route(&request).map(|route| format!("nearest: {route}"));
            return refused(decision, reason, &nearest.unwrap_or_default());
        }
    };
    if let Identity::Verified(certificate) = &decision.identity {
        let id = SpiffeId::parse(&certificate.spiffe_id).expect("an id");
        if let Err(reason) = revision.model().workload_of(&id) {
            let note = format!("the certificate names {id}");
            return refused(decision, reason, &note);
        }
    }
    decision.service = service.model.id.to_string();
    decision.template = route.id.call().map_or("*", |(_, template)| template.as_str()).to_owned();
    (decision.risk, decision.epoch) = (Some(call.risk), Some(4_211));
    let caller: Option<WorkloadId> = (call.who != "nobody").then(|| call.who.parse().expect(call.who));
    let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
    let question =
        Question { principal, method: request.method(), route: &route, source: decision.source, risk: call.risk, at };
    let verdict = revision.policies().evaluate(&question);
    decision.determining = verdict.determining.iter().map(ToString::to_string).collect();
    decision.noted = verdict.noted.iter().map(told).collect();
    match verdict.reason {
        Some(reason) => refused(decision, reason, &verdict.note),
        None => Decision { note: verdict.note, ..decision },
    }
}

fn told(noted: &policy::Noted) -> Noted {
    Noted {
        check: noted.check().to_owned(),
        mode: noted.mode(),
        reason: noted.reason().code().to_owned(),
        policy: noted.policy().map_or_else(String::new, ToString::to_string),
    }
}

fn refused(decision: Decision, reason: Reason, note: &str) -> Decision {
    Decision { outcome: Outcome::Deny, reason: reason.code().to_owned(), note: note.to_owned(), ..decision }
}

/// A call about which nothing is known but its caller and its host.
fn blank(who: &str, host: &str, at: Timestamp) -> Decision {
    let identity = match who.split_once('/') {
        None => Identity::Unidentified { claimed: String::new() },
        Some((domain, name)) => Identity::Verified(Certificate {
            spiffe_id: format!("spiffe://{domain}.acme.internal/{name}"),
            serial: "5c1e0891".into(),
            sha256: "9f".repeat(32),
            not_before: Timestamp::from_seconds(at.seconds() - 1_800),
            not_after: at.plus_seconds(1_800),
            via: String::new(),
        }),
    };
    Decision {
        id: DecisionId::new(at.micros() / 1_000, [1, 2, 3, 4, 5, 6, 7, 8, 0xa1, 0xc9]),
        at,
        outcome: Outcome::Allow,
        reason: String::new(),
        note: String::new(),
        caller: if who == "nobody" { String::new() } else { who.to_owned() },
        identity,
        listener: "gateway".into(),
        protocol: Protocol::Http1,
        source: Some("192.0.2.7".parse().expect("an address")),
        host: host.to_owned(),
        service: String::new(),
        method: String::new(),
        template: String::new(),
        risk: None,
        determining: Vec::new(),
        noted: Vec::new(),
        epoch: None,
        revision: None,
        enforcer: "local".into(),
        lane: "gw-0".into(),
        sequence: 4_211,
        completion: None,
    }
}

/// The whole explanation, as it is printed without colour.
fn print((revision, files): &(Arc<Revision>, MemoryFiles), decision: Decision) -> String {
    let file = |path: &str| files.read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let known = Known {
        revision: decision.revision.as_ref().map(|_| &**revision),
        in_force: true,
        since: Some(Timestamp::from_seconds(decision.at.seconds() - 120)),
        file: &file,
        unknown: Vec::new(),
    };
    let story = explain(decision, known);
    let mut out = Vec::new();
    Teller { palette: Palette::plain(), times: Times::utc() }.tell(&mut out, &story).expect("written");
    String::from_utf8(out).expect("text")
}

fn shown(call: Call<'_>) -> String {
    print(as_it_is(), record(&as_it_is().0, call))
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn no_policy_permits_it() {
    for (name, call) in [
        ("permit-risk", call("finance/payments", "POST ledger.acme.internal/entries", 60)),
        (
            "permit-evening",
            when("finance/treasury", "POST invoices.acme.internal/invoices/R2041/approval", 20, "2026-07-01T16:00:00Z"),
        ),
        (
            "permit-saturday",
            when("finance/treasury", "POST invoices.acme.internal/invoices/R2041/approval", 20, "2026-03-07T09:00:00Z"),
        ),
        ("permit-midnight", when("hr/onboarding", "POST people.acme.internal/people", 50, "2026-03-02T23:30:00Z")),
        (
            "permit-after-hours-rollback",
            when("internal-tools/chatops", "POST deploys.acme.internal/deploys/4/rollback", 0, "2026-03-02T16:00:00Z"),
        ),
        (
            "permit-risk-and-hours",
            when("internal-tools/chatops", "POST deploys.acme.internal/deploys/4/rollback", 60, "2026-03-07T16:00:00Z"),
        ),
        ("permit-other-method", call("internal-tools/search", "GET people.acme.internal/people", 50)),
        ("permit-other-routes", call("internal-tools/expenses", "GET ledger.acme.internal/entries", 50)),
        ("permit-other-caller", call("hr/portal", "PUT directory.acme.internal/colleagues/mira", 10)),
        ("permit-own-domain", call("finance/payments", "POST ledger.acme.internal/entries/17/reversal", 20)),
        ("permit-one-of-set", call("platform/ci", "GET audit.acme.internal/events", 0)),
        ("permit-foreign-reader", call("finance/ledger", "GET audit.acme.internal/events", 0)),
        ("permit-pseudo-route", call("platform/oncall", "POST status.acme.internal/incidents/2/updates", 0)),
        ("permit-listed-beside-pseudo", call("internal-tools/chatops", "POST status.acme.internal/incidents", 0)),
        ("permit-changes-nobody", call("hr/onboarding", "PATCH people.acme.internal/people/p-1003", 0)),
        ("permit-reads-no-invoices", call("internal-tools/expenses", "GET invoices.acme.internal/invoices", 50)),
        ("permit-contacts", call("hr/onboarding", "GET people.acme.internal/people/p-1003/contact", 10)),
    ] {
        snapshot(name, &shown(call));
    }
}

#[test]
fn a_policy_forbids_it() {
    for (name, call) in [
        (
            "forbid-month-end",
            when("finance/treasury", "POST invoices.acme.internal/invoices/R2041/approval", 20, "2026-12-01T09:00:00Z"),
        ),
        ("forbid-risk-80", call("finance/payments", "POST ledger.acme.internal/entries", 80)),
        ("forbid-risk-95", call("finance/treasury", "GET ledger.acme.internal/accounts", 95)),
        ("forbid-other-caller", call("finance/month-end", "POST ledger.acme.internal/entries", 10)),
        ("forbid-four-eyes", call("finance/payments", "POST invoices.acme.internal/invoices/R2041/approval", 20)),
        ("forbid-salaries", call("hr/portal", "GET payroll.acme.internal/salaries/p-1003", 0)),
        (
            "forbid-at-night",
            when("hr/compensation", "PUT payroll.acme.internal/salaries/p-1003", 0, "2026-03-02T22:00:00Z"),
        ),
        ("forbid-two-at-once", call("finance/payments", "GET payroll.acme.internal/payslips/p-1003", 0)),
        (
            "forbid-restricted-leaves-home",
            call("internal-tools/directory", "GET people.acme.internal/people/p-1003/contact", 10),
        ),
        ("forbid-friday", when("platform/ci", "POST deploys.acme.internal/deploys", 0, "2026-03-06T15:00:00Z")),
        ("forbid-holidays", when("platform/ci", "POST deploys.acme.internal/deploys", 0, "2026-12-29T10:00:00Z")),
        ("forbid-unconditional", call("internal-tools/intranet", "POST expenses.acme.internal/reports/3/approval", 0)),
        (
            "forbid-evening",
            when("internal-tools/chatops", "POST expenses.acme.internal/reports/3/approval", 0, "2026-03-02T19:00:00Z"),
        ),
    ] {
        snapshot(name, &shown(call));
    }
}

#[test]
fn consent_is_missing() {
    for (name, call) in [
        ("consent-both-sides", call("platform/ci", "GET payroll.acme.internal/salaries/p-1003", 0)),
        ("consent-other-service", call("internal-tools/search", "GET payroll.acme.internal/runs", 0)),
        ("consent-consumer", call("internal-tools/search", "GET ledger.acme.internal/accounts", 10)),
        ("consent-consumer-only", call("hr/compensation", "GET directory.acme.internal/teams", 10)),
        ("consent-other-workload", call("hr/portal", "POST invoices.acme.internal/invoices", 10)),
        ("consent-public-page", call("finance/treasury", "GET status.acme.internal/status", 0)),
        (
            "consent-and-weekend",
            when("finance/payments", "POST deploys.acme.internal/deploys", 0, "2026-03-07T09:00:00Z"),
        ),
    ] {
        snapshot(name, &shown(call));
    }
}

#[test]
fn nothing_was_judged() {
    for (name, call) in [
        ("identity-required", call("nobody", "GET ledger.acme.internal/entries", 0)),
        ("identity-unknown-workload", call("finance/paymnets", "POST ledger.acme.internal/entries", 0)),
        ("identity-not-a-caller", call("finance/_gateway", "GET ledger.acme.internal/entries", 0)),
        ("parse-dot-segment", call("finance/payments", "GET ledger.acme.internal/entries/../accounts", 0)),
        ("parse-method", call("finance/payments", "BREW ledger.acme.internal/entries", 0)),
        ("route-unlisted", call("hr/portal", "DELETE people.acme.internal/people/p-1003", 0)),
        ("route-unlisted-far", call("hr/portal", "GET people.acme.internal/etc/passwd/x/y", 0)),
        ("route-unknown-host", call("hr/portal", "GET legder.acme.internal/entries", 0)),
    ] {
        snapshot(name, &shown(call));
    }
    let at = moment("2026-03-02T09:00:00.131Z");
    let stranger = |claimed: &str| Decision {
        identity: Identity::Unidentified { claimed: claimed.to_owned() },
        protocol: Protocol::Tls,
        ..blank("nobody", "ledger.acme.internal", at)
    };
    let here = |who: &str, what: &str| record(&as_it_is().0, call(who, what, 20));
    let unjudged = |decision: Decision| Decision { determining: Vec::new(), risk: None, epoch: None, ..decision };
    let payments = || unjudged(here("finance/payments", "POST ledger.acme.internal/entries"));
    let untrusted = "spiffe://finance.acme.internal/payments";
    let expired = "the certificate is valid from 2026-03-02T08:00:00Z to 2026-03-02T08:30:00Z";
    let body = "131072 bytes announced, 65536 allowed";
    let revoked = "serial:5c1e0891 is revoked by local until further notice: stolen laptop";
    for (name, decision, reason, note) in [
        (
            "accept-tls",
            Decision { host: String::new(), ..stranger("") },
            Reason::AcceptTls,
            "the peer speaks plain HTTP",
        ),
        (
            "accept-server-name",
            Decision { host: "ledgr.acme.internal".into(), ..stranger("") },
            Reason::AcceptServerName,
            "",
        ),
        ("identity-missing", stranger(""), Reason::IdentityMissing, ""),
        (
            "identity-untrusted",
            stranger(untrusted),
            Reason::IdentityUntrusted,
            "no root of finance.acme.internal signed it",
        ),
        (
            "identity-expired",
            Decision { method: String::new(), ..stranger(untrusted) },
            Reason::IdentityExpired,
            expired,
        ),
        (
            "route-server-name",
            Decision { service: String::new(), template: String::new(), ..payments() },
            Reason::RouteServerNameMismatch,
            "the connection was opened for invoices.acme.internal",
        ),
        ("signals-revoked", Decision { epoch: Some(4_212), ..payments() }, Reason::SignalsRevoked, revoked),
        ("limits-body", Decision { epoch: Some(4_211), ..payments() }, Reason::LimitsBody, body),
        (
            "record-full",
            here("finance/payments", "POST ledger.acme.internal/entries"),
            Reason::RecordFull,
            "no room for another segment",
        ),
    ] {
        snapshot(name, &print(as_it_is(), refused(decision, reason, note)));
    }
}

#[test]
fn an_allowed_call_did_not_end_well() {
    let allowed = || record(&as_it_is().0, call("finance/payments", "POST ledger.acme.internal/entries", 20));
    let end = |status, reason: &str, revision: Option<&str>, epoch| Completion {
        status,
        reason: reason.to_owned(),
        duration_micros: 3_100,
        request_bytes: 96,
        response_bytes: 0,
        revision: revision.map(|id| id.to_owned() + &"0".repeat(57)),
        epoch,
    };
    for (name, end) in [
        ("end-cut-by-revocation", end(Some(200), "signals.revoked", Some("3f9c21e"), Some(4_212))),
        ("end-cut-before-an-answer", end(None, "policy.forbidden", Some("77ab012"), Some(4_211))),
        ("end-unreachable", end(None, "upstream.unreachable", None, None)),
    ] {
        snapshot(name, &print(as_it_is(), Decision { completion: Some(end), ..allowed() }));
    }
}

#[test]
fn a_relaxed_check_lets_it_pass() {
    let shadow = acme(&[
        ("domains/hr/domain.yaml", "domain: hr\n", "domain: hr\nmode: shadow\n"),
        ("domains/internal-tools/domain.yaml", "search: [hr/people]", "search: [hr/people, hr/payroll]"),
        (
            "domains/finance/domain.yaml",
            "domain: finance\n",
            "domain: finance\nmodes: { permit: observe, policy.only-payments-books-entries: shadow }\n",
        ),
    ]);
    for (name, call) in [
        ("enforced-consent-beside-shadow", call("platform/ci", "GET payroll.acme.internal/salaries/p-1003", 0)),
        ("shadow-consent", call("internal-tools/search", "GET payroll.acme.internal/runs", 0)),
        ("shadow-permit", call("hr/onboarding", "PATCH people.acme.internal/people/p-1003", 0)),
        ("shadow-identity", call("nobody", "GET people.acme.internal/people", 0)),
        ("shadow-unlisted", call("hr/portal", "DELETE people.acme.internal/people/p-1003", 0)),
        ("shadow-forbid-and-observed-permit", call("finance/month-end", "POST ledger.acme.internal/entries", 10)),
        ("enforced-beside-relaxed", call("finance/month-end", "POST ledger.acme.internal/entries", 80)),
    ] {
        snapshot(name, &print(&shadow, record(&shadow.0, call)));
    }
}

#[test]
fn the_story_says_what_it_does_not_know() {
    let broken = acme(&[(
        "domains/finance/policies/close.cedar",
        "resource.effect == \"read\" ||",
        "resource.effect == \"read\" || context.risk * 9223372036854775807 < 0 ||",
    )]);
    let month_end =
        when("finance/treasury", "POST invoices.acme.internal/invoices/R2041/approval", 20, "2026-12-01T09:00:00Z");
    snapshot("policy-error", &print(&broken, record(&broken.0, month_end)));
    // a record that the policies of its revision do not bear out
    let contradicted = refused(
        record(&as_it_is().0, call("finance/payments", "POST ledger.acme.internal/entries", 20)),
        Reason::PolicyNoPermit,
        "",
    );
    snapshot("contradicted", &print(as_it_is(), Decision { determining: Vec::new(), ..contradicted }));
    // a revision that is gone
    let decision = record(&as_it_is().0, call("hr/portal", "GET payroll.acme.internal/salaries/p-1003", 0));
    let nothing = |_: &str| None;
    let known = Known {
        revision: None,
        in_force: false,
        since: None,
        file: &nothing,
        unknown: vec!["revision 3f9c21e is no longer there".into()],
    };
    let mut out = Vec::new();
    Teller { palette: Palette::plain(), times: Times::utc() }
        .tell(&mut out, &explain(decision, known))
        .expect("written");
    snapshot("revision-gone", &String::from_utf8(out).expect("text"));
}
