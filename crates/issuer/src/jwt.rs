//! One domain's key for JWT-SVIDs, and the tokens that it signs.

use std::sync::Arc;

use api::issuance::{IssueError, JwtKey};
use identity::jwt_svid;
use identity::sign::sha256;
use jose::{Algorithm, raw_ecdsa};
use types::{KeyKind, SpiffeId, Timestamp, limits};
use zeroize::Zeroizing;

use crate::key::Signer;

/// As many bytes of the key's digest as tell any two keys apart.
const KID_BYTES: usize = 16;

/// Signs JWT-SVIDs.
pub(crate) struct JwtAuthority {
    signer: Arc<dyn Signer>,
    kid: String,
}

impl JwtAuthority {
    /// Takes a key into use. Its key id is the beginning of the SHA-256 of its DER `SubjectPublicKeyInfo`.
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        let kid = hex(sha256(signer.spki_der()).get(..KID_BYTES).unwrap_or_default());
        Self { signer, kid }
    }

    /// The key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What a bundle holds of it.
    pub fn public(&self) -> JwtKey {
        JwtKey { kid: self.kid.clone(), spki_der: self.signer.spki_der().to_vec() }
    }

    fn algorithm(&self) -> Algorithm {
        match self.signer.kind() {
            KeyKind::P256 => Algorithm::Es256,
            KeyKind::P384 => Algorithm::Es384,
            KeyKind::Rsa2048 => Algorithm::Rs256,
        }
    }

    /// The size of each number of a signature by ECDSA.
    fn size(&self) -> Option<usize> {
        match self.signer.kind() {
            KeyKind::P256 => Some(32),
            KeyKind::P384 => Some(48),
            KeyKind::Rsa2048 => None,
        }
    }

    /// Signs a token (JS-1 to JS-4).
    ///
    /// # Errors
    /// Words for the operator.
    pub fn sign(
        &self,
        id: &SpiffeId,
        audience: &[String],
        issued_at: Timestamp,
        not_after: Timestamp,
    ) -> Result<Zeroizing<String>, String> {
        let token = jwt_svid::encode(&self.kid, self.algorithm(), id, audience, issued_at, not_after, |input| {
            let signature = self.signer.sign(input)?;
            match self.size() {
                None => Ok(signature),
                Some(size) => raw_ecdsa(&signature, size).ok_or_else(|| "the key could not sign".to_owned()),
            }
        });
        token.map(Zeroizing::new)
    }
}

/// What is asked of an audience: at least one, none empty, a bounded number of a bounded size.
pub(crate) fn check_audience(audience: &[String]) -> Result<(), IssueError> {
    let refuse = |why: String| Err(IssueError::BadRequest(why));
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        return refuse("a JWT-SVID needs an audience, and none may be empty".to_owned());
    }
    if audience.len() > limits::JWT_AUDIENCES.default_usize() {
        return refuse(format!("more than {} audiences", limits::JWT_AUDIENCES.default));
    }
    if audience.iter().any(|one| one.len() > limits::JWT_AUDIENCE_BYTES.default_usize()) {
        return refuse(format!("an audience is longer than {} bytes", limits::JWT_AUDIENCE_BYTES.default));
    }
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
