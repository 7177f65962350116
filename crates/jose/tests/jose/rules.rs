//! Tokens, MUST by MUST: JW-1 and JW-4 to JW-11. JW-2 and JW-3 are about claims, which the caller reads.

use countersign_jose::compact::{self, Compact};
use countersign_jose::{Algorithm, Key, raw_ecdsa};

use crate::support::{Signer, base64url};

fn refused(token: &str) -> &'static str {
    compact::parse(token).unwrap_err().rule
}

fn verified(token: &str, key: &Key, allowed: &[Algorithm]) -> Result<(), &'static str> {
    compact::parse(token).and_then(|token| token.verify(key, allowed)).map_err(|refusal| refusal.rule)
}

#[test]
fn what_is_encoded_is_read_back_and_verified_by_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::new(algorithm);
        let token = signer.token(&format!(r#"{{"alg":"{algorithm}","kid":"a/../b","typ":"x"}}"#), r#"{"sub":"ada"}"#);
        let compact = compact::parse(&token).unwrap();
        assert_eq!(compact.algorithm(), Ok(algorithm));
        assert_eq!((compact.key_id(), compact.kind()), (Some("a/../b"), Some("x")));
        assert_eq!(compact.claims().unwrap()["sub"], "ada");
        assert_eq!(compact.payload(), br#"{"sub":"ada"}"#);
        assert_eq!(compact.verify(&signer.key(), &Algorithm::ALL), Ok(()));
    }
}

#[test]
fn jw_1_the_caller_fixes_the_algorithms() {
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(&signer.header(), "{}");
    assert_eq!(verified(&token, &signer.key(), &[Algorithm::Es256]), Ok(()));
    for allowed in [&[][..], &[Algorithm::Es384], &[Algorithm::Rs256, Algorithm::EdDsa]] {
        assert_eq!(verified(&token, &signer.key(), allowed), Err("JW-1"));
    }
}

#[test]
fn jw_1_none_and_hmac_do_not_exist() {
    let signer = Signer::new(Algorithm::Es256);
    for name in ["none", "None", "nOnE", "HS256", "HS384", "HS512", "ES256K", "es256", "EdDSA ", "ES256\u{0}", ""] {
        let token = signer.token(&serde_json::json!({ "alg": name }).to_string(), "{}");
        let compact = compact::parse(&token).unwrap();
        assert_eq!(compact.algorithm().unwrap_err().rule, "JW-1", "{name}");
        assert_eq!(compact.verify(&signer.key(), &Algorithm::ALL).unwrap_err().rule, "JW-1", "{name}");
    }
    assert_eq!(verified(&signer.token("{}", "{}"), &signer.key(), &Algorithm::ALL), Err("JW-1"));
}

#[test]
fn jw_1_the_algorithm_fits_the_key() {
    let (ecdsa, rsa) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Rs256));
    for other in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Es256) {
        let token = ecdsa.token(&format!(r#"{{"alg":"{other}"}}"#), "{}");
        assert_eq!(verified(&token, &ecdsa.key(), &Algorithm::ALL), Err("JW-1"), "{other}");
    }
    let token = rsa.token(&rsa.header(), "{}");
    assert_eq!(verified(&token, &rsa.key(), &Algorithm::ALL), Ok(()));
    assert_eq!(verified(&token, &ecdsa.key(), &Algorithm::ALL), Err("JW-1"));
    let psa = rsa.token(r#"{"alg":"PS256"}"#, "{}");
    assert_eq!(verified(&psa, &rsa.key(), &Algorithm::ALL), Err("JW-9"), "another padding is another signature");
}

#[test]
fn jw_1_a_key_that_names_its_algorithm_is_for_no_other() {
    let signer = Signer::new(Algorithm::Rs256);
    let mut jwk = signer.key().to_jwk(None, "sig");
    let token = signer.token(&signer.header(), "{}");
    for (alg, outcome) in [("RS256", Ok(())), ("RS384", Err("JW-1")), ("PS256", Err("JW-1"))] {
        jwk.insert("alg".into(), alg.into());
        assert_eq!(verified(&token, &Key::from_jwk(&jwk).unwrap(), &Algorithm::ALL), outcome, "{alg}");
    }
}

#[test]
fn jw_4_a_key_id_is_only_a_text() {
    let signer = Signer::new(Algorithm::Es256);
    for kid in ["../../etc/passwd", "' OR 1=1 --", "https://a.example", "a\u{0}b", ""] {
        let token = signer.token(&serde_json::json!({ "alg": "ES256", "kid": kid }).to_string(), "{}");
        assert_eq!(compact::parse(&token).unwrap().key_id(), Some(kid));
    }
}

#[test]
fn jw_5_a_header_that_offers_a_key_is_refused() {
    let signer = Signer::new(Algorithm::Es256);
    for name in ["jwk", "jku", "x5c", "x5u"] {
        for value in ["null", "\"\"", "{}"] {
            let token = signer.token(&format!(r#"{{"alg":"ES256","{name}":{value}}}"#), "{}");
            assert_eq!(refused(&token), "JW-5", "{name} {value}");
        }
    }
}

#[test]
fn jw_6_the_kind_of_token_is_told_as_it_stands() {
    let signer = Signer::new(Algorithm::Es256);
    let kind = |header: &str| {
        let token = signer.token(header, "{}");
        compact::parse(&token).map(|compact| compact.kind().map(str::to_owned))
    };
    assert_eq!(kind(r#"{"alg":"ES256","typ":"at+JWT"}"#), Ok(Some("at+JWT".into())));
    assert_eq!(kind(r#"{"alg":"ES256"}"#), Ok(None));
}

#[test]
fn jw_7_members_of_the_wrong_type_are_not_absent() {
    let signer = Signer::new(Algorithm::Es256);
    for name in ["alg", "kid", "typ"] {
        for value in ["null", "7", "[\"ES256\"]", "{}", "true"] {
            let token = signer.token(&format!(r#"{{"{name}":{value}}}"#), "{}");
            assert_eq!(refused(&token), "JW-7", "{name} {value}");
        }
    }
}

#[test]
fn jw_8_repeated_members_and_what_is_no_object_are_refused() {
    let signer = Signer::new(Algorithm::Es256);
    for header in [
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"ES256","\u0061lg":"none"}"#,
        r#"{"alg":"ES256","x":{"a":1,"a":2}}"#,
        r#"{"alg":"ES256","x":[{"a":1,"a":1}]}"#,
        r#"["ES256"]"#,
        r#""ES256""#,
        r#"{"alg":"ES256"}x"#,
        r#"{"alg":"ES256",}"#,
        "{'alg':'ES256'}",
        "\u{feff}{\"alg\":\"ES256\"}",
        r#"{"alg":"ES256","x":"\ud800"}"#,
        "null",
        " ",
    ] {
        assert_eq!(refused(&signer.token(header, "{}")), "JW-8", "{header}");
    }
    for claims in [r#"{"sub":"a","sub":"a"}"#, r#"{"sub":"a","\u0073ub":"b"}"#, "[]", "null", "{\"exp\":NaN}", "x"] {
        let token = signer.token(&signer.header(), claims);
        assert_eq!(compact::parse(&token).unwrap().claims().unwrap_err().rule, "JW-8", "{claims}");
    }
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(4000), "]".repeat(4000));
    let token = signer.token(&signer.header(), &deep);
    assert_eq!(compact::parse(&token).unwrap().claims().unwrap_err().rule, "JW-8", "too deep");
}

#[test]
fn jw_9_base64url_is_written_in_one_way() {
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(r#"{"alg":"ES256","x":"???>>>"}"#, r#"{"sub":"???>>>"}"#);
    assert!(compact::parse(&token).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let odd = |part: &str| {
        let standard = part.replace('-', "+").replace('_', "/");
        let mut loose = part.to_owned();
        // the last character's unused bits
        let last = loose.pop().unwrap();
        loose.push(char::from(last as u8 + 1));
        vec![format!("{part}="), format!("{part}=="), format!(" {part}"), format!("{part}\n"), standard, loose]
    };
    for at in 0..3 {
        for changed in odd(parts[at]).into_iter().filter(|changed| changed != parts[at]) {
            let mut parts = parts.clone();
            parts[at] = &changed;
            let token = parts.join(".");
            assert!(verified(&token, &signer.key(), &Algorithm::ALL).is_err(), "{token}");
        }
    }
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for form in [
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.{signature}"),
        String::new(),
        "..".to_owned(),
        ".".to_owned(),
    ] {
        assert_eq!(refused(&form), "JW-9", "{form}");
    }
}

#[test]
fn jw_9_the_length_of_a_signature_is_exact_and_its_numbers_in_range() {
    for (algorithm, size) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es512, 66)] {
        let signer = Signer::new(algorithm);
        let good = signer.sign(b"message");
        let order = vec![0xff; size];
        let zero = vec![0; size];
        let bad = [
            vec![],
            good[1..].to_vec(),
            [good.as_slice(), &[0]].concat(),
            [&[0], good.as_slice()].concat(),
            [zero.as_slice(), &zero].concat(),
            [zero.as_slice(), &good[size..]].concat(),
            [&good[..size], &zero].concat(),
            [order.as_slice(), &good[size..]].concat(),
            [&good[..size], &order].concat(),
            [&good[size..], &good[..size]].concat(),
        ];
        assert_eq!(signer.key().verify(algorithm, b"message", &good), Ok(()));
        assert_eq!(signer.key().verify(algorithm, b"messagf", &good).unwrap_err().rule, "JW-9");
        for (number, signature) in bad.into_iter().enumerate() {
            let refusal = signer.key().verify(algorithm, b"message", &signature).unwrap_err();
            assert_eq!(refusal.rule, "JW-9", "{algorithm} {number}");
        }
    }
}

#[test]
fn jw_9_signatures_in_asn_1_are_refused_and_can_be_turned_around() {
    let der = |r: &[u8], s: &[u8]| {
        let number = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let content = [number(r), number(s)].concat();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let signer = Signer::new(Algorithm::Es256);
    let good = signer.sign(b"message");
    let minimal = |bytes: &[u8]| {
        let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if digits[0] >= 0x80 { [&[0], digits.as_slice()].concat() } else { digits }
    };
    let asn1 = der(&minimal(&good[..32]), &minimal(&good[32..]));
    assert_eq!(signer.key().verify(Algorithm::Es256, b"message", &asn1).unwrap_err().rule, "JW-9");
    assert_eq!(raw_ecdsa(&asn1, 32), Some(good));
    assert_eq!(raw_ecdsa(&der(&[1], &[0x7f]), 2), Some(vec![0, 1, 0, 0x7f]));
    for bad in [
        vec![],
        der(&[0], &[1]),
        der(&[1], &[0]),
        der(&[0x80], &[1]),
        der(&[0, 1], &[1]),
        der(&[1, 2, 3], &[1]),
        [der(&[1], &[1]), vec![0]].concat(),
        vec![0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
        vec![0x30, 3, 2, 1, 1],
        vec![0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1],
        vec![0x31, 6, 2, 1, 1, 2, 1, 1],
    ] {
        assert_eq!(raw_ecdsa(&bad, 2), None, "{bad:02x?}");
    }
}

#[test]
fn jw_10_members_that_change_how_a_token_is_read_are_refused() {
    let signer = Signer::new(Algorithm::Es256);
    for member in
        [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":null"#, r#""b64":false"#, r#""b64":true"#, r#""zip":"DEF""#]
    {
        let token = signer.token(&format!(r#"{{"alg":"ES256",{member}}}"#), "{}");
        assert_eq!(refused(&token), "JW-10", "{member}");
    }
    let both = signer.token(r#"{"alg":"ES256","crit":["b64"],"b64":false,"jku":"x"}"#, "{}");
    let rules: Vec<&str> = compact::read(&both).unwrap().flaws().map(|flaw| flaw.rule).collect();
    assert_eq!(rules, ["JW-10", "JW-10", "JW-5"]);
}

#[test]
fn jw_11_size_is_bounded_before_anything_is_read_and_nothing_is_encrypted() {
    let signer = Signer::new(Algorithm::Es256);
    let token = |bytes: usize| signer.token(&signer.header(), &format!(r#"{{"a":"{}"}}"#, "a".repeat(bytes)));
    assert!(compact::parse(&token(12_000)).is_ok());
    assert_eq!(refused(&token(13_000)), "JW-11");
    assert_eq!(refused(&"?".repeat(16_385)), "JW-11");
    let header = base64url(br#"{"alg":"dir","enc":"A256GCM"}"#);
    assert_eq!(refused(&format!("{header}..iv.text.tag")), "JW-11");
}

/// Nothing of a token is cloned or held beyond it.
#[test]
fn a_refusal_quotes_a_token_shortened_and_without_control_characters() {
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(&serde_json::json!({ "alg": format!("\u{1b}[31m{}", "x".repeat(500)) }).to_string(), "{}");
    let refusal = compact::parse(&token).as_ref().map(Compact::algorithm).unwrap().unwrap_err();
    assert!(refusal.detail.len() < 150 && !refusal.detail.contains('\u{1b}'), "{refusal}");
}
