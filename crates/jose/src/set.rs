//! A set of keys (RFC 7517 section 5).

use serde_json::Value;

use crate::json::{self, Object};
use crate::jwk::{SYMMETRIC, check_public};
use crate::key::{Key, KeyRefusal};
use crate::refusal::Refusal;

/// The kinds of key that are known here; entries of another kind are passed over (BU-1).
const KNOWN_KINDS: [&str; 3] = ["EC", "RSA", "OKP"];

/// A set of public keys. Its entries are taken apart, not yet judged: what each is for is the caller's to ask.
#[derive(Clone, Debug)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    members: Object,
}

/// An entry of a set.
#[derive(Clone, Debug)]
pub struct Jwk(Object);

impl JwkSet {
    /// Reads a document.
    ///
    /// # Errors
    /// As [`json::object`] and [`Self::from_object`].
    pub fn parse(document: &str) -> Result<Self, Refusal> {
        Self::from_object(json::object(document.as_bytes())?)
    }

    /// From a document that was read before. Entries of an unknown kind are left out.
    ///
    /// # Errors
    /// [`Refusal`]: `keys` is missing, no list, or holds what is no object (BU-1); an entry is a symmetric key or brings
    /// a private part along (JW-1); a member of an entry has the wrong type (JW-7).
    pub fn from_object(mut members: Object) -> Result<Self, Refusal> {
        let entries = match members.remove("keys") {
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(Refusal::new("BU-1", "`keys` is not a list")),
            None => return Err(Refusal::new("BU-1", "`keys` is missing")),
        };
        let keys = entries.into_iter().filter_map(|entry| Jwk::from_value(entry).transpose());
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, members })
    }

    /// The entries of a known kind, in the order of the document.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The other members of the document.
    pub const fn members(&self) -> &Object {
        &self.members
    }
}

impl Jwk {
    fn from_value(entry: Value) -> Result<Option<Self>, Refusal> {
        let Value::Object(members) = entry else {
            return Err(Refusal::new("BU-1", "an entry of `keys` is not an object"));
        };
        let kind = members.get("kty").and_then(Value::as_str);
        if !kind.is_some_and(|kind| KNOWN_KINDS.contains(&kind) || kind == SYMMETRIC) {
            return Ok(None);
        }
        check_public(&members)?;
        for name in ["use", "kid", "alg"] {
            json::text(&members, name)?;
        }
        Ok(Some(Self(members)))
    }

    /// What the key is for.
    pub fn usage(&self) -> Option<&str> {
        self.0.get("use").and_then(Value::as_str)
    }

    /// Its id.
    pub fn key_id(&self) -> Option<&str> {
        self.0.get("kid").and_then(Value::as_str)
    }

    /// All members.
    pub const fn members(&self) -> &Object {
        &self.0
    }

    /// The key itself.
    ///
    /// # Errors
    /// As [`Key::from_jwk`].
    pub fn key(&self) -> Result<Key, KeyRefusal> {
        Key::from_jwk(&self.0)
    }
}
