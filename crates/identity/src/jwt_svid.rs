//! JWT-SVIDs: verified against the bundle of the trust domain that their subject names, and written (JS-1 to JS-5).

use jose::json::{self, Object};
use jose::{Algorithm, Compact, Refusal, compact};
use serde_json::{Value, json};
use thiserror::Error;
use types::{SpiffeId, Timestamp, limits};

use crate::bundle::{Bundle, BundleSet};
use crate::leaf::id_rule;

/// The algorithms of JWT-SVID 2.1 (JS-1). EdDSA is not among them.
pub(crate) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// The only members that a header may have (JWT-SVID 2).
const HEADER: [&str; 3] = ["alg", "kid", "typ"];

/// What a JWT-SVID may say it is (JWT-SVID 2.3).
const KINDS: [&str; 2] = ["JWT", "JOSE"];

/// Why a token is not a verified JWT-SVID.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{detail} ({rule})")]
pub struct JwtSvidRefusal {
    /// The requirement that was broken, such as `JS-4` (see the table of standards in the documentation).
    pub rule: &'static str,
    /// What exactly was wrong. May quote the token in part, never its signature.
    pub detail: String,
    /// The SPIFFE ID that the token claims. Proves nothing.
    pub claimed: Option<SpiffeId>,
}

/// A JWT-SVID that passed [`verify_jwt_svid`]. It can be made nowhere else, so that holding one is proof.
///
/// ```compile_fail,E0451
/// fn forge(svid: countersign_identity::VerifiedJwtSvid) -> countersign_identity::VerifiedJwtSvid {
///     countersign_identity::VerifiedJwtSvid { spiffe_id: svid.spiffe_id().clone(), ..svid }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedJwtSvid {
    spiffe_id: SpiffeId,
    expires_at: Timestamp,
    issued_at: Option<Timestamp>,
    key_id: Option<String>,
    claims: Object,
}

impl VerifiedJwtSvid {
    /// Whose it is: the subject. It has a path.
    pub const fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// The moment from which it is expired, clocks apart.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// When it was issued, where it says so.
    pub const fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// The id of the key that its issuer signed it with, where it names one.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// All claims, registered and private ones.
    pub const fn claims(&self) -> &Object {
        &self.claims
    }
}

/// Verifies a JWT-SVID for exactly this audience at the moment `now`.
///
/// # Errors
/// [`JwtSvidRefusal`] with the first rule that it breaks: its form (JW-7 to JW-11), its header (JW-5, JW-10, JS-2), its
/// algorithm (JS-1), its claims (JS-3, JS-4, JW-7), then the key and the signature (JS-3, JW-1, JW-9).
pub fn verify_jwt_svid(
    token: &str,
    audience: &str,
    bundles: &BundleSet,
    now: Timestamp,
) -> Result<VerifiedJwtSvid, JwtSvidRefusal> {
    let compact = compact::read(token)?;
    HEADER_RULES.iter().try_for_each(|rule| rule(&compact))?;
    let claims = compact.claims()?;
    let context = Context { compact: &compact, claims: &claims, audience, bundles, now };
    RULES.iter().try_for_each(|rule| rule(&context)).map_err(|refusal| context.claiming(refusal))?;
    let (spiffe_id, expires_at, issued_at) = (context.subject()?, context.expiry()?, context.moment("iat")?);
    let key_id = compact.key_id().map(str::to_owned);
    Ok(VerifiedJwtSvid { spiffe_id, expires_at, issued_at, key_id, claims })
}

/// Every rule that a token breaks, by the code of [`verify_jwt_svid`]: what it refuses for comes first, and nothing is
/// listed exactly when it accepts.
pub fn examine_jwt_svid(token: &str, audience: &str, bundles: &BundleSet, now: Timestamp) -> Vec<JwtSvidRefusal> {
    let compact = match compact::read(token) {
        Ok(compact) => compact,
        Err(refusal) => return vec![refusal.into()],
    };
    let mut found: Vec<JwtSvidRefusal> = HEADER_RULES.iter().filter_map(|rule| rule(&compact).err()).collect();
    let claims = match compact.claims() {
        Ok(claims) => claims,
        Err(refusal) => {
            found.push(refusal.into());
            return found;
        }
    };
    let context = Context { compact: &compact, claims: &claims, audience, bundles, now };
    for refusal in RULES.iter().filter_map(|rule| rule(&context).err()).map(|refusal| context.claiming(refusal)) {
        if !found.contains(&refusal) {
            found.push(refusal);
        }
    }
    found
}

