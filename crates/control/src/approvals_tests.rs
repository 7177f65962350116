//! What waits for owners, what they may, and what never becomes current without them.

use std::sync::Arc;

use api::admin::{Approve, FailureCode, Proposal, Published, Rollback, Withdraw};
use signal::{Revocation, State, Subject};
use trustdir::MemoryFiles;
use types::{SpiffeId, Timestamp};

use crate::fixture::{World, append, current, owned, request, revision_of};

/// A change of what alice owns.
fn of_the_shop(comment: &str) -> MemoryFiles {
    let mut files = owned();
    append(&mut files, "domains/shop/domain.yaml", &format!("# {comment}\n"));
    files
}

/// A change of what sally owns.
fn of_everybody(comment: &str) -> MemoryFiles {
    let mut files = owned();
    append(&mut files, "policies/guardrails.cedar", &format!("// {comment}\n"));
    files
}

fn of_both(comment: &str) -> MemoryFiles {
    let mut files = of_the_shop(comment);
    append(&mut files, "policies/guardrails.cedar", &format!("// {comment}\n"));
    files
}

fn proposed(published: Published) -> Proposal {
    match published {
        Published::Proposed { proposal } => proposal,
        Published::Current { publication, .. } => panic!("it is current: {publication:?}"),
    }
}

fn propose(world: &World, operator: &str, files: &MemoryFiles) -> Proposal {
    proposed(world.admin().publish(operator, &request(files)).unwrap())
}

fn approval(proposal: &Proposal) -> Approve {
    Approve { number: proposal.number, revision: proposal.revision.clone(), why: "looked at".to_owned() }
}

fn withdrawal(number: u64) -> Withdraw {
    Withdraw { number, why: "not any more".to_owned() }
}

/// How often each kind of row is kept: revisions, files, proposals, approvals.
fn kept(world: &World) -> Vec<i64> {
    let database = rusqlite::Connection::open(world.dir.path().join("control.db")).unwrap();
    let count =
        |table: &str| database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    ["revisions", "texts", "proposals", "approvals"].map(count).to_vec()
}

#[test]
fn an_owner_publishes_what_they_own_and_nobody_else_does_without_them() {
    let world = World::owned();
    let before = world.revision();
    for (operator, files, folder, owners) in [
        ("bob", of_the_shop("bob"), "domains/shop", "operator:alice"),
        ("alice", of_everybody("alice"), ".", "operator:sally"),
        ("local", of_the_shop("local"), "domains/shop", "operator:alice"),
    ] {
        let proposal = propose(&world, operator, &files);
        assert_eq!(proposal.revision, revision_of(&files).id().to_string());
        assert_eq!((proposal.base.as_str(), proposal.operator.as_str()), (before.to_string().as_str(), operator));
        let needs: Vec<_> = proposal.needs.iter().map(|need| (need.folder.as_str(), need.owners.join(" "))).collect();
        assert!(needs.contains(&(folder, owners.to_owned())), "{operator}: {needs:?}");
        assert!(proposal.needs.iter().all(|need| !need.because.is_empty() && need.approved_by.is_empty()));
        assert!(!proposal.changes.is_empty());
    }
    assert_eq!(world.revision(), before, "what waits decides nothing");
    assert_eq!(world.admin().proposals().unwrap().len(), 3);
    let acts = world.acts();
    assert!(acts.last().unwrap().starts_with("propose allow"), "{acts:?}");
    assert!(acts.last().unwrap().contains("domains/shop (operator:alice)"), "{acts:?}");
    let by_alice = of_the_shop("alice");
    assert!(current(world.admin().publish("alice", &request(&by_alice)).unwrap()).approvals.is_empty());
    assert_eq!(world.revision(), revision_of(&by_alice).id());
}

