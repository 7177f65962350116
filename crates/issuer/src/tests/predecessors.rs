//! Certificates that follow others (docs/token-binding.md).

use api::issuance::Predecessor;
use api::keys::{KeyStep, Place};
use api::protocol::PREDECESSOR_CONTEXT;
use identity::sign::sha256;
use rcgen::SigningKey as _;

use super::*;

/// A workload's own key with its certificate.
struct Instance {
    key: KeyPair,
    svid: Svid,
}

fn request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

impl Instance {
    fn first(issuer: &Issuer, place: &Place) -> Self {
        let key = KeyPair::generate().unwrap();
        let svid = issuer.mint_workload_at(place, &payments(), &order(PAYMENTS, request(&key))).unwrap();
        Self { key, svid }
    }

    /// That this one comes before a request.
    fn precedes(&self, csr: &[u8]) -> Predecessor {
        let message = [PREDECESSOR_CONTEXT, &sha256(csr)].concat();
        Predecessor { certificate_der: self.svid.chain_der[0].clone(), signature: self.key.sign(&message).unwrap() }
    }

    fn renewed(&self, issuer: &Issuer, place: &Place) -> Result<Self, IssueError> {
        let key = KeyPair::generate().unwrap();
        let csr_der = request(&key);
        let predecessor = Some(self.precedes(&csr_der));
        let order = WorkloadOrder { id: id(PAYMENTS), csr_der, predecessor };
        Ok(Self { key, svid: issuer.mint_workload_at(place, &payments(), &order)? })
    }
}

fn placed() -> Registrations {
    let mut registrations = registrations();
    registrations.workloads.values_mut().for_each(|workload| workload.runs_on = Some([label("pool")].into()));
    registrations
}

fn node(name: &str) -> Place {
    Place::Node { name: label(name), groups: [label("pool")].into() }
}

#[test]
fn a_renewed_certificate_names_those_before_it_nearest_first() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(placed());
    let mut instances = vec![Instance::first(&issuer, &node("a"))];
    assert!(world.verify(&issuer, &instances[0].svid).predecessors().is_empty());
    for _ in 0..3 {
        world.clock.advance(1500);
        let next = instances.last().unwrap().renewed(&issuer, &node("a")).unwrap();
        instances.push(next);
    }
    let peer = world.verify(&issuer, &instances[3].svid);
    let named: Vec<&str> = peer.predecessors().iter().map(|earlier| earlier.serial.as_str()).collect();
    let expected: Vec<&str> = instances[..3].iter().rev().map(|instance| instance.svid.serial.as_str()).collect();
    assert_eq!(named, expected);
    let nearest = &peer.predecessors()[0];
    let before = &instances[2].svid.chain_der[0];
    assert_eq!(nearest.certificate_sha256, sha256(before));
    assert_eq!(nearest.until, world.clock.now().plus_seconds(3600), "as long as a bound token lives");
    assert_eq!(nearest.key_sha256, sha256(&rcgen::PublicKeyData::subject_public_key_info(&instances[2].key)));
    // those whose tokens have run out are left out
    world.clock.advance(3000);
    let next = instances[3].renewed(&issuer, &node("a")).unwrap();
    let peer = world.verify(&issuer, &next.svid);
    let named: Vec<&str> = peer.predecessors().iter().map(|earlier| earlier.serial.as_str()).collect();
    assert_eq!(named, [instances[3].svid.serial.as_str(), instances[2].svid.serial.as_str()]);
}

#[test]
fn no_more_than_eight_are_named() {
    let world = World::new();
    let issuer = world.issuer();
    let mut last = Instance::first(&issuer, &Place::Everywhere);
    for _ in 0..10 {
        last = last.renewed(&issuer, &Place::Everywhere).unwrap();
    }
    assert_eq!(world.verify(&issuer, &last.svid).predecessors().len(), 8);
}

