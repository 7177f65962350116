//! What a peer holds, verified. The same questions are asked of what comes over the wire and of what lies on the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    protocol::refusals,
    wire::{self, Have, Kind, Offer, Signed},
};
use identity::BundleSet;
use trustdir::Revision;
use types::{Label, Timestamp, TrustDomain, limits};

use super::{bundles::BundleList, pins::Pins, shelf::digest_of};
use crate::{
    content::{self, ContentError},
    fact::{self, Fact},
    words::told,
};

/// An update that is not taken: a word for control, words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) word: &'static str,
    pub(super) why: String,
    /// It builds on something that is not here: whole, it may be taken.
    pub(super) lacks_base: bool,
    /// Only this machine's clock stands against it.
    pub(super) is_of_another_time: bool,
}

impl Refused {
    pub(super) fn new(word: &'static str, why: impl Into<String>) -> Self {
        Self { word, why: why.into(), lacks_base: false, is_of_another_time: false }
    }

    fn without_base(why: impl Into<String>) -> Self {
        Self { lacks_base: true, ..Self::new(refusals::CONTENT, why) }
    }
}

impl From<ContentError> for Refused {
    fn from(error: ContentError) -> Self {
        let word = match error {
            ContentError::TooMany(_) => refusals::TOO_LARGE,
            ContentError::Malformed(_) => refusals::CONTENT,
        };
        Self::new(word, error.to_string())
    }
}

/// Whom a peer believes: the publisher of one organisation, by the root of its system.
#[derive(Clone)]
pub(super) struct Belief {
    pub(super) organisation: TrustDomain,
    pub(super) roots: BundleSet,
}

/// A publication that compiled.
pub(super) struct Publication {
    pub(super) fact: Fact,
    pub(super) signed: Signed,
    pub(super) files: Manifest,
    /// The domains for which it was compiled; `None` for all.
    pub(super) served: Served,
    pub(super) revision: Arc<Revision>,
}

/// Which domains a proxy may serve; `None` for all.
pub(super) type Served = Option<BTreeSet<Label>>;

/// The files of a revision, by path.
pub(super) type Manifest = BTreeMap<String, File>;

/// One file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct File {
    pub(super) sha256: [u8; 32],
    pub(super) withheld: bool,
}

/// A list of revocations, each by the SHA-256 of its bytes.
pub(super) type Items = BTreeMap<[u8; 32], Arc<[u8]>>;

/// Signals that were verified.
pub(super) struct Signals {
    pub(super) fact: Fact,
    pub(super) signed: Signed,
    items: Items,
    /// Every one of them is understood here.
    pub(super) is_complete: bool,
}

/// The highest numbers that were ever in force here: nothing below them is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Floors {
    pub(super) publication: u64,
    pub(super) epoch: u64,
    pub(super) bundles: u64,
}

/// Everything.
#[derive(Default)]
pub(super) struct Held {
    pub(super) publication: Option<Publication>,
    pub(super) signals: Option<Signals>,
    pub(super) bundles: Option<BundleList>,
    /// Never less than [`Belief::pins`] when asked.
    pub(super) pins: Pins,
    pub(super) registrations: u64,
    pub(super) floors: Floors,
}

/// What to do about a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is what is held.
    Same,
    /// It is not.
    New,
}

/// Compares a fact with what is held and with the floor. Two facts with one number cannot both be believed: the second
/// comes from a control that forgot the first.
pub(super) fn standing(fact: &Fact, held: Option<&Fact>, floor: u64, what: &str) -> Result<Standing, Refused> {
    let number = fact.number();
    if held.is_some_and(|held| held.number() == number && held.digest() == fact.digest()) {
        return Ok(Standing::Same);
    }
    let newest = held.map_or(floor, |held| floor.max(held.number()));
    let is_other = held.is_some_and(|held| held.number() == number);
    if number < newest || is_other {
        let why = match is_other {
            true => format!("another {what} {number} is in force here"),
            false => format!("{what} {number} is older than {newest}, which was in force here"),
        };
        return Err(Refused::new(refusals::OLDER, format!("{why}; was control restored from an older copy?")));
    }
    Ok(Standing::New)
}

impl Belief {
    pub(super) fn open(&self, signed: Option<&Signed>, kind: Kind, now: Timestamp) -> Result<Fact, Refused> {
        let signed = signed.ok_or_else(|| Refused::new(refusals::FORGED, "it is not signed"))?;
        fact::open(signed, kind, &self.organisation, &self.roots, now).map_err(|error| Refused {
            is_of_another_time: error.is_of_another_time(),
            ..Refused::new(refusals::FORGED, told(&error))
        })
    }

