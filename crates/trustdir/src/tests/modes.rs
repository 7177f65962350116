//! `mode`, `modes`, `floor.mode` and `insecure_open`: what they make of a directory, and what slips are told.

use std::sync::Arc;

use types::{CanonicalRequest, Label, Mode};

use super::directory::{good, told};
use crate::*;

const FIN: &str = "domains/finance/domain.yaml";
const HR: &str = "domains/hr/domain.yaml";

const CEDAR: &str = r#"
@id("payments-posts-entries")
@reason("Payments books every settled payment.")
permit (principal == Workload::"finance/payments", action == Action::"POST", resource == Route::"finance/ledger POST /entries");

@id("freeze")
@reason("The books are closed from risk 50 on.")
forbid (principal, action in [Action::"write"], resource) when { context.risk >= 50 };
"#;

const GUARDRAILS: &str = r#"
@id("no-deletes")
@reason("Nothing is deleted through the gateway.")
forbid (principal, action == Action::"DELETE", resource);
"#;

const HR_CEDAR: &str = r#"
@id("jobs-only-by-day")
@reason("Jobs are not changed at night.")
forbid (principal, action in [Action::"write"], resource in Service::"hr/jobs") when { context.minute_of_day < 360 };
"#;

/// The good directory with forbids, finance saying `modes` besides.
fn directory(modes: &str) -> MemoryFiles {
    let mut files = good();
    let domain = String::from_utf8(files.read(FIN).expect(FIN)).expect("text");
    files.insert(FIN, domain.replace("domain: finance\n", &format!("domain: finance\n{modes}\n")));
    files.insert("domains/finance/policies/ledger.cedar", CEDAR);
    files.insert("domains/hr/policies/jobs.cedar", HR_CEDAR);
    files.insert("policies/guardrails.cedar", GUARDRAILS);
    files
}

fn revision(files: &impl Files) -> Arc<Revision> {
    let loaded = load(files);
    assert_eq!(loaded.problems, []);
    loaded.revision.expect("no errors, so a revision")
}

fn label(name: &str) -> Label {
    Label::parse(name).expect(name)
}

#[test]
fn what_is_relaxed_is_listed() {
    let relaxed = |modes: &str| revision(&directory(modes)).relaxed(&label("finance"));
    assert_eq!(relaxed(""), Vec::<String>::new());
    assert_eq!(relaxed("mode: enforce"), Vec::<String>::new());
    let everything = |mode: &str| {
        ["requires.identity", "consent", "routes.unlisted", "permit", "policies"]
            .map(|check| format!("{check}: {mode}"))
    };
    assert_eq!(relaxed("mode: observe"), everything("observe"));
    assert_eq!(relaxed("mode: shadow"), everything("shadow"));
    assert_eq!(
        relaxed("modes: { consent: observe, permit: enforce, policy.freeze: { mode: shadow, enforce_for: 10% } }"),
        ["consent: observe", "policy.freeze: shadow, enforced for 10% of callers"]
    );
    assert_eq!(
        relaxed("mode: shadow\nmodes: { consent: enforce, requires.identity: enforce, policy.freeze: enforce }"),
        ["routes.unlisted: shadow", "permit: shadow", "policies: shadow"]
    );
    assert_eq!(relaxed("modes: { policy.freeze: { mode: shadow } }"), ["policy.freeze: shadow"]);
    assert_eq!(revision(&directory("mode: observe")).relaxed(&label("hr")), Vec::<String>::new(), "a wall");
    assert_eq!(revision(&directory("mode: observe")).relaxed(&label("nowhere")), Vec::<String>::new());
}

