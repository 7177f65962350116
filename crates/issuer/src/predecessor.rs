//! The certificate that a new one takes the place of (docs/token-binding.md): believed only from whoever holds its key, for
//! the same identity on the same node, and written into the new one with those that it names itself.

use api::issuance::{self, IssueError};
use api::protocol::PREDECESSOR_CONTEXT;
use identity::sign::{sha256, verify_by_leaf};
use identity::{BundleSet, Predecessor, VerifiedPeer, verify};
use rustls_pki_types::CertificateDer;
use types::{Label, SpiffeId, Timestamp, limits};

/// What a predecessor is held to.
pub(crate) struct Succeeding<'a> {
    pub id: &'a SpiffeId,
    pub node: Option<&'a Label>,
    pub csr_der: &'a [u8],
    pub bundle: &'a BundleSet,
    pub signals: &'a signal::State,
    pub now: Timestamp,
}

impl Succeeding<'_> {
    /// The predecessors of the new certificate, nearest first.
    ///
    /// # Errors
    /// [`IssueError::BadRequest`]: whoever asks may ask again without a predecessor.
    pub fn check(&self, predecessor: &issuance::Predecessor) -> Result<Vec<Predecessor>, IssueError> {
        let leaf = CertificateDer::from(predecessor.certificate_der.as_slice());
        let peer = verify(std::slice::from_ref(&leaf), self.bundle, self.now)
            .map_err(|refusal| refuse(&format!("it is refused: {refusal}")))?;
        if peer.spiffe_id() != self.id {
            return Err(refuse(&format!("it is that of `{}`", peer.spiffe_id())));
        }
        if peer.node() != self.node.map(Label::as_str) {
            return Err(refuse("it was issued for another node"));
        }
        if peer.via().is_some() {
            return Err(refuse("an operator has it, and no workload"));
        }
        let message = [PREDECESSOR_CONTEXT, &sha256(self.csr_der)].concat();
        verify_by_leaf(&leaf, &message, &predecessor.signature)
            .map_err(|_| refuse("nothing shows that whoever asks holds its key"))?;
        if self.signals.clear(&peer, self.now).is_err() {
            return Err(refuse("it is revoked"));
        }
        Ok(self.list(&peer))
    }

    fn list(&self, peer: &VerifiedPeer) -> Vec<Predecessor> {
        let until = self.now.plus_seconds(limits::BOUND_TOKEN_TIME.default / 1000);
        let nearest = Predecessor {
            certificate_sha256: *peer.sha256(),
            key_sha256: *peer.key_sha256(),
            serial: peer.serial().to_owned(),
            until: Timestamp::from_seconds(until.seconds()),
        };
        let earlier = peer.predecessors().iter().filter(|earlier| earlier.until >= self.now).cloned();
        core::iter::once(nearest).chain(earlier).take(limits::PREDECESSORS.default_usize()).collect()
    }
}

fn refuse(why: &str) -> IssueError {
    IssueError::BadRequest(format!("its predecessor does not count: {why}; ask again without one"))
}
