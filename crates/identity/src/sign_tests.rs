use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::SigningKey as _;
use testkit::{Authority, LeafPlan};

use super::*;
use crate::Bundle;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const PUBLISHER: &str = "spiffe://system.acme.internal/publisher";

struct Site {
    bundles: BundleSet,
    chain: Vec<CertificateDer<'static>>,
    key: EcdsaKeyPair,
}

fn site(domain: &str, id: &str) -> Site {
    let root = Authority::root(&LeafPlan::authority(domain, NOW));
    let leaf = root.issue(&LeafPlan::svid(id, NOW));
    let name = TrustDomain::parse(domain).unwrap();
    let bundle = Bundle::from_der(name, vec![root.der().to_vec()]).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &leaf.key.serialize_der()).unwrap();
    let chain = leaf.chain.into_iter().map(CertificateDer::from).collect();
    Site { bundles: BundleSet::from_iter([bundle]), chain, key }
}

impl Site {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    fn check(&self, message: &[u8], signature: &[u8], now: Timestamp) -> Result<(), SignatureRefusal> {
        let signer = SpiffeId::parse(PUBLISHER).unwrap();
        verify_signature(b"a context\n", message, signature, &self.chain, &self.bundles, &signer, now).map(drop)
    }
}

#[test]
fn what_the_signer_signed_is_believed_and_nothing_else() {
    let site = site("system.acme.internal", PUBLISHER);
    let signature = site.sign(b"a context\nthe message");
    assert!(site.check(b"the message", &signature, NOW).is_ok());
    assert_eq!(site.check(b"the messagf", &signature, NOW), Err(SignatureRefusal::Signature));
    assert_eq!(site.check(b"", &signature, NOW), Err(SignatureRefusal::Signature));
    let bare = site.sign(b"the message");
    assert_eq!(site.check(b"the message", &bare, NOW), Err(SignatureRefusal::Signature), "without the context");
    let late = site.check(b"the message", &signature, NOW.plus_seconds(1_000_000));
    assert!(matches!(late, Err(SignatureRefusal::Certificate(_))), "{late:?}");
}

#[test]
fn somebody_else_of_the_same_domain_is_not_the_signer() {
    let site = site("system.acme.internal", "spiffe://system.acme.internal/proxy/edge-1");
    let signature = site.sign(b"a context\nthe message");
    let refused = site.check(b"the message", &signature, NOW).unwrap_err();
    assert!(refused.to_string().contains("proxy/edge-1"), "{refused}");
}

#[test]
fn another_root_of_the_same_name_vouches_for_nobody() {
    let (ours, theirs) = (site("system.acme.internal", PUBLISHER), site("system.acme.internal", PUBLISHER));
    let posing = Site { bundles: ours.bundles, ..theirs };
    let signature = posing.sign(b"a context\nthe message");
    assert!(matches!(posing.check(b"the message", &signature, NOW), Err(SignatureRefusal::Certificate(_))));
}

#[test]
fn no_bit_of_a_statement_or_its_signature_may_differ() {
    let site = site("system.acme.internal", PUBLISHER);
    let (message, signature) = (b"the message".to_vec(), site.sign(b"a context\nthe message"));
    let flipped = |bytes: &[u8], bit: usize| {
        let mut other = bytes.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        other
    };
    for bit in 0..message.len() * 8 {
        assert!(site.check(&flipped(&message, bit), &signature, NOW).is_err(), "bit {bit} of the message");
    }
    for bit in 0..signature.len() * 8 {
        assert!(site.check(&message, &flipped(&signature, bit), NOW).is_err(), "bit {bit} of the signature");
    }
    assert!(site.check(&message, &[signature.as_slice(), &[0]].concat(), NOW).is_err(), "something follows it");
    assert!(site.check(&message, &signature[..signature.len() - 1], NOW).is_err());
    assert!(site.check(&message, &[], NOW).is_err());
    // what is not to be signed twice may be cut elsewhere: context and message are one text
    let nobody = Site { chain: Vec::new(), ..site };
    assert!(matches!(nobody.check(&message, &signature, NOW), Err(SignatureRefusal::Certificate(_))));
}

