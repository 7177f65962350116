//! Tests of how a story is set.

use api::admin::{Clause, NearPermit};

use super::super::listing::tests::{decision, noted};
use super::*;
use types::Mode;

fn step(name: &str, result: StepResult, summary: &str, facts: &[&str]) -> Step {
    let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
    Step { name: name.into(), result, summary: summary.into(), facts }
}

fn clause(text: &str, holds: Option<bool>, was: &str) -> Clause {
    Clause { text: text.into(), holds, was: was.into(), span: (0, 0) }
}

fn denied() -> Explanation {
    let decision = decision("platform/ci", ("hr/payroll", "GET", "/salaries/{id}"), "consent.provider", 0xc9);
    Explanation {
        revision_since: Some(Timestamp::from_micros(decision.at.micros() - 120_000_000)),
        decision,
        steps: vec![
            step("identity", StepResult::Passed, "verified", &["spiffe://platform.acme.internal/ci"]),
            step("risk", StepResult::Noted, "50", &[]),
            step("consent", StepResult::Refused, "the called domain does not accept it", &["domains/hr/domain.yaml:7"]),
            step("policy", StepResult::NotReached, "not reached; no policy would permit it either", &[]),
        ],
        policies: vec![PolicyNote {
            id: "hr/salaries-are-for-compensation".into(),
            effect: "forbid".into(),
            reason: "What a person earns is seen by the compensation team only.".into(),
            path: Some("domains/hr/policies/payroll.cedar".into()),
            line: Some(3),
            generated: false,
            source: "@id(\"x\")\nforbid (principal, action, resource);\n".into(),
            clauses: Vec::new(),
        }],
        revision_in_force: true,
        unknown: Vec::new(),
        forwarded: false,
        to_change: "To allow this call, hr would have to accept platform for payroll.".into(),
        nearest: vec![NearPermit {
            id: "hr/payroll-partners-read-own-region".into(),
            reason: "Partners read their region.".into(),
            path: Some("domains/hr/policies/payroll.cedar".into()),
            line: Some(12),
            source: String::new(),
            clauses: vec![
                clause("principal in Domain::\"internal-tools\"", Some(false), "platform"),
                clause("context has user", Some(false), "no user"),
                clause("context.user in Group::\"hr/partners\"", None, ""),
                clause("resource.sensitivity < 3", Some(true), "2 (confidential)"),
            ],
        }],
        told: "403 the called domain does not accept calls from the caller's domain".into(),
        mode: Some(Mode::Enforce),
    }
}

fn told(story: &Explanation) -> String {
    let mut out = Vec::new();
    Teller { palette: Palette::plain(), times: Times::utc() }.tell(&mut out, story).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_denial_is_told_in_order_with_what_would_have_to_change() {
    assert_eq!(
        told(&denied()),
        "DENY  01a207af-0c13-7102-8304-05060708a1c9   2026-11-23 09:14:02.131 UTC   revision 3f9c21e (2 min old, in force)   enforce

  platform/ci asked hr/payroll for  GET /salaries/{id}

  ✓  identity  verified
               spiffe://platform.acme.internal/ci
               certificate 5c1e08, valid from 08:40 to 09:40
     risk      50
  ✗  consent   REFUSED  the called domain does not accept it
               domains/hr/domain.yaml:7
               consent.provider, answered 403
  –  policy    not reached; no policy would permit it either
               nearest: hr/payroll-partners-read-own-region   domains/hr/policies/payroll.cedar:12
                 ✗ principal in Domain::\"internal-tools\"   was platform
                 ✗ context has user                        no user
                 – context.user in Group::\"hr/partners\"    not asked
                 ✓ resource.sensitivity < 3                2 (confidential)

  forbid hr/salaries-are-for-compensation   domains/hr/policies/payroll.cedar:3
    What a person earns is seen by the compensation team only.
    | forbid (principal, action, resource);

  To allow this call, hr would have to accept platform for payroll. Nothing was forwarded; the caller
  was told `403 the called domain does not accept calls from the caller's domain`.
"
    );
}

#[test]
fn the_short_form_says_what_decided() {
    let mut out = Vec::new();
    let teller = Teller { palette: Palette::plain(), times: Times::utc() };
    let mut story = denied();
    story.decision.determining = vec!["hr/salaries-are-for-compensation".into()];
    teller.tell_shortly(&mut out, &story).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("✗  consent   REFUSED") && text.contains("because of hr/salaries-are-for-compensation"),
        "{text}"
    );
    assert!(!text.contains("identity"), "{text}");
}

