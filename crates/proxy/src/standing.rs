//! Who is at the other end of a connection, and whether its certificate would still be accepted: a connection may outlive
//! the trust that it was made under.

use std::cell::Cell;

use identity::{SvidRefusal, VerifiedPeer};
use rustls::pki_types::CertificateDer;
use types::Timestamp;

use crate::trusted::Trusted;

/// A peer that was verified when its connection was made.
pub struct Standing {
    peer: VerifiedPeer,
    chain: Vec<CertificateDer<'static>>,
    /// The generation of the bundles under which it was last found good.
    generation: Cell<u64>,
}

impl Standing {
    /// Verifies a chain, leaf first, now.
    ///
    /// # Errors
    /// The rule that refused it.
    pub fn verify(chain: &[CertificateDer<'_>], trusted: &Trusted) -> Result<Self, SvidRefusal> {
        let generation = Cell::new(trusted.generation());
        let peer = trusted.trust().verify(chain)?;
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Ok(Self { peer, chain, generation })
    }

    /// The peer.
    pub const fn peer(&self) -> &VerifiedPeer {
        &self.peer
    }

    /// Whether the bundles of the moment vouch for it, as it was while its certificate was valid: that this may be over
    /// meanwhile is for each request to say, and no reason to cut what is open. Costs nothing while no bundle changes.
    ///
    /// # Errors
    /// The rule that would refuse it.
    pub fn check(&self, trusted: &Trusted, now: Timestamp) -> Result<(), SvidRefusal> {
        let generation = trusted.generation();
        if self.generation.get() == generation {
            return Ok(());
        }
        let at = now.min(self.peer.not_after()).max(self.peer.not_before());
        identity::verify(&self.chain, &trusted.bundles(), at)?;
        self.generation.set(generation);
        Ok(())
    }
}