#[test]
fn listeners_know_what_to_ask_for() {
    let finance = label("finance");
    for (modes, mode, identity, asks) in [
        ("", Mode::Enforce, Mode::Enforce, Asks::Required),
        ("mode: shadow", Mode::Shadow, Mode::Shadow, Asks::Optional),
        ("mode: observe\nmodes: { requires.identity: enforce }", Mode::Observe, Mode::Enforce, Asks::Required),
        ("modes: { requires.identity: observe }", Mode::Enforce, Mode::Observe, Asks::Optional),
        ("modes: { permit: observe }", Mode::Enforce, Mode::Enforce, Asks::Required),
    ] {
        let revision = revision(&directory(modes));
        let got = (revision.mode(&finance), revision.identity_mode(&finance), revision.asks_identity(&finance));
        assert_eq!(got, (mode, identity, asks), "{modes}");
        assert_eq!(revision.serves_plaintext(&finance), identity < Mode::Enforce, "{modes}");
        let hr = label("hr");
        assert_eq!((revision.mode(&hr), revision.asks_identity(&hr)), (Mode::Enforce, Asks::Required), "{modes}");
        let none = label("nowhere");
        assert_eq!((revision.asks_identity(&none), revision.serves_plaintext(&none)), (Asks::Required, false));
    }
}

