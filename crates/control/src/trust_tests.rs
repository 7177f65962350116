//! Trust taken away and given back.

use api::admin::{FailureCode, Restore, Revocation, Revoke};

use crate::fixture::{Call, World, request, with};

const STOREFRONT: &str = "spiffe://shop.example.internal/storefront";

fn revoke(subject: &str) -> Revoke {
    Revoke { subject: subject.to_owned(), reason: "it was stolen".to_owned(), seconds: None }
}

fn restore(subject: &str) -> Restore {
    Restore { subject: subject.to_owned(), reason: "found again".to_owned() }
}

#[test]
fn who_is_revoked_is_held_against_under_a_new_epoch_until_it_is_lifted() {
    let mut world = World::new();
    let signals = std::sync::Arc::clone(&world.control.parts.signals);
    world.changes.mark_unchanged();
    let revoked = world.admin().revoke("local", &revoke("shop/storefront")).unwrap();
    assert_eq!((revoked.subject.as_str(), revoked.epoch, revoked.note.as_str()), (STOREFRONT, 1, ""));
    let id = types::SpiffeId::parse(STOREFRONT).unwrap();
    let now = types::Clock::now(&*world.clock);
    assert!(signals.load().revoked_id(&id, now).is_some() && signals.load().epoch() == 1);
    assert!(world.changes.has_changed().unwrap());
    assert_eq!(world.told.acts(), ["signals"]);
    assert_eq!(revoked.reach.as_ref().map(|reach| (reach.in_force, reach.enforcers)), Some((0, 0)), "nobody enforces");
    assert_eq!(world.admin().revocations().unwrap(), [Revocation { reach: None, ..revoked }]);
    let lifted = world.admin().restore("local", &restore(STOREFRONT)).unwrap();
    assert_eq!((lifted.epoch, lifted.reason.as_str()), (2, "it was stolen"));
    assert!(signals.load().is_empty() && signals.load().epoch() == 2, "the epoch never goes back");
    let failure = world.admin().restore("local", &restore(STOREFRONT)).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotFound);
    let acts = world.acts();
    assert_eq!(acts[1], format!("revoke allow {STOREFRONT} by local: it was stolen | epoch 1"));
    assert_eq!(acts[2], format!("restore allow {STOREFRONT} by local: found again | epoch 2"));
    assert_eq!(acts.len(), 3, "{acts:?}");
}

#[test]
fn a_restart_forgets_nothing_and_the_epoch_goes_on() {
    let world = World::new();
    world.admin().revoke("local", &revoke("shop/storefront")).unwrap();
    world.admin().revoke("local", &revoke("serial:5C:01")).unwrap();
    world.admin().restore("local", &restore("serial:5c01")).unwrap();
    let before = world.admin().revocations().unwrap();
    let world = world.restart();
    assert_eq!(world.admin().revocations().unwrap(), before);
    assert_eq!(world.control.parts.signals.load().epoch(), 3);
    assert_eq!(world.admin().revoke("local", &revoke("serial:01")).unwrap().epoch, 4);
}

#[test]
fn what_nobody_has_seen_is_revoked_with_a_note_and_what_was_seen_without() {
    let world = World::new();
    world.decide(Call::ALLOWED);
    assert_eq!(world.admin().revoke("local", &revoke("serial:5c01")).unwrap().note, "");
    let unseen = world.admin().revoke("local", &revoke("serial:5c02")).unwrap();
    assert!(unseen.note.starts_with("no certificate with this serial number"), "{unseen:?}");
    let key = world.admin().revoke("local", &revoke(&format!("key:{}", "ab".repeat(32)))).unwrap();
    assert!(key.note.contains("no record names a key"), "{key:?}");
    let foreign = world.admin().revoke("local", &revoke("spiffe://cluster.local/ns/a/sa/b")).unwrap();
    assert_eq!(foreign.note, "the running revision has no such workload");
    // one that was removed from the revision and still holds a certificate
    world.decide(Call { caller: "spiffe://shop.example.internal/gone", serial: "5c09", ..Call::ALLOWED });
    assert_eq!(world.admin().revoke("local", &revoke("shop/gone")).unwrap().note, "");
}