#[test]
fn the_last_approval_makes_it_current_on_the_same_way() {
    let mut world = World::owned();
    let files = of_both("two owners");
    let proposal = propose(&world, "bob", &files);
    assert_eq!(proposal.needs.len(), 2, "{proposal:?}");
    let partly = proposed(world.admin().approve("alice", &approval(&proposal)).unwrap());
    let by: Vec<_> = partly.needs.iter().map(|need| (need.folder.as_str(), need.approved_by.as_str())).collect();
    assert_eq!(by, [(".", ""), ("domains/shop", "alice")]);
    assert_eq!(world.told.acts(), [""; 0], "nothing is got ready before it may become current");
    // again, and over a restart: it changes nothing
    let again = proposed(world.admin().approve("alice", &approval(&proposal)).unwrap());
    assert_eq!(again, partly);
    world = world.restart();
    assert_eq!(world.admin().proposals().unwrap(), [partly]);
    let publication = current(world.admin().approve("sally", &approval(&proposal)).unwrap());
    assert_eq!((publication.number, publication.operator.as_str()), (2, "bob"));
    assert_eq!(publication.approvals, ["alice", "sally"]);
    assert_eq!(world.revision(), revision_of(&files).id());
    assert_eq!(world.admin().proposals().unwrap(), []);
    let short = revision_of(&files).id().short();
    assert_eq!(world.told.acts(), [format!("prepare {short}"), format!("apply {short}")]);
    let acts = world.acts();
    let [.., first, second, third] = acts.as_slice() else { panic!("{acts:?}") };
    assert!(
        first.starts_with("approve allow")
            && first.contains("by alice: looked at | proposal 1 still needs organisation "),
        "{first}"
    );
    assert!(second.contains("by sally: looked at | proposal 1 has every approval: publication 2"), "{second}");
    assert!(third.starts_with("publish allow") && third.contains("by bob: a test"), "{third}");
    assert!(third.contains("publication 2 of proposal 1, approved by alice, sally"), "{third}");
    assert_eq!(world.restart().revision(), revision_of(&files).id());
}

#[test]
fn whoever_owns_nothing_of_it_approves_nothing_and_that_is_on_record() {
    let world = World::owned();
    let before = world.revision();
    let proposal = propose(&world, "local", &of_the_shop("x"));
    for operator in ["bob", "local"] {
        let failure = world.admin().approve(operator, &approval(&proposal)).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
        assert!(failure.hint.contains("operator:alice"), "{failure:?}");
    }
    for operator in ["vera", "olaf", "nobody"] {
        let failure = world.admin().approve(operator, &approval(&proposal)).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
        let failure = world.admin().withdraw(operator, &withdrawal(proposal.number)).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
    }
    let refused = world.acts().iter().filter(|act| act.starts_with("approve deny")).count();
    assert_eq!(refused, 8, "{:?}", world.acts());
    assert_eq!(world.revision(), before);
    assert_eq!(world.admin().proposals().unwrap(), [proposal]);
}

#[test]
fn nobody_approves_what_they_have_not_seen() {
    let world = World::owned();
    let proposal = propose(&world, "bob", &of_the_shop("x"));
    let other = revision_of(&of_the_shop("another")).id().to_string();
    for (revision, code) in [
        (other.as_str(), FailureCode::Conflict),
        ("", FailureCode::BadRequest),
        ("abc", FailureCode::BadRequest),
        ("zzzzzzzz", FailureCode::BadRequest),
    ] {
        let approve = Approve { revision: revision.to_owned(), ..approval(&proposal) };
        assert_eq!(world.admin().approve("alice", &approve).unwrap_err().code, code, "{revision}");
    }
    let unknown = Approve { number: 77, ..approval(&proposal) };
    assert_eq!(world.admin().approve("alice", &unknown).unwrap_err().code, FailureCode::NotFound);
    let shortened = Approve {
        revision: proposal.revision.chars().take(12).collect::<String>().to_uppercase(),
        ..approval(&proposal)
    };
    assert_eq!(current(world.admin().approve("alice", &shortened).unwrap()).approvals, ["alice"]);
    let again = world.admin().approve("alice", &approval(&proposal)).unwrap_err();
    assert_eq!(again.code, FailureCode::NotFound, "it does not wait any more");
}

