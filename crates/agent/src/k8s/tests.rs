//! Tokens as an API server signs them, and as others make them.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::json;

use super::*;

const POD: &str = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";
const NOW: Timestamp = Timestamp::from_seconds(1_772_442_000);

fn cluster(jwks: &Value) -> Cluster {
    Cluster {
        name: "prod".into(),
        issuer: "https://kubernetes.default.svc".into(),
        audience: "countersign".into(),
        jwks_json: jwks.to_string(),
        token_path: "/var/run/secrets/countersign/token".into(),
    }
}

/// A cluster with one key.
struct Server {
    key: KeyPair,
    keys: Keys,
}

fn jwk(key: &KeyPair, kid: &str) -> Value {
    Key::from_spki(&key.subject_public_key_info()).unwrap().to_jwk(Some(kid), "sig").into()
}

impl Server {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let keys = Keys::new(cluster(&json!({ "keys": [jwk(&key, "k1")] }))).unwrap();
        Self { key, keys }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let sign = |input: &[u8]| Ok::<_, ()>(jose::raw_ecdsa(&self.key.sign(input).unwrap(), 32).unwrap());
        jose::encode(header.to_string().as_bytes(), claims.to_string().as_bytes(), sign).unwrap()
    }

    fn check(&self, claims: &Value) -> Result<Bound, TokenRefusal> {
        self.keys.check(&self.token(&json!({ "alg": "ES256", "kid": "k1" }), claims), NOW)
    }
}