#[test]
fn an_open_route_asks_for_nothing_and_opens_no_other() {
    let mut files = directory("");
    let domain = String::from_utf8(files.read(FIN).expect(FIN)).expect("text");
    let open =
        "    routes: { \"GET /healthz\": { insecure_open: true }, \"GET /entries\": { insecure_open: false } }\n";
    files.insert(FIN, domain.replace("    sensitivity:", &format!("{open}    sensitivity:")));
    files.insert(
        "domains/finance/tests/ledger.yaml",
        "
- { name: nobody, call: { as: nobody, request: GET https://ledger.acme.internal/healthz }, expect: allow, by: finance/insecure_open.ledger }
- { name: a stranger, call: { as: hr/people, request: GET https://ledger.acme.internal/healthz }, expect: allow }
- { name: no other, call: { as: nobody, request: GET https://ledger.acme.internal/entries }, expect: deny, by: requires.identity }
- { name: not in another spelling, call: { as: nobody, request: GET https://ledger.acme.internal/Healthz }, expect: deny, by: route.unlisted }
- { name: consent, call: { as: hr/people, request: GET https://ledger.acme.internal/entries }, expect: deny, by: consent.provider }
",
    );
    let revision = revision(&files);
    assert_eq!(failures(&revision), Vec::<TestResult>::new());
    assert_eq!(revision.relaxed(&label("finance")), ["insecure_open: ledger GET /healthz"]);
    assert_eq!(revision.asks_identity(&label("finance")), Asks::Optional);
    assert!(!revision.serves_plaintext(&label("finance")));
}

fn failures(revision: &Revision) -> Vec<TestResult> {
    run_tests(revision).into_iter().filter(|result| !result.passed).collect()
}

#[test]
fn modes_can_be_tested_in_the_directory() {
    let tests = "
- { name: in shadow, call: { as: finance/ledger, request: POST https://ledger.acme.internal/entries }, given: { risk: 10 }, expect: would-deny, by: policy.no-permit }
- { name: a policy in shadow, call: { as: finance/payments, request: POST https://ledger.acme.internal/entries }, given: { risk: 60 }, expect: would-deny, by: finance/freeze }
- { name: a policy that is generated, call: { as: hr/people, request: POST https://ledger.acme.internal/entries }, given: { risk: 10 }, expect: would-deny, by: finance/consent.accepts_from.ledger }
- { name: observed, call: { as: finance/ledger, request: GET https://ledger.acme.internal/unlisted }, given: { risk: 10 }, expect: would-deny, by: policy.no-permit }
- { name: allowed, call: { as: finance/payments, request: POST https://ledger.acme.internal/entries }, given: { risk: 10 }, expect: allow, by: finance/payments-posts-entries }
- { name: refused, call: { as: finance/payments, request: DELETE https://ledger.acme.internal/entries }, given: { risk: 10 }, expect: deny, by: org/no-deletes }
";
    let modes = "modes: { consent: shadow, permit: shadow, routes.unlisted: observe, policy.freeze: shadow }";
    let mut files = directory(modes);
    // hr says that it calls the ledger; finance does not accept it.
    let hr = String::from_utf8(files.read(HR).expect(HR)).expect("text");
    files.insert(HR, hr.replace("domain: hr\n", "domain: hr\ncalls: { people: [finance/ledger] }\n"));
    files.insert("domains/finance/tests/ledger.yaml", tests);
    let loaded = load(&files);
    let problems: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(problems, ["workload.no-attest", "consent.one-sided"]);
    let shadowed = loaded.revision.expect("a revision");
    assert_eq!(failures(&shadowed), Vec::<TestResult>::new());

    // The same tests where everything is enforced: what would be denied is.
    let mut files = directory("");
    files.insert("domains/finance/tests/ledger.yaml", tests);
    files.insert(HR, hr.replace("domain: hr\n", "domain: hr\ncalls: { people: [finance/ledger] }\n"));
    let enforced = load(&files).revision.expect("a revision");
    let notes: Vec<_> = failures(&enforced).into_iter().map(|result| (result.name, result.got, result.note)).collect();
    assert_eq!(notes.len(), 5, "{notes:#?}");
    for (name, got, note) in notes {
        assert_eq!(got, Answer::Deny, "{name}");
        assert!(note.starts_with("expected would-deny, got deny: ") || name == "refused", "{name}: {note}");
    }
}

#[test]
fn what_no_route_lists_is_tolerated_and_another_spelling_is_not() {
    let routed = |modes: &str, method: &str, path: &str| {
        let revision = revision(&directory(modes));
        let request = CanonicalRequest::parse(method, "ledger.acme.internal", path).expect(path);
        revision.route(&request).map_or_else(|reason| reason.to_string(), |(_, route)| route.id.to_string())
    };
    for (modes, want) in [
        ("", "route.unlisted"),
        ("modes: { routes.unlisted: shadow }", "finance/ledger *"),
        ("mode: observe", "finance/ledger *"),
        ("mode: observe\nmodes: { routes.unlisted: enforce }", "route.unlisted"),
    ] {
        assert_eq!(routed(modes, "GET", "/other"), want, "{modes}");
        assert_eq!(
            routed(modes, "GET", "/entries/"),
            "route.unlisted",
            "{modes}: an upstream may serve it as /entries"
        );
        assert_eq!(routed(modes, "GET", "/entries"), "finance/ledger GET /entries", "{modes}");
    }
    // Policies cannot name what goes when the check is enforced.
    let mut files = directory("mode: shadow");
    let literal = CEDAR.replace("finance/ledger POST /entries", "finance/ledger *");
    files.insert("domains/finance/policies/ledger.cedar", literal.as_str());
    let problems: Vec<_> = load(&files).problems.into_iter().map(|problem| problem.message).collect();
    assert_eq!(problems, ["there is no route `finance/ledger *`"]);
}

#[test]
fn slips_in_modes_are_told() {
    let cases: &[(&str, &[&str])] = &[
        ("mode: enforced", &["value.unknown [enforced] unknown value `enforced` | did you mean `enforce`?"]),
        ("mode: off", &["value.unknown [off] unknown value `off` | the values are `observe`, `shadow` and `enforce`"]),
        ("mode: { all: shadow }", &["yaml.type [mode] expected `observe`, `shadow` or `enforce`, found a mapping | -"]),
        ("modes: shadow", &["yaml.type [shadow] expected the keys of `modes`, found the text `shadow` | -"]),
        ("moode: shadow", &["yaml.unknown-key [moode] unknown key `moode` | did you mean `mode`?"]),
        (
            "modes: { require.identity: shadow }",
            &[
                "modes.check [require.identity] there is no check `require.identity` | did you mean `requires.identity`?",
            ],
        ),
        (
            "modes: { requires.token_binding: shadow }",
            &[
                "modes.check [requires.token_binding] there is no check `requires.token_binding` | the checks are `requires.identity`, `consent`, `routes.unlisted`, `permit` and `policy.ID`; `mode` sets all of them",
            ],
        ),
        (
            "modes: { policy.: shadow }",
            &[
                "modes.check [policy.] there is no check `policy.` | the checks are `requires.identity`, `consent`, `routes.unlisted`, `permit` and `policy.ID`; `mode` sets all of them",
            ],
        ),
        (
            "modes: { permit: weak }",
            &["value.unknown [weak] unknown value `weak` | the values are `observe`, `shadow` and `enforce`"],
        ),
        (
            "modes: { permit: { mode: shadow } }",
            &[
                "yaml.type [permit] expected a mode, found a mapping | write one of `observe`, `shadow` and `enforce`; a percentage is for `policy.ID`",
            ],
        ),
        (
            "modes: { policy.freze: shadow }",
            &["modes.policy [policy.freze] finance has no policy `freze` | did you mean `policy.freeze`?"],
        ),
        (
            "modes: { policy.unheard-of: shadow }",
            &[
                "modes.policy [policy.unheard-of] finance has no policy `unheard-of` | the policies of finance that forbid are `freeze`",
            ],
        ),
        (
            "modes: { policy.payments-posts-entries: shadow }",
            &[
                "modes.policy [policy.payments-posts-entries] `payments-posts-entries` permits | only what forbids has a mode; for calls that nothing permits there is `permit`",
            ],
        ),
        (
            "modes: { policy.no-deletes: shadow }",
            &[
                "modes.policy [policy.no-deletes] finance has no policy `no-deletes` | it is a guardrail, which has the mode of the whole domain: `mode`",
            ],
        ),
        (
            "modes: { policy.org/no-deletes: shadow }",
            &[
                "modes.policy [policy.org/no-deletes] `org/no-deletes` names a policy with its owner | a guardrail has the mode of the whole domain: `mode`",
            ],
        ),
        (
            "modes: { policy.jobs-only-by-day: shadow }",
            &[
                "modes.policy [policy.jobs-only-by-day] finance has no policy `jobs-only-by-day` | it belongs to hr, and finance cannot relax it",
            ],
        ),
        (
            "modes: { policy.hr/jobs-only-by-day: shadow }",
            &[
                "modes.policy [policy.hr/jobs-only-by-day] `hr/jobs-only-by-day` names a policy with its owner | it belongs to hr, and finance cannot relax it",
            ],
        ),
        (
            "modes: { policy.finance/freeze: shadow }",
            &[
                "modes.policy [policy.finance/freeze] `finance/freeze` names a policy with its owner | write `policy.freeze`",
            ],
        ),
        (
            "modes: { policy.requires.identity: shadow }",
            &[
                "modes.policy [policy.requires.identity] `requires.identity` is not written in a policy file | its check is `requires.identity`",
            ],
        ),
        (
            "modes: { policy.consent.calls.ledger: shadow }",
            &[
                "modes.policy [policy.consent.calls.ledger] `consent.calls.ledger` is not written in a policy file | its check is `consent`",
            ],
        ),
        (
            "modes: { permit: shadow, permit: observe }",
            &["yaml.duplicate-key [permit] the key `permit` stands twice | it stands first in line 2"],
        ),
    ];
    check(cases);
}

#[test]
fn slips_in_percentages_are_told() {
    let share =
        |share: &str, mode: &str| format!("modes: {{ policy.freeze: {{ mode: {mode}, enforce_for: {share} }} }}");
    let hint = "write a whole percentage from `1%` to `99%`";
    for (written, hint) in [
        ("0%", "for no caller leave `enforce_for` out"),
        ("100%", "for all callers write `mode: enforce`"),
        ("101%", hint),
        ("10", hint),
        ("1.5%", hint),
        ("-1%", hint),
        ("+1%", hint),
        ("010%", hint),
        ("'10 %'", hint),
        ("0.1", hint),
    ] {
        let shown = written.trim_matches('\'');
        let want = format!("value.bad [{written}] `{shown}` is not a share of callers | {hint}");
        assert_eq!(told(&directory(&share(written, "shadow"))), [want], "{written}");
    }
    for mode in ["observe", "enforce"] {
        let want = format!(
            "value.bad [10%] `enforce_for` does not go with `mode: {mode}` | it enforces a policy in shadow for some callers: write `mode: shadow`"
        );
        assert_eq!(told(&directory(&share("10%", mode))), [want]);
    }
    check(&[
        (
            "modes: { policy.freeze: { enforce_for: 10% } }",
            &[
                "yaml.missing-key [policy.freeze] missing key `mode` | the mode of a policy needs it, such as `mode: shadow`",
            ],
        ),
        (
            "modes: { policy.freeze: { mode: shadow, enforce: 10% } }",
            &["yaml.unknown-key [enforce] unknown key `enforce` | the mode of a policy takes `mode` and `enforce_for`"],
        ),
        (
            "modes: { policy.freeze: { mode: shadow, enforce_for: [10%] } }",
            &["yaml.type [enforce_for] expected a percentage such as `10%`, found a list | -"],
        ),
    ]);
    for share in ["1%", "99%"] {
        revision(&directory(&format!("modes: {{ policy.freeze: {{ mode: shadow, enforce_for: {share} }} }}")));
    }
}

fn check(cases: &[(&str, &[&str])]) {
    let mut failed = Vec::new();
    for (modes, want) in cases {
        let got = told(&directory(modes));
        if got != *want {
            failed.push(format!("{modes}:\n{got:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn nothing_is_weaker_than_the_floor() {
    let floored = |floor: &str, modes: &str| {
        let mut files = directory(modes);
        files.insert("countersign.yaml", format!("organisation: acme.internal\nfloor: {{ mode: {floor} }}\n"));
        told(&files)
    };
    let hint = "the weakest mode that any check may have is `floor.mode` in countersign.yaml";
    let below = |mode: &str, floor: &str| {
        format!("settings.below-floor [{mode}] `{mode}` is weaker than the floor of `{floor}` | {hint}")
    };
    assert_eq!(floored("observe", "mode: observe"), Vec::<String>::new());
    assert_eq!(floored("shadow", "mode: shadow"), Vec::<String>::new());
    assert_eq!(floored("shadow", "mode: observe"), [below("observe", "shadow")]);
    assert_eq!(floored("enforce", "mode: shadow"), [below("shadow", "enforce")]);
    assert_eq!(floored("shadow", "modes: { permit: observe, consent: shadow }"), [below("observe", "shadow")]);
    let share = "modes: { policy.freeze: { mode: shadow, enforce_for: 99% } }";
    assert_eq!(floored("enforce", share), [below("shadow", "enforce")]);
    assert_eq!(floored("enforce", "mode: enforce\nmodes: { permit: enforce }"), Vec::<String>::new());
    // A floor that cannot be read is held against nobody.
    assert_eq!(floored("strict", "mode: observe").len(), 1);
}

#[test]
fn slips_in_open_routes_are_told() {
    let told_of = |attributes: &str| {
        let mut files = directory("");
        let hr = String::from_utf8(files.read(HR).expect(HR)).expect("text");
        files.insert(HR, hr.replace("\"GET /people/{id}\": {}", &format!("\"GET /people/{{id}}\": {attributes}")));
        told(&files)
    };
    assert_eq!(told_of("{ insecure_open: true }"), Vec::<String>::new());
    for (attributes, want) in [
        ("{ insecure_open: yes }", "yaml.type [yes] expected `true` or `false`, found the text `yes` | write `true`"),
        (
            "{ open: true }",
            "yaml.unknown-key [open] unknown key `open` | a route takes `effect`, `sensitivity`, `requires` and `insecure_open`",
        ),
        (
            "{ insecure-open: true }",
            "yaml.unknown-key [insecure-open] unknown key `insecure-open` | did you mean `insecure_open`?",
        ),
        (
            "{ insecure_open: true, requires: { identity: required } }",
            "value.bad [true] the route requires something of callers and is open to everyone | leave out `requires`, or `insecure_open`",
        ),
    ] {
        assert_eq!(told_of(attributes), [want], "{attributes}");
    }
}

#[test]
fn modes_are_checked_while_other_files_have_errors_and_not_against_what_is_lost() {
    let mut files = directory("modes: { policy.freze: shadow }");
    files.insert("domains/hr/policies/jobs.cedar", "forbid (");
    assert!(told(&files).iter().any(|told| told.starts_with("modes.policy [policy.freze]")));
    files.insert("domains/finance/policies/ledger.cedar", "forbid (");
    assert!(
        !told(&files).iter().any(|told| told.contains("modes.policy")),
        "it may be in the file that cannot be read"
    );
}

#[test]
fn the_same_directory_makes_the_same_revision() {
    let modes = "mode: shadow\nmodes: { consent: enforce, policy.freeze: { mode: shadow, enforce_for: 10% } }";
    let (one, two) = (revision(&directory(modes)), revision(&directory(modes)));
    assert_eq!((one.id(), one.relaxed(&label("finance"))), (two.id(), two.relaxed(&label("finance"))));
    assert_ne!(one.id(), revision(&directory("mode: shadow")).id());
}