#[test]
fn what_cannot_be_revoked_is_refused_in_words() {
    let world = World::new();
    let code = |request: &Revoke| world.admin().revoke("local", request).unwrap_err();
    let unknown = code(&revoke("shop/storefrnt"));
    assert_eq!((unknown.code, unknown.hint.as_str()), (FailureCode::NotFound, "did you mean `shop/storefront`?"));
    for protected in ["operator:local", "spiffe://system.example.internal/control/x"] {
        assert_eq!(code(&revoke(protected)).code, FailureCode::NotAllowed, "{protected}");
    }
    for wrong in ["", "storefront", "user:corp/anna", "serial:xyz", "key:12", "spiffe://shop.example.internal"] {
        assert_eq!(code(&revoke(wrong)).code, FailureCode::BadRequest, "{wrong}");
    }
    let gateway = code(&revoke("spiffe://shop.example.internal/_gateway/local"));
    assert!(gateway.message.contains("is a gateway"), "{gateway:?}");
    assert_eq!(code(&Revoke { reason: "  ".to_owned(), ..revoke("shop/storefront") }).code, FailureCode::BadRequest);
    for seconds in [0, 400 * 86_400, u64::MAX] {
        let request = Revoke { seconds: Some(seconds), ..revoke("shop/storefront") };
        assert_eq!(code(&request).code, FailureCode::BadRequest, "{seconds}");
    }
    assert_eq!(world.admin().revoke("anna", &revoke("shop/storefront")).unwrap_err().code, FailureCode::NotAllowed);
    assert_eq!(world.admin().revocations().unwrap(), []);
    assert_eq!(world.control.parts.signals.load().epoch(), 0);
    let acts = world.acts();
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert!(acts[1].starts_with(&format!("revoke deny {STOREFRONT} by anna")), "{acts:?}");
}

#[test]
fn a_revocation_for_a_time_ends_by_itself_and_a_second_one_replaces_it() {
    let world = World::new();
    let hour = Revoke { seconds: Some(3_600), ..revoke("shop/storefront") };
    world.admin().revoke("local", &hour).unwrap();
    world.clock.advance(3_599);
    assert_eq!(world.admin().revocations().unwrap().len(), 1);
    world.clock.advance(1);
    assert_eq!(world.admin().revocations().unwrap(), []);
    assert_eq!(world.admin().restore("local", &restore("shop/storefront")).unwrap_err().code, FailureCode::NotFound);
    world.admin().revoke("local", &hour).unwrap();
    let shorter = Revoke { seconds: Some(60), ..revoke("shop/storefront") };
    let second = world.admin().revoke("local", &shorter).unwrap();
    let listed = Revocation { reach: None, ..second };
    assert_eq!((listed.epoch, world.admin().revocations().unwrap()), (3, vec![listed]));
}

#[test]
fn whoever_may_not_give_trust_back_may_not_shorten_a_revocation_either() {
    let world = World::new();
    let forbid =
        "@id(\"nobody-restores\") @reason(\"a test\") forbid (principal, action == Action::\"restore\", resource);";
    let files = with("admin.cedar", |text| format!("{text}\n{forbid}\n"));
    world.admin().publish("local", &request(&files)).unwrap();
    let for_seconds = |seconds| Revoke { seconds, ..revoke("shop/storefront") };
    world.admin().revoke("local", &for_seconds(Some(60))).unwrap();
    world.admin().revoke("local", &for_seconds(Some(3_600))).unwrap();
    world.admin().revoke("local", &for_seconds(None)).unwrap();
    for shorter in [1, 3_600] {
        let failure = world.admin().revoke("local", &for_seconds(Some(shorter))).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{failure:?}");
    }
    assert_eq!(world.admin().revocations().unwrap()[0].until, None);
    let last = world.acts().pop().unwrap();
    assert!(last.starts_with(&format!("restore deny {STOREFRONT} by local")), "{last}");
}

