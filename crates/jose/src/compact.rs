//! Reading a JSON Web Signature in compact form (RFC 7515 7.1).

use types::limits;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::json::{self, Object};
use crate::key::Key;
use crate::refusal::{Refusal, shown};

/// Header members that change how a token is read (JW-10).
const CHANGES_READING: [&str; 3] = ["crit", "b64", "zip"];

/// Header members that offer a key or a place to get one from (JW-5).
const OFFERS_KEY: [&str; 4] = ["jwk", "jku", "x5c", "x5u"];

/// A token taken apart. Nothing in it is true before [`Compact::verify`] said so.
#[derive(Clone, Debug)]
pub struct Compact<'a> {
    signing_input: &'a str,
    header: Object,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Takes a token apart and refuses what no token here may have.
///
/// # Errors
/// As [`read`], and the first of [`Compact::flaws`].
pub fn parse(token: &str) -> Result<Compact<'_>, Refusal> {
    let compact = read(token)?;
    let flaw = compact.flaws().next();
    flaw.map_or(Ok(compact), Err)
}

/// Takes a token apart only, to say everything that is wrong with it; use [`parse`] to decide.
///
/// # Errors
/// [`Refusal`]: larger than `jwt_bytes` or encrypted (JW-11), not three parts of base64url (JW-9), a header that is not a
/// JSON object without repetitions (JW-8), or whose `alg`, `kid` or `typ` is not text (JW-7).
pub fn read(token: &str) -> Result<Compact<'_>, Refusal> {
    if token.len() > limits::JWT_BYTES.default_usize() {
        return Err(Refusal::new("JW-11", format!("a token of {} bytes is too large", token.len())));
    }
    let (signing_input, header, payload, signature) = split(token)?;
    let header = json::object(&decode("header", header)?)
        .map_err(|refusal| Refusal { detail: format!("header: {}", refusal.detail), ..refusal })?;
    for name in ["alg", "kid", "typ"] {
        json::text(&header, name)?;
    }
    let (payload, signature) = (decode("payload", payload)?, decode("signature", signature)?);
    Ok(Compact { signing_input, header, payload, signature })
}

/// The signing input and the three parts, none of them empty.
fn split(token: &str) -> Result<(&str, &str, &str, &str), Refusal> {
    let parts = token.split('.').count();
    if parts == 5 {
        return Err(Refusal::new("JW-11", "an encrypted token (JWE) is not taken"));
    }
    let split = token.rsplit_once('.').and_then(|(input, signature)| {
        let (header, payload) = input.split_once('.')?;
        Some((input, header, payload, signature))
    });
    match split {
        Some((input, header, payload, signature))
            if parts == 3 && ![header, payload, signature].iter().any(|part| part.is_empty()) =>
        {
            Ok((input, header, payload, signature))
        }
        _ => Err(Refusal::new("JW-9", "a token is three parts joined by dots, none of them empty")),
    }
}

fn decode(name: &str, part: &str) -> Result<Vec<u8>, Refusal> {
    let refusal = || Refusal::new("JW-9", format!("the {name} is not base64url without padding"));
    base64url::decode(part).ok_or_else(refusal)
}

impl Compact<'_> {
    /// What the header may not say in any kind of token: members that change how it is read (JW-10), and keys that it
    /// brings along (JW-5).
    pub fn flaws(&self) -> impl Iterator<Item = Refusal> {
        let found = |names: &'static [&'static str]| names.iter().filter(|name| self.header.contains_key(**name));
        let reading = found(&CHANGES_READING)
            .map(|name| Refusal::new("JW-10", format!("the header's `{name}` changes how a token is read")));
        let offers = found(&OFFERS_KEY)
            .map(|name| Refusal::new("JW-5", format!("the header's `{name}` offers a key; keys are known beforehand")));
        reading.chain(offers)
    }

    /// All members of the header.
    pub const fn header(&self) -> &Object {
        &self.header
    }

    /// The algorithm that the header names.
    ///
    /// # Errors
    /// [`Refusal`] by JW-1: none is named, or one that does not exist here, such as `none` or `HS256`.
    pub fn algorithm(&self) -> Result<Algorithm, Refusal> {
        let name = json::text(&self.header, "alg")?.ok_or_else(|| Refusal::new("JW-1", "the header has no `alg`"))?;
        Algorithm::parse(name)
            .ok_or_else(|| Refusal::new("JW-1", format!("the algorithm `{}` is not taken", shown(name))))
    }

    /// The id of the key, an opaque text (JW-4).
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(serde_json::Value::as_str)
    }

    /// What the token says it is.
    pub fn kind(&self) -> Option<&str> {
        self.header.get("typ").and_then(serde_json::Value::as_str)
    }

    /// The payload as claims.
    ///
    /// # Errors
    /// [`Refusal`] by JW-8 when it is not a JSON object without repetitions.
    pub fn claims(&self) -> Result<Object, Refusal> {
        json::object(&self.payload)
            .map_err(|refusal| Refusal { detail: format!("claims: {}", refusal.detail), ..refusal })
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature with a key that the caller chose, by an algorithm that the caller allows.
    ///
    /// # Errors
    /// [`Refusal`]: the header's algorithm is not one of `allowed`, or not the key's (JW-1); the signature has the wrong
    /// length or is not that of this token by this key (JW-9).
    pub fn verify(&self, key: &Key, allowed: &[Algorithm]) -> Result<(), Refusal> {
        let algorithm = self.algorithm()?;
        if !allowed.contains(&algorithm) {
            return Err(Refusal::new("JW-1", format!("the algorithm `{algorithm}` is not allowed here")));
        }
        key.verify(algorithm, self.signing_input.as_bytes(), &self.signature)
    }
}
