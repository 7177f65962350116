//! Chains made to break one rule each.

use countersign_identity::{Bundle, BundleSet, SvidRefusal, VIA_OID, VerifiedPeer, verify, via_value};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use testkit::{Authority, Leaf, LeafPlan, ManualClock};
use types::{Clock as _, Host, Reason, Timestamp, TrustDomain};

const ID: &str = "spiffe://finance.acme.internal/payments";

struct World {
    now: Timestamp,
    root: Authority,
    bundles: BundleSet,
}

fn bundle(domain: &str, roots: &[&Authority]) -> Bundle {
    let roots = roots.iter().map(|root| root.der().to_vec()).collect();
    Bundle::from_der(TrustDomain::parse(domain).unwrap(), roots).unwrap()
}

impl World {
    fn new() -> Self {
        let now = ManualClock::default().now();
        let root = Authority::of("finance.acme.internal", now);
        let bundles = [bundle("finance.acme.internal", &[&root])].into_iter().collect();
        Self { now, root, bundles }
    }

    fn plan(&self) -> LeafPlan {
        LeafPlan::svid(ID, self.now)
    }

    fn verify(&self, leaf: &Leaf) -> Result<VerifiedPeer, SvidRefusal> {
        self.verify_at(leaf, self.now)
    }

    fn verify_at(&self, leaf: &Leaf, now: Timestamp) -> Result<VerifiedPeer, SvidRefusal> {
        verify(&der(leaf), &self.bundles, now)
    }

    /// The rule that a leaf under the root breaks.
    fn broken(&self, plan: LeafPlan) -> (&'static str, Reason) {
        let refusal = self.verify(&self.root.issue(&plan)).unwrap_err();
        (refusal.rule, refusal.reason)
    }
}

fn der(leaf: &Leaf) -> Vec<CertificateDer<'_>> {
    leaf.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
}

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
fn another_domains_authority_vouches_for_nobody_here() {
    let mut world = World::new();
    let hr = Authority::of("hr.acme.internal", world.now);
    world.bundles =
        [bundle("finance.acme.internal", &[&world.root]), bundle("hr.acme.internal", &[&hr])].into_iter().collect();
    let refusal = world.verify(&hr.issue(&world.plan())).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", Reason::IdentityUntrusted));
    assert_eq!(refusal.claimed.unwrap().as_str(), ID);
    let unknown = world.root.issue(&LeafPlan::svid("spiffe://elsewhere/x", world.now));
    assert_eq!(world.verify(&unknown).unwrap_err().reason, Reason::IdentityNoBundle);
}

#[test]
fn validity_counts_both_ends() {
    let world = World::new();
    let plan = world.plan();
    let leaf = world.root.issue(&plan);
    let last_instant = Timestamp::from_micros(plan.not_after.micros() + 999_999);
    assert!(world.verify_at(&leaf, plan.not_before).is_ok());
    assert!(world.verify_at(&leaf, last_instant).is_ok());
    let early = world.verify_at(&leaf, Timestamp::from_micros(plan.not_before.micros() - 1)).unwrap_err();
    let late = world.verify_at(&leaf, plan.not_after.plus_seconds(1)).unwrap_err();
    assert_eq!((early.reason, late.reason), (Reason::IdentityExpired, Reason::IdentityExpired));
}

#[test]
fn a_leaf_has_the_shape_of_a_workload() {
    let world = World::new();
    let plan = world.plan();
    let shape = Reason::IdentityLeafShape;
    let usage = |key_usages: Vec<KeyUsagePurpose>| world.broken(LeafPlan { key_usages, ..plan.clone() });
    assert_eq!(usage(vec![]), ("XS-3", shape));
    assert_eq!(usage(vec![KeyUsagePurpose::KeyEncipherment]), ("XS-2", shape));
    assert_eq!(usage(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]), ("XS-2", shape));
    assert_eq!(usage(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]), ("XS-2", shape));
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(world.broken(LeafPlan { is_ca: ca, ..plan.clone() }), ("XS-2", shape));
    let server_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(world.broken(LeafPlan { purposes: server_only, ..plan.clone() }), ("XS-3", shape));
    let domain_id = vec!["spiffe://finance.acme.internal".to_owned()];
    assert_eq!(world.broken(LeafPlan { uris: domain_id, ..plan }), ("XS-2", shape));
}