#[test]
fn a_publisher_with_a_key_of_another_kind_is_refused() {
    let root = Authority::root(&LeafPlan::authority("system.acme.internal", NOW));
    let name = TrustDomain::parse("system.acme.internal").unwrap();
    let bundles = BundleSet::from_iter([Bundle::from_der(name, vec![root.der().to_vec()]).unwrap()]);
    let signer = SpiffeId::parse(PUBLISHER).unwrap();
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let leaf = root.issue(&LeafPlan { algorithm, ..LeafPlan::svid(PUBLISHER, NOW) });
        let signature = rcgen::SigningKey::sign(&leaf.key, b"xy").unwrap();
        let chain: Vec<_> = leaf.chain.into_iter().map(CertificateDer::from).collect();
        let refused = verify_signature(b"x", b"y", &signature, &chain, &bundles, &signer, NOW);
        assert_eq!(refused.map(drop), Err(SignatureRefusal::Key));
    }
}

#[test]
fn a_list_is_not_its_items_run_together() {
    let of = |items: &[&[u8]]| list_digest(items.iter().copied());
    assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
    assert_ne!(of(&[]), of(&[b""]));
    assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
}

#[test]
fn a_root_names_its_trust_domain_and_a_leaf_does_not() {
    let root = Authority::root(&LeafPlan::authority("system.acme.internal", NOW));
    assert_eq!(root_trust_domain(root.der()).unwrap().as_str(), "system.acme.internal");
    let leaf = root.issue(&LeafPlan::svid(PUBLISHER, NOW));
    assert!(root_trust_domain(&leaf.chain[0]).is_err());
    assert!(root_trust_domain(b"nothing").is_err());
}

#[test]
fn whoever_has_the_key_of_a_leaf_signs_for_it() {
    let root = Authority::root(&LeafPlan::authority("finance.acme.internal", NOW));
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
        let leaf = root.issue(&LeafPlan { algorithm, ..LeafPlan::svid("spiffe://finance.acme.internal/a", NOW) });
        let signature = leaf.key.sign(b"message").unwrap();
        let check = |message: &[u8], signature: &[u8]| verify_by_leaf(&leaf.chain[0], message, signature);
        assert_eq!(check(b"message", &signature), Ok(()));
        assert_eq!(check(b"messagf", &signature), Err(SignatureRefusal::Signature));
        assert_eq!(check(b"message", &signature[1..]), Err(SignatureRefusal::Signature));
        assert_eq!(check(b"message", b""), Err(SignatureRefusal::Signature));
        let other = root.issue(&LeafPlan { algorithm, ..LeafPlan::svid("spiffe://finance.acme.internal/a", NOW) });
        assert_eq!(verify_by_leaf(&other.chain[0], b"message", &signature), Err(SignatureRefusal::Signature));
    }
}

#[test]
fn other_kinds_of_keys_sign_no_statements() {
    let root = Authority::root(&LeafPlan::authority("finance.acme.internal", NOW));
    let plan = LeafPlan { algorithm: &rcgen::PKCS_ED25519, ..LeafPlan::svid("spiffe://finance.acme.internal/a", NOW) };
    let leaf = root.issue(&plan);
    let signature = leaf.key.sign(b"message").unwrap();
    assert_eq!(verify_by_leaf(&leaf.chain[0], b"message", &signature), Err(SignatureRefusal::Key));
    assert!(matches!(verify_by_leaf(b"nothing", b"message", b""), Err(SignatureRefusal::Certificate(_))));
}

#[test]
fn a_root_signs_for_what_follows_it_and_a_leaf_does_not() {
    let usual = LeafPlan::authority("finance.acme.internal", NOW);
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
        let root = Authority::root(&LeafPlan { algorithm, ..usual.clone() });
        let signature = root.sign(b"the next root");
        assert_eq!(verify_by_root(root.der(), b"the next root", &signature), Ok(()));
        assert_eq!(verify_by_root(root.der(), b"another root", &signature), Err(SignatureRefusal::Signature));
        let twin = Authority::root(&LeafPlan { algorithm, ..usual.clone() });
        assert_eq!(verify_by_root(twin.der(), b"the next root", &signature), Err(SignatureRefusal::Signature));
    }
    let root = Authority::root(&usual);
    let leaf = root.issue(&LeafPlan::svid("spiffe://finance.acme.internal/a", NOW));
    let signature = leaf.key.sign(b"the next root").unwrap();
    match verify_by_root(&leaf.chain[0], b"the next root", &signature) {
        Err(SignatureRefusal::Certificate(refusal)) => assert_eq!(refusal.rule, "XS-5"),
        other => panic!("{other:?}"),
    }
}
