//! Publications, rollbacks, and what must leave everything as it was.

use std::sync::Arc;

use api::admin::{FailureCode, PublicationKind, Publish, Revoke, Rollback};
use types::facts::{Facts, Lifecycle};

use crate::NotReady;
use crate::fixture::{Folder, World, commented, current, files, records, request, revision_of, with};

fn rollback(revision: &str) -> Rollback {
    Rollback { revision: revision.to_owned(), why: "it was better".to_owned() }
}

#[test]
fn what_is_published_decides_and_says_who_when_why_and_what() {
    let mut world = World::new();
    let first = world.revision();
    world.clock.advance(60);
    let files = with("policies/guardrails.cedar", |text| {
        format!(
            "{text}\n@id(\"freeze\")\n@reason(\"A test.\")\nforbid (principal, action, resource) when {{ context.risk > 99 }};\n"
        )
    });
    let candidate = revision_of(&files).id();
    world.changes.mark_unchanged();
    let published = current(world.admin().publish("local", &request(&files)).unwrap());
    assert_eq!(published.number, 2);
    assert_eq!((published.revision, published.kind), (candidate.to_string(), PublicationKind::Publish));
    assert_eq!((published.operator.as_str(), published.why.as_str()), ("local", "a test"));
    assert_eq!(published.changes, ["policy org/freeze added"]);
    assert!(published.current && world.revision() == candidate && candidate != first);
    assert!(world.changes.has_changed().unwrap(), "enforcers must look again");
    assert_eq!(world.told.acts(), [format!("prepare {}", candidate.short()), format!("apply {}", candidate.short())]);
    let acts = world.acts();
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert!(acts[0].starts_with(&format!("publish allow {} by local:  | publication 1", first.short())), "{acts:?}");
    let wanted =
        format!("publish allow {} by local: a test | publication 2: policy org/freeze added", candidate.short());
    assert_eq!(acts[1], wanted);
    let in_force = records(world.log.dir()).iter().any(|record| match &record.view().facts {
        Facts::Lifecycle(facts) => facts.event == "revision" && facts.revision == Some(candidate),
        _ => false,
    });
    assert!(in_force, "that it is in force is on record");
    let listed = world.admin().publications(10).unwrap();
    assert_eq!(listed.iter().map(|one| (one.number, one.current)).collect::<Vec<_>>(), [(2, true), (1, false)]);
    assert_eq!(listed[1].kind, PublicationKind::First);
    // what runs after a restart is what was published
    assert_eq!(world.restart().revision(), candidate);
}

#[test]
fn publishing_what_is_current_changes_nothing() {
    let world = World::new();
    let again = current(world.admin().publish("local", &request(&files())).unwrap());
    assert_eq!((again.number, again.kind), (1, PublicationKind::First));
    assert_eq!(world.acts().len(), 1);
    assert!(world.told.acts().is_empty());
}

#[test]
fn what_does_not_validate_or_fails_a_test_is_refused_in_words() {
    let world = World::new();
    let before = world.revision();
    let broken = with("domains/shop/domain.yaml", |text| format!("{text}\nnonsense: 1\n"));
    let failure = world.admin().publish("local", &request(&broken)).unwrap_err();
    assert_eq!(failure.code, FailureCode::BadRequest);
    assert!(failure.message.starts_with("the files do not validate: 1 error"), "{failure:?}");
    assert!(failure.hint.starts_with("domains/shop/domain.yaml:") && failure.hint.contains("nonsense"), "{failure:?}");
    let failing = with("domains/shop/tests/orders.yaml", |text| text.replacen("expect: allow", "expect: deny", 1));
    let failure = world.admin().publish("local", &request(&failing)).unwrap_err();
    assert!(failure.message.contains("1 test of") && failure.hint.contains("tests/orders.yaml"), "{failure:?}");
    let empty = Publish { files: [].into(), why: String::new(), after: None };
    assert_eq!(world.admin().publish("local", &empty).unwrap_err().code, FailureCode::BadRequest);
    let mut long = request(&commented("long"));
    long.why = "x".repeat(600);
    assert_eq!(world.admin().publish("local", &long).unwrap_err().code, FailureCode::BadRequest);
    let other = trustdir::starter(&types::TrustDomain::parse("other.internal").unwrap());
    let failure = world.admin().publish("local", &request(&other)).unwrap_err();
    assert!(failure.message.contains("organisation"), "{failure:?}");
    assert_eq!(world.revision(), before);
    assert_eq!(world.acts().len(), 1, "nothing of it is on record");
}

