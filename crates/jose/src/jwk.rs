//! A key as JSON (RFC 7517, RFC 7518 section 6, RFC 8037).

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::der::without_zeros;
use crate::json::{self, Object};
use crate::key::{Key, KeyRefusal};
use crate::params::{Curve, Params};
use crate::refusal::{Refusal, shown};

/// The kind of a key that is a shared secret.
pub(crate) const SYMMETRIC: &str = "oct";

/// Members that only private and symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const ED25519_BYTES: usize = 32;

impl Key {
    /// From the members of a JSON Web Key. Where it names an `alg`, the key is for that one alone (JW-1).
    ///
    /// # Errors
    /// [`KeyRefusal::Unknown`] for a `kty`, `crv` or `alg` that is not known here, for `use` of encryption, and for
    /// `key_ops` without `verify`;
    /// [`KeyRefusal::Broken`] for symmetric keys, private parts, members of the wrong type, and numbers that are no key.
    pub fn from_jwk(jwk: &Object) -> Result<Self, KeyRefusal> {
        check_public(jwk)?;
        check_operations(jwk)?;
        let params = match required(jwk, "kty")? {
            "EC" => ec(jwk)?,
            "RSA" => rsa(jwk)?,
            "OKP" => okp(jwk)?,
            other => return Err(KeyRefusal::Unknown(format!("`kty` is `{}`", shown(other)))),
        };
        let only = match json::text(jwk, "alg")? {
            None => None,
            Some(name) => {
                Some(Algorithm::parse(name).ok_or_else(|| KeyRefusal::Unknown(format!("`alg` is `{}`", shown(name))))?)
            }
        };
        Ok(Self::new(params, only)?)
    }

    /// The members of the key as a JSON Web Key, with its id and use.
    pub fn to_jwk(&self, kid: Option<&str>, usage: &str) -> Object {
        let number = |bytes: &[u8]| base64url::encode(bytes);
        let mut members = match self.params() {
            Params::Ec { curve, x, y } => {
                vec![("kty", "EC".to_owned()), ("crv", curve.as_str().to_owned()), ("x", number(x)), ("y", number(y))]
            }
            Params::Rsa { n, e } => vec![("kty", "RSA".to_owned()), ("n", number(n)), ("e", number(e))],
            Params::Ed25519 { x } => vec![("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", number(x))],
        };
        members.extend(kid.map(|kid| ("kid", kid.to_owned())));
        members.push(("use", usage.to_owned()));
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
    }
}

/// A key that is a secret is nobody's to publish, and nobody's to verify with (JW-1).
pub(crate) fn check_public(jwk: &Object) -> Result<(), Refusal> {
    if jwk.get("kty").and_then(Value::as_str) == Some(SYMMETRIC) {
        return Err(Refusal::new("JW-1", "a symmetric key (`oct`) is not taken"));
    }
    match PRIVATE.iter().find(|name| jwk.contains_key(**name)) {
        Some(name) => Err(Refusal::new("JW-1", format!("a key is published with its private part `{name}`"))),
        None => Ok(()),
    }
}

/// RFC 7517 4.2 and 4.3, where the key says what it may be used for.
fn check_operations(jwk: &Object) -> Result<(), KeyRefusal> {
    if json::text(jwk, "use")? == Some("enc") {
        return Err(KeyRefusal::Unknown("`use` is `enc`".to_owned()));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(KeyRefusal::Unknown("`key_ops` does not hold `verify`".to_owned())),
        Some(_) => Err(Refusal::new("JW-7", "`key_ops` is not a list").into()),
    }
}

fn ec(jwk: &Object) -> Result<Params, KeyRefusal> {
    let name = required(jwk, "crv")?;
    let curve = Curve::ALL.into_iter().find(|curve| curve.as_str() == name);
    let curve = curve.ok_or_else(|| KeyRefusal::Unknown(format!("`crv` is `{}`", shown(name))))?;
    Ok(Params::Ec { curve, x: sized(jwk, "x", curve.size())?, y: sized(jwk, "y", curve.size())? })
}

fn okp(jwk: &Object) -> Result<Params, KeyRefusal> {
    match required(jwk, "crv")? {
        "Ed25519" => Ok(Params::Ed25519 { x: sized(jwk, "x", ED25519_BYTES)? }),
        other => Err(KeyRefusal::Unknown(format!("`crv` is `{}`", shown(other)))),
    }
}

fn rsa(jwk: &Object) -> Result<Params, KeyRefusal> {
    Ok(Params::Rsa { n: number(jwk, "n")?, e: number(jwk, "e")? })
}

/// RFC 7518 6.3.1.1: no zeros in front.
fn number(jwk: &Object, name: &str) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes(jwk, name)?;
    if without_zeros(&bytes).len() == bytes.len() && !bytes.is_empty() {
        Ok(bytes)
    } else {
        Err(Refusal::new("PV-6", format!("the key's `{name}` is empty or starts with zeros")))
    }
}

/// RFC 7518 6.2.1.2: the full size, zeros in front included.
fn sized(jwk: &Object, name: &str, size: usize) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes(jwk, name)?;
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(Refusal::new("PV-6", format!("the key's `{name}` has {} bytes instead of {size}", bytes.len())))
    }
}

fn bytes(jwk: &Object, name: &str) -> Result<Vec<u8>, Refusal> {
    base64url::decode(required(jwk, name)?)
        .ok_or_else(|| Refusal::new("JW-9", format!("the key's `{name}` is not base64url without padding")))
}

fn required<'a>(jwk: &'a Object, name: &str) -> Result<&'a str, Refusal> {
    json::text(jwk, name)?.ok_or_else(|| Refusal::new("JW-7", format!("the key has no `{name}`")))
}