    /// The fact of a publication and the files that it is made of; `None` where it is what is held. `bases` are manifests that
    /// the update may build on.
    pub(super) fn manifest(
        &self,
        held: &Held,
        update: &wire::Manifest,
        served: &Served,
        bases: &[(&[u8; 32], &Manifest)],
        now: Timestamp,
    ) -> Result<Option<(Fact, Manifest)>, Refused> {
        let fact = self.open(update.publication.as_ref(), Kind::Publication, now)?;
        let current = held.publication.as_ref().map(|publication| &publication.fact);
        let standing = standing(&fact, current, held.floors.publication, "publication")?;
        if standing == Standing::Same && held.publication.as_ref().is_some_and(|current| current.served == *served) {
            return Ok(None);
        }
        let mut files = match update.base.as_slice() {
            [] => Manifest::new(),
            base => bases
                .iter()
                .find(|(revision, _)| revision.as_slice() == base)
                .map(|(_, files)| (*files).clone())
                .ok_or_else(|| Refused::without_base("it builds on a revision that is not held here"))?,
        };
        merge(&mut files, &update.entries)?;
        let digests = files.iter().map(|(path, file)| (path.clone(), file.sha256)).collect();
        if trustdir::part::revision_id_of(&digests).digest() != fact.digest() {
            let why = "its files are not those that were signed";
            return Err(if update.base.is_empty() {
                Refused::new(refusals::CONTENT, why)
            } else {
                Refused::without_base(why)
            });
        }
        Ok(Some((fact, files)))
    }

    /// Signals, and the state that they make; `None` where they are what is held.
    pub(super) fn signals(
        &self,
        held: &Held,
        update: &wire::Signals,
        now: Timestamp,
    ) -> Result<Option<(Signals, signal::State)>, Refused> {
        let fact = self.open(update.signed.as_ref(), Kind::Signals, now)?;
        let current = held.signals.as_ref();
        if standing(&fact, current.map(|signals| &signals.fact), held.floors.epoch, "epoch")? == Standing::Same {
            return Ok(None);
        }
        let items = match update.base {
            0 => collect(&update.added),
            base => match current.filter(|signals| signals.fact.number() == base) {
                Some(signals) => changed(&signals.items, update)?,
                None => {
                    return Err(Refused::without_base(format!("it builds on epoch {base}, which is not held here")));
                }
            },
        };
        if content::digest(items.values().map(|item| &**item)) != *fact.digest() {
            let why = "its revocations are not those that were signed";
            return Err(if update.base == 0 {
                Refused::new(refusals::CONTENT, why)
            } else {
                Refused::without_base(why)
            });
        }
        let read = content::read_revocations(items.values().map(|item| &**item), &self.organisation)?;
        let state = signal::State::new(fact.number(), read.known);
        let signed = update.signed.clone().unwrap_or_default();
        Ok(Some((Signals { fact, signed, items, is_complete: read.unknown == 0 }, state)))
    }
}

fn merge(files: &mut Manifest, entries: &[wire::Entry]) -> Result<(), Refused> {
    for entry in entries {
        match entry.sha256.as_slice() {
            [] => drop(files.remove(&entry.path)),
            digest => {
                let sha256 = <[u8; 32]>::try_from(digest)
                    .map_err(|_| Refused::new(refusals::CONTENT, "a digest does not have 32 bytes"))?;
                files.insert(entry.path.clone(), File { sha256, withheld: entry.withheld });
            }
        }
        if files.len() > limits::DIRECTORY_FILES.default_usize() {
            let why = format!("it has more than {} files", limits::DIRECTORY_FILES.default);
            return Err(Refused::new(refusals::TOO_LARGE, why));
        }
    }
    Ok(())
}

fn collect(added: &[Vec<u8>]) -> Items {
    added.iter().map(|item| (digest_of(item), Arc::from(item.as_slice()))).collect()
}

fn changed(base: &Items, update: &wire::Signals) -> Result<Items, Refused> {
    let mut items = base.clone();
    for gone in &update.removed {
        let known = <[u8; 32]>::try_from(gone.as_slice()).ok().and_then(|digest| items.remove(&digest));
        known.ok_or_else(|| Refused::without_base("it takes away a revocation that is not there"))?;
    }
    items.extend(collect(&update.added));
    Ok(items)
}

impl Signals {
    /// As one whole message.
    pub(super) fn whole(&self) -> wire::Signals {
        let added = self.items.values().map(|item| item.to_vec()).collect();
        wire::Signals { signed: Some(self.signed.clone()), base: 0, added, removed: Vec::new() }
    }
}

impl Held {
    /// What is held, as it is told to control.
    pub(super) fn have(&self) -> Have {
        let mut have = Have { registrations: self.registrations, ..Have::default() };
        if let Some(publication) = &self.publication {
            (have.publication, have.revision) = (publication.fact.number(), publication.fact.digest().to_vec());
        }
        if let Some(signals) = &self.signals {
            (have.epoch, have.signals_digest) = (signals.fact.number(), signals.fact.digest().to_vec());
        }
        if let Some(bundles) = &self.bundles {
            (have.bundles, have.bundles_digest) = (bundles.fact.number(), bundles.fact.digest().to_vec());
        }
        have
    }

    /// What control asks to see.
    pub(super) fn offer(&self, ask: wire::Ask) -> Offer {
        let publication = self.publication.as_ref().filter(|_| ask.publication);
        let bundles = self.bundles.as_ref().filter(|_| ask.bundles);
        Offer {
            publication: publication.map(|publication| publication.signed.clone()),
            signals: self.signals.as_ref().filter(|_| ask.signals).map(Signals::whole),
            bundles: bundles.map(|bundles| bundles.signed.clone()),
        }
    }

    /// Takes what is held into the floors.
    pub(super) fn raise_floors(&mut self) {
        let have = self.have();
        self.floors.publication = self.floors.publication.max(have.publication);
        self.floors.epoch = self.floors.epoch.max(have.epoch);
        self.floors.bundles = self.floors.bundles.max(have.bundles);
    }
}
