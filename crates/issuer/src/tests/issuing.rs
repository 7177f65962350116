//! Who gets what, and what is written down of it.

use api::keys::{ForeignBundle, Place};

use super::*;

#[test]
fn a_recognised_workload_gets_its_svid() {
    let world = World::new();
    let issuer = world.issuer();
    assert_eq!(entitled(&issuer, &payments()), [id(PAYMENTS)]);
    let svid = mint(&issuer).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!((peer.spiffe_id().as_str(), peer.serial()), (PAYMENTS, svid.serial.as_str()));
    assert_eq!((peer.not_before(), peer.not_after()), (svid.not_before, svid.not_after));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(3600));
    assert_eq!(svid.not_before.plus_seconds(60), world.clock.now());
    assert_eq!((svid.serial.len(), peer.via()), (40, None));
    assert_ne!(mint(&issuer).unwrap().serial, svid.serial);
    let records = world.records.lock().unwrap();
    assert_eq!(
        records[0],
        format!(
            "allow {PAYMENTS} {} \"\" uid:1001 gid:100 path:/opt/payments: rule 1 of finance/payments in this process",
            svid.serial
        )
    );
}

#[test]
fn nothing_but_the_key_is_taken_from_a_request() {
    let world = World::new();
    let issuer = world.issuer();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::URI("spiffe://hr.acme.internal/payroll".try_into().unwrap()),
        SanType::DnsName("ledger.acme.internal".try_into().unwrap()),
    ];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    let svid = now(issuer.mint_workload(&payments(), &order(PAYMENTS, csr))).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!(peer.spiffe_id().as_str(), PAYMENTS);
    assert!(!peer.covers_dns(&Host::parse("ledger.acme.internal").unwrap()));
    let leaf = &svid.chain_der[0];
    assert!(leaf.windows(key.public_key_raw().len()).any(|window| window == key.public_key_raw()));
}

#[test]
fn who_is_not_recognised_gets_nothing() {
    let world = World::new();
    let issuer = world.issuer();
    let other = Selectors { uid: 1002, ..payments() };
    assert_eq!(entitled(&issuer, &other), []);
    let refused = |selectors: &Selectors, who: &str| {
        assert!(
            matches!(now(issuer.mint_workload(selectors, &order(who, csr()))), Err(IssueError::NotEntitled(_))),
            "{who}"
        );
    };
    refused(&other, PAYMENTS);
    refused(&payments(), "spiffe://finance.acme.internal/ledger");
    refused(&payments(), "spiffe://finance.acme.internal/_gateway/gw-1");
    let records = world.records.lock().unwrap();
    assert_eq!(records.len(), 4);
    assert!(records[0].starts_with("deny   \"\" uid:1002 gid:100 path:/opt/payments: not entitled"), "{}", records[0]);
    assert!(records[1].starts_with(&format!("deny {PAYMENTS}  \"\" uid:1002")), "{}", records[1]);
}

#[test]
fn a_domain_whose_key_is_not_held_is_not_issued() {
    let world = World::new();
    let issuer = world.issuer();
    let elsewhere = id("spiffe://elsewhere.acme.internal/payments");
    let refused = now(issuer.mint_workload(&payments(), &order(elsewhere.as_str(), csr())));
    assert!(matches!(refused, Err(IssueError::Unavailable(_))));
    let before = *issuer.changes().borrow();
    issuer.hold(&kinds(&["elsewhere", "finance"])).unwrap();
    assert_eq!(*issuer.changes().borrow(), before + 1);
    assert_eq!(entitled(&issuer, &payments()), [elsewhere.clone(), id(PAYMENTS)]);
    let svid = now(issuer.mint_workload(&payments(), &order(elsewhere.as_str(), csr()))).unwrap();
    assert_eq!(world.verify(&issuer, &svid).spiffe_id(), &elsewhere);
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    let issuer = world.issuer();
    let good = csr();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let weak = {
        let weak = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak-request.der")).unwrap();
        assert!(weak.len() > 100);
        weak
    };
    for bad in [vec![], vec![0x30; 20_000], [good.as_slice(), b"x"].concat(), forged, weak] {
        let refused = now(issuer.mint_workload(&payments(), &order(PAYMENTS, bad)));
        assert!(matches!(refused, Err(IssueError::BadRequest(_))), "{refused:?}");
    }
}

