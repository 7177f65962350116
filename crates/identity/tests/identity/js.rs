//! JWT-SVID, MUST by MUST: JS-1 to JS-5, and the rules of JSON Web Tokens that hold for them.

use countersign_identity::{
    Bundle, BundleSet, JwtSvidRefusal, VerifiedJwtSvid, examine_jwt_svid, jwt_svid, verify_jwt_svid,
};
use jose::Algorithm;
use serde_json::{Value, json};
use types::{SpiffeId, Timestamp};

use crate::support::{DOMAIN, ID, Signer, changed, domain, now};

const AUDIENCE: &str = "https://ledger.acme.internal";

/// A trust domain that publishes one key, beside another that publishes one with the same id.
pub struct Tokens {
    pub signer: Signer,
    pub other: Signer,
    pub bundles: BundleSet,
}

impl Tokens {
    pub fn new(algorithm: Algorithm) -> Self {
        Self::of(Signer::new("k1", algorithm))
    }

    fn of(signer: Signer) -> Self {
        let other = Signer::new("k1", Algorithm::Es256);
        let bundles = [
            Bundle::new(domain(DOMAIN), vec![], vec![signer.published()]).unwrap(),
            Bundle::new(domain("hr.acme.internal"), vec![], vec![other.published()]).unwrap(),
        ];
        Self { signer, other, bundles: bundles.into_iter().collect() }
    }

    pub fn claims(changes: Value) -> String {
        let at = now().seconds();
        changed(json!({ "sub": ID, "aud": [AUDIENCE], "exp": at + 300, "iat": at }), changes)
    }

    pub fn good(&self) -> String {
        self.signer.token(&self.signer.header(json!({})), &Self::claims(json!({})))
    }

    pub fn verify(&self, token: &str) -> Result<VerifiedJwtSvid, JwtSvidRefusal> {
        self.verify_at(token, now())
    }

    /// Verification and examination say the same: the first of everything, or nothing.
    fn verify_at(&self, token: &str, at: Timestamp) -> Result<VerifiedJwtSvid, JwtSvidRefusal> {
        let outcome = verify_jwt_svid(token, AUDIENCE, &self.bundles, at);
        let all = examine_jwt_svid(token, AUDIENCE, &self.bundles, at);
        assert_eq!(outcome.as_ref().err(), all.first(), "{all:?}");
        outcome
    }

    /// The rule that a correctly signed token breaks.
    fn broken(&self, header: Value, claims: Value) -> &'static str {
        let token = self.signer.token(&self.signer.header(header), &Self::claims(claims));
        self.verify(&token).unwrap_err().rule
    }

    fn accepts(&self, header: Value, claims: Value) -> bool {
        let token = self.signer.token(&self.signer.header(header), &Self::claims(claims));
        self.verify(&token).map_err(|refusal| println!("{refusal}")).is_ok()
    }
}

#[test]
fn a_good_jwt_svid_is_read_exactly() {
    let world = Tokens::new(Algorithm::Es256);
    let svid = world.verify(&world.good()).unwrap();
    assert_eq!(svid.spiffe_id().as_str(), ID);
    assert_eq!((svid.expires_at(), svid.issued_at()), (now().plus_seconds(300), Some(now())));
    assert_eq!(svid.key_id(), Some("k1"));
    assert_eq!(svid.claims()["aud"], json!([AUDIENCE]));
}

#[test]
fn what_is_encoded_is_verified() {
    let world = Tokens::new(Algorithm::Es256);
    let (id, until) = (SpiffeId::parse(ID).unwrap(), now().plus_seconds(300));
    let sign = |input: &[u8]| Ok::<_, ()>(world.signer.sign(input));
    let audience = [AUDIENCE.to_owned(), "two".to_owned()];
    let token = jwt_svid::encode("k1", Algorithm::Es256, &id, &audience, now(), until, sign).unwrap();
    let svid = world.verify(&token).unwrap();
    assert_eq!((svid.spiffe_id(), svid.expires_at(), svid.issued_at()), (&id, until, Some(now())));
    assert_eq!(svid.claims()["aud"], json!(audience));
    assert_eq!(svid.claims().len(), 4);
    let refused = jwt_svid::encode("k1", Algorithm::Es256, &id, &audience, now(), until, |_| Err("no key"));
    assert_eq!(refused, Err("no key"));
}

#[test]
fn js_1_every_algorithm_of_the_list_is_taken() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::EdDsa) {
        let world = Tokens::new(algorithm);
        assert!(world.verify(&world.good()).is_ok(), "{algorithm}");
    }
}