type HeaderRule = fn(&Compact<'_>) -> Result<(), JwtSvidRefusal>;

/// What a header must be, in the order in which a verification looks.
const HEADER_RULES: [HeaderRule; 5] = [changes_no_reading, offers_no_key, says_no_more, is_a_jwt, uses_an_algorithm];

type Rule = fn(&Context<'_>) -> Result<(), JwtSvidRefusal>;

/// What the claims and the signature must be, in the order in which a verification looks.
const RULES: [Rule; 6] = [
    |context| context.subject().map(drop),
    |context| context.check_audience(),
    |context| context.check_expiry(),
    |context| context.check_not_before(),
    |context| context.check_issued_at(),
    |context| context.check_signature(),
];

fn changes_no_reading(compact: &Compact<'_>) -> Result<(), JwtSvidRefusal> {
    compact.flaws().find(|flaw| flaw.rule == "JW-10").map_or(Ok(()), |flaw| Err(flaw.into()))
}

fn offers_no_key(compact: &Compact<'_>) -> Result<(), JwtSvidRefusal> {
    compact.flaws().find(|flaw| flaw.rule != "JW-10").map_or(Ok(()), |flaw| Err(flaw.into()))
}

fn says_no_more(compact: &Compact<'_>) -> Result<(), JwtSvidRefusal> {
    match compact.header().keys().find(|name| !HEADER.contains(&name.as_str())) {
        Some(name) => {
            Err(refusal("JS-2", format!("the header holds `{}`; a JWT-SVID has only alg, kid, typ", shown(name))))
        }
        None => Ok(()),
    }
}

fn is_a_jwt(compact: &Compact<'_>) -> Result<(), JwtSvidRefusal> {
    match compact.kind() {
        Some(kind) if !KINDS.contains(&kind) => {
            Err(refusal("JS-2", format!("`typ` is `{}` instead of JWT or JOSE: another kind of token", shown(kind))))
        }
        _ => Ok(()),
    }
}

fn uses_an_algorithm(compact: &Compact<'_>) -> Result<(), JwtSvidRefusal> {
    match compact.algorithm() {
        Ok(algorithm) if ALGORITHMS.contains(&algorithm) => Ok(()),
        Ok(algorithm) => Err(refusal("JS-1", format!("the algorithm `{algorithm}` signs no JWT-SVIDs"))),
        Err(flaw) => Err(refusal("JS-1", flaw.detail)),
    }
}

/// A token on its way to being believed.
struct Context<'a> {
    compact: &'a Compact<'a>,
    claims: &'a Object,
    audience: &'a str,
    bundles: &'a BundleSet,
    now: Timestamp,
}

impl Context<'_> {
    /// JS-3: whose it claims to be, somebody in a trust domain.
    fn subject(&self) -> Result<SpiffeId, JwtSvidRefusal> {
        let text = json::text(self.claims, "sub")?.ok_or_else(|| refusal("JS-3", "`sub` is missing"))?;
        let id = SpiffeId::parse(text).map_err(|error| {
            refusal("JS-3", format!("`sub` is not a SPIFFE ID: `{}`: {error} ({})", shown(text), id_rule(error)))
        })?;
        if id.path().is_empty() {
            return Err(refusal("JS-3", format!("`sub` is the trust domain `{id}` and nobody in it")));
        }
        Ok(id)
    }

    /// JS-4: our value is there, exactly.
    fn check_audience(&self) -> Result<(), JwtSvidRefusal> {
        let audiences = self.audiences()?;
        if !self.audience.is_empty() && audiences.contains(&self.audience) {
            return Ok(());
        }
        let named = audiences.iter().take(4).map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ");
        Err(refusal(
            "JS-4",
            format!("the audience `{}` is not among those of the token: {named}", shown(self.audience)),
        ))
    }

    fn audiences(&self) -> Result<Vec<&str>, JwtSvidRefusal> {
        let found: Option<Vec<&str>> = match self.claims.get("aud") {
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
            Some(_) => None,
            None => Some(Vec::new()),
        };
        match found {
            Some(audiences) if audiences.is_empty() => Err(refusal("JS-4", "`aud` is missing or empty")),
            Some(audiences) => Ok(audiences),
            None => Err(refusal("JW-7", "`aud` is neither text nor a list of texts")),
        }
    }

    /// JS-4: a token that never expires is refused.
    fn expiry(&self) -> Result<Timestamp, JwtSvidRefusal> {
        self.moment("exp")?.ok_or_else(|| refusal("JS-4", "`exp` is missing"))
    }

    fn check_expiry(&self) -> Result<(), JwtSvidRefusal> {
        let expiry = self.expiry()?;
        if self.now.micros() < expiry.micros().saturating_add(leeway()) {
            return Ok(());
        }
        Err(refusal("JS-4", format!("expired at {expiry}")))
    }

    /// RFC 7519 4.1.5.
    fn check_not_before(&self) -> Result<(), JwtSvidRefusal> {
        match self.moment("nbf")? {
            Some(start) if start.micros() > self.now.micros().saturating_add(leeway()) => {
                Err(refusal("JS-4", format!("not valid before {start}")))
            }
            _ => Ok(()),
        }
    }

    /// A token from the future is of a clock that nobody should rely on.
    fn check_issued_at(&self) -> Result<(), JwtSvidRefusal> {
        match self.moment("iat")? {
            Some(issued_at) if issued_at.micros() > self.now.micros().saturating_add(leeway()) => {
                Err(refusal("JS-4", format!("issued at {issued_at}, which is yet to come: compare the clocks")))
            }
            _ => Ok(()),
        }
    }

    /// A moment in seconds since 1970 (RFC 7519 section 2), which may have a fraction. JW-7: another type is not absent.
    fn moment(&self, name: &str) -> Result<Option<Timestamp>, JwtSvidRefusal> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let whole = value.as_u64().map(Timestamp::from_seconds);
        // INVARIANT: `as` saturates here: what lies before 1970 is 1970, and no sum overflows later.
        let moment = whole.or_else(|| value.as_f64().map(|seconds| Timestamp::from_micros((seconds * 1e6) as u64)));
        moment.map(Some).ok_or_else(|| refusal("JW-7", format!("`{name}` is not a number")))
    }

    /// JS-3: by a key that the subject's own trust domain publishes for JWT-SVIDs, whatever others publish.
    fn check_signature(&self) -> Result<(), JwtSvidRefusal> {
        let id = self.subject()?;
        let bundle = self.bundle_of(&id)?;
        let no_key = || {
            let detail = format!("trust domain `{}` publishes no such key for JWT-SVIDs", id.trust_domain());
            refusal("JS-3", detail)
        };
        let mut first = None;
        for key in bundle.keys_for(self.compact.key_id()).take(limits::JWT_SIGNATURES.default_usize()) {
            match self.compact.verify(key, &ALGORITHMS) {
                Ok(()) => return Ok(()),
                Err(flaw) => first = first.or(Some(flaw)),
            }
        }
        Err(first.map_or_else(no_key, Into::into))
    }

    fn bundle_of(&self, id: &SpiffeId) -> Result<&Bundle, JwtSvidRefusal> {
        let domain = id.trust_domain();
        self.bundles
            .get(domain)
            .ok_or_else(|| refusal("JS-3", format!("no bundle is held for trust domain `{domain}`")))
    }

    fn claiming(&self, refusal: JwtSvidRefusal) -> JwtSvidRefusal {
        JwtSvidRefusal { claimed: self.subject().ok(), ..refusal }
    }
}