#[test]
fn what_was_made_for_another_revision_is_not_approved_any_more() {
    let world = World::owned();
    let proposal = propose(&world, "bob", &of_the_shop("x"));
    let next = of_the_shop("by alice");
    current(world.admin().publish("alice", &request(&next)).unwrap());
    let failure = world.admin().approve("alice", &approval(&proposal)).unwrap_err();
    assert_eq!(failure.code, FailureCode::Conflict, "{failure:?}");
    assert_eq!(world.revision(), revision_of(&next).id());
    // a revision that nobody approved is no revision that could be rolled back to
    let back = Rollback { revision: proposal.revision.clone(), why: String::new() };
    assert_eq!(world.admin().rollback("alice", &back).unwrap_err().code, FailureCode::NotFound);
}

#[test]
fn what_is_over_is_taken_back_by_whoever_may_approve() {
    let world = World::owned();
    let files = of_the_shop("x");
    let mine = propose(&world, "bob", &files);
    current(world.admin().publish("alice", &request(&files)).unwrap());
    // the same became current: nobody is left whose approval it needs
    let failure = world.admin().withdraw("vera", &withdrawal(mine.number)).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
    world.admin().withdraw("alice", &withdrawal(mine.number)).unwrap();
    assert_eq!(world.admin().proposals().unwrap(), []);
    assert_eq!(world.revision(), revision_of(&files).id());
}

#[test]
fn who_approved_already_is_not_told_that_they_own_nothing() {
    let world = World::owned();
    let proposal = propose(&world, "bob", &of_both("x"));
    proposed(world.admin().approve("alice", &approval(&proposal)).unwrap());
    let both = propose(&world, "alice", &of_both("y"));
    let failure = world.admin().approve("alice", &approval(&both)).unwrap_err();
    assert!(failure.message.ends_with("owns nothing that proposal 2 still needs"), "{failure:?}");
    assert_eq!(failure.hint, "it needs organisation (operator:sally)");
}

#[test]
fn a_rollback_is_judged_in_the_same_way() {
    let world = World::owned();
    let first = world.revision();
    current(world.admin().publish("alice", &request(&of_the_shop("x"))).unwrap());
    let back = Rollback { revision: first.to_string(), why: "it was better".to_owned() };
    let proposal = proposed(world.admin().rollback("bob", &back).unwrap());
    assert_ne!(world.revision(), first);
    let publication = current(world.admin().approve("alice", &approval(&proposal)).unwrap());
    assert_eq!(
        (publication.kind, publication.approvals),
        (api::admin::PublicationKind::Rollback, vec!["alice".to_owned()])
    );
    assert_eq!(world.revision(), first);
    assert!(world.acts().last().unwrap().starts_with("rollback allow"), "{:?}", world.acts());
}

#[test]
fn the_proposer_and_the_owners_take_a_proposal_back_and_its_files_go_with_it() {
    let world = World::owned();
    let empty = kept(&world);
    let mine = propose(&world, "bob", &of_the_shop("mine"));
    let same = propose(&world, "bob", &of_the_shop("mine"));
    assert_eq!(same, mine, "proposing the same again changes nothing");
    assert_eq!(world.admin().withdraw("bob", &withdrawal(mine.number)).unwrap(), mine);
    assert_eq!(kept(&world), empty);
    let theirs = propose(&world, "bob", &of_both("theirs"));
    proposed(world.admin().approve("alice", &approval(&theirs)).unwrap());
    let failure = world.admin().withdraw("local", &withdrawal(theirs.number)).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
    world.admin().withdraw("alice", &withdrawal(theirs.number)).unwrap();
    assert_eq!(kept(&world), empty);
    assert_eq!(world.admin().withdraw("alice", &withdrawal(theirs.number)).unwrap_err().code, FailureCode::NotFound);
    let acts = world.acts();
    assert_eq!(acts.iter().filter(|act| act.starts_with("withdraw allow")).count(), 2, "{acts:?}");
    // its number is not given again
    assert_eq!(propose(&world, "bob", &of_the_shop("mine")).number, theirs.number + 1);
}