#[test]
fn js_1_every_other_algorithm_is_refused_before_any_key_is_looked_at() {
    let world = Tokens::new(Algorithm::Es256);
    for other in ["none", "None", "NONE", "HS256", "HS512", "EdDSA", "ES256K", "es256", "RSA-OAEP", ""] {
        assert_eq!(world.broken(json!({ "alg": other }), json!({})), "JS-1", "{other}");
        let unknown = json!({ "alg": other, "kid": "nobody's" });
        assert_eq!(world.broken(unknown, json!({})), "JS-1", "{other}");
    }
    assert_eq!(world.broken(json!({ "alg": null }), json!({})), "JS-1");
    assert_eq!(world.broken(json!({ "alg": 7 }), json!({})), "JW-7");
}

#[test]
fn js_1_only_compact_form_is_taken() {
    let world = Tokens::new(Algorithm::Es256);
    let good = world.good();
    let parts: Vec<&str> = good.split('.').collect();
    let json = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string();
    for other in
        [json.as_str(), "", "..", "a.b.c.d.e", &parts[..2].join("."), &format!("{good}."), &format!("{good}.x")]
    {
        assert!(world.verify(other).is_err(), "{other}");
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(world.verify(&unsigned).unwrap_err().rule, "JW-9");
}

#[test]
fn js_2_a_header_holds_alg_kid_and_typ_only() {
    let world = Tokens::new(Algorithm::Es256);
    for name in ["cty", "x5t", "x5t#S256", "nonce", "iss", "Alg"] {
        assert_eq!(world.broken(json!({ name: "x" }), json!({})), "JS-2", "{name}");
    }
}

#[test]
fn js_2_typ_where_it_is_there_is_jwt_or_jose() {
    let world = Tokens::new(Algorithm::Es256);
    for good in [json!({ "typ": null }), json!({ "typ": "JWT" }), json!({ "typ": "JOSE" })] {
        assert!(world.accepts(good.clone(), json!({})), "{good}");
    }
    for other in ["wit+jwt", "at+jwt", "dpop+jwt", "secevent+jwt", "jwt", "jose", "application/jwt", "JWT ", ""] {
        assert_eq!(world.broken(json!({ "typ": other }), json!({})), "JS-2", "{other}");
    }
    assert_eq!(world.broken(json!({ "typ": ["JWT"] }), json!({})), "JW-7");
}

#[test]
fn js_2_keys_and_extensions_of_the_header_are_never_honoured() {
    let world = Tokens::new(Algorithm::Es256);
    let stranger = Signer::new("k1", Algorithm::Es256);
    let jwk = jose::Key::from_spki(&stranger.spki()).unwrap().to_jwk(None, "sig");
    for (name, value, rule) in [
        ("jwk", Value::Object(jwk), "JW-5"),
        ("jku", json!("https://attacker.example/keys"), "JW-5"),
        ("x5u", json!("https://attacker.example/cert"), "JW-5"),
        ("x5c", json!(["MII"]), "JW-5"),
        ("crit", json!(["exp"]), "JW-10"),
        ("crit", json!([]), "JW-10"),
        ("b64", json!(false), "JW-10"),
        ("zip", json!("DEF"), "JW-10"),
    ] {
        assert_eq!(world.broken(json!({ name: value }), json!({})), rule, "{name}");
        let theirs = stranger.token(&stranger.header(json!({ name: value })), &Tokens::claims(json!({})));
        assert_eq!(world.verify(&theirs).unwrap_err().rule, rule, "{name}");
    }
}

#[test]
fn js_3_the_subject_is_somebodys_spiffe_id() {
    let world = Tokens::new(Algorithm::Es256);
    for other in [
        "",
        "payments",
        "spiffe://finance.acme.internal",
        "spiffe://finance.acme.internal/",
        "spiffe://finance.acme.internal/a/../payments",
        "spiffe://Finance.acme.internal/payments",
        "SPIFFE://finance.acme.internal/payments",
        "spiffe://finance.acme.internal:443/payments",
        "spiffe://finance.acme.internal/payments?x",
        " spiffe://finance.acme.internal/payments",
    ] {
        assert_eq!(world.broken(json!({}), json!({ "sub": other })), "JS-3", "{other}");
    }
    assert_eq!(world.broken(json!({}), json!({ "sub": null })), "JS-3");
    assert_eq!(world.broken(json!({}), json!({ "sub": [ID] })), "JW-7");
}

#[test]
fn js_3_the_key_is_one_of_the_subjects_own_trust_domain() {
    let world = Tokens::new(Algorithm::Es256);
    let theirs = world.other.token(&world.other.header(json!({})), &Tokens::claims(json!({})));
    let refusal = world.verify(&theirs).unwrap_err();
    assert_eq!(refusal.rule, "JW-9", "the same id in another domain does not matter: {refusal}");
    assert_eq!(refusal.claimed.unwrap().as_str(), ID);
    let elsewhere = json!({ "sub": "spiffe://elsewhere/payments" });
    assert_eq!(world.broken(json!({}), elsewhere), "JS-3");
    assert_eq!(world.broken(json!({ "kid": "k2" }), json!({})), "JS-3");
    let own = world
        .other
        .token(&world.other.header(json!({})), &Tokens::claims(json!({ "sub": "spiffe://hr.acme.internal/people" })));
    assert!(world.verify(&own).is_ok());
}

#[test]
fn js_3_only_keys_for_jwt_svids_count() {
    let signer = Signer::new("k1", Algorithm::Es256);
    let key = jose::Key::from_spki(&signer.spki()).unwrap();
    let token = signer.token(&signer.header(json!({})), &Tokens::claims(json!({})));
    let anonymous = signer.token(&signer.header(json!({ "kid": null })), &Tokens::claims(json!({})));
    let judged = |usage: &str, token: &str| {
        let text = json!({ "keys": [key.to_jwk(Some("k1"), usage)] }).to_string();
        let bundle = Bundle::from_document(domain(DOMAIN), &text).unwrap().bundle;
        verify_jwt_svid(token, AUDIENCE, &BundleSet::from_iter([bundle]), now()).map_err(|refusal| refusal.rule)
    };
    assert!(judged("jwt-svid", &token).is_ok());
    for other in ["x509-svid", "wit-svid", "sig", "JWT-SVID", ""] {
        assert_eq!(judged(other, &token).unwrap_err(), "JS-3", "{other}");
        assert_eq!(judged(other, &anonymous).unwrap_err(), "JS-3", "{other}");
    }
}

#[test]
fn js_3_a_token_that_names_no_key_is_tried_with_the_domains_own() {
    let (first, second) = (Signer::new("k1", Algorithm::Es384), Signer::new("k2", Algorithm::Es256));
    let keys = vec![first.published(), second.published()];
    let bundles = BundleSet::from_iter([Bundle::new(domain(DOMAIN), vec![], keys).unwrap()]);
    let judged = |signer: &Signer| {
        let token = signer.token(&signer.header(json!({ "kid": null })), &Tokens::claims(json!({})));
        verify_jwt_svid(&token, AUDIENCE, &bundles, now())
    };
    assert!(judged(&first).is_ok() && judged(&second).is_ok());
    assert_eq!(judged(&second).unwrap().key_id(), None);
    assert!(judged(&Signer::new("k2", Algorithm::Es256)).is_err());
}

#[test]
fn js_3_an_emptied_bundle_revokes_at_once() {
    let world = Tokens::new(Algorithm::Es256);
    let emptied = BundleSet::from_iter([Bundle::new(domain(DOMAIN), vec![], vec![]).unwrap()]);
    assert_eq!(verify_jwt_svid(&world.good(), AUDIENCE, &emptied, now()).unwrap_err().rule, "JS-3");
}

#[test]
fn js_4_the_audience_is_there_and_holds_exactly_ours() {
    let world = Tokens::new(Algorithm::Es256);
    for good in [json!(AUDIENCE), json!([AUDIENCE]), json!(["x", AUDIENCE])] {
        assert!(world.accepts(json!({}), json!({ "aud": good })), "{good}");
    }
    let (upper, slash, shorter) = (AUDIENCE.to_uppercase(), format!("{AUDIENCE}/"), &AUDIENCE[..20]);
    for other in [json!(upper), json!(slash), json!([shorter]), json!([]), json!(""), json!([""]), json!(null)] {
        assert_eq!(world.broken(json!({}), json!({ "aud": other })), "JS-4", "{other}");
    }
    for odd in [json!([AUDIENCE, 7]), json!({ "a": AUDIENCE }), json!(7), json!([[AUDIENCE]])] {
        assert_eq!(world.broken(json!({}), json!({ "aud": odd })), "JW-7", "{odd}");
    }
    let anything = world.signer.token(&world.signer.header(json!({})), &Tokens::claims(json!({ "aud": "" })));
    assert_eq!(verify_jwt_svid(&anything, "", &world.bundles, now()).unwrap_err().rule, "JS-4", "who are we?");
}

#[test]
fn js_4_a_token_expires_and_has_not() {
    let world = Tokens::new(Algorithm::Es256);
    let at = now().seconds();
    assert_eq!(world.broken(json!({}), json!({ "exp": null })), "JS-4");
    assert!(world.accepts(json!({}), json!({ "exp": at - 59 })), "clocks may differ by a minute");
    for past in [json!(at - 60), json!(at - 3600), json!(0), json!(-1), json!(-1e300)] {
        assert_eq!(world.broken(json!({}), json!({ "exp": past })), "JS-4", "{past}");
    }
    for far in [json!(u64::MAX), json!(1e300), json!(at as f64 + 0.5)] {
        assert!(world.accepts(json!({}), json!({ "exp": far })), "{far}");
    }
    let token = world.good();
    assert!(world.verify_at(&token, now().plus_seconds(359)).is_ok());
    assert_eq!(world.verify_at(&token, now().plus_seconds(360)).unwrap_err().rule, "JS-4");
}

#[test]
fn js_4_a_token_that_is_not_yet_good_is_refused() {
    let world = Tokens::new(Algorithm::Es256);
    let at = now().seconds();
    assert!(world.accepts(json!({}), json!({ "nbf": at + 60 })));
    assert_eq!(world.broken(json!({}), json!({ "nbf": at + 61 })), "JS-4");
    assert!(world.accepts(json!({}), json!({ "iat": at + 60 })) && world.accepts(json!({}), json!({ "iat": null })));
    assert_eq!(world.broken(json!({}), json!({ "iat": at + 61 })), "JS-4", "issued in the future");
}

#[test]
fn jw_1_the_algorithm_fits_the_key() {
    let world = Tokens::new(Algorithm::Es256);
    for other in ["ES384", "ES512", "RS256", "PS256"] {
        assert_eq!(world.broken(json!({ "alg": other }), json!({})), "JW-1", "{other}");
    }
    // one key, one algorithm, where the key says so
    let signer = Signer::new("k1", Algorithm::Rs256);
    let mut jwk = jose::Key::from_spki(&signer.spki()).unwrap().to_jwk(Some("k1"), "jwt-svid");
    jwk.insert("alg".into(), json!("PS256"));
    let text = json!({ "keys": [jwk] }).to_string();
    let bundles = BundleSet::from_iter([Bundle::from_document(domain(DOMAIN), &text).unwrap().bundle]);
    let token = signer.token(&signer.header(json!({})), &Tokens::claims(json!({})));
    assert_eq!(verify_jwt_svid(&token, AUDIENCE, &bundles, now()).unwrap_err().rule, "JW-1");
}

#[test]
fn jw_7_claims_of_the_wrong_type_are_not_absent() {
    let world = Tokens::new(Algorithm::Es256);
    let at = now().seconds();
    for name in ["exp", "nbf", "iat"] {
        for odd in [json!((at + 300).to_string()), json!([at]), json!({}), json!(true)] {
            assert_eq!(world.broken(json!({}), json!({ name: odd })), "JW-7", "{name} {odd}");
        }
    }
    let null = Tokens::claims(json!({})).replace("\"iat\":", "\"nbf\":null,\"iat\":");
    let token = world.signer.token(&world.signer.header(json!({})), &null);
    assert_eq!(world.verify(&token).unwrap_err().rule, "JW-7", "null is not absent");
}

#[test]
fn jw_8_repeated_members_are_refused() {
    let world = Tokens::new(Algorithm::Es256);
    let claims = Tokens::claims(json!({}));
    let twice = claims.replacen('{', r#"{"sub":"spiffe://hr.acme.internal/x","#, 1);
    let token = world.signer.token(&world.signer.header(json!({})), &twice);
    assert_eq!(world.verify(&token).unwrap_err().rule, "JW-8");
    let header = world.signer.header(json!({})).replacen('{', r#"{"alg":"ES256","#, 1);
    assert_eq!(world.verify(&world.signer.token(&header, &claims)).unwrap_err().rule, "JW-8");
}

#[test]
fn everything_that_is_wrong_is_said() {
    let world = Tokens::new(Algorithm::Es256);
    let header = world.signer.header(json!({ "typ": "at+jwt", "jku": "https://a.example", "crit": ["x"], "x": 1 }));
    let claims = Tokens::claims(json!({ "aud": "b", "exp": 7, "nbf": "x" }));
    let token = world.other.token(&header, &claims);
    let rules: Vec<&str> =
        examine_jwt_svid(&token, AUDIENCE, &world.bundles, now()).iter().map(|refusal| refusal.rule).collect();
    assert_eq!(rules, ["JW-10", "JW-5", "JS-2", "JS-2", "JS-4", "JS-4", "JW-7", "JW-9"]);
    let broken = world.signer.token(&world.signer.header(json!({ "typ": "x" })), "[]");
    let rules: Vec<&str> =
        examine_jwt_svid(&broken, AUDIENCE, &world.bundles, now()).iter().map(|refusal| refusal.rule).collect();
    assert_eq!(rules, ["JS-2", "JW-8"]);
}
