//! `Debug` for the generated messages that hold secrets, so that no log line can hold a key or a token.

use core::fmt;

use crate::wire::{JoinRequest, MintJwtResponse};
use crate::workload::{Jwtsvid, ValidateJwtsvidRequest, X509svid};

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for MintJwtResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintJwtResponse").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid").field("spiffe_id", &self.spiffe_id).field("hint", &self.hint).finish_non_exhaustive()
    }
}

impl fmt::Debug for Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid").field("spiffe_id", &self.spiffe_id).field("hint", &self.hint).finish_non_exhaustive()
    }
}

impl fmt::Debug for ValidateJwtsvidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateJwtsvidRequest").field("audience", &self.audience).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_prints_its_secret() {
        let secret = "hunter2".to_owned();
        let x509 = X509svid { x509_svid_key: secret.clone().into_bytes(), ..X509svid::default() };
        let jwt = Jwtsvid { svid: secret.clone(), ..Jwtsvid::default() };
        let check = ValidateJwtsvidRequest { svid: secret.clone(), ..ValidateJwtsvidRequest::default() };
        let join = JoinRequest { token: secret.clone(), ..JoinRequest::default() };
        let minted = MintJwtResponse { token: secret.clone(), ..MintJwtResponse::default() };
        let response = crate::workload::X509svidResponse { svids: vec![x509.clone()], ..Default::default() };
        for text in [
            format!("{x509:?}"),
            format!("{jwt:?}"),
            format!("{check:?}"),
            format!("{response:?}"),
            format!("{join:?}"),
            format!("{minted:?}"),
        ] {
            assert!(!text.contains(&secret) && !text.contains("104, 117"), "{text}");
        }
    }
}