#[test]
fn an_approval_of_somebody_whose_trust_was_taken_away_counts_no_more() {
    let world = World::owned();
    let proposal = propose(&world, "bob", &of_both("x"));
    proposed(world.admin().approve("alice", &approval(&proposal)).unwrap());
    let alice = SpiffeId::parse("spiffe://system.example.internal/operator/alice").unwrap();
    let revocation = Revocation {
        subject: Subject::Spiffe(alice),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::default(),
        until: None,
        epoch: 1,
    };
    // only sally's own is left of what it needs: she satisfies both
    world.control.parts.signals.store(Arc::new(State::new(1, [revocation])));
    let publication = current(world.admin().approve("sally", &approval(&proposal)).unwrap());
    assert_eq!(publication.approvals, ["alice", "sally"]);
    let world = World::owned();
    let mut files = owned();
    append(&mut files, "domains/shop/domain.yaml", "# x\n");
    let proposal = propose(&world, "bob", &files);
    let state = world.control.parts.signals.load_full();
    assert!(state.is_empty());
    let bob = SpiffeId::parse("spiffe://system.example.internal/operator/bob").unwrap();
    assert!(world.control.stands("bob").is_ok());
    let revocation = Revocation {
        subject: Subject::Spiffe(bob),
        reason: "left".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::default(),
        until: None,
        epoch: 1,
    };
    world.control.parts.signals.store(Arc::new(State::new(1, [revocation])));
    assert!(world.control.stands("bob").is_err());
    assert_eq!(current(world.admin().approve("alice", &approval(&proposal)).unwrap()).operator, "bob");
}

#[test]
fn of_two_last_approvals_at_once_one_publishes() {
    let world = Arc::new(World::owned());
    let proposal = propose(&world, "bob", &of_the_shop("x"));
    let approve = |operator: &'static str| {
        let (world, approve) = (Arc::clone(&world), approval(&proposal));
        std::thread::spawn(move || world.admin().approve(operator, &approve))
    };
    let threads: Vec<_> = ["alice", "sally", "alice", "sally"].map(approve).into_iter().collect();
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let done: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(done.len(), 1, "{results:?}");
    let late = results.iter().filter_map(|result| result.as_ref().err());
    assert!(late.clone().all(|failure| failure.code == FailureCode::NotFound), "{results:?}");
    assert_eq!(world.admin().publications(10).unwrap().len(), 2);
    assert_eq!(world.acts().iter().filter(|act| act.starts_with("approve allow")).count(), 1);
}

#[test]
fn what_could_not_become_current_is_not_even_proposed_and_so_many_wait_at_most() {
    let world = World::owned();
    let mut failing = of_the_shop("x");
    append(
        &mut failing,
        "domains/shop/tests/more.yaml",
        "- name: no\n  call: { as: nobody, request: GET https://orders.example.internal/orders }\n  expect: allow\n",
    );
    let failure = world.admin().publish("bob", &request(&failing)).unwrap_err();
    assert_eq!(failure.code, FailureCode::BadRequest, "{failure:?}");
    let mut locked = owned();
    append(
        &mut locked,
        "admin.cedar",
        "@id(\"none\")\n@reason(\"A test.\")\nforbid (principal, action == Action::\"rollback\", resource);\n",
    );
    let failure = world.admin().publish("bob", &request(&locked)).unwrap_err();
    assert!(failure.message.contains("nobody could rollback"), "{failure:?}");
    assert_eq!(world.admin().proposals().unwrap(), []);
    let most = types::limits::PROPOSALS.default_usize();
    for turn in 0..most {
        propose(&world, "bob", &of_the_shop(&turn.to_string()));
    }
    let failure = world.admin().publish("bob", &request(&of_the_shop("one more"))).unwrap_err();
    assert_eq!(failure.code, FailureCode::Conflict, "{failure:?}");
    assert_eq!(world.admin().proposals().unwrap().len(), most);
}
