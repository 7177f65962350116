//! SPIFFE bundle documents and bundle maps, read and written (BU-1 to BU-4, XS-7, JS-5).

use core::time::Duration;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jose::json::{self, Object};
use jose::{Jwk, JwkSet, Key, KeyRefusal, Refusal};
use serde_json::{Value, json};
use types::{TrustDomain, limits};

use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;

/// What an entry of a bundle is for; anything else is passed over, compared with case (BU-1).
const X509: &str = "x509-svid";
const JWT: &str = "jwt-svid";

/// A bundle document, read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The keys.
    pub bundle: Bundle,
    /// The number that grows with each change of content.
    pub sequence: Option<u64>,
    /// How often the publisher wants it fetched, within `bundle_hint_least_time` and `bundle_hint_most_time`.
    pub refresh_hint: Option<Duration>,
}

impl Document {
    /// Reads a document, a JWK Set. Entries of unknown kind or use are passed over, and so are `x509-svid` entries without
    /// a certificate and `jwt-svid` entries without an id.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`]; [`BundleError::Document`] for JSON that is no bundle, repeats a member or an id, or
    /// publishes a secret or a broken key; otherwise as [`Bundle::new`].
    pub fn parse(domain: TrustDomain, json: &str) -> Result<Self, BundleError> {
        if json.len() > limits::BUNDLE_BYTES.default_usize() {
            return Err(BundleError::TooLarge);
        }
        Self::from_object(domain, json::object(json.as_bytes()).map_err(no_document)?)
    }

    fn from_object(domain: TrustDomain, members: Object) -> Result<Self, BundleError> {
        let set = JwkSet::from_object(members).map_err(no_document)?;
        let sequence = whole_number(set.members(), "spiffe_sequence")?;
        let hint = whole_number(set.members(), "spiffe_refresh_hint")?;
        let of = |usage: &'static str| set.keys().iter().filter(move |entry| entry.usage() == Some(usage));
        let roots = of(X509).filter_map(|entry| root_of(entry).transpose()).collect::<Result<Vec<_>, _>>()?;
        let mut bundle = Bundle::from_der(domain, roots)?;
        for (kid, entry) in of(JWT).filter_map(|entry| Some((entry.key_id()?, entry))) {
            match entry.key() {
                Ok(key) => bundle.add_jwt_key(kid.to_owned(), key)?,
                Err(KeyRefusal::Unknown(_)) => {}
                Err(KeyRefusal::Broken(refusal)) => return Err(no_document(refusal)),
            }
        }
        Ok(Self { bundle, sequence, refresh_hint: hint.map(within_bounds) })
    }

    /// How long to wait before the next fetch: the hint, or `bundle_hint_time` without one.
    pub fn refresh_after(&self) -> Duration {
        self.refresh_hint.unwrap_or(Duration::from_millis(limits::BUNDLE_HINT_TIME.default))
    }

    /// Whether it may take the place of a document with this number (BU-3). A document without a number may: then
    /// nothing says which one is newer but the order in which they came.
    ///
    /// # Errors
    /// [`BundleError::GoesBack`] when its number is lower.
    pub const fn check_follows(&self, held: Option<u64>) -> Result<(), BundleError> {
        match (held, self.sequence) {
            (Some(held), Some(offered)) if offered < held => Err(BundleError::GoesBack { held, offered }),
            _ => Ok(()),
        }
    }
}

/// Reads a bundle map: bundles by trust domain in one document. A hint inside one bundle does not steer how often the map
/// is fetched.
///
/// # Errors
/// [`BundleError::Document`] for what is no map, names no trust domain or the same one twice; [`BundleError::Of`] for a
/// bundle in it. Nothing of a map counts that is refused in part.
pub fn read_bundle_map(json: &str) -> Result<BTreeMap<TrustDomain, Document>, BundleError> {
    if json.len() > limits::BUNDLE_MAP_BYTES.default_usize() {
        return Err(BundleError::TooLarge);
    }
    let mut members = json::object(json.as_bytes()).map_err(no_document)?;
    let Some(Value::Object(bundles)) = members.remove("trust_domains") else {
        return Err(BundleError::Document("`trust_domains` is missing or no object".to_owned()));
    };
    if bundles.len() > limits::TRUST_DOMAINS.default_usize() {
        return Err(BundleError::Document("it holds more trust domains than `trust_domains`".to_owned()));
    }
    bundles.into_iter().map(|(name, bundle)| read_of_map(&name, bundle)).collect()
}

