//! Bytes from outside never panic, and nothing is read in two ways.

use countersign_jose::{Algorithm, JwkSet, Key, compact, der, json, raw_ecdsa};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Signer, base64url};

/// Replaces, removes or inserts bytes at positions given as fractions of the length.
fn mutate(bytes: &[u8], edits: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (position, kind, value) in edits {
        let at = usize::from(*position) * bytes.len() / 65_536;
        match kind % 4 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *value),
        }
    }
    bytes
}

#[test]
fn mutated_tokens_never_panic_and_never_verify() {
    let signer = Signer::new(Algorithm::Es256);
    let key = signer.key();
    let token = signer.token(r#"{"alg":"ES256","kid":"k"}"#, r#"{"sub":"ada","list":[1,2.5,null,true]}"#);
    proptest!(ProptestConfig::with_cases(4000), |(edits in vec(any::<(u16, u8, u8)>(), 1..4))| {
        let changed = String::from_utf8_lossy(&mutate(token.as_bytes(), &edits)).into_owned();
        let verified = compact::parse(&changed).and_then(|token| token.verify(&key, &Algorithm::ALL)).is_ok();
        prop_assert!(changed == token || !verified, "{}", changed);
    });
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_refused(text in "[-_.=a-zA-Z0-9 ]{0,300}", header in ".{0,80}", payload in ".{0,80}") {
        let made = format!("{}.{}.AAAA", base64url(header.as_bytes()), base64url(payload.as_bytes()));
        for text in [text, made] {
            if let Ok(compact) = compact::parse(&text) {
                let _ = (compact.algorithm(), compact.claims());
                prop_assert!(compact.flaws().next().is_none());
            }
        }
    }

    /// What a strict reader takes, the usual one takes with the same meaning.
    #[test]
    fn strict_json_is_json(text in r#"[\[\]{}:,"a0-9.e+\\ -]{0,60}"#, bytes in vec(any::<u8>(), 0..60)) {
        for bytes in [text.into_bytes(), bytes] {
            if let Ok(members) = json::object(&bytes) {
                let usual: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(usual, serde_json::Value::Object(members));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_key_or_refused(bytes in vec(any::<u8>(), 0..120)) {
        if let Ok(key) = Key::from_spki(&bytes) {
            prop_assert_eq!(key.spki_der(), &bytes[..]);
        }
        let _ = raw_ecdsa(&bytes, 32);
        let _ = JwkSet::parse(&String::from_utf8_lossy(&bytes));
        let mut reader = der::Reader::new(&bytes);
        while let Some(content) = reader.take(bytes.first().copied().unwrap_or_default()) {
            prop_assert!(content.len() < bytes.len());
        }
    }

    #[test]
    fn der_is_read_back_as_it_was_written(content in vec(any::<u8>(), 0..600), number in vec(any::<u8>(), 0..40)) {
        let written = [der::value(der::OCTET_STRING, &[&content]).unwrap(), der::unsigned(&number).unwrap()].concat();
        let mut reader = der::Reader::new(&written);
        prop_assert_eq!(reader.take(der::OCTET_STRING), Some(&content[..]));
        prop_assert_eq!(reader.take_unsigned(), Some(der::without_zeros(&number)));
        prop_assert!(reader.is_empty());
    }
}

#[test]
fn mutated_keys_never_panic_and_are_told_apart() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa] {
        let signer = Signer::new(algorithm);
        let key = signer.key();
        let jwk = serde_json::to_vec(&key.to_jwk(Some("k"), "sig")).unwrap();
        proptest!(ProptestConfig::with_cases(1000), |(edits in vec(any::<(u16, u8, u8)>(), 1..4))| {
            let changed = mutate(&signer.spki, &edits);
            if let Ok(found) = Key::from_spki(&changed) {
                prop_assert_eq!(found == key, changed == signer.spki);
            }
            if let Ok(found) = json::object(&mutate(&jwk, &edits)).map(|members| Key::from_jwk(&members)) {
                let _ = found.map(|found| found.to_jwk(None, "sig"));
            }
        });
    }
}

#[test]
fn lengths_in_der_are_written_in_one_way() {
    for bad in
        [&[4, 0x81, 1, 0][..], &[4, 0x82, 0, 1, 0], &[4, 0x80, 0, 0], &[4, 0x83, 0, 0, 1, 0], &[4, 2, 0], &[4], &[]]
    {
        assert_eq!(der::Reader::new(bad).take(der::OCTET_STRING), None, "{bad:02x?}");
    }
    for bad in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 2, 0, 0]] {
        assert_eq!(der::Reader::new(bad).take_unsigned(), None, "{bad:02x?}");
    }
    assert!(der::value(4, &[&[0; 65_536]]).is_none());
}
