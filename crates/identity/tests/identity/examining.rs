//! Examination names everything that is wrong with a chain, by the code that verifies.

use countersign_identity::{SvidRefusal, examine, verify};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use testkit::{Authority, Leaf, LeafPlan};

use crate::support::{DOMAIN, ID, World, der};
use crate::svids::{bundle_set, chain, moment};
use crate::vectors::own;

/// What is found, checked to begin with what verification refuses for.
fn found(world: &World, leaf: &Leaf) -> Vec<SvidRefusal> {
    let (chain, found) = (der(leaf), examine(&der(leaf), &world.bundles, world.now));
    assert_eq!(verify(&chain, &world.bundles, world.now).err().as_ref(), found.first());
    found
}

fn rules(world: &World, leaf: &Leaf) -> Vec<&'static str> {
    found(world, leaf).iter().map(|refusal| refusal.rule).collect()
}

#[test]
fn nothing_is_found_in_a_good_chain() {
    let world = World::new();
    assert_eq!(found(&world, &world.root.issue(&world.plan())), []);
    assert_eq!(found(&world, &world.root.intermediate(&world.signer()).issue(&world.plan())), []);
}

#[test]
fn every_rule_that_a_leaf_breaks_is_named() {
    let world = World::new();
    let plan = LeafPlan {
        key_usages: vec![KeyUsagePurpose::KeyCertSign],
        purposes: vec![ExtendedKeyUsagePurpose::ServerAuth],
        not_after: world.plan().not_before.plus_seconds(1),
        ..world.plan()
    };
    let leaf = World::new().root.issue(&plan);
    assert_eq!(rules(&world, &leaf), ["XS-2", "XS-2", "XS-3", "PV-1", "PV-1"]);
    assert!(found(&world, &leaf)[4].detail.contains("not for client authentication"), "by the path");
    let claims: Vec<_> = found(&world, &leaf).into_iter().map(|refusal| refusal.claimed.unwrap()).collect();
    assert!(claims.iter().all(|id| id.as_str() == ID));
}

#[test]
fn a_leaf_without_an_identity_is_examined_as_far_as_it_goes() {
    let world = World::new();
    let is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let plan = LeafPlan { uris: vec![], is_ca, not_after: world.plan().not_before, ..world.plan() };
    assert_eq!(rules(&world, &world.root.issue(&plan)), ["XS-1", "XS-2", "XS-4", "PV-1"]);
    let elsewhere = LeafPlan { key_usages: vec![], ..LeafPlan::svid("spiffe://elsewhere/x", world.now) };
    assert_eq!(rules(&world, &world.root.issue(&elsewhere)), ["XS-3", "XS-2", "XS-6"]);
}

#[test]
fn every_rule_that_a_signer_breaks_is_named_where_the_path_fails() {
    let world = World::new();
    let signer = LeafPlan {
        key_usages: vec![KeyUsagePurpose::CrlSign],
        uris: vec!["spiffe://finance.acme.internal/ca".into()],
        ..world.signer()
    };
    let leaf = world.root.intermediate(&signer).issue(&world.plan());
    assert_eq!(rules(&world, &leaf), ["XS-5", "XS-5"]);
    let mut stray = world.root.issue(&world.plan());
    stray.chain.push(vec![0x30, 0]);
    assert_eq!(rules(&world, &stray), [""; 0], "a certificate that no path needs is nobody's fault");
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let world = World::new();
    for (bytes, rule) in [(vec![], "PV-1"), (vec![0x30; 16_385], "PV-1")] {
        let found = examine(&[CertificateDer::from(bytes)], &world.bundles, world.now);
        assert_eq!(found.iter().map(|refusal| refusal.rule).collect::<Vec<_>>(), [rule]);
    }
    assert_eq!(examine(&[], &world.bundles, world.now)[0].rule, "PV-5");
}

#[test]
fn examination_and_verification_agree_on_the_whole_suite() {
    let suite = own("x509-svid.json");
    for case in suite["cases"].as_array().unwrap() {
        let bundles = bundle_set(&suite["bundles"], case["bundles"].as_str().unwrap());
        let (chain, now) = (chain(case), moment(case));
        let found = examine(&chain, &bundles, now);
        assert_eq!(verify(&chain, &bundles, now).err().as_ref(), found.first(), "{}", case["id"]);
        println!("{:40} {:?}", case["id"], found.iter().map(|refusal| refusal.rule).collect::<Vec<_>>());
    }
}

/// Whoever reads that something is wrong with the time wants to know whether anything else is.
#[test]
fn an_expired_leaf_of_a_strange_root_is_both() {
    let world = World::new();
    let stranger = Authority::of(DOMAIN, world.now);
    let expired = LeafPlan { not_after: world.plan().not_before.plus_seconds(1), ..world.plan() };
    assert_eq!(rules(&world, &stranger.issue(&expired)), ["PV-1", "XS-6"]);
    assert_eq!(rules(&world, &world.root.issue(&expired)), ["PV-1"]);
}
