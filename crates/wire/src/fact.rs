//! Signed facts: what the publisher says is the state of one thing, and the only way to believe it.

use api::{
    protocol,
    wire::{self, Kind, Signed},
};
use identity::BundleSet;
use identity::sign::{SignatureRefusal, verify_signature};
use prost::Message;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use types::{Reason, SpiffeId, Timestamp, TrustDomain};

use crate::system;

/// A fact whose signature, signer and organisation were verified. It comes only from [`open`]:
///
/// ```compile_fail,E0451
/// fn raise(fact: countersign_wire::fact::Fact) -> countersign_wire::fact::Fact {
///     countersign_wire::fact::Fact { number: 7, ..fact }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    kind: Kind,
    number: u64,
    digest: [u8; 32],
    at: Timestamp,
}

impl Fact {
    /// What it is about.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of its state, which only grows for each kind.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Of the content: the name of a revision, or the digest of a list.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// When it was made, by control's clock. For people.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// Why a fact is not believed.
#[derive(Debug, Error)]
pub enum FactRefusal {
    /// No fact of the expected kind could be read.
    #[error("it is not a fact that this program knows: {0}")]
    Malformed(&'static str),
    /// It is about somebody else.
    #[error("it is about the organisation `{0}`")]
    Organisation(String),
    /// Not signed by the publisher of this organisation.
    #[error("it is not signed by the publisher")]
    Signature(#[from] SignatureRefusal),
}

impl FactRefusal {
    /// Whether it is only that the publisher's certificate is not valid yet, or no longer, by the clock that was asked.
    pub fn is_of_another_time(&self) -> bool {
        let Self::Signature(SignatureRefusal::Certificate(refusal)) = self else { return false };
        refusal.reason == Reason::IdentityExpired
    }
}

/// The bytes of a fact, to be signed with [`protocol::FACT_CONTEXT`].
pub fn encode(kind: Kind, organisation: &TrustDomain, number: u64, digest: &[u8; 32], at: Timestamp) -> Vec<u8> {
    let fact = wire::Fact {
        kind: kind.into(),
        organisation: organisation.as_str().to_owned(),
        number,
        digest: digest.to_vec(),
        at: at.micros(),
    };
    fact.encode_to_vec()
}

/// Believes a fact: it is of this kind and organisation, and signed by `spiffe://system.<organisation>/publisher` under a
/// root of the bundles that is good `now`.
///
/// # Errors
/// Why not.
pub fn open(
    signed: &Signed,
    kind: Kind,
    organisation: &TrustDomain,
    bundles: &BundleSet,
    now: Timestamp,
) -> Result<Fact, FactRefusal> {
    let publisher = publisher(organisation).ok_or(FactRefusal::Malformed("the organisation's name is too long"))?;
    let chain: Vec<_> = signed.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    verify_signature(protocol::FACT_CONTEXT, &signed.fact, &signed.signature, &chain, bundles, &publisher, now)?;
    let fact =
        wire::Fact::decode(signed.fact.as_slice()).map_err(|_| FactRefusal::Malformed("its bytes cannot be read"))?;
    if fact.organisation != organisation.as_str() {
        return Err(FactRefusal::Organisation(fact.organisation.chars().take(160).collect()));
    }
    if fact.kind() != kind {
        return Err(FactRefusal::Malformed("it is of another kind"));
    }
    let digest = <[u8; 32]>::try_from(fact.digest.as_slice())
        .map_err(|_| FactRefusal::Malformed("its digest does not have 32 bytes"))?;
    // signals begin with epoch 0: nothing was ever held against anybody
    if fact.number == 0 && kind != Kind::Signals {
        return Err(FactRefusal::Malformed("its number is 0"));
    }
    Ok(Fact { kind, number: fact.number, digest, at: Timestamp::from_micros(fact.at) })
}

/// Whose key signs facts.
pub fn publisher(organisation: &TrustDomain) -> Option<SpiffeId> {
    let path = protocol::PUBLISHER.trim_start_matches('/');
    SpiffeId::from_segments(&system::domain(organisation)?, &[path]).ok()
}