#[test]
fn names_are_one_spiffe_id_and_nothing_odd() {
    let world = World::new();
    let names = |uris: &[&str]| {
        world.broken(LeafPlan { uris: uris.iter().map(|uri| (*uri).to_owned()).collect(), ..world.plan() })
    };
    let reason = Reason::IdentityUriSan;
    assert_eq!(names(&[]), ("XS-1", reason));
    assert_eq!(names(&[ID, ID]), ("XS-1", reason));
    assert_eq!(names(&["https://finance.acme.internal/payments"]), ("ID-1", reason));
    assert_eq!(names(&["spiffe://finance.acme.internal/a/../payments"]), ("ID-3", reason));
    let nul = LeafPlan { dns: vec!["ledger.acme.internal\0.evil".into()], ..world.plan() };
    assert_eq!(world.broken(nul), ("PV-7", reason));
}

#[test]
fn unknown_critical_extensions_are_refused_and_others_ignored() {
    let world = World::new();
    let with = |critical| LeafPlan {
        extensions: vec![(vec![1, 3, 6, 1, 4, 1, 99_999, 1], critical, vec![5, 0])],
        ..world.plan()
    };
    assert_eq!(world.broken(with(true)), ("PV-1", Reason::IdentityUntrusted));
    assert!(world.verify(&world.root.issue(&with(false))).is_ok());
}

/// A workload whose certificate limits names, DER of `permitted: dNSName acme.internal`.
#[test]
fn a_workload_constrains_nobody() {
    let world = World::new();
    let value = [&[0x30, 0x13, 0xa0, 0x11, 0x30, 0x0f, 0x82, 0x0d][..], b"acme.internal"].concat();
    for critical in [true, false] {
        let plan = LeafPlan { extensions: vec![(vec![2, 5, 29, 30], critical, value.clone())], ..world.plan() };
        assert_eq!(world.broken(plan), ("PV-1", Reason::IdentityLeafShape));
    }
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
fn intermediates_must_be_signers() {
    let world = World::new();
    let good = LeafPlan {
        common_name: Some("intermediate".into()),
        ..LeafPlan::authority("finance.acme.internal", world.now)
    };
    let under = |plan: &LeafPlan| {
        world.verify(&world.root.intermediate(plan).issue(&world.plan())).map_err(|refusal| refusal.rule)
    };
    assert!(under(&good).is_ok());
    assert_eq!(under(&LeafPlan { key_usages: vec![], ..good.clone() }).unwrap_err(), "XS-3");
    assert_eq!(under(&LeafPlan { key_usages: vec![KeyUsagePurpose::CrlSign], ..good.clone() }).unwrap_err(), "XS-5");
    assert_eq!(
        under(&LeafPlan { uris: vec!["spiffe://finance.acme.internal/ca".into()], ..good.clone() }).unwrap_err(),
        "XS-5"
    );
    assert_eq!(under(&LeafPlan { is_ca: IsCa::NoCa, ..good.clone() }).unwrap_err(), "PV-1");
    assert_eq!(under(&LeafPlan { not_after: good.not_before.plus_seconds(1), ..good }).unwrap_err(), "PV-1");
}

#[test]
fn a_root_answers_for_its_own_validity_and_path_length() {
    let mut world = World::new();
    let usual = LeafPlan::authority("finance.acme.internal", world.now);
    let short = LeafPlan { is_ca: IsCa::Ca(BasicConstraints::Constrained(0)), ..usual.clone() };
    world.root = Authority::root(&short);
    world.bundles = [bundle("finance.acme.internal", &[&world.root])].into_iter().collect();
    assert!(world.verify(&world.root.issue(&world.plan())).is_ok());
    let below = world.root.intermediate(&LeafPlan { common_name: Some("intermediate".into()), ..usual.clone() });
    assert_eq!(world.verify(&below.issue(&world.plan())).unwrap_err().rule, "PV-1");

    world.root = Authority::root(&LeafPlan { not_after: Timestamp::from_seconds(world.now.seconds() - 1), ..usual });
    world.bundles = [bundle("finance.acme.internal", &[&world.root])].into_iter().collect();
    assert_eq!(world.verify(&world.root.issue(&world.plan())).unwrap_err().rule, "PV-1");
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
    let roots: Vec<Authority> = (0..40).map(|_| Authority::of("finance.acme.internal", world.now)).collect();
    let bundles: BundleSet = [bundle("finance.acme.internal", &roots.iter().collect::<Vec<_>>())].into_iter().collect();
    let leaf = world.root.issue(&world.plan());
    let refusal = verify(&der(&leaf), &bundles, world.now).unwrap_err();
    assert!(refusal.detail.contains("too many signature checks"), "{refusal}");
}