#[test]
fn a_gateway_serves_the_hosts_of_its_domain() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = now(issuer.mint_gateway(&label("finance"), &label("gw-1"), &csr())).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!(peer.spiffe_id().as_str(), "spiffe://finance.acme.internal/_gateway/gw-1");
    assert!(peer.covers_dns(&Host::parse("ledger.acme.internal").unwrap()));
    assert!(peer.covers_dns(&Host::parse("books.acme.internal").unwrap()));
    assert!(!peer.covers_dns(&Host::parse("people.acme.internal").unwrap()));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(1800));
    let unknown = now(issuer.mint_gateway(&label("hr"), &label("gw-1"), &csr()));
    assert!(matches!(unknown, Err(IssueError::NotEntitled(_))));
}

#[test]
fn an_impersonation_names_the_operator_and_is_short() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = issuer.mint_impersonation(&workload("finance/payments"), "local", &csr()).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!((peer.spiffe_id().as_str(), peer.via()), (PAYMENTS, Some("local")));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(IMPERSONATION_SECONDS));
    assert!(world.records.lock().unwrap()[0].contains("\"local\""));
    let unknown = issuer.mint_impersonation(&workload("finance/nobody"), "local", &csr());
    assert!(matches!(unknown, Err(IssueError::NotEntitled(_))));
    assert!(issuer.mint_impersonation(&workload("finance/payments"), "", &csr()).is_err());
}

#[test]
fn what_is_not_recorded_is_not_issued() {
    let world = World::new();
    let issuer = world.issuer();
    world.full.store(true, Ordering::SeqCst);
    assert!(matches!(mint(&issuer), Err(IssueError::Unavailable(_))));
    let gateway = now(issuer.mint_gateway(&label("finance"), &label("gw-1"), &csr()));
    assert!(matches!(gateway, Err(IssueError::Unavailable(_))));
    let operator = issuer.mint_impersonation(&workload("finance/payments"), "local", &csr());
    assert!(matches!(operator, Err(IssueError::Unavailable(_))));
    world.full.store(false, Ordering::SeqCst);
    assert!(mint(&issuer).is_ok());
}

#[test]
fn nothing_outlives_its_root() {
    let world = World::new();
    let issuer = world.issuer();
    world.clock.advance(3650 * 86_400 - 600);
    assert_eq!(mint(&issuer).unwrap().not_after, world.clock.now().plus_seconds(600));
    world.clock.advance(600);
    assert!(matches!(mint(&issuer), Err(IssueError::Unavailable(_))));
}

#[test]
fn changes_are_announced_once() {
    let world = World::new();
    let issuer = world.issuer();
    let mut changes = issuer.changes();
    let generation = issuer.bundles().generation;
    changes.mark_unchanged();
    issuer.set_registrations(registrations());
    issuer.hold(&kinds(&["finance"])).unwrap();
    assert!(!changes.has_changed().unwrap());
    issuer.set_registrations(Registrations::default());
    assert!(changes.has_changed().unwrap());
    assert_eq!(issuer.bundles().generation, generation, "the roots are the same");
    assert_eq!(entitled(&issuer, &payments()), []);
}

#[test]
fn a_flood_of_refusals_is_counted_not_written() {
    let world = World::new();
    let issuer = world.issuer();
    let other = Selectors { uid: 1002, ..payments() };
    for _ in 0..100 {
        now(issuer.entitled(&other)).unwrap();
    }
    assert_eq!(world.records.lock().unwrap().len(), 4);
    world.clock.advance(1);
    now(issuer.entitled(&other)).unwrap();
    let records = world.records.lock().unwrap();
    assert!(records[4].ends_with("96 refusals before it were only counted"), "{}", records[4]);
}

#[test]
fn an_authority_of_testkit_is_not_ours() {
    let world = World::new();
    let issuer = world.issuer();
    let stranger = testkit::Authority::of("finance.acme.internal", world.clock.now());
    let leaf = stranger.issue(&LeafPlan::svid(PAYMENTS, world.clock.now()));
    let roots = issuer.bundles().roots.into_iter();
    let bundles: BundleSet = roots.map(|(domain, roots)| Bundle::from_der(domain, roots).unwrap()).collect();
    assert!(verify(&[CertificateDer::from(leaf.chain[0].as_slice())], &bundles, world.clock.now()).is_err());
}

