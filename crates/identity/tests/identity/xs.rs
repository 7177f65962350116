//! X509-SVID, MUST by MUST: XS-1 to XS-6 (XS-7 is about bundle documents, see `bundles`).

use countersign_identity::verify;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan};
use types::Reason;

use crate::support::{DOMAIN, ID, World, bundle, der};

/// `2.5.29.15`, DER of the one bit digitalSignature.
fn key_usage(critical: bool) -> (Vec<u64>, bool, Vec<u8>) {
    (vec![2, 5, 29, 15], critical, vec![0x03, 0x02, 0x07, 0x80])
}

/// `2.5.29.17`, the SPIFFE ID alone.
fn names(critical: bool) -> (Vec<u64>, bool, Vec<u8>) {
    let length = u8::try_from(ID.len()).unwrap();
    (vec![2, 5, 29, 17], critical, [&[0x30, length + 2, 0x86, length], ID.as_bytes()].concat())
}

fn uris(world: &World, uris: &[&str]) -> (&'static str, Reason) {
    world.broken(LeafPlan { uris: uris.iter().map(|uri| (*uri).to_owned()).collect(), ..world.plan() })
}

#[test]
fn xs_1_no_uri_name_is_refused() {
    assert_eq!(uris(&World::new(), &[]), ("XS-1", Reason::IdentityUriSan));
}

#[test]
fn xs_1_more_than_one_uri_name_is_refused_of_any_scheme_and_even_if_equal() {
    let world = World::new();
    for several in [[ID, ID], [ID, "spiffe://hr.acme.internal/a"], ["https://a.example", ID], [ID, "urn:x:y"]] {
        assert_eq!(uris(&world, &several), ("XS-1", Reason::IdentityUriSan), "{several:?}");
    }
}

#[test]
fn xs_1_other_names_may_be_there_and_say_nothing_about_identity() {
    let world = World::new();
    let named = LeafPlan { dns: vec!["a.example".into(), "hr.acme.internal".into()], ..world.plan() };
    assert_eq!(world.verify(&world.root.issue(&named)).unwrap().spiffe_id().as_str(), ID);
    let common = LeafPlan { common_name: Some("spiffe://hr.acme.internal/a".into()), ..world.plan() };
    assert_eq!(world.verify(&world.root.issue(&common)).unwrap().spiffe_id().as_str(), ID);
    let only_dns = LeafPlan { uris: vec![], dns: vec![ID.replace("spiffe://", "")], ..world.plan() };
    assert_eq!(world.broken(only_dns), ("XS-1", Reason::IdentityUriSan));
}

#[test]
fn xs_2_a_leaf_is_no_authority() {
    let world = World::new();
    let is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(world.broken(LeafPlan { is_ca, ..world.plan() }), ("XS-2", Reason::IdentityLeafShape));
}

#[test]
fn xs_2_a_leaf_signs_digitally() {
    let world = World::new();
    let plan = LeafPlan { key_usages: vec![KeyUsagePurpose::KeyEncipherment], ..world.plan() };
    assert_eq!(world.broken(plan), ("XS-2", Reason::IdentityLeafShape));
}

#[test]
fn xs_2_a_leaf_signs_neither_certificates_nor_revocation_lists() {
    let world = World::new();
    for other in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let plan = LeafPlan { key_usages: vec![KeyUsagePurpose::DigitalSignature, other], ..world.plan() };
        assert_eq!(world.broken(plan), ("XS-2", Reason::IdentityLeafShape));
    }
}

#[test]
fn xs_2_a_leaf_names_somebody_and_not_a_trust_domain() {
    let world = World::new();
    assert_eq!(uris(&world, &["spiffe://finance.acme.internal"]), ("XS-2", Reason::IdentityLeafShape));
    assert_eq!(uris(&world, &["spiffe://finance.acme.internal/"]), ("ID-3", Reason::IdentityUriSan));
}

#[test]
fn xs_3_key_usage_is_present() {
    let world = World::new();
    assert_eq!(world.broken(LeafPlan { key_usages: vec![], ..world.plan() }), ("XS-3", Reason::IdentityLeafShape));
    assert_eq!(world.broken_under(&LeafPlan { key_usages: vec![], ..world.signer() }), Some("XS-3"));
}

#[test]
fn xs_3_key_usage_is_critical() {
    let world = World::new();
    let with = |critical| LeafPlan { key_usages: vec![], extensions: vec![key_usage(critical)], ..world.plan() };
    assert!(world.accepts(with(true)));
    assert_eq!(world.broken(with(false)), ("XS-3", Reason::IdentityLeafShape));
    let usual = (vec![2, 5, 29, 15], false, vec![0x03, 0x02, 0x01, 0x06]);
    let signer = LeafPlan { key_usages: vec![], extensions: vec![usual], ..world.signer() };
    assert_eq!(world.broken_under(&signer), Some("XS-3"), "of a signer with a SPIFFE ID too");
}

