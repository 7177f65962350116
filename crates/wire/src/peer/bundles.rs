//! The bundles that a peer holds: the list that was signed, and what of it is in force under the pins.

use api::{
    issuance::Bundles,
    protocol::refusals,
    wire::{self, Kind, Signed},
};
use identity::BundleSet;
use prost::Message;
use types::{Timestamp, limits};

use super::{
    held::{Belief, Held, Refused, Standing, standing},
    pins::{Judged, OnDisk as OnDiskPin, Pins},
};
use crate::{content, fact::Fact};

/// Bundles that were verified.
pub(super) struct BundleList {
    pub(super) fact: Fact,
    pub(super) signed: Signed,
    pub(super) items: Vec<Vec<u8>>,
    /// What of it is refused by the pins, in words; empty where all of it is in force.
    pub(super) refused: String,
}

/// A list with what it makes.
pub(super) struct Taken {
    pub(super) list: BundleList,
    pub(super) pins: Pins,
    pub(super) bundles: Bundles,
    pub(super) set: BundleSet,
}

/// A list as it lies on the disk, beside the pins.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OnDisk {
    #[prost(message, optional, tag = "1")]
    pub(super) signed: Option<Signed>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) items: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) pins: Vec<OnDiskPin>,
}

impl Belief {
    /// What a peer is held to before it was told anything: the root of the system.
    pub(super) fn pins(&self) -> Pins {
        let root = |bundle: &identity::Bundle| bundle.roots().next().map(<[u8]>::to_vec).unwrap_or_default();
        let first = self.roots.iter().next().map(|bundle| (bundle.trust_domain().clone(), root(bundle)));
        first.map(|(domain, root)| Pins::system(domain, root)).unwrap_or_default()
    }

    /// Bundles; `None` where they are what is held.
    pub(super) fn bundles(
        &self,
        held: &Held,
        update: &wire::Bundles,
        now: Timestamp,
    ) -> Result<Option<Taken>, Refused> {
        let fact = self.open(update.signed.as_ref(), Kind::Bundles, now)?;
        let current = held.bundles.as_ref().map(|bundles| &bundles.fact);
        if standing(&fact, current, held.floors.bundles, "bundles number")? == Standing::Same {
            return Ok(None);
        }
        if content::digest(update.items.iter().map(Vec::as_slice)) != *fact.digest() {
            return Err(Refused::new(refusals::CONTENT, "its bundles are not those that were signed"));
        }
        let told = content::read_bundles(&update.items)?;
        // each of them has to be usable, also those that the pins refuse: the list is taken whole or not at all
        content::usable_bundles(fact.number(), &told)?;
        let Judged { effective, pins, refused } = held.pins.clone().or(self.pins()).judge(told, &self.organisation)?;
        let (bundles, set) = content::usable_bundles(fact.number(), &effective)?;
        let signed = update.signed.clone().unwrap_or_default();
        let list = BundleList { fact, signed, items: update.items.clone(), refused: in_words(&refused) };
        Ok(Some(Taken { list, pins, bundles, set }))
    }
}

/// The first refusals, for an operator.
fn in_words(refused: &[String]) -> String {
    let most = limits::TOLD_PROBLEMS.default_usize();
    let mut words = refused.iter().take(most).cloned().collect::<Vec<_>>().join("; ");
    if refused.len() > most {
        words = format!("{words}; and {} more", refused.len().saturating_sub(most));
    }
    words
}

impl BundleList {
    /// For the disk.
    pub(super) fn encode(&self, pins: &Pins) -> Vec<u8> {
        let (signed, items) = (Some(self.signed.clone()), self.items.clone());
        OnDisk { signed, items, pins: pins.encode() }.encode_to_vec()
    }
}