#[test]
fn a_publication_after_which_nobody_could_roll_back_is_refused() {
    let world = World::new();
    let before = world.revision();
    for action in ["rollback", "publish"] {
        let locked_out = with("admin.cedar", |text| {
            format!(
                "{text}\n@id(\"no-{action}\")\n@reason(\"A test.\")\nforbid (principal, action == Action::\"{action}\", resource);\n"
            )
        });
        let failure = world.admin().publish("local", &request(&locked_out)).unwrap_err();
        assert!(failure.message.contains(&format!("nobody could {action}")), "{failure:?}");
    }
    assert_eq!(world.revision(), before);
}

#[test]
fn an_operator_without_a_permit_is_refused_and_that_is_on_record() {
    let world = World::new();
    let failure = world.admin().publish("anna", &request(&commented("anna"))).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotAllowed);
    let failure = world.admin().rollback("anna", &rollback(&world.revision().to_string())).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotAllowed, "also where it would change nothing");
    let acts = world.acts();
    assert!(acts[1].starts_with("publish deny  by anna") && acts[2].starts_with("rollback deny  by anna"), "{acts:?}");
}

#[test]
fn of_two_publications_at_once_each_follows_the_other_or_is_told_so() {
    let world = Arc::new(World::new());
    let first = world.revision();
    let publish = |name: &'static str| {
        let world = Arc::clone(&world);
        let request = Publish { after: Some(first.to_string()), ..request(&commented(name)) };
        std::thread::spawn(move || world.admin().publish("local", &request).map(current))
    };
    let threads: Vec<_> = ["one", "two", "three", "four"].map(publish).into_iter().collect();
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let done: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(done.len(), 1, "{results:?}");
    assert_eq!(done[0].revision, world.revision().to_string());
    let conflicts = results.iter().filter_map(|result| result.as_ref().err());
    assert!(conflicts.clone().count() == 3 && conflicts.clone().all(|failure| failure.code == FailureCode::Conflict));
    assert_eq!(world.admin().publications(10).unwrap().len(), 2);
    assert_eq!(world.acts().len(), 2);
}

#[test]
fn rollback_finds_a_revision_by_its_beginning_and_knows_the_unknown() {
    let world = World::new();
    let first = world.revision();
    let second = revision_of(&commented("second")).id();
    world.admin().publish("local", &request(&commented("second"))).unwrap();
    let back = current(world.admin().rollback("local", &rollback(&first.short().to_uppercase())).unwrap());
    assert_eq!((back.number, back.kind, back.revision), (3, PublicationKind::Rollback, first.to_string()));
    assert_eq!(back.changes, ["`policies/guardrails.cedar` changed; nothing that decides did"]);
    assert_eq!(world.revision(), first);
    let forth = current(world.admin().rollback("local", &rollback(&second.to_string())).unwrap());
    assert_eq!((forth.number, world.revision()), (4, second));
    for (name, code) in [
        ("ffffffffffff", FailureCode::NotFound),
        ("", FailureCode::BadRequest),
        ("abc", FailureCode::BadRequest),
        ("not hexadecimal", FailureCode::BadRequest),
    ] {
        let failure = world.admin().rollback("local", &rollback(name)).unwrap_err();
        assert_eq!(failure.code, code, "{name}: {failure:?}");
    }
    let acts = world.acts();
    assert!(acts[2].starts_with("rollback allow") && acts[2].contains("it was better"), "{acts:?}");
}

#[test]
fn what_cannot_be_got_ready_or_recorded_leaves_everything_as_it_was() {
    let world = World::new();
    let before = world.revision();
    *world.told.not_ready.lock().unwrap() =
        Some(NotReady { message: "no key for domain hr".to_owned(), hint: "make room".to_owned() });
    let failure = world.admin().publish("local", &request(&commented("x"))).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (FailureCode::Unavailable, "no key for domain hr"));
    *world.told.not_ready.lock().unwrap() = None;
    // two segments: one for each lane, and no other
    let small = World::on(Folder::Own(tempfile::tempdir().unwrap()), 2 * 64 * 1024);
    let line = Lifecycle { event: "started", version: "0", revision: None };
    while small.control.parts.ledger.lifecycle(&line).is_ok() {}
    let current = small.revision();
    let refused = small.admin().publish("local", &request(&commented("full"))).unwrap_err();
    assert_eq!(refused.code, FailureCode::Unavailable);
    assert!(refused.message.contains("does not take the record"), "{refused:?}");
    let listed = small.admin().publications(1).unwrap();
    assert_eq!(listed[0].revision, current.to_string());
    assert_eq!(small.revision(), current, "store and enforcers agree");
    let revoke = Revoke { subject: "shop/storefront".to_owned(), reason: "x".to_owned(), seconds: None };
    assert_eq!(small.admin().revoke("local", &revoke).unwrap_err().code, FailureCode::Unavailable);
    assert_eq!(small.admin().revocations().unwrap(), []);
    assert!(small.admin().login_link("local").is_err());
    let health = small.admin().health();
    assert!(!health.ready && health.problems[0].contains("has reached its size"), "{health:?}");
    assert_eq!(world.revision(), before);
}
