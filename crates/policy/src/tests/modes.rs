//! Modes: what is relaxed passes and is noted, what is enforced refuses whatever else is relaxed.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use types::facts::Outcome;
use types::{Method, Mode, PolicyId, Reason, limits};

use super::fixture::*;
use crate::model::{Modes, PolicyMode};
use crate::{Model, Policies, Principal, Question, Verdict, check_of, compile, is_enforced_for};

const WANT: &str = include_str!("modes.txt");

/// A forbid of finance, and one that cannot be evaluated where the risk is 77.
const FREEZE: &str = r#"
@id("freeze")
@reason("Nothing is booked from risk 50 on.")
forbid (principal, action in [Action::"write"], resource) when { context.risk >= 50 };

@id("odd")
@reason("Fails at risk 77.")
forbid (principal, action, resource) when { context.risk == 77 && context.risk * 9223372036854775807 > 0 };

@id("odd-permit")
@reason("Fails at risk 78.")
permit (principal, action, resource) when { context.risk == 78 && context.risk * 9223372036854775807 > 0 };

@id("everyone-heads")
@reason("Even nobody may ask for the head of anything.")
permit (principal, action == Action::"HEAD", resource);
"#;

/// The checks, as `modes` names them; the last stands for all guardrails.
const CHECKS: [&str; 8] = [
    "requires.identity",
    "consent",
    "routes.unlisted",
    "permit",
    "policy.freeze",
    "policy.odd",
    "policy.org/nothing-above-risk-90",
    "policy.org/no-deletes",
];

fn set(modes: &mut Modes, check: &str, mode: Mode) {
    match check {
        "requires.identity" => modes.identity = mode,
        "consent" => modes.consent = mode,
        "routes.unlisted" => modes.unlisted = mode,
        "permit" => modes.permit = mode,
        name => match name.split_once('.') {
            Some((_, name)) if name.starts_with("org/") => modes.default = mode,
            Some((_, name)) => drop(modes.policies.insert(PolicyId::new("finance", name), mode.into())),
            None => panic!("{name}"),
        },
    }
}

fn mode(modes: &Modes, check: &str) -> Mode {
    match check {
        "requires.identity" => modes.identity,
        "consent" => modes.consent,
        "routes.unlisted" => modes.unlisted,
        "permit" => modes.permit,
        "policy.freeze" | "policy.odd" => {
            let id = PolicyId::new("finance", check.strip_prefix("policy.").expect("a policy"));
            modes.policies.get(&id).map_or(modes.default, |policy| policy.mode)
        }
        _ => modes.default,
    }
}

/// The organisation with finance tolerating what it does not list, as far as its mode says so, and with these modes.
fn organisation(modes: impl Fn(&str) -> Modes) -> Model {
    let mut model = model();
    for domain in model.domains.values_mut() {
        domain.modes = modes(domain.name.as_str());
    }
    let finance = model.domains.get_mut(&label("finance")).expect("finance");
    finance.services.insert(label("ledger"), Arc::new(tolerating_ledger()));
    model
}

fn relaxed(modes: impl Fn(&str) -> Modes) -> Policies {
    let sources = sources(&format!("{FINANCE}{FREEZE}"), HR);
    let (policies, problems) = compile(&Arc::new(organisation(modes)), &sources);
    policies.unwrap_or_else(|| panic!("{problems:#?}"))
}

/// `allow` or the reason, then what is noted.
fn cell(verdict: &Verdict) -> String {
    let noted = verdict.noted.iter().map(|noted| {
        let policy = noted.policy().map(|id| format!(" by {id}")).unwrap_or_default();
        format!("; {} {}: {}{policy}", noted.mode(), noted.check(), noted.reason())
    });
    format!("{}{}", word(verdict), noted.collect::<String>())
}

