//! Certificate requests that are none.

use proptest::prelude::*;

use super::*;

/// The bytes of an ECDSA request, in parts that can be changed: what is signed, the algorithm, the signature.
fn refused(issuer: &Issuer, request: Vec<u8>) -> String {
    assert!(check_request(&request).is_err());
    match now(issuer.mint_workload(&payments(), &order(PAYMENTS, request))) {
        Err(IssueError::BadRequest(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn malformed_requests_of_every_kind_are_refused_and_nothing_is_issued() {
    let world = World::new();
    let issuer = world.issuer();
    let good = csr();
    assert!(check_request(&good).is_ok());
    let pem = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let certificate = mint(&issuer).unwrap().chain_der.remove(0);
    let key = KeyPair::generate().unwrap().serialize_der();
    let weak = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak-request.der")).unwrap();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    // ecdsa-with-SHA1 in place of ecdsa-with-SHA256
    let sha1 = replaced(
        &good,
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01, 0x02],
    );
    // another curve than the key is of
    let curve =
        replaced(&good, &[0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], &[0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01]);
    let infinity = {
        let at = good.windows(4).position(|window| window == [0x03, 0x42, 0x00, 0x04]).unwrap();
        let mut request = good.clone();
        request[at + 4..at + 68].fill(0);
        request
    };
    for (bad, what) in [
        (Vec::new(), "nothing"),
        (vec![0x30; 20_000], "too large"),
        (vec![0; 16_384], "zeros"),
        ([good.as_slice(), b"x"].concat(), "more after it"),
        (good[..good.len() - 1].to_vec(), "cut"),
        (pem.into_bytes(), "PEM"),
        (certificate, "a certificate"),
        (key, "a private key"),
        (weak, "RSA of 1,024 bits"),
        (forged, "a signature that is not of it"),
        (sha1, "SHA-1"),
        (curve, "a wrong curve"),
        (infinity, "a point that is not on the curve"),
        ([&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &good[4..]].concat(), "a length beyond everything"),
        (b"\x30\x80\x00\x00".to_vec(), "an indefinite length"),
    ] {
        let why = refused(&issuer, bad);
        assert!(!why.is_empty(), "{what}");
    }
    let counts = issuer.counts();
    assert_eq!((counts.issued, counts.refused), (1, 15));
    assert!(
        world
            .records()
            .iter()
            .filter(|line| line.starts_with("deny"))
            .all(|line| line.contains("the request is refused"))
    );
}

#[test]
fn every_strong_kind_of_key_can_be_certified() {
    let world = World::new();
    let issuer = world.issuer();
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        let svid = now(issuer.mint_workload(&payments(), &order(PAYMENTS, csr))).unwrap();
        let peer = world.verify(&issuer, &svid);
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(*peer.key_sha256(), identity::sign::sha256(&spki));
    }
}

#[test]
fn no_name_that_a_registration_can_have_breaks_a_certificate() {
    let world = World::new();
    let issuer = world.issuer();
    let longest = "a".repeat(63);
    let hosts = |count: usize| {
        let names =
            (0..count).map(|number| Host::parse(&format!("h{number}.{longest}.{longest}.acme.internal")).unwrap());
        names.collect::<Vec<_>>()
    };
    let mut many = registrations();
    many.domains.get_mut(&label("finance")).unwrap().hosts = hosts(90);
    issuer.set_registrations(many.clone());
    let svid = issuer.mint_for_gateway(&label("finance"), &label(&longest), &csr()).unwrap();
    assert!(world.verify(&issuer, &svid).covers_dns(&hosts(90)[89]));
    for count in [110, 400, 1000] {
        many.domains.get_mut(&label("finance")).unwrap().hosts = hosts(count);
        issuer.set_registrations(many.clone());
        let error = issuer.mint_for_gateway(&label("finance"), &label("gw-1"), &csr()).unwrap_err();
        assert!(error.to_string().contains("more hosts than fit"), "{count}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_request_with_any_byte_changed_is_refused(at in 0_usize..10_000, bit in 0_u8..8) {
        let mut request = csr();
        let at = at % request.len();
        request[at] ^= 1 << bit;
        prop_assert!(check_request(&request).is_err());
    }

    #[test]
    fn no_bytes_make_the_parser_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check_request(&bytes).is_err());
    }
}