fn read_of_map(name: &str, bundle: Value) -> Result<(TrustDomain, Document), BundleError> {
    let shown: String = name.chars().take(80).collect();
    let domain = TrustDomain::parse(name)
        .map_err(|error| BundleError::Document(format!("`{shown}` is not a trust domain: {error}")))?;
    let Value::Object(members) = bundle else {
        return Err(BundleError::Document(format!("the bundle of `{shown}` is no object")));
    };
    let document = Document::from_object(domain.clone(), members)
        .map_err(|error| BundleError::Of(domain.clone(), Box::new(error)))?;
    Ok((domain, document))
}

/// The document of a bundle, to be published: roots without an id (XS-7), keys for JWT-SVIDs with one (JS-5). The same
/// bundle, number and hint give the same text.
///
/// # Errors
/// [`BundleError::Root`] for a root whose key JSON cannot write.
pub fn document(bundle: &Bundle, sequence: u64, refresh_hint: Duration) -> Result<String, BundleError> {
    let roots = bundle.roots().enumerate().map(|(index, der)| {
        root_entry(der).map_err(|detail| BundleError::Root { number: index + 1, rule: "XS-7", detail })
    });
    let mut keys = roots.collect::<Result<Vec<_>, _>>()?;
    keys.extend(jwt_entries(bundle));
    let hint = refresh_hint.as_secs();
    Ok(json!({ "keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": hint }).to_string())
}

/// The keys of a bundle for JWT-SVIDs alone, as the Workload API hands them out (WA-5).
pub fn jwt_document(bundle: &Bundle) -> String {
    json!({ "keys": jwt_entries(bundle).collect::<Vec<_>>() }).to_string()
}

fn root_entry(der: &[u8]) -> Result<Value, String> {
    let root = Certificate::read(der).map_err(|refusal| refusal.detail)?;
    let key = Key::from_spki(root.x509.public_key().raw).map_err(|refusal| refusal.detail)?;
    let mut members = key.to_jwk(None, X509);
    members.insert("x5c".to_owned(), json!([STANDARD.encode(der)]));
    Ok(Value::Object(members))
}

fn jwt_entries(bundle: &Bundle) -> impl Iterator<Item = Value> {
    bundle.keys().map(|(kid, key)| Value::Object(key.to_jwk(Some(kid), JWT)))
}

/// The first certificate of an entry (XS-7: the others do not count); nothing where it has none.
fn root_of(entry: &Jwk) -> Result<Option<Vec<u8>>, BundleError> {
    let broken = |detail: &str| BundleError::Document(format!("an `x509-svid` entry's {detail}"));
    let Some(chain) = entry.members().get("x5c") else { return Ok(None) };
    let chain = chain.as_array().ok_or_else(|| broken("`x5c` is not a list"))?;
    let Some(first) = chain.first() else { return Ok(None) };
    let text = first.as_str().ok_or_else(|| broken("`x5c` does not hold text"))?;
    STANDARD.decode(text).map(Some).map_err(|_| broken("`x5c` is not base64"))
}

fn whole_number(members: &Object, name: &str) -> Result<Option<u64>, BundleError> {
    let no_number = || BundleError::Document(format!("`{name}` is not a whole number of 64 bits (BU-3)"));
    members.get(name).map(|value| value.as_u64().ok_or_else(no_number)).transpose()
}

fn within_bounds(seconds: u64) -> Duration {
    let (least, most) = (limits::BUNDLE_HINT_LEAST_TIME.default, limits::BUNDLE_HINT_MOST_TIME.default);
    Duration::from_millis(seconds.saturating_mul(1000).clamp(least, most))
}

fn no_document(refusal: Refusal) -> BundleError {
    BundleError::Document(refusal.to_string())
}