#[test]
fn xs_3_purposes_where_named_hold_both_sides() {
    let world = World::new();
    let with = |purposes: &[ExtendedKeyUsagePurpose]| LeafPlan { purposes: purposes.to_vec(), ..world.plan() };
    let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    assert!(world.accepts(with(&[])), "the extension may be left out");
    assert!(world.accepts(with(&[server.clone(), client.clone(), ExtendedKeyUsagePurpose::CodeSigning])));
    for partial in [vec![server], vec![client], vec![ExtendedKeyUsagePurpose::Any]] {
        assert_eq!(world.broken(with(&partial)), ("XS-3", Reason::IdentityLeafShape), "{partial:?}");
    }
}

#[test]
fn xs_4_without_a_subject_the_names_are_critical() {
    let world = World::new();
    let with = |critical, common_name: Option<&str>| LeafPlan {
        uris: vec![],
        extensions: vec![names(critical)],
        common_name: common_name.map(Into::into),
        ..world.plan()
    };
    assert!(world.accepts(with(true, None)));
    assert!(world.accepts(with(false, Some("payments"))));
    assert_eq!(world.broken(with(false, None)), ("XS-4", Reason::IdentityLeafShape));
}

#[test]
fn xs_5_a_signer_is_marked_as_an_authority() {
    let world = World::new();
    assert_eq!(world.broken_under(&world.signer()), None);
    // path validation says so first
    assert_eq!(world.broken_under(&LeafPlan { is_ca: IsCa::NoCa, ..world.signer() }), Some("PV-1"));
    assert_eq!(world.broken_under(&LeafPlan { is_ca: IsCa::ExplicitNoCa, ..world.signer() }), Some("PV-1"));
}

#[test]
fn xs_5_a_signer_may_sign_certificates() {
    let world = World::new();
    let plan = LeafPlan { key_usages: vec![KeyUsagePurpose::CrlSign], ..world.signer() };
    assert_eq!(world.broken_under(&plan), Some("XS-5"));
}

#[test]
fn xs_5_the_spiffe_id_of_a_signer_has_no_path() {
    let world = World::new();
    let with = |uris: &[&str]| LeafPlan { uris: uris.iter().map(|uri| (*uri).into()).collect(), ..world.signer() };
    assert_eq!(world.broken_under(&with(&[])), None, "it may have none");
    assert_eq!(world.broken_under(&with(&["spiffe://finance.acme.internal/ca"])), Some("XS-5"));
    assert_eq!(world.broken_under(&with(&["https://finance.acme.internal"])), Some("XS-5"));
    assert_eq!(world.broken_under(&with(&["spiffe://a", "spiffe://a"])), Some("XS-1"));
}

#[test]
fn xs_5_a_signing_certificate_authenticates_nobody() {
    let world = World::new();
    let root = CertificateDer::from(world.root.der().to_vec());
    let refusal = verify(&[root], &world.bundles, world.now).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-2", Reason::IdentityLeafShape));
    let signs = LeafPlan { uris: vec![ID.into()], is_ca: IsCa::Ca(BasicConstraints::Unconstrained), ..world.plan() };
    assert_eq!(world.broken(signs), ("XS-2", Reason::IdentityLeafShape));
}

#[test]
fn xs_6_only_roots_of_the_ids_own_trust_domain_count() {
    let mut world = World::new();
    let hr = Authority::of("hr.acme.internal", world.now);
    world.bundles = [bundle(DOMAIN, &[&world.root]), bundle("hr.acme.internal", &[&hr])].into_iter().collect();
    let refusal = world.verify(&hr.issue(&world.plan())).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", Reason::IdentityUntrusted));
    assert_eq!(refusal.claimed.unwrap().as_str(), ID);
    assert!(world.verify(&world.root.issue(&world.plan())).is_ok());
}

#[test]
fn xs_6_a_trust_domain_without_a_bundle_or_with_an_empty_one_is_refused() {
    let mut world = World::new();
    let unknown = world.root.issue(&LeafPlan::svid("spiffe://elsewhere/x", world.now));
    let refusal = world.verify(&unknown).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", Reason::IdentityNoBundle));
    world.bundles = [bundle(DOMAIN, &[])].into_iter().collect();
    let refusal = verify(&der(&world.root.issue(&world.plan())), &world.bundles, world.now).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", Reason::IdentityNoBundle));
}
