//! The keys of domains and their rotation, as the issuer keeps them and control drives them.

use std::collections::BTreeSet;
use std::fmt;

use types::{KeyKind, Label, Timestamp, TrustDomain};

use crate::admin::{Keys, RotationPhase};
use crate::issuance::JwtKey;

/// How far one domain's keys have come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyState {
    /// The domain.
    pub domain: Label,
    /// Which keys.
    pub keys: Keys,
    /// Where they are: never [`RotationPhase::Acknowledged`], which the issuer cannot know.
    pub phase: RotationPhase,
    /// Since when; absent where no rotation was ever made.
    pub since: Option<Timestamp>,
    /// Whether no further step is to be taken until an operator says so.
    pub held: bool,
    /// SHA-256 of the root, or the key id, that signs.
    pub current: String,
    /// The same of the one that follows, or, while the new one signs, of the one that goes; `""` for none.
    pub other: String,
    /// The kind of the key that follows, or of the one that signs where none does.
    pub key: KeyKind,
    /// When the last thing that `other` signed has run out; absent where it never signed. Until then it stays in the
    /// bundle.
    pub old_ends: Option<Timestamp>,
    /// When the root that signs ends; absent for JWT keys.
    pub not_after: Option<Timestamp>,
}

/// A step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyStep {
    /// From idle: makes the next key, which nobody knows.
    Prepare,
    /// From prepared: the next key is in the bundle.
    Publish,
    /// From published: the next key signs, the old one stays in the bundle.
    Sign,
    /// From signing: the old key leaves the bundle and is destroyed. Not before everything that it signed has run out.
    Retire,
    /// One step back, and held there. A key that signed leaves the bundle only after everything that it signed has run out.
    Back,
    /// Held, or let go on. What is held takes no step but back and emergency.
    Hold(bool),
    /// From anywhere: a new key signs at once, and every other key leaves the bundle and is destroyed.
    Emergency,
}

/// Who vouches for a root: the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Succession {
    /// Whose roots.
    pub trust_domain: TrustDomain,
    /// SHA-256 of the root that signs, DER.
    pub by: [u8; 32],
    /// The root that follows, DER.
    pub root_der: Vec<u8>,
    /// Over [`crate::protocol::SUCCESSION_CONTEXT`], the trust domain, a line feed and the SHA-256 of `root_der`, by the
    /// key of the root that signs.
    pub signature: Vec<u8>,
}

/// What somebody else's trust domain rests on. Empty revokes all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForeignBundle {
    /// DER of each root.
    pub roots: Vec<Vec<u8>>,
    /// The keys that sign its JWT-SVIDs.
    pub jwt_keys: Vec<JwtKey>,
}

/// Where the node stands that asks for a workload's identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the node that shares the issuer's process, which belongs to every group.
    Everywhere,
    /// On a node that joined.
    Node {
        /// The name of its agent.
        name: Label,
        /// The groups that it is in.
        groups: BTreeSet<Label>,
    },
}

impl Place {
    /// The agent's name; nothing for the node that shares the issuer's process.
    pub const fn node(&self) -> Option<&Label> {
        match self {
            Self::Everywhere => None,
            Self::Node { name, .. } => Some(name),
        }
    }
}

/// As records show it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("in this process"),
            Self::Node { name, .. } => write!(f, "on node:agent/{name}"),
        }
    }
}