impl From<Refusal> for JwtSvidRefusal {
    fn from(refusal: Refusal) -> Self {
        Self { rule: refusal.rule, detail: refusal.detail, claimed: None }
    }
}

fn refusal(rule: &'static str, detail: impl Into<String>) -> JwtSvidRefusal {
    JwtSvidRefusal { rule, detail: detail.into(), claimed: None }
}

/// As much of a text from a token as a message may quote.
fn shown(text: &str) -> String {
    text.chars().take(160).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

const fn leeway() -> u64 {
    limits::JWT_LEEWAY_TIME.default * 1000
}

/// Writes a JWT-SVID: for these audiences, from `issued_at` to `expires_at` in whole seconds. `sign` gets the signing
/// input and gives the signature as JOSE writes it (see [`jose::raw_ecdsa`]).
///
/// # Errors
/// What `sign` says.
pub fn encode<E>(
    kid: &str,
    algorithm: Algorithm,
    subject: &SpiffeId,
    audience: &[String],
    issued_at: Timestamp,
    expires_at: Timestamp,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let header = json!({ "alg": algorithm.as_str(), "kid": kid, "typ": "JWT" }).to_string();
    let claims = json!({
        "aud": audience,
        "exp": expires_at.seconds(),
        "iat": issued_at.seconds(),
        "sub": subject.as_str(),
    });
    jose::encode(header.as_bytes(), claims.to_string().as_bytes(), sign)
}
