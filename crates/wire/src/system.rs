//! The names of those that run Countersign itself: `spiffe://system.<organisation>/…`.

use api::{admin::Role, protocol};
use aws_lc_rs::digest;
use types::{Label, SpiffeId, TrustDomain};

/// The label of the trust domain.
const SYSTEM: &str = "system";

/// `system.<organisation>`; `None` where that is too long to be a trust domain.
pub fn domain(organisation: &TrustDomain) -> Option<TrustDomain> {
    TrustDomain::parse(&format!("{SYSTEM}.{organisation}")).ok()
}

/// The organisation of a trust domain `system.<organisation>`; `None` for any other.
pub fn organisation(system: &TrustDomain) -> Option<TrustDomain> {
    let name = system.as_str().strip_prefix(SYSTEM)?.strip_prefix('.')?;
    TrustDomain::parse(name).ok()
}

/// The identity of a peer: `spiffe://system.<organisation>/proxy/NAME`.
pub fn peer(organisation: &TrustDomain, role: Role, name: &Label) -> Option<SpiffeId> {
    SpiffeId::from_segments(&domain(organisation)?, &[role.as_str(), name.as_str()]).ok()
}

/// What the holder of an identity is, where it is that of a peer.
pub fn peer_of(id: &SpiffeId) -> Option<(Role, Label)> {
    let mut segments = id.segments();
    let role = match segments.next()? {
        "proxy" => Role::Proxy,
        "agent" => Role::Agent,
        _ => return None,
    };
    let name = Label::parse(segments.next()?).ok()?;
    segments.next().is_none().then_some((role, name))
}

/// What a peer signs to come back after its certificate expired: the context, the nonce, and the SHA-256 of the request.
pub fn rejoin_message(nonce: &[u8], csr_der: &[u8]) -> Vec<u8> {
    let csr = digest::digest(&digest::SHA256, csr_der);
    [protocol::REJOIN_CONTEXT, nonce, csr.as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let acme = TrustDomain::parse("acme.internal").unwrap();
        let id = peer(&acme, Role::Proxy, &Label::parse("edge-1").unwrap()).unwrap();
        assert_eq!(id.as_str(), "spiffe://system.acme.internal/proxy/edge-1");
        assert_eq!(organisation(id.trust_domain()), Some(acme));
        assert_eq!(peer_of(&id), Some((Role::Proxy, Label::parse("edge-1").unwrap())));
    }

    #[test]
    fn others_are_no_peers() {
        for id in ["control/c", "proxy", "proxy/a/b", "publisher", "proxy/A_B"] {
            let id = SpiffeId::parse(&format!("spiffe://system.acme.internal/{id}")).unwrap();
            assert_eq!(peer_of(&id), None, "{id}");
        }
        assert_eq!(organisation(&TrustDomain::parse("systems.acme").unwrap()), None);
    }
}