#[test]
fn a_would_deny_says_so() {
    let mut story = denied();
    story.decision.reason = String::new();
    story.decision.outcome = Outcome::Allow;
    story.decision.noted = vec![noted("consent", Mode::Shadow, "consent.provider")];
    story.steps[2].result = StepResult::WouldRefuse;
    let text = told(&story);
    assert!(
        text.starts_with("would-deny  01a207af") && text.contains("  ◐  consent   WOULD REFUSE  the called"),
        "{text}"
    );
}

#[test]
fn colour_is_never_the_only_carrier() {
    let mut out = Vec::new();
    Teller { palette: Palette::always(), times: Times::utc() }.tell(&mut out, &denied()).unwrap();
    let painted = String::from_utf8(out).unwrap();
    assert!(painted.contains("\u{1b}[1;31mDENY\u{1b}[0m"), "{painted}");
    let mut plain = String::new();
    let mut rest = painted.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, told(&denied()));
}

#[test]
fn escapes_in_whatever_was_sent_do_not_reach_the_terminal() {
    const BAD: &str = "\u{1b}[2J\u{202e}x\u{7}";
    let mut story = denied();
    let bad = || BAD.to_owned();
    (story.decision.caller, story.decision.host, story.decision.service) = (bad(), bad(), bad());
    (story.decision.template, story.decision.reason, story.decision.listener) = (bad(), bad(), bad());
    (story.to_change, story.told, story.unknown) = (bad(), bad(), vec![bad()]);
    story.steps[2].facts.push(bad());
    (story.steps[2].summary, story.steps[2].name) = (bad(), bad());
    story.steps.push(step("policy", StepResult::Refused, "", &[]));
    let policy = PolicyNote {
        id: bad(),
        effect: bad(),
        reason: bad(),
        source: bad(),
        path: Some(bad()),
        ..story.policies[0].clone()
    };
    story.policies = vec![policy];
    (story.nearest[0].id, story.nearest[0].path) = (bad(), Some(bad()));
    story.nearest[0].clauses = vec![clause(BAD, Some(false), BAD), clause(BAD, None, BAD)];
    story.decision.revision = Some(bad());
    let mut short = Vec::new();
    let teller = Teller { palette: Palette::plain(), times: Times::utc() };
    for method in ["GET", ""] {
        story.decision.method = method.to_owned();
        teller.tell_shortly(&mut short, &story).unwrap();
        for text in [told(&story), String::from_utf8(short.clone()).unwrap()] {
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text:?}");
        }
    }
}

#[test]
fn long_text_is_broken_between_words() {
    assert_eq!(wrapped("aa bb cc", 6), ["aa bb", "cc"]);
    assert_eq!(wrapped("aaaaaaaaaa b", 6), ["aaaaaaaaaa", "b"]);
    assert_eq!(wrapped("", 6), [""]);
}

#[test]
fn an_age_has_one_unit() {
    let at = Timestamp::from_seconds(10_000_000);
    for (seconds, want) in
        [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_600, "1 h"), (172_799, "47 h"), (172_800, "2 days")]
    {
        assert_eq!(age(Timestamp::from_seconds(10_000_000 - seconds), at), want);
    }
    assert_eq!(age(at.plus_seconds(5), at), "0 s");
}