/// Calls that one check refuses or several do, with the risk.
const CALLS: [(&str, u8); 17] = [
    ("finance/payments POST finance/ledger /entries", 20),
    ("nobody GET finance/ledger /entries/{id}", 20),
    ("nobody HEAD finance/ledger *", 20),
    ("nobody GET finance/ledger /healthz", 20),
    ("platform/ci GET finance/ledger /healthz", 20),
    ("platform/ci GET finance/ledger /healthz", 95),
    ("platform/ci HEAD finance/ledger *", 20),
    ("platform/ci GET hr/people /people", 20),
    ("internal-tools/directory GET finance/ledger /entries/{id}", 20),
    ("finance/payments HEAD finance/ledger *", 20),
    ("finance/payments PUT finance/ledger *", 20),
    ("finance/ledger POST finance/ledger /entries", 20),
    ("finance/payments POST finance/ledger /entries", 55),
    ("finance/payments POST finance/ledger /entries", 95),
    ("finance/payments GET finance/ledger /entries/{id}", 77),
    ("finance/payments GET finance/ledger /entries/{id}", 78),
    ("nobody DELETE finance/ledger *", 95),
];

#[test]
fn every_check_in_every_mode() {
    let table = table();
    assert_eq!(table, WANT, "the table changed; if it is meant, replace src/tests/modes.txt with:\n{table}");
}

fn table() -> String {
    let mut text = String::new();
    let enforced = ("mode: enforce".to_owned(), Modes::default());
    let each = CHECKS.iter().map(|check| {
        let mut modes = Modes::default();
        set(&mut modes, check, Mode::Shadow);
        (format!("{check}: shadow"), modes)
    });
    let all = [Mode::Observe, Mode::Shadow].map(|mode| (format!("mode: {mode}"), Modes::all(mode)));
    let mut mixed = Modes::all(Mode::Observe);
    set(&mut mixed, "consent", Mode::Shadow);
    set(&mut mixed, "policy.freeze", Mode::Enforce);
    let mixed = ("mode: observe, consent: shadow, policy.freeze: enforce".to_owned(), mixed);
    let usual = relaxed(|_| Modes::default());
    for (name, modes) in [enforced].into_iter().chain(each).chain(all).chain([mixed]) {
        let policies = relaxed(|_| modes.clone());
        writeln!(text, "{name}").expect("writing to a string");
        for (words, risk) in CALLS {
            let call = Call { risk, ..call(words) };
            let cell = cell(&ask(&policies, call));
            // Of a setting, only what it changes.
            if modes == Modes::default() || cell != self::cell(&ask(&usual, call)) {
                writeln!(text, "  {words} at {risk}\n    {cell}").expect("as above");
            }
        }
    }
    text
}

#[test]
fn each_side_relaxes_its_own_consent() {
    let refuses = |shadowed: &'static str| {
        let policies = relaxed(|name| Modes {
            consent: if name == shadowed { Mode::Shadow } else { Mode::Enforce },
            permit: Mode::Observe,
            ..Modes::default()
        });
        // Refused by both sides: hr does not accept platform for payroll, and ci calls people only.
        let both = ask(&policies, call("platform/ci GET hr/payroll /runs/{id}"));
        // Refused by the consumer's side alone.
        let consumer = ask(&policies, call("internal-tools/search GET hr/people /people"));
        (cell(&both), cell(&consumer))
    };
    let provider = "shadow consent: consent.provider by hr/consent.accepts_from.payroll";
    let consumer = "shadow consent: consent.consumer by hr/consent.calls.";
    let permit = "observe permit: policy.no-permit";
    assert_eq!(refuses("hr").0, format!("consent.consumer; {provider}; {permit}"));
    assert_eq!(refuses("platform").0, format!("consent.provider; {consumer}payroll; {permit}"));
    assert_eq!(refuses("hr").1, format!("consent.consumer; {permit}"), "hr cannot waive what internal-tools says");
    assert_eq!(refuses("internal-tools").1, format!("allow; {consumer}people; {permit}"));
}

#[test]
fn a_permit_that_only_consent_holds_up_is_no_warning_where_consent_is_relaxed() {
    let warned = |shadowed: &'static str| {
        let modes = |name: &str| Modes {
            consent: if name == shadowed { Mode::Shadow } else { Mode::Enforce },
            ..Modes::default()
        };
        let problems = compile(&Arc::new(organisation(modes)), &sources(FINANCE, HR)).1;
        problems.iter().any(|problem| problem.code == "cedar.never-allows")
    };
    // hr does not accept platform, whose ci says that it calls people.
    assert!(warned("platform") && !warned("hr"));
}

