//! Who vouches for a root that was not always there: the one before it (docs/decisions/0020-succession-of-roots.md).

use std::collections::BTreeMap;

use api::{protocol, wire};
use identity::sign::{sha256, verify_by_root};
use types::TrustDomain;

/// The key of one root says which root follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Succession {
    /// SHA-256 of the root that signs, DER.
    pub by: [u8; 32],
    /// The root that follows, DER.
    pub root_der: Vec<u8>,
    /// Over [`succession_message`].
    pub signature: Vec<u8>,
}

impl Succession {
    /// As it travels beside these roots.
    pub(super) fn message(&self, roots: &[Vec<u8>]) -> wire::Succession {
        let is_there = roots.contains(&self.root_der);
        wire::Succession {
            by: self.by.to_vec(),
            root: sha256(&self.root_der).to_vec(),
            signature: self.signature.clone(),
            certificate: if is_there { Vec::new() } else { self.root_der.clone() },
        }
    }
}

/// What the key of a root signs about the root that follows.
pub fn succession_message(domain: &TrustDomain, root_sha256: &[u8; 32]) -> Vec<u8> {
    [protocol::SUCCESSION_CONTEXT, domain.as_str().as_bytes(), b"\n", root_sha256].concat()
}

/// The first of `roots` that is neither held nor vouched for, by its SHA-256; `None` where all are good. A root vouches
/// only where it is held, or was itself vouched for by one that is. Each succession costs at most one signature.
pub fn unvouched<'a>(
    domain: &TrustDomain,
    held: impl IntoIterator<Item = &'a [u8]>,
    roots: &[Vec<u8>],
    successions: &[wire::Succession],
) -> Option<[u8; 32]> {
    let told: BTreeMap<[u8; 32], &[u8]> = roots.iter().map(|root| (sha256(root), root.as_slice())).collect();
    let mut good: BTreeMap<[u8; 32], &[u8]> = held.into_iter().map(|root| (sha256(root), root)).collect();
    let mut left: Vec<&wire::Succession> = successions.iter().collect();
    // every round takes what the roots that became good in the one before it vouch for
    loop {
        if told.keys().all(|root| good.contains_key(root)) {
            return None;
        }
        let (ready, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|next| by(next, &good).is_some());
        if ready.is_empty() {
            return told.keys().find(|root| !good.contains_key(*root)).copied();
        }
        for next in ready {
            let followed = by(next, &good).and_then(|by| follow(domain, by, next, &told));
            if let Some((digest, root)) = followed {
                good.entry(digest).or_insert(root);
            }
        }
        left = rest;
    }
}

/// The root that signs, where it is good.
fn by<'a>(succession: &wire::Succession, good: &BTreeMap<[u8; 32], &'a [u8]>) -> Option<&'a [u8]> {
    let digest = <[u8; 32]>::try_from(succession.by.as_slice()).ok()?;
    good.get(&digest).copied()
}

/// The root that follows, where the signature is good and its bytes are here.
fn follow<'a>(
    domain: &TrustDomain,
    by: &[u8],
    succession: &'a wire::Succession,
    told: &BTreeMap<[u8; 32], &'a [u8]>,
) -> Option<([u8; 32], &'a [u8])> {
    let digest = <[u8; 32]>::try_from(succession.root.as_slice()).ok()?;
    let root = told.get(&digest).copied().unwrap_or(&succession.certificate);
    if sha256(root) != digest {
        return None;
    }
    verify_by_root(by, &succession_message(domain, &digest), &succession.signature).ok()?;
    Some((digest, root))
}
