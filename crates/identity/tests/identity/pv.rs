//! Path validation and strength of keys, MUST by MUST: PV-1, PV-2, PV-4, PV-6, PV-7. PV-3 does not apply (revocation is a
//! signal, no list is configured), PV-5 is the listeners'.

use countersign_identity::{Bundle, BundleSet};
use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};
use testkit::{Authority, LeafPlan};
use types::{Host, Reason, Timestamp};

use crate::support::{DOMAIN, World, bundle, der, domain};

/// `2.5.29.30`, `permitted: dNSName NAME`.
fn only(critical: bool, name: &str) -> (Vec<u64>, bool, Vec<u8>) {
    let length = u8::try_from(name.len()).unwrap();
    let head = [0x30, length + 6, 0xa0, length + 4, 0x30, length + 2, 0x82, length];
    (vec![2, 5, 29, 30], critical, [&head, name.as_bytes()].concat())
}

/// `2.5.29.36`, `inhibitPolicyMapping: 0`.
fn no_mapping(critical: bool) -> (Vec<u64>, bool, Vec<u8>) {
    (vec![2, 5, 29, 36], critical, vec![0x30, 0x03, 0x81, 0x01, 0x00])
}

fn unknown(critical: bool) -> (Vec<u64>, bool, Vec<u8>) {
    (vec![1, 3, 6, 1, 4, 1, 99_999, 1], critical, vec![5, 0])
}

#[test]
fn pv_1_each_signature_is_by_the_issuers_key() {
    let world = World::new();
    let mut leaf = world.root.intermediate(&world.signer()).issue(&world.plan());
    assert!(world.verify(&leaf).is_ok());
    let good = leaf.chain.clone();
    for at in 0..2 {
        leaf.chain.clone_from(&good);
        *leaf.chain[at].last_mut().unwrap() ^= 1;
        assert_eq!(world.verify(&leaf).unwrap_err().reason, Reason::IdentityUntrusted, "certificate {at}");
    }
}

#[test]
fn pv_1_validity_counts_both_ends() {
    let world = World::new();
    let plan = world.plan();
    let leaf = world.root.issue(&plan);
    let last_instant = Timestamp::from_micros(plan.not_after.micros() + 999_999);
    assert!(world.verify_at(&leaf, plan.not_before).is_ok());
    assert!(world.verify_at(&leaf, last_instant).is_ok());
    let early = world.verify_at(&leaf, Timestamp::from_micros(plan.not_before.micros() - 1)).unwrap_err();
    let late = world.verify_at(&leaf, plan.not_after.plus_seconds(1)).unwrap_err();
    assert_eq!((early.reason, late.reason), (Reason::IdentityExpired, Reason::IdentityExpired));
    assert_eq!((early.rule, late.rule), ("PV-1", "PV-1"));
}

#[test]
fn pv_1_signers_and_roots_are_valid_too() {
    let world = World::new();
    let expired = LeafPlan { not_after: world.signer().not_before.plus_seconds(1), ..world.signer() };
    assert_eq!(world.broken_under(&expired), Some("PV-1"));
    let before = Timestamp::from_seconds(world.now.seconds() - 1);
    let usual = LeafPlan::authority(DOMAIN, world.now);
    let world = World::under(Authority::root(&LeafPlan { not_after: before, ..usual }));
    assert_eq!(world.broken(world.plan()), ("PV-1", Reason::IdentityUntrusted));
}

#[test]
fn pv_1_names_chain_from_issuer_to_subject() {
    let world = World::new();
    let other = World::new();
    let mut leaf = world.root.intermediate(&world.signer()).issue(&world.plan());
    leaf.chain[1] = other.root.intermediate(&other.signer()).issue(&other.plan()).chain[1].clone();
    assert_eq!(world.verify(&leaf).unwrap_err().rule, "XS-6", "another intermediate of the same name");
    let renamed = LeafPlan { common_name: Some("another".into()), ..world.signer() };
    leaf.chain[1] = world.root.intermediate(&renamed).issue(&world.plan()).chain[1].clone();
    assert_eq!(world.verify(&leaf).unwrap_err().rule, "XS-6", "an intermediate of another name");
}

#[test]
fn pv_1_only_authorities_sign() {
    let world = World::new();
    let workload = LeafPlan { common_name: Some("workload".into()), ..world.plan() };
    assert_eq!(world.broken_under(&workload), Some("PV-1"), "a workload signs another");
}

/// `2.5.29.19`, `cA: TRUE`.
#[test]
fn pv_1_signers_say_critically_that_they_are_and_have_a_name() {
    let world = World::new();
    let said = |critical| (vec![2, 5, 29, 19], critical, vec![0x30, 0x03, 0x01, 0x01, 0xff]);
    let with = |critical| LeafPlan { is_ca: IsCa::NoCa, extensions: vec![said(critical)], ..world.signer() };
    assert_eq!(world.broken_under(&with(true)), None);
    assert_eq!(world.broken_under(&with(false)), Some("PV-1"));
    assert_eq!(world.broken_under(&LeafPlan { common_name: None, ..world.signer() }), Some("PV-1"));
}

#[test]
fn pv_1_the_length_of_a_path_is_bounded_by_its_signers() {
    let world = World::new();
    let short = LeafPlan { is_ca: IsCa::Ca(BasicConstraints::Constrained(0)), ..world.signer() };
    assert_eq!(world.broken_under(&short), None);
    let second = LeafPlan { common_name: Some("second".into()), ..world.signer() };
    let leaf = world.root.intermediate(&short).intermediate(&second).issue(&world.plan());
    assert_eq!(world.verify(&leaf).unwrap_err().rule, "PV-1");
    let usual = LeafPlan::authority(DOMAIN, world.now);
    let root = Authority::root(&LeafPlan { is_ca: IsCa::Ca(BasicConstraints::Constrained(0)), ..usual });
    let world = World::under(root);
    assert!(world.accepts(world.plan()));
    assert_eq!(world.broken_under(&world.signer()), Some("PV-1"), "the root's own bound counts");
}