#[test]
fn a_wall_stays_a_wall_whatever_a_domain_relaxes() {
    let usual = relaxed(|_| Modes::default());
    let weak = relaxed(|name| if name == "hr" { Modes::all(Mode::Observe) } else { Modes::default() });
    for (words, risk) in CALLS.into_iter().filter(|(words, _)| words.contains("finance/ledger")) {
        let call = Call { risk, ..call(words) };
        assert_eq!(ask(&weak, call), ask(&usual, call), "{words} at {risk} with hr in observe");
    }
    let home = ask(&weak, call("hr/portal GET hr/payroll /runs/{id}"));
    assert_eq!(cell(&home), "allow; observe permit: policy.no-permit", "so that the test can fail");
}

#[test]
fn a_percentage_is_sticky_near_its_number_and_only_grows() {
    let id = PolicyId::new("finance", "freeze");
    let callers: Vec<_> = (0..20_000).map(|n| format!("finance/caller-{n}")).collect();
    for percent in [0, 1, 10, 50, 90, 99, 100] {
        let enforced = callers.iter().filter(|caller| is_enforced_for(&id, caller, percent)).count();
        let off = enforced.abs_diff(usize::from(percent) * callers.len() / 100);
        assert!(off <= callers.len() / 100, "{enforced} of {} for {percent}%", callers.len());
    }
    for caller in callers.iter().take(500) {
        let from = (0..=100).find(|percent| is_enforced_for(&id, caller, *percent)).expect("100% is everybody");
        assert!((from..=100).all(|percent| is_enforced_for(&id, caller, percent)), "{caller} leaves again");
    }
    let other = PolicyId::new("finance", "odd");
    let both = callers.iter().filter(|c| is_enforced_for(&id, c, 50) && is_enforced_for(&other, c, 50)).count();
    assert!(both.abs_diff(callers.len() / 4) < callers.len() / 50, "two policies choose alike: {both}");
    // The function is part of what an installation relies on: these callers never change sides.
    let first: Vec<_> = (0..40).filter(|n| is_enforced_for(&id, &format!("finance/caller-{n}"), 20)).collect();
    assert_eq!(first, STICKY);
}

/// The callers of the first forty for whom 20% of `finance/freeze` is enforced.
const STICKY: [u32; 6] = [24, 25, 26, 30, 35, 38];

#[test]
fn a_percentage_enforces_for_its_callers_and_shadows_for_the_rest() {
    let half = PolicyMode { mode: Mode::Shadow, enforce_for: 50 };
    let id = PolicyId::new("finance", "freeze");
    let policies = relaxed(|_| Modes { policies: [(id.clone(), half)].into(), ..Modes::default() });
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.routes.first().expect("POST /entries");
    let mut answers = [0, 0];
    let ask = |source: &str| {
        let source = Some(source.parse().expect("an address"));
        let principal = Principal::Unidentified;
        policies.evaluate(&Question { principal, method: Method::Post, route, source, risk: 55, at: NOON })
    };
    for n in 0..=255 {
        // Nobody is known by the address.
        let source = format!("192.0.2.{n}");
        let verdict = ask(&source);
        let noted = verdict.noted.iter().any(|noted| noted.check() == "policy.freeze" && noted.mode() == Mode::Shadow);
        let enforced = verdict.determining.contains(&id);
        assert_eq!((enforced, noted), (is_enforced_for(&id, &source, 50), !enforced), "{source}: {verdict:?}");
        assert_eq!(verdict, ask(&format!("::ffff:{source}")), "the same address in its other form");
        answers[usize::from(enforced)] += 1;
    }
    assert!(answers.iter().all(|count| *count > 90), "{answers:?}");
    let payments = Principal::Workload(&workload("finance/payments"));
    let from = |source: &str| {
        let source = Some(source.parse().expect("an address"));
        policies.evaluate(&Question { principal: payments, method: Method::Post, route, source, risk: 55, at: NOON })
    };
    assert_eq!(from("192.0.2.1"), from("192.0.2.2"), "a workload is known by its name, wherever it calls from");
}