#[test]
fn a_node_loses_its_trust_for_a_time_and_has_it_again() {
    let world = World::new();
    let agent = types::SpiffeId::parse("spiffe://system.example.internal/agent/vm-1").unwrap();
    let place = crate::store::Place {
        role: api::admin::Role::Agent,
        name: types::Label::parse("vm-1").unwrap(),
        group: Some(types::Label::parse("vms").unwrap()),
        domains: None,
    };
    let now = types::Clock::now(&*world.clock);
    let unknown = world.admin().revoke("local", &revoke("node:agent/vm-1")).unwrap_err();
    assert_eq!(unknown.code, FailureCode::NotFound, "nobody of that name joined");
    let joined = crate::store::Joined { place, key: [7; 32], joined: now, last: crate::store::Last::default() };
    world.control.hub.peers.add(joined);
    let request = Revoke { seconds: Some(60), ..revoke("node:agent/vm-1") };
    let revoked = world.admin().revoke("local", &request).unwrap();
    assert_eq!((revoked.subject.as_str(), revoked.until), (agent.as_str(), Some(now.plus_seconds(60))));
    let held = |world: &World| {
        let now = types::Clock::now(&*world.clock);
        world.control.parts.signals.load().revoked_id(&agent, now).is_some()
    };
    assert!(held(&world) && world.admin().fleet().unwrap()[0].revoked);
    assert_eq!(world.admin().revocations().unwrap().len(), 1);
    world.clock.advance(59);
    assert!(held(&world));
    world.clock.advance(2);
    assert!(!held(&world) && !world.admin().fleet().unwrap()[0].revoked, "it ended by itself");
    assert!(world.admin().revocations().unwrap().is_empty());
}

#[test]
fn a_workload_of_somebody_else_is_revoked_by_our_name_for_it() {
    let mut files = crate::fixture::files();
    let federation =
        "federation:\n  - { name: partner.example, url: https://bundles.partner.example/, profile: https_web }\n";
    crate::fixture::append(&mut files, "countersign.yaml", federation);
    let web =
        |text: String| text.replace("workloads:", "workloads:\n  web: { spiffe_id: spiffe://partner.example/ns/web }");
    let domain = String::from_utf8(files.remove("domains/shop/domain.yaml").unwrap()).unwrap();
    files.insert("domains/shop/domain.yaml", web(domain));
    let folder = crate::fixture::Folder::Own(tempfile::tempdir().unwrap());
    let world = World::with(&files, folder, crate::fixture::LOG_BYTES);
    let revoked = world.admin().revoke("local", &revoke("shop/web")).unwrap();
    assert_eq!((revoked.subject.as_str(), revoked.note.as_str()), ("spiffe://partner.example/ns/web", ""));
    let listed = world.admin().identities().unwrap();
    let web = listed.iter().find(|one| one.workload == "shop/web").unwrap();
    assert!(web.revoked && web.rules.is_empty(), "{web:?}");
    assert!(world.admin().what_can("spiffe://partner.example/ns/web").is_ok());
    world.decide(Call { caller: "spiffe://partner.example/ns/web", ..Call::ALLOWED });
    let query = api::admin::DecisionQuery { caller: Some("shop/web".to_owned()), ..Default::default() };
    let mut found = world.admin().decisions(&query).unwrap();
    assert!(matches!(found.blocking_recv(), Some(api::admin::Entry::Decision(one)) if one.caller == "shop/web"));
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let request = api::admin::Impersonate { workload: "shop/web".to_owned(), csr };
    let failure = world.admin().impersonate("local", &request).unwrap_err();
    assert!(matches!(failure.code, FailureCode::BadRequest | FailureCode::NotAllowed), "{failure:?}");
}
