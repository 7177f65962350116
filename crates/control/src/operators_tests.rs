//! Certificates for operators, and sessions that end with their operator.

use api::admin::{Certify, FailureCode, Restore, Revoke};

use crate::fixture::{World, append, current, owned, request};
use crate::pem;

fn certify(name: &str, seconds: Option<u64>) -> Certify {
    Certify { name: name.to_owned(), csr: pem::encode("CERTIFICATE REQUEST", &[1, 2, 3]), seconds }
}

#[test]
fn whoever_may_certify_gives_operators_certificates_and_that_is_on_record() {
    let world = World::owned();
    let certified = world.admin().certify("local", &certify("alice", None)).unwrap();
    assert_eq!(pem::read_certificates(&certified.root).unwrap(), [world.told.system.der().to_vec()]);
    assert!(!pem::read_certificates(&certified.chain).unwrap().is_empty());
    world.admin().certify("local", &certify("vera", Some(600))).unwrap();
    assert_eq!(world.told.acts(), ["certify alice for 43200 s", "certify vera for 600 s"]);
    let acts = world.acts();
    assert!(acts[1].starts_with("certify allow operator:alice by local"), "{acts:?}");
    // whoever may do this can act as anybody: nobody but the owner of the data directory, where nothing else is said
    for operator in ["alice", "sally", "olaf", "vera", "nobody"] {
        let failure = world.admin().certify(operator, &certify(operator, None)).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{operator}: {failure:?}");
    }
    assert_eq!(world.acts().iter().filter(|act| act.starts_with("certify deny operator:")).count(), 5);
}

#[test]
fn what_is_no_operator_gets_no_certificate() {
    let world = World::owned();
    for (name, seconds, code) in [
        ("zoe", None, FailureCode::NotFound),
        ("", None, FailureCode::NotFound),
        ("../alice", None, FailureCode::NotFound),
        ("alice\0", None, FailureCode::NotFound),
        ("local", None, FailureCode::BadRequest),
        ("alice", Some(59), FailureCode::BadRequest),
        ("alice", Some(86_401), FailureCode::BadRequest),
        ("alice", Some(u64::MAX), FailureCode::BadRequest),
    ] {
        let failure = world.admin().certify("local", &certify(name, seconds)).unwrap_err();
        assert_eq!(failure.code, code, "{name} {seconds:?}: {failure:?}");
    }
    let not_pem = Certify { csr: "x".to_owned(), ..certify("alice", None) };
    assert_eq!(world.admin().certify("local", &not_pem).unwrap_err().code, FailureCode::BadRequest);
    assert_eq!(world.told.acts(), [""; 0]);
}

#[test]
fn a_session_ends_with_the_entry_of_its_operator() {
    let world = World::owned();
    let link = world.admin().login_link("vera").unwrap();
    let session = world.admin().log_in(link.url.split_once('#').unwrap().1).unwrap().unwrap();
    assert_eq!(world.admin().session(&session.secret).as_deref(), Some("vera"));
    let mut files = owned();
    append(
        &mut files,
        "admin.cedar",
        &format!(
            "{}principal == Operator::\"vera\", action == Action::\"view\", resource);\n",
            "@id(\"vera\")\n@reason(\"A test.\")\nforbid ("
        ),
    );
    let proposal = world.admin().publish("local", &request(&files)).unwrap();
    let api::admin::Published::Proposed { proposal } = proposal else { panic!("{proposal:?}") };
    let approve = api::admin::Approve { number: proposal.number, revision: proposal.revision, why: String::new() };
    current(world.admin().approve("sally", &approve).unwrap());
    assert_eq!(world.admin().session(&session.secret), None, "who may not look is logged out");
}

fn session_of(world: &World, operator: &str) -> String {
    let link = world.admin().login_link(operator).unwrap();
    world.admin().log_in(link.url.split_once('#').unwrap().1).unwrap().unwrap().secret
}

#[test]
fn a_session_does_not_wake_up_when_trust_is_given_back() {
    let world = World::owned();
    let (hers, other) = (session_of(&world, "vera"), session_of(&world, "olaf"));
    let link = world.admin().login_link("vera").unwrap();
    let revoke = Revoke { subject: "operator:vera".to_owned(), reason: "stolen".to_owned(), seconds: None };
    world.admin().revoke("local", &revoke).unwrap();
    assert_eq!(world.admin().session(&hers), None);
    world.admin().restore("local", &Restore { subject: "operator:vera".to_owned(), reason: String::new() }).unwrap();
    assert_eq!(world.admin().session(&hers), None, "who stole it has it still");
    assert_eq!(world.admin().log_in(link.url.split_once('#').unwrap().1).unwrap(), None);
    assert_eq!(world.admin().session(&other).as_deref(), Some("olaf"));
}

#[test]
fn nobody_inherits_the_session_of_an_earlier_operator_of_the_same_name() {
    let world = World::owned();
    let (hers, other) = (session_of(&world, "vera"), session_of(&world, "olaf"));
    let mut without = owned();
    let text = String::from_utf8(without.remove("countersign.yaml").unwrap()).unwrap();
    without.insert("countersign.yaml", text.replace("  vera: { uid: 4005, roles: [viewer] }\n", ""));
    for files in [without, owned()] {
        let proposal = world.admin().publish("local", &request(&files)).unwrap();
        let api::admin::Published::Proposed { proposal } = proposal else { panic!("{proposal:?}") };
        let approve = api::admin::Approve { number: proposal.number, revision: proposal.revision, why: String::new() };
        current(world.admin().approve("sally", &approve).unwrap());
        assert_eq!(world.admin().session(&hers), None);
    }
    assert_eq!(world.admin().session(&other).as_deref(), Some("olaf"));
}