#[test]
fn two_registrations_match_and_both_are_entitled_in_the_order_of_their_names() {
    let world = World::new();
    let issuer = world.issuer();
    let mut two = registrations();
    let uid = UnixRule::new(UnixParts { uid: Some(1001), ..UnixParts::default() }).unwrap();
    let by_uid = WorkloadRegistration {
        rules: vec![uid.into()],
        key: KeyKind::Rsa2048,
        ..two.workloads[&workload("finance/payments")].clone()
    };
    two.workloads.insert(workload("finance/archive"), by_uid.clone());
    two.workloads.insert(workload("hr/payroll"), by_uid);
    issuer.set_registrations(two);
    let both = now(issuer.entitled(&payments())).unwrap();
    let told: Vec<(&str, KeyKind)> = both.iter().map(|entitled| (entitled.id.as_str(), entitled.key)).collect();
    let (archive, payroll) = ("spiffe://finance.acme.internal/archive", "spiffe://hr.acme.internal/payroll");
    assert_eq!(told, [(archive, KeyKind::Rsa2048), (PAYMENTS, KeyKind::P256), (payroll, KeyKind::Rsa2048)]);
    for entitled in &both {
        let svid = now(issuer.mint_workload(&payments(), &order(entitled.id.as_str(), csr()))).unwrap();
        assert_eq!(world.verify(&issuer, &svid).spiffe_id(), &entitled.id);
    }
    // one of them only, where only its rule matches
    let other = Selectors { path: None, ..payments() };
    assert_eq!(entitled(&issuer, &other), [id(archive), id(payroll)]);
    // revoked, it is left out, and the others stay
    issuer.set_signals(held_against(archive, None));
    assert_eq!(entitled(&issuer, &payments()), [id(PAYMENTS), id(payroll)]);
}

#[test]
fn every_attestor_of_a_rule_must_agree() {
    use types::AttestRule;
    use types::attest::{AttestParts, SystemdRule};

    let world = World::new();
    let issuer = world.issuer();
    let mut both = registrations();
    let unix = Some(UnixRule::new(UnixParts { uid: Some(1001), ..UnixParts::default() }).unwrap());
    let systemd = Some(SystemdRule::new("payments.service").unwrap());
    let rule = AttestRule::new(AttestParts { unix, systemd, ..AttestParts::default() }).unwrap();
    both.workloads.values_mut().for_each(|workload| workload.rules.push(rule.clone()));
    both.workloads.values_mut().for_each(|workload| drop(workload.rules.remove(0)));
    issuer.set_registrations(both);
    assert!(mint(&issuer).is_err());
    let in_unit = Selectors { unit: Some("payments.service".to_owned()), ..payments() };
    now(issuer.mint_workload(&in_unit, &order(PAYMENTS, csr()))).unwrap();
    assert!(world.records().pop().unwrap().contains("unit:payments.service"));
}

#[test]
fn a_certificate_says_for_which_node_it_is_and_the_record_too() {
    let world = World::new();
    let issuer = world.issuer();
    let mut placed = registrations();
    placed.workloads.values_mut().for_each(|workload| workload.runs_on = Some([label("pool")].into()));
    issuer.set_registrations(placed);
    let place = Place::Node { name: label("vm-pay-1"), groups: [label("pool")].into() };
    let svid = issuer.mint_workload_at(&place, &payments(), &order(PAYMENTS, csr())).unwrap();
    assert_eq!(world.verify(&issuer, &svid).node(), Some("vm-pay-1"));
    assert_eq!(world.verify(&issuer, &mint(&issuer).unwrap()).node(), None, "the node of this process has no name");
    let records = world.records();
    assert!(records[0].ends_with("rule 1 of finance/payments on node:agent/vm-pay-1"), "{}", records[0]);
}

#[test]
fn what_is_federated_is_told_and_never_in_place_of_our_own() {
    let world = World::new();
    let issuer = world.issuer();
    let partner = TrustDomain::parse("partner.example").unwrap();
    let foreign = testkit::Authority::of("partner.example", world.clock.now());
    let bundle = ForeignBundle { roots: vec![foreign.der().to_vec()], jwt_keys: Vec::new() };
    let before = issuer.bundles();
    let ours = |name: &str| (TrustDomain::parse(name).unwrap(), bundle.clone());
    issuer.set_federated(
        [
            (partner.clone(), bundle.clone()),
            ours("finance.acme.internal"),
            ours("acme.internal"),
            ours("new.acme.internal"),
        ]
        .into(),
    );
    let after = issuer.bundles();
    assert!(after.generation > before.generation);
    assert_eq!(after.federated, [partner.clone()].into());
    let mut own = after.roots.clone();
    assert_eq!(own.remove(&partner), Some(bundle.roots.clone()));
    assert_eq!(own, before.roots);
    issuer.set_federated([(partner.clone(), bundle)].into());
    assert_eq!(issuer.bundles(), after, "the same again is no change");
    // empty: everything of it is revoked, and that is told
    issuer.set_federated([(partner.clone(), ForeignBundle::default())].into());
    assert_eq!(issuer.bundles().roots[&partner], Vec::<Vec<u8>>::new());
    assert!(issuer.bundles().generation > after.generation);
    issuer.set_federated(BTreeMap::new());
    assert_eq!(issuer.bundles().roots, before.roots);
}