#[test]
fn a_predecessor_that_proves_nothing_is_refused_and_on_record() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(placed());
    let instance = Instance::first(&issuer, &node("a"));
    let (other_key, csr) = (KeyPair::generate().unwrap(), csr());
    let good = instance.precedes(&csr);
    let refused = |place: &Place, predecessor: Predecessor| {
        let order = WorkloadOrder { id: id(PAYMENTS), csr_der: csr.clone(), predecessor: Some(predecessor) };
        let error = issuer.mint_workload_at(place, &payments(), &order).unwrap_err();
        assert!(matches!(&error, IssueError::BadRequest(why) if why.contains("ask again without one")), "{error}");
        let record = world.records().pop().unwrap();
        assert!(record.starts_with("deny") && record.contains("predecessor"), "{record}");
        world.clock.advance(1);
        error.to_string()
    };
    let message = [PREDECESSOR_CONTEXT, &sha256(&csr)].concat();
    let stolen = Predecessor { signature: other_key.sign(&message).unwrap(), ..good.clone() };
    assert!(refused(&node("a"), stolen).contains("holds its key"));
    let replayed = Predecessor { ..instance.precedes(&super::csr()) };
    assert!(refused(&node("a"), replayed).contains("holds its key"), "over another request");
    assert!(refused(&node("b"), good.clone()).contains("another node"));
    refused(&node("a"), Predecessor { certificate_der: vec![0x30, 0], ..good.clone() });
    refused(&node("a"), Predecessor { signature: Vec::new(), ..good.clone() });
    // a certificate of another authority, of another workload, of an operator, and one that has run out
    let stranger = testkit::Authority::of("finance.acme.internal", world.clock.now());
    let leaf = stranger.issue(&LeafPlan::svid(PAYMENTS, world.clock.now()));
    refused(&node("a"), Predecessor { certificate_der: leaf.chain[0].clone(), ..good.clone() });
    let operators = issuer.mint_impersonation(&workload("finance/payments"), "alice", &request(&instance.key)).unwrap();
    let as_operator = Predecessor { certificate_der: operators.chain_der[0].clone(), ..good.clone() };
    refused(&node("a"), as_operator);
    let gateway = issuer.mint_for_gateway(&label("finance"), &label("gw-1"), &request(&instance.key)).unwrap();
    assert!(
        refused(&node("a"), Predecessor { certificate_der: gateway.chain_der[0].clone(), ..good.clone() })
            .contains("_gateway")
    );
    world.clock.advance(3601);
    assert!(refused(&node("a"), good).contains("refused"));
    assert!(Instance::first(&issuer, &node("a")).renewed(&issuer, &node("a")).is_ok());
}

#[test]
fn nothing_follows_a_certificate_whose_trust_was_taken_away() {
    let world = World::new();
    let issuer = world.issuer();
    let instance = Instance::first(&issuer, &Place::Everywhere);
    let key = sha256(&rcgen::PublicKeyData::subject_public_key_info(&instance.key));
    for subject in [format!("serial:{}", instance.svid.serial), signal::Subject::Key(key).to_string()] {
        issuer.set_signals(held_against(&subject, None));
        let refused = instance.renewed(&issuer, &Place::Everywhere).err().expect("refused").to_string();
        assert!(refused.contains("it is revoked"), "{subject}: {refused}");
        // the workload itself is trusted: attested anew, it gets a certificate that follows nothing
        let fresh = Instance::first(&issuer, &Place::Everywhere);
        assert!(world.verify(&issuer, &fresh.svid).predecessors().is_empty());
    }
    issuer.set_signals(held_against(PAYMENTS, None));
    assert!(mint(&issuer).is_err());
}

#[test]
fn after_an_emergency_nothing_follows_what_the_stolen_key_signed() {
    let world = World::new();
    let issuer = world.issuer();
    let instance = Instance::first(&issuer, &Place::Everywhere);
    let rotate = |step| issuer.rotate(&label("finance"), api::admin::Keys::X509, step).unwrap();
    rotate(KeyStep::Prepare);
    rotate(KeyStep::Publish);
    rotate(KeyStep::Sign);
    let renewed = instance.renewed(&issuer, &Place::Everywhere).unwrap();
    assert_eq!(world.verify(&issuer, &renewed.svid).predecessors().len(), 1, "over a rotation it goes on");
    rotate(KeyStep::Emergency);
    assert!(instance.renewed(&issuer, &Place::Everywhere).is_err());
    assert!(renewed.renewed(&issuer, &Place::Everywhere).is_err());
}