/// As the kubelet projects them.
fn claims() -> Value {
    json!({
        "aud": ["countersign"],
        "exp": NOW.seconds() + 600,
        "iat": NOW.seconds(),
        "iss": "https://kubernetes.default.svc",
        "jti": "b1a0c1c4-3c1e-4e4c-9a52-0c1f5b6a7d8e",
        "kubernetes.io": {
            "namespace": "pay",
            "node": { "name": "n1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "payments-7d", "uid": POD },
            "serviceaccount": { "name": "payments", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
        },
        "nbf": NOW.seconds(),
        "sub": "system:serviceaccount:pay:payments",
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut claims = claims();
    *claims.pointer_mut(path).unwrap() = value;
    claims
}

fn without(object: &str, name: &str) -> Value {
    let mut claims = claims();
    claims.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    claims
}

#[test]
fn a_projected_token_names_the_account_and_the_pod() {
    let server = Server::new();
    let bound = server.check(&claims()).unwrap();
    let account = ServiceAccount { cluster: "prod".into(), namespace: "pay".into(), name: "payments".into() };
    assert_eq!(bound, Bound { account, pod: POD.into() });
    // one audience may be written without a list, and `nbf` may be left out
    server.check(&with("/aud", json!("countersign"))).unwrap();
    server.check(&without("", "nbf")).unwrap();
}

#[test]
fn a_token_counts_in_its_own_pod_alone() {
    let server = Server::new();
    let token = server.token(&json!({ "alg": "ES256", "kid": "k1" }), &claims());
    let account = |pod| server.keys.account(&token, pod, NOW).map(|account| account.name);
    assert_eq!(account(Some(POD)).as_deref(), Ok("payments"));
    assert_eq!(account(None).as_deref(), Ok("payments"));
    assert_eq!(account(Some("646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1")), Err(TokenRefusal::OtherPod));
}

#[test]
fn what_is_wrong_with_the_claims_is_told() {
    let server = Server::new();
    let later = Timestamp::from_seconds(NOW.seconds() + 61);
    for (claims, refusal) in [
        (with("/iss", json!("https://kubernetes.default.svc/")), TokenRefusal::Issuer),
        (with("/aud", json!(["vault"])), TokenRefusal::Audience),
        (with("/aud", json!([])), TokenRefusal::Audience),
        (with("/exp", json!(NOW.seconds())), TokenRefusal::Expired(NOW)),
        (with("/nbf", json!(later.seconds())), TokenRefusal::Early(later)),
        (without("/kubernetes.io", "pod"), TokenRefusal::Unbound),
        (with("/kubernetes.io/pod", json!(null)), TokenRefusal::Unbound),
    ] {
        assert_eq!(server.check(&claims), Err(refusal), "{claims}");
    }
    server.check(&with("/nbf", json!(NOW.seconds() + 60))).unwrap();
}

#[test]
fn missing_and_wrongly_typed_claims_are_refused() {
    let server = Server::new();
    for name in ["iss", "sub", "aud", "exp", "kubernetes.io"] {
        assert_eq!(server.check(&without("", name)), Err(TokenRefusal::Claims), "{name}");
    }
    for (path, value) in [
        ("/exp", json!("1999999999")),
        ("/exp", json!(-1)),
        ("/exp", json!(null)),
        ("/nbf", json!("0")),
        ("/nbf", json!(null)),
        ("/aud", json!([7])),
        ("/sub", json!("system:serviceaccount:pay:other")),
        ("/sub", json!("system:serviceaccount:other:payments")),
        ("/sub", json!("system:node:n1")),
        ("/kubernetes.io/namespace", json!("pay:x")),
        ("/kubernetes.io/serviceaccount/name", json!("Payments")),
        ("/kubernetes.io/serviceaccount", json!("payments")),
        ("/kubernetes.io/pod/uid", json!("../x")),
        ("/kubernetes.io/pod/uid", json!(7)),
    ] {
        assert_eq!(server.check(&with(path, value.clone())), Err(TokenRefusal::Claims), "{path}: {value}");
    }
}

#[test]
fn what_the_cluster_did_not_sign_is_refused() {
    let (server, other) = (Server::new(), Server::new());
    let header = json!({ "alg": "ES256", "kid": "k1" });
    let good = server.token(&header, &claims());
    let signed = |token: &str| server.keys.check(token, NOW).unwrap_err();
    assert!(matches!(signed(&other.token(&header, &claims())), TokenRefusal::Jose(_)));
    assert_eq!(signed(&server.token(&json!({ "alg": "ES256", "kid": "k2" }), &claims())), TokenRefusal::Key);
    assert_eq!(signed(&server.token(&json!({ "alg": "ES256" }), &claims())), TokenRefusal::Key);
    for header in [
        json!({ "alg": "none", "kid": "k1" }),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "k1" }),
        json!({ "alg": "EdDSA", "kid": "k1" }),
        json!({ "alg": "ES256", "kid": "k1", "crit": ["exp"] }),
        json!({ "alg": "ES256", "kid": "k1", "jwk": jwk(&other.key, "k1") }),
    ] {
        assert!(matches!(signed(&other.token(&header, &claims())), TokenRefusal::Jose(_)), "{header}");
    }
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = rest.split_once('.').unwrap();
    for token in
        [format!("{rest}."), format!("{head}.e30.{signature}"), format!("{good}="), String::new(), "a.b.c".into()]
    {
        assert!(matches!(signed(&token), TokenRefusal::Jose(_)), "{token}");
    }
}

#[test]
fn a_cluster_that_could_check_nothing_is_refused() {
    let key = KeyPair::generate().unwrap();
    let keys = |keys: Value| cluster(&json!({ "keys": keys }));
    let good = || keys(json!([jwk(&key, "k1")]));
    let mut encryption = jwk(&key, "k2");
    encryption["use"] = json!("enc");
    let refused = [
        (Cluster { name: "Prod".into(), ..good() }, ClusterError::Name("Prod".into())),
        (Cluster { issuer: String::new(), ..good() }, ClusterError::Empty),
        (Cluster { audience: String::new(), ..good() }, ClusterError::Empty),
        (Cluster { token_path: "token".into(), ..good() }, ClusterError::Path("token".into())),
        (keys(json!([])), ClusterError::NoKey),
        (keys(json!([encryption])), ClusterError::NoKey),
        (keys(json!([jwk(&key, "k1"), jwk(&key, "k1")])), ClusterError::Twice("k1".into())),
    ];
    for (cluster, error) in refused {
        assert_eq!(Keys::new(cluster).unwrap_err(), error);
        assert!(!error.hint().is_empty());
    }
    for text in ["", "{}", "[]", r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}"#] {
        let cluster = Cluster { jwks_json: text.into(), ..good() };
        assert!(matches!(Keys::new(cluster), Err(ClusterError::Keys(_))), "{text}");
    }
}

proptest! {
    /// Whatever is changed in a token's text, it is no other token.
    #[test]
    fn a_token_that_was_changed_is_refused(at in 0usize..900, to in "[A-Za-z0-9_.=-]") {
        static SERVER: LazyLock<(Server, String)> = LazyLock::new(|| {
            let server = Server::new();
            let token = server.token(&json!({ "alg": "ES256", "kid": "k1" }), &claims());
            (server, token)
        });
        let (server, token) = &*SERVER;
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assert_eq!(server.keys.check(&changed, NOW).is_ok(), changed == *token);
    }

    #[test]
    fn noise_is_no_token(text in "\\PC{0,300}") {
        let server = Server::new();
        prop_assert!(server.keys.check(&text, NOW).is_err());
    }
}
