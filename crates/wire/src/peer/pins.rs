//! The roots that this peer holds every trust domain of the organisation to.
//!
//! A list of bundles is signed by the publisher. That alone brings no new root into a trust domain of which this peer holds
//! one: a root that it holds must vouch for it, directly or by those between them. Whoever takes the publisher's key cannot
//! put a root of his own into a domain; whoever takes a domain's key cannot put it into the list.

use std::collections::BTreeMap;

use prost::Message;
use types::{TrustDomain, limits};

use super::shelf::hex;
use crate::content::{ContentError, ToldBundle, read_bundles, unvouched};

/// What is held, by trust domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pins(BTreeMap<TrustDomain, Pin>);

/// One trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pin {
    /// As it was last believed; without successions.
    bundle: ToldBundle,
    /// The list before named it: what is withdrawn does not come back because its successor is refused.
    is_in_force: bool,
}

/// As pins lie on the disk.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OnDisk {
    /// An encoded BundleItem.
    #[prost(bytes = "vec", tag = "1")]
    item: Vec<u8>,
    #[prost(bool, tag = "2")]
    is_in_force: bool,
}

/// What became of a list.
#[derive(Debug)]
pub(super) struct Judged {
    /// What is put in force: of every trust domain what was told, or what it was before where that is refused.
    pub(super) effective: Vec<ToldBundle>,
    pub(super) pins: Pins,
    /// What is refused, for an operator, one for each trust domain.
    pub(super) refused: Vec<String>,
}

impl Pins {
    /// The root of the system, which this peer was told when it joined.
    pub(super) fn system(domain: TrustDomain, root: Vec<u8>) -> Self {
        let (jwt_keys, successions) = (Vec::new(), Vec::new());
        let bundle = ToldBundle { domain: domain.clone(), roots: vec![root], jwt_keys, federated: false, successions };
        Self(BTreeMap::from([(domain, Pin { bundle, is_in_force: true })]))
    }

    /// Judges a list.
    pub(super) fn judge(&self, told: Vec<ToldBundle>, organisation: &TrustDomain) -> Result<Judged, ContentError> {
        let mut pins = self.clone();
        pins.0.values_mut().for_each(|pin| pin.is_in_force = false);
        let mut judged = Judged { effective: Vec::with_capacity(told.len()), pins, refused: Vec::new() };
        for told in told {
            if told.federated && !is_ours(&told.domain, organisation) {
                // whose roots these are, and how they change, is not ours to say
                judged.effective.push(told);
                continue;
            }
            match self.refusal(&told) {
                None => judged.take(told),
                Some(why) => judged.leave(self.0.get(&told.domain), why),
            }
        }
        if judged.pins.0.len() > limits::PINNED_DOMAINS.default_usize() {
            return Err(ContentError::TooMany(limits::PINNED_DOMAINS.default));
        }
        Ok(judged)
    }

    fn refusal(&self, told: &ToldBundle) -> Option<String> {
        let domain = &told.domain;
        if told.federated {
            return Some(format!("`{domain}` is a trust domain of this organisation, and was told as somebody else's"));
        }
        let pin = self.0.get(domain)?;
        let held = pin.bundle.roots.iter().map(Vec::as_slice);
        let stranger = unvouched(domain, held, &told.roots, &told.successions)?;
        Some(format!("no root of `{domain}` held here vouches for the root with the SHA-256 {}", hex(&stranger)))
    }

    /// For the disk.
    pub(super) fn encode(&self) -> Vec<OnDisk> {
        let one = |pin: &Pin| OnDisk { item: pin.bundle.item(), is_in_force: pin.is_in_force };
        self.0.values().map(one).collect()
    }

    /// Reads what [`Self::encode`] wrote.
    pub(super) fn decode(kept: Vec<OnDisk>) -> Result<Self, ContentError> {
        let mut pins = BTreeMap::new();
        for OnDisk { item, is_in_force } in kept {
            for bundle in read_bundles(&[item])? {
                pins.insert(bundle.domain.clone(), Pin { bundle, is_in_force });
            }
        }
        Ok(Self(pins))
    }

    /// These and, for trust domains that these do not know, those.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (domain, pin) in others.0 {
            self.0.entry(domain).or_insert(pin);
        }
        self
    }
}

impl Judged {
    fn take(&mut self, told: ToldBundle) {
        let bundle = ToldBundle { successions: Vec::new(), ..told.clone() };
        // a trust domain without roots is withdrawn; what it had still says who may follow
        if bundle.roots.is_empty() {
            self.pins.0.get_mut(&bundle.domain).into_iter().for_each(|pin| pin.is_in_force = false);
        } else {
            self.pins.0.insert(bundle.domain.clone(), Pin { bundle, is_in_force: true });
        }
        self.effective.push(told);
    }

    fn leave(&mut self, pin: Option<&Pin>, why: String) {
        self.refused.push(why);
        let Some(pin) = pin.filter(|pin| pin.is_in_force) else { return };
        self.pins.0.insert(pin.bundle.domain.clone(), pin.clone());
        self.effective.push(pin.bundle.clone());
    }
}

/// Whether a trust domain is one of the organisation's own.
fn is_ours(domain: &TrustDomain, organisation: &TrustDomain) -> bool {
    let parent = domain.as_str().strip_suffix(organisation.as_str());
    parent.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
