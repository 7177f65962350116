//! What is read from a good chain, and bounds on any chain.

use countersign_identity::{
    BundleSet, NODE_OID, PREDECESSORS_OID, Predecessor, VIA_OID, node_value, predecessors_value, verify, via_value,
};
use rcgen::PublicKeyData as _;
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan};
use types::{Host, Reason};

use crate::support::{DOMAIN, ID, World, bundle, der};

#[test]
fn a_good_svid_is_read_exactly() {
    let world = World::new();
    let plan = LeafPlan {
        dns: vec!["ledger.acme.internal".into(), "10.0.0.1".into()],
        serial: vec![0x9c, 0x1e, 0x01],
        ..world.plan()
    };
    let leaf = world.root.issue(&plan);
    let peer = world.verify(&leaf).unwrap();
    assert_eq!(peer.spiffe_id().as_str(), ID);
    assert_eq!(peer.serial(), "9c1e01");
    assert_eq!((peer.not_before(), peer.not_after()), (plan.not_before, plan.not_after));
    assert_eq!(peer.via(), None);
    assert!(peer.covers_dns(&Host::parse("LEDGER.acme.internal").unwrap()));
    assert!(!peer.covers_dns(&Host::parse("hr.acme.internal").unwrap()));
    assert!(!peer.covers_dns(&Host::parse("10.0.0.1").unwrap()), "an address is not a DNS name");
    let sha256 = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    assert_eq!(peer.sha256(), sha256(&leaf.chain[0]).as_ref());
    assert_eq!(peer.key_sha256(), sha256(&leaf.key.subject_public_key_info()).as_ref(), "of the key's whole DER");
}

#[test]
fn the_operator_behind_an_impersonation_is_read() {
    let world = World::new();
    let with = |value| LeafPlan { extensions: vec![(VIA_OID.to_vec(), false, value)], ..world.plan() };
    let peer = world.verify(&world.root.issue(&with(via_value("local").unwrap()))).unwrap();
    assert_eq!(peer.via(), Some("local"));
    assert_eq!(world.broken(with(b"\x0c\x05local!".to_vec())), ("PV-1", Reason::IdentityMalformed));
}

#[test]
fn a_chain_is_bounded() {
    let world = World::new();
    assert_eq!(verify(&[], &world.bundles, world.now).unwrap_err().reason, Reason::IdentityMissing);
    let leaf = world.root.issue(&world.plan());
    let long = vec![der(&leaf)[0].clone(); 9];
    assert_eq!(verify(&long, &world.bundles, world.now).unwrap_err().reason, Reason::IdentityMalformed);
    let large = CertificateDer::from(vec![0x30; 16_385]);
    assert_eq!(verify(&[large], &world.bundles, world.now).unwrap_err().reason, Reason::IdentityMalformed);
}

/// Authorities that share one name each signed by all others would make a search exponential (CVE-2018-16875).
#[test]
fn a_hostile_chain_costs_a_bounded_number_of_signatures() {
    let world = World::new();
    let roots: Vec<Authority> = (0..40).map(|_| Authority::of(DOMAIN, world.now)).collect();
    let bundles: BundleSet = [bundle(DOMAIN, &roots.iter().collect::<Vec<_>>())].into_iter().collect();
    let leaf = world.root.issue(&world.plan());
    let refusal = verify(&der(&leaf), &bundles, world.now).unwrap_err();
    assert!(refusal.detail.contains("too many signature checks"), "{refusal}");
}

fn predecessor() -> Predecessor {
    let until = crate::support::now().plus_seconds(3600);
    Predecessor { certificate_sha256: [1; 32], key_sha256: [2; 32], serial: "9c1e01".into(), until }
}

#[test]
fn the_node_and_the_predecessors_are_read() {
    let world = World::new();
    let plan = LeafPlan {
        extensions: vec![
            (NODE_OID.to_vec(), false, node_value("vm-pay-1").unwrap()),
            (PREDECESSORS_OID.to_vec(), false, predecessors_value(&[predecessor()]).unwrap()),
        ],
        ..world.plan()
    };
    let peer = world.verify(&world.root.issue(&plan)).unwrap();
    assert_eq!(peer.node(), Some("vm-pay-1"));
    assert_eq!(peer.predecessors(), [predecessor()]);
    let plain = world.verify(&world.root.issue(&world.plan())).unwrap();
    assert_eq!((plain.node(), plain.predecessors(), plain.via()), (None, &[][..], None));
}

#[test]
fn broken_private_extensions_are_refused_and_critical_ones_too() {
    let world = World::new();
    let good = predecessors_value(&[predecessor()]).unwrap();
    let with = |oid: &[u64], critical, value: &[u8]| LeafPlan {
        extensions: vec![(oid.to_vec(), critical, value.to_vec())],
        ..world.plan()
    };
    for (oid, value) in [(NODE_OID, &b"\x0c\x00"[..]), (PREDECESSORS_OID, &[0x30, 0]), (PREDECESSORS_OID, &good[1..])] {
        assert_eq!(world.broken(with(oid, false, value)), ("PV-1", Reason::IdentityMalformed), "{value:02x?}");
    }
    for (oid, value) in [(NODE_OID, node_value("a").unwrap()), (PREDECESSORS_OID, good.clone())] {
        assert_eq!(world.broken(with(oid, true, &value)), ("PV-1", Reason::IdentityUntrusted));
    }
}

/// Another organisation's issuer may write whatever it likes into its certificates.
#[test]
fn private_extensions_of_federated_domains_do_not_count() {
    let mut world = World::new();
    let plan = LeafPlan {
        extensions: vec![
            (VIA_OID.to_vec(), false, via_value("ada").unwrap()),
            (NODE_OID.to_vec(), false, node_value("vm-pay-1").unwrap()),
            (PREDECESSORS_OID.to_vec(), false, predecessors_value(&[predecessor()]).unwrap()),
        ],
        ..world.plan()
    };
    let leaf = world.root.issue(&plan);
    assert_eq!(world.verify(&leaf).unwrap().via(), Some("ada"));
    world.bundles = [bundle(DOMAIN, &[&world.root]).federated()].into_iter().collect();
    let peer = world.verify(&leaf).unwrap();
    assert_eq!(peer.spiffe_id().as_str(), ID);
    assert_eq!((peer.via(), peer.node(), peer.predecessors()), (None, None, &[][..]));
}
