//! Trust that was taken away: nothing is issued to it.

use api::keys::{KeyStep, Place};

use super::*;

#[test]
fn nothing_is_issued_to_who_is_revoked_and_it_is_on_record() {
    let world = World::new();
    let issuer = world.open(&["finance"]).unwrap();
    issuer.set_registrations(registrations());
    mint(&issuer).unwrap();
    let mut changes = issuer.changes();
    changes.mark_unchanged();
    issuer.set_signals(held_against(PAYMENTS, None));
    assert!(changes.has_changed().unwrap(), "whoever renews must learn it");
    let refused = mint(&issuer).unwrap_err();
    assert!(matches!(&refused, IssueError::NotEntitled(why) if why.ends_with("is revoked")), "{refused}");
    assert_eq!(entitled(&issuer, &payments()), []);
    let workload = "finance/payments".parse().unwrap();
    assert!(issuer.mint_impersonation(&workload, "local", &csr()).is_err(), "not in its name either");
    let records = world.records.lock().unwrap().clone();
    let refusals = records.iter().filter(|line| line.starts_with("deny") && line.contains("revoked"));
    assert_eq!(refusals.count(), 3, "{records:?}");
    // what has ended, and what was lifted, holds no longer
    issuer.set_signals(held_against(PAYMENTS, Some(Timestamp::from_seconds(1))));
    mint(&issuer).unwrap();
    issuer.set_signals(held_against("finance/other", None));
    mint(&issuer).unwrap();
}

#[test]
fn nothing_is_issued_to_a_node_whose_trust_was_taken_away() {
    let world = World::new();
    let issuer = world.issuer();
    let mut placed = registrations();
    placed.workloads.values_mut().for_each(|workload| workload.runs_on = Some([label("pool")].into()));
    issuer.set_registrations(placed);
    let node = |name: &str| Place::Node { name: label(name), groups: [label("pool")].into() };
    let ask = |name: &str| issuer.mint_workload_at(&node(name), &payments(), &order(PAYMENTS, csr()));
    let token = |name: &str| issuer.mint_jwt_at(&node(name), &payments(), &id(PAYMENTS), &["a".to_owned()]);
    let until = world.clock.now().plus_seconds(60);
    issuer.set_signals(held_against("node:agent/vm-1", Some(until)));
    for error in [ask("vm-1").unwrap_err(), token("vm-1").unwrap_err()] {
        assert!(matches!(&error, IssueError::NotEntitled(why) if why == "node:agent/vm-1 is revoked"), "{error}");
    }
    assert!(ask("vm-2").is_ok() && token("vm-2").is_ok());
    world.clock.set(until);
    assert!(ask("vm-1").is_ok() && token("vm-1").is_ok(), "for as long as it was said");
    issuer.set_signals(held_against("node:proxy/edge-1", None));
    let gateway = |name: &str| issuer.mint_for_gateway(&label("finance"), &label(name), &csr());
    assert!(matches!(gateway("edge-1"), Err(IssueError::NotEntitled(_))));
    assert!(gateway("edge-2").is_ok());
}

#[test]
fn what_trust_was_taken_from_is_named_for_as_long_as_that_counts() {
    let world = World::new();
    let issuer = world.issuer();
    let (until, key) = (world.clock.now().plus_seconds(60), [0xab; 32]);
    let is_revoked = || (issuer.is_revoked("5c", &[0; 32]), issuer.is_revoked("5", &key));
    assert_eq!(is_revoked(), (false, false));
    issuer.set_signals(held_against("serial:5c", Some(until)));
    assert_eq!(is_revoked(), (true, false));
    world.clock.set(until);
    assert_eq!(is_revoked(), (false, false));
    issuer.set_signals(held_against(&format!("key:{}", "ab".repeat(32)), None));
    assert_eq!(is_revoked(), (false, true));
}

#[test]
fn a_stolen_key_of_one_domain_mints_nothing_that_another_accepts() {
    let world = World::new();
    let issuer = world.issuer();
    let file = |name: &str| fs::read_to_string(world.keys().join("finance").join(name)).unwrap();
    let (key, root) = (KeyPair::from_pem(&file("ca.key")).unwrap(), file("ca.pem"));
    let thief = rcgen::Issuer::from_ca_cert_pem(&root, key).unwrap();
    for who in
        ["spiffe://hr.acme.internal/payroll", "spiffe://system.acme.internal/publisher", "spiffe://acme.internal/x"]
    {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(who.try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.not_before = time::OffsetDateTime::from_unix_timestamp(1_772_400_000).unwrap();
        params.not_after = params.not_before + time::Duration::days(3);
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &thief).unwrap();
        let refused = verify(&[leaf.der().clone()], &bundle_set(&issuer), world.clock.now());
        assert!(refused.is_err(), "{who}");
        // what it was made for it can still do, which is why there is `--emergency`
        let mut own = params;
        own.subject_alt_names = vec![SanType::URI(PAYMENTS.try_into().unwrap())];
        let leaf = own.signed_by(&KeyPair::generate().unwrap(), &thief).unwrap();
        assert!(verify(&[leaf.der().clone()], &bundle_set(&issuer), world.clock.now()).is_ok());
    }
    issuer.rotate(&label("finance"), api::admin::Keys::X509, KeyStep::Emergency).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(PAYMENTS.try_into().unwrap())];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &thief).unwrap();
    assert!(verify(&[leaf.der().clone()], &bundle_set(&issuer), world.clock.now()).is_err());
}