#[test]
fn an_error_of_what_is_relaxed_is_noted_with_its_words_and_any_other_denies() {
    let mut modes = Modes::default();
    set(&mut modes, "policy.odd", Mode::Shadow);
    let policies = relaxed(|_| modes.clone());
    let verdict = ask(&policies, Call { risk: 77, ..call("finance/payments GET finance/ledger /entries/{id}") });
    assert_eq!(cell(&verdict), "allow; shadow policy.odd: policy.error by finance/odd");
    assert!(verdict.note.starts_with("could not be evaluated: finance/odd: integer overflow"), "{}", verdict.note);
    let verdict = ask(&policies, Call { risk: 78, ..call("finance/payments GET finance/ledger /entries/{id}") });
    assert_eq!((cell(&verdict).as_str(), names(&verdict)), ("policy.error", vec!["finance/odd-permit"]));
    // A permit has no mode of its own: an error in it is as if it were not there.
    set(&mut modes, "permit", Mode::Observe);
    let policies = relaxed(|_| modes.clone());
    let verdict = ask(&policies, Call { risk: 78, ..call("finance/payments GET finance/ledger /entries/{id}") });
    assert_eq!(cell(&verdict), "allow; observe permit: policy.error by finance/odd-permit");
}

#[test]
fn the_check_behind_a_refusal_has_the_name_it_would_be_noted_under() {
    for (reason, by, want) in [
        (Reason::RouteUnlisted, &[][..], "routes.unlisted"),
        (Reason::RequiresIdentity, &["finance/requires.identity"], "requires.identity"),
        (Reason::ConsentConsumer, &["finance/consent.calls.ledger"], "consent"),
        (Reason::PolicyNoPermit, &[], "permit"),
        (Reason::PolicyForbidden, &["finance/freeze", "org/no-deletes"], "policy.freeze"),
        (Reason::PolicyForbidden, &["org/no-deletes"], "policy.org/no-deletes"),
        (Reason::SignalsRevoked, &[], ""),
        (Reason::IdentityExpired, &[], ""),
        (Reason::PolicyError, &[], ""),
    ] {
        assert_eq!(check_of(reason, by), want, "{reason}");
    }
    let shadowed = relaxed(|_| Modes::all(Mode::Shadow));
    let enforced = relaxed(|_| Modes::default());
    for (words, risk) in CALLS.into_iter().filter(|(_, risk)| *risk != 78) {
        let call = Call { risk, ..call(words) };
        let (refused, noted) = (ask(&enforced, call), ask(&shadowed, call));
        let want = refused.reason.map(|reason| check_of(reason, &names(&refused)));
        let checks: Vec<_> = noted.noted.iter().map(|noted| noted.check().to_owned()).collect();
        assert!(want.is_none_or(|want| checks.contains(&want)), "{words} at {risk}: {refused:?} {checks:?}");
        assert_eq!(refused.outcome == Outcome::Deny, noted.would_deny().is_some(), "{words} at {risk}");
    }
}

#[test]
fn records_name_as_many_noted_refusals_as_they_may_and_what_is_in_shadow_first() {
    let relaxation = |mode| crate::Relaxation::of("policy.x", mode).expect("relaxed");
    let noted = |n: usize, mode| {
        let id = PolicyId::new("finance", &format!("p{n:02}"));
        crate::Noted::new(relaxation(mode), Reason::PolicyForbidden, Some(id))
    };
    let most = limits::NOTED_REFUSALS.default_usize();
    let mode = |n| if n % 4 == 3 { Mode::Shadow } else { Mode::Observe };
    let mut all: Vec<_> = (0..most + 4).map(|n| noted(n, mode(n))).collect();
    assert_eq!(crate::modes::bounded(&mut all), 4);
    let kept: Vec<_> = all.iter().map(|noted| noted.policy().expect("a policy").as_str()).collect();
    assert_eq!(kept.len(), most);
    assert_eq!(kept, ["p00", "p01", "p02", "p03", "p04", "p05", "p07", "p11"].map(|name| format!("finance/{name}")));
    let mut few: Vec<_> = (0..most).map(|n| noted(n, mode(n))).collect();
    assert_eq!((crate::modes::bounded(&mut few), few.len()), (0, most));
}

