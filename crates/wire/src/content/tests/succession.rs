use api::wire;
use identity::sign::sha256;
use proptest::prelude::*;
use testkit::Authority;
use types::TrustDomain;

use super::super::{Succession, succession_message, unvouched};
use super::bundles::root;

const DOMAIN: &str = "finance.acme.internal";

fn domain() -> TrustDomain {
    TrustDomain::parse(DOMAIN).unwrap()
}

/// What the key of one root says about the next.
fn follows(by: &Authority, next: &Authority) -> Succession {
    let digest = sha256(next.der());
    let signature = by.sign(&succession_message(&domain(), &digest));
    Succession { by: sha256(by.der()), root_der: next.der().to_vec(), signature }
}

fn judge(held: &[&Authority], told: &[&Authority], successions: &[wire::Succession]) -> Option<[u8; 32]> {
    let roots: Vec<Vec<u8>> = told.iter().map(|root| root.der().to_vec()).collect();
    unvouched(&domain(), held.iter().map(|root| root.der()), &roots, successions)
}

fn messages(successions: &[Succession], told: &[&Authority]) -> Vec<wire::Succession> {
    let roots: Vec<Vec<u8>> = told.iter().map(|root| root.der().to_vec()).collect();
    successions.iter().map(|succession| succession.message(&roots)).collect()
}

#[test]
fn a_root_is_taken_on_the_word_of_one_that_is_held() {
    let [old, new, evil] = [root(DOMAIN), root(DOMAIN), root(DOMAIN)];
    let good = messages(&[follows(&old, &new)], &[&old, &new]);
    assert_eq!(judge(&[&old], &[&old, &new], &good), None);
    assert_eq!(judge(&[&old], &[&new], &good), None, "also where the old one is gone already");
    assert_eq!(judge(&[&old], &[&old, &new], &[]), Some(sha256(new.der())));
    assert_eq!(judge(&[&old], &[&old, &evil], &good), Some(sha256(evil.der())));
    // the newcomer may not vouch for itself, nor for the one before it
    let own = messages(&[follows(&new, &new), follows(&new, &old)], &[&new]);
    assert_eq!(judge(&[&old], &[&new], &own), Some(sha256(new.der())));
    let stranger = messages(&[follows(&evil, &new)], &[&new]);
    assert_eq!(judge(&[&old], &[&new], &stranger), Some(sha256(new.der())));
}

#[test]
fn who_slept_through_rotations_follows_them_one_by_one() {
    let roots: Vec<Authority> = (0..5).map(|_| root(DOMAIN)).collect();
    let steps: Vec<Succession> = roots.windows(2).map(|pair| follows(&pair[0], &pair[1])).collect();
    let last = &roots[4];
    // whatever order they come in: the roots between are gone, their certificates travel with what is said of them
    for rotation in 0..steps.len() {
        let mut turned = messages(&steps, &[last]);
        turned.rotate_left(rotation);
        assert_eq!(judge(&[&roots[0]], &[last], &turned), None);
        turned.reverse();
        assert_eq!(judge(&[&roots[0]], &[last], &turned), None);
    }
    for missing in 0..steps.len() {
        let mut broken = messages(&steps, &[last]);
        broken.remove(missing);
        assert_eq!(judge(&[&roots[0]], &[last], &broken), Some(sha256(last.der())), "without step {missing}");
    }
}

#[test]
fn what_was_said_of_another_trust_domain_counts_for_nothing() {
    let [old, new] = [root(DOMAIN), root(DOMAIN)];
    let digest = sha256(new.der());
    let other = TrustDomain::parse("hr.acme.internal").unwrap();
    let signature = old.sign(&succession_message(&other, &digest));
    let said = Succession { by: sha256(old.der()), root_der: new.der().to_vec(), signature };
    assert_eq!(judge(&[&old], &[&new], &messages(&[said], &[&new])), Some(digest));
}

#[test]
fn a_certificate_in_the_place_of_the_root_that_was_named_vouches_for_nobody() {
    let [old, new, evil, next] = [root(DOMAIN), root(DOMAIN), root(DOMAIN), root(DOMAIN)];
    // the old root did vouch for the new one, whose key nobody has; what another key signs is said to be by the new one
    let mut named =
        messages(&[follows(&old, &new), Succession { by: sha256(new.der()), ..follows(&evil, &next) }], &[]);
    assert_eq!(judge(&[&old], &[&next], &named), Some(sha256(next.der())));
    named[0].certificate = evil.der().to_vec();
    assert_eq!(judge(&[&old], &[&next], &named), Some(sha256(next.der())));
}

#[test]
fn a_root_of_any_kind_of_key_vouches() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let now = types::Timestamp::from_seconds(1_772_442_000);
        let old = Authority::root(&testkit::LeafPlan { algorithm, ..testkit::LeafPlan::authority(DOMAIN, now) });
        let new = root(DOMAIN);
        assert_eq!(judge(&[&old], &[&new], &messages(&[follows(&old, &new)], &[&new])), None, "{algorithm:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn one_bit_of_a_succession_changed_and_it_counts_for_nothing(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let [old, new] = [root(DOMAIN), root(DOMAIN)];
        let mut said = messages(&[follows(&old, &new)], &[]).remove(0);
        let fields = [&mut said.by, &mut said.root, &mut said.signature];
        let sizes: Vec<usize> = fields.iter().map(|field| field.len()).collect();
        let mut place = at.index(sizes.iter().sum());
        for (field, size) in fields.into_iter().zip(sizes) {
            if place < size {
                field[place] ^= 1 << bit;
                break;
            }
            place -= size;
        }
        prop_assert_eq!(judge(&[&old], &[&new], &[said]), Some(sha256(new.der())));
    }

    #[test]
    fn whatever_comes_nothing_panics_and_nothing_is_vouched_for(
        by in prop::collection::vec(any::<u8>(), 0..40),
        root_sha256 in prop::collection::vec(any::<u8>(), 0..40),
        certificate in prop::collection::vec(any::<u8>(), 0..40),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let said = wire::Succession { by, root: root_sha256, signature, certificate };
        let [old, new] = [root(DOMAIN), root(DOMAIN)];
        prop_assert!(judge(&[&old], &[&new], &[said]).is_some());
    }
}
