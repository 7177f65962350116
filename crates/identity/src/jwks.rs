//! Reading the X.509 roots out of a SPIFFE bundle document (BU-1, BU-2, XS-7).

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The kinds of key that a bundle may hold for us to understand; anything else is ignored (BU-1).
const KNOWN_KINDS: [&str; 3] = ["EC", "RSA", "OKP"];

/// The DER of every root that the document publishes for X.509.
///
/// # Errors
/// Words for the operator when the document is not a bundle.
pub(crate) fn x509_roots(json: &str) -> Result<Vec<Vec<u8>>, String> {
    let document: Json = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let members = document.object().ok_or("the document is not an object")?;
    for number in ["spiffe_sequence", "spiffe_refresh_hint"] {
        if members.get(number).is_some_and(|value| !matches!(value, Json::Whole)) {
            return Err(format!("`{number}` is not a whole number"));
        }
    }
    let keys = members.get("keys").ok_or("`keys` is missing")?.array().ok_or("`keys` is not an array")?;
    check_key_ids(keys)?;
    keys.iter().filter_map(|key| root_of(key).transpose()).collect()
}

/// Two `jwt-svid` keys with one id cannot be told apart.
fn check_key_ids(keys: &[Json]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let ids = keys.iter().filter_map(Json::object).filter(|key| text(key, "use") == Some("jwt-svid"));
    match ids.filter_map(|key| text(key, "kid")).find(|id| !seen.insert(*id)) {
        Some(id) => Err(format!("two `jwt-svid` keys share the id `{}`", id.chars().take(80).collect::<String>())),
        None => Ok(()),
    }
}

/// The first certificate of an `x509-svid` entry; `None` for entries that are to be ignored.
fn root_of(key: &Json) -> Result<Option<Vec<u8>>, String> {
    let Some(key) = key.object() else { return Err("an entry of `keys` is not an object".to_owned()) };
    let usable =
        text(key, "use") == Some("x509-svid") && text(key, "kty").is_some_and(|kind| KNOWN_KINDS.contains(&kind));
    let Some(chain) = key.get("x5c").filter(|_| usable) else { return Ok(None) };
    let chain = chain.array().ok_or("`x5c` is not an array")?;
    // XS-7: more than one certificate: only the first counts.
    let Some(first) = chain.first() else { return Ok(None) };
    let text = first.text().ok_or("`x5c` does not hold text")?;
    STANDARD.decode(text).map(Some).map_err(|_| "`x5c` is not base64".to_owned())
}

fn text<'a>(members: &'a BTreeMap<String, Json>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Json::text)
}

/// JSON in which no object may repeat a member: two readers that pick different ones see different bundles.
enum Json {
    Object(BTreeMap<String, Self>),
    Array(Vec<Self>),
    Text(String),
    /// A whole number from 0 to 2^64-1. Its value is not needed here.
    Whole,
    /// Anything else.
    Other,
}

impl Json {
    const fn object(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    fn array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = access.next_entry::<String, Json>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(Json::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Whole)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
}