/// With one check enforced and everything else in observe.
fn alone(check: &str) -> &'static Policies {
    static ALONE: OnceLock<Vec<Policies>> = OnceLock::new();
    let all = ALONE.get_or_init(|| {
        let enforcing = |check: &&str| {
            let mut modes = Modes::all(Mode::Observe);
            for other in ["policy.freeze", "policy.odd"] {
                set(&mut modes, other, Mode::Observe);
            }
            set(&mut modes, check, Mode::Enforce);
            relaxed(|_| modes.clone())
        };
        CHECKS.iter().map(enforcing).collect()
    });
    let index = CHECKS.iter().position(|known| *known == check).expect("a check");
    all.get(index).expect("one for each check")
}

proptest! {
    // Each case compiles once.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_mode_changes_what_another_check_refuses(
        picks in prop::collection::vec(prop::sample::select(Mode::ALL.to_vec()), CHECKS.len()),
        asked in prop::collection::vec((
            prop::option::of(prop::sample::select(vec!["finance/payments", "finance/ledger", "hr/portal", "internal-tools/search", "platform/ci"])),
            prop::sample::select(vec![0_u8, 20, 55, 77, 95]),
            any::<prop::sample::Index>(),
            prop::sample::select(Method::ALL.to_vec()),
        ), 24),
    ) {
        let mut modes = Modes::default();
        for (check, mode) in CHECKS.iter().zip(picks) {
            set(&mut modes, check, mode);
        }
        let policies = relaxed(|_| modes.clone());
        for (caller, risk, pick, method) in asked {
            let caller = caller.map(workload);
            let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
            let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
            let routes: Vec<_> = service.judged_routes().cloned().collect();
            let route = pick.get(&routes);
            let method = route.id.call().map_or(method, |(method, _)| *method);
            let question = Question { principal, method, route, source: None, risk, at: NOON };
            // The last two stand for one setting, whose refusals are told apart by their policies.
            let refuses = |check: &&&str| {
                let verdict = alone(check).evaluate(&question);
                verdict.reason.is_some_and(|reason| check_of(reason, &names(&verdict)) == **check || check_of(reason, &names(&verdict)).contains("org/"))
            };
            let refusing: Vec<_> = CHECKS.iter().filter(refuses).collect();
            let verdict = policies.evaluate(&question);
            let enforced: Vec<_> = refusing.iter().filter(|check| mode(&modes, check) == Mode::Enforce).collect();
            prop_assert_eq!(verdict.outcome == Outcome::Deny, !enforced.is_empty(), "{:?} {:?} {:?}", question, verdict, enforced);
            for noted in &verdict.noted {
                prop_assert_eq!(noted.mode(), mode(&modes, noted.check()));
                prop_assert!(noted.mode() < Mode::Enforce);
            }
            // A route that is not there ends the line; nothing else is asked.
            let asked = verdict.reason != Some(Reason::RouteUnlisted);
            for check in CHECKS.iter().take(if asked { 6 } else { 0 }).filter(|check| mode(&modes, check) < Mode::Enforce) {
                let noted = verdict.noted.iter().any(|noted| noted.check() == *check);
                prop_assert_eq!(noted, refusing.contains(&check), "{} {:?} {:?}", check, question, verdict);
            }
        }
    }

    #[test]
    fn what_no_mode_names_is_refused_in_every_mode(mode in prop::sample::select(Mode::ALL.to_vec()), risk in any::<u8>()) {
        static ALL: OnceLock<Vec<Policies>> = OnceLock::new();
        let all = ALL.get_or_init(|| Mode::ALL.iter().map(|mode| relaxed(|_| Modes::all(*mode))).collect());
        let policies = all.get(mode as usize).expect("one for each mode");
        let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
        let route = service.routes.first().expect("a route");
        let stranger = workload("finance/stranger");
        let payments = workload("finance/payments");
        let question = |principal, method, at| Question { principal, method, route, source: None, risk, at };
        let far = types::Timestamp::from_micros(u64::MAX);
        for question in [
            question(Principal::Workload(&stranger), Method::Post, NOON),
            question(Principal::Workload(&payments), Method::Post, far),
            question(Principal::Workload(&payments), Method::Get, NOON),
        ] {
            let verdict = policies.evaluate(&question);
            prop_assert_eq!(verdict.reason, Some(Reason::PolicyError));
        }
    }
}
