//! Writing a token.

use crate::base64url;

/// A JSON Web Signature in compact form (RFC 7515 7.1). `header` and `payload` are the bytes to be signed, JSON as a rule;
/// `sign` gets the signing input and gives the signature as JOSE writes it (see [`crate::raw_ecdsa`]).
///
/// # Errors
/// What `sign` says.
pub fn encode<E>(header: &[u8], payload: &[u8], sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, E> {
    let mut token = [base64url::encode(header), base64url::encode(payload)].join(".");
    let signature = sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&base64url::encode(&signature));
    Ok(token)
}