#[test]
fn pv_1_signers_may_sign_certificates() {
    let world = World::new();
    let plan = LeafPlan { key_usages: vec![KeyUsagePurpose::DigitalSignature], ..world.signer() };
    assert_eq!(world.broken_under(&plan), Some("XS-5"));
}

#[test]
fn pv_1_unknown_critical_extensions_are_refused_and_others_ignored() {
    let world = World::new();
    let with = |critical| LeafPlan { extensions: vec![unknown(critical)], ..world.plan() };
    assert_eq!(world.broken(with(true)), ("PV-1", Reason::IdentityUntrusted));
    assert!(world.accepts(with(false)));
    let signer = |critical| LeafPlan { extensions: vec![unknown(critical)], ..world.signer() };
    assert_eq!(world.broken_under(&signer(true)), Some("PV-1"));
    assert_eq!(world.broken_under(&signer(false)), None);
}

#[test]
fn pv_1_name_constraints_are_enforced() {
    let world = World::new();
    let signer = LeafPlan { extensions: vec![only(true, "acme.internal")], ..world.signer() };
    let under = |dns: &str| {
        let leaf = LeafPlan { dns: vec![dns.into()], ..world.plan() };
        world.verify(&world.root.intermediate(&signer).issue(&leaf)).map_err(|refusal| refusal.rule)
    };
    assert!(under("ledger.acme.internal").is_ok());
    assert_eq!(under("ledger.example").unwrap_err(), "PV-1");
    for critical in [true, false] {
        let leaf = LeafPlan { extensions: vec![only(critical, "acme.internal")], ..world.plan() };
        assert_eq!(world.broken(leaf), ("PV-1", Reason::IdentityLeafShape), "a workload constrains nobody");
    }
}

#[test]
fn pv_1_constraints_that_others_would_read_differently_are_refused() {
    let world = World::new();
    for odd in [only(false, "acme.internal"), only(true, ".acme.internal"), no_mapping(false), no_mapping(true)] {
        let signer = LeafPlan { extensions: vec![odd.clone()], ..world.signer() };
        assert_eq!(world.broken_under(&signer), Some("PV-1"), "{odd:?}");
    }
}

#[test]
fn pv_2_an_anchor_is_a_key_and_a_name() {
    let world = World::new();
    let twin = Authority::of(DOMAIN, world.now);
    let refusal = world.verify(&twin.issue(&world.plan())).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", Reason::IdentityUntrusted), "the name alone");
    let both: BundleSet = [bundle(DOMAIN, &[&world.root, &twin])].into_iter().collect();
    let world = World { bundles: both, ..world };
    assert!(world.verify(&twin.issue(&world.plan())).is_ok(), "two roots of one name stand beside each other");
    assert!(world.accepts(world.plan()));
}

#[test]
fn pv_4_only_dns_names_cover_a_host_and_never_an_address_or_the_common_name() {
    let world = World::new();
    let plan = LeafPlan {
        dns: vec!["ledger.acme.internal".into(), "*.hr.acme.internal".into(), "10.0.0.1".into()],
        common_name: Some("web.acme.internal".into()),
        ..world.plan()
    };
    let peer = world.verify(&world.root.issue(&plan)).unwrap();
    let covers = |host: &str| peer.covers_dns(&Host::parse(host).unwrap());
    assert!(covers("LEDGER.acme.internal") && covers("people.hr.acme.internal"));
    for not in ["a.people.hr.acme.internal", "hr.acme.internal", "web.acme.internal", "10.0.0.1"] {
        assert!(!covers(not), "{not}");
    }
}

#[test]
fn pv_6_weak_keys_are_no_roots() {
    let suite = crate::vectors::own("weak.json");
    for (name, key) in suite["weak_keys_hex"].as_object().unwrap() {
        let der: Vec<u8> = (0..key.as_str().unwrap().len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&key.as_str().unwrap()[at..at + 2], 16).unwrap())
            .collect();
        assert!(countersign_identity::check_key(&der).is_err(), "{name}");
        let jwt = Bundle::new(domain(DOMAIN), vec![], vec![("a".into(), der)]).unwrap_err().to_string();
        assert!(jwt.contains("PV-6"), "{name}: {jwt}");
    }
}

#[test]
fn pv_7_names_with_nul_or_outside_ia5_are_refused() {
    let world = World::new();
    for odd in ["ledger.acme.internal\0.evil", "a\u{7f}b", "a\nb"] {
        let plan = LeafPlan { dns: vec![odd.into()], ..world.plan() };
        assert_eq!(world.broken(plan), ("PV-7", Reason::IdentityUriSan), "{odd:?}");
    }
    let plan = LeafPlan { uris: vec!["spiffe://finance.acme.internal/payments\0".into()], ..world.plan() };
    assert_eq!(world.broken(plan), ("PV-7", Reason::IdentityUriSan));
}

#[test]
fn a_chain_is_read_from_its_leaf_and_unused_certificates_do_no_harm() {
    let world = World::new();
    let leaf = world.root.issue(&world.plan());
    let stray = World::new().root.der().to_vec();
    let mut chain = der(&leaf);
    chain.push(stray.into());
    assert!(countersign_identity::verify(&chain, &world.bundles, world.now).is_ok());
    chain.reverse();
    assert!(countersign_identity::verify(&chain, &world.bundles, world.now).is_err());
}
