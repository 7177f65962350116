//! What peers are told, as one immutable piece: the publication, the signals, the bundles, each with its signed fact, and
//! the changes between two of them. Made once, shared by all connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::Entitled;
use api::wire::{self as proto, Bundles, Entry, Manifest, Signals, Signed};
use trustdir::part;
use types::{AttestRule, Label, RevisionId};

/// Changes of signals that are remembered, so that a peer that was away for a moment gets those only.
const STEPS: usize = 1_024; // tidy: of our own acts
/// Different answers to the same question that are remembered: peers are mostly at the same state.
const ANSWERS: usize = 16; // tidy: beyond it they are made anew

/// Everything that peers are told.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub publication: Option<Arc<Publication>>,
    pub signals: Option<Arc<Revocations>>,
    pub bundles: Option<Arc<Bundles>>,
    /// Of the bundles: number and digest.
    pub bundles_are: (u64, [u8; 32]),
    pub registrations: Arc<Registered>,
    /// What is current, also where it could not be signed yet: then heartbeats say that peers are behind.
    pub truth: Truth,
}

/// The numbers of what is current.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Truth {
    pub publication: u64,
    pub epoch: u64,
}

/// The current publication.
pub(crate) struct Publication {
    pub number: u64,
    pub signed: Signed,
    pub manifest: BTreeMap<String, [u8; 32]>,
    answers: Answers<(Option<RevisionId>, Option<BTreeSet<Label>>), Manifest>,
}

/// The revocations of one epoch.
pub(crate) struct Revocations {
    pub epoch: u64,
    pub digest: [u8; 32],
    pub signed: Signed,
    /// Encoded, by their SHA-256.
    pub items: BTreeMap<[u8; 32], Vec<u8>>,
    /// The changes that led here, the latest last.
    steps: VecDeque<Arc<Step>>,
    answers: Answers<u64, Signals>,
}

/// One change of signals.
struct Step {
    from: u64,
    from_digest: [u8; 32],
    added: BTreeSet<[u8; 32]>,
    removed: BTreeSet<[u8; 32]>,
}

/// The workloads that agents may hand identities to.
#[derive(Default)]
pub(crate) struct Registered {
    pub generation: u64,
    pub workloads: Vec<Placed>,
    /// Serial numbers and keys that trust was taken from, in order.
    pub revoked: Vec<String>,
}

/// One of them, with where it runs.
pub(crate) struct Placed {
    pub workload: Entitled,
    pub rules: Vec<AttestRule>,
    /// `None`: only on the node that shares control's process.
    pub runs_on: Option<BTreeSet<Label>>,
}

/// The latest answers by question.
struct Answers<Q, A>(Mutex<VecDeque<(Q, Arc<A>)>>);

impl<Q: PartialEq, A> Answers<Q, A> {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    fn get(&self, question: Q, answer: impl FnOnce(&Q) -> A) -> Arc<A> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = known.iter().find(|(known, _)| *known == question) {
            return Arc::clone(answer);
        }
        let answer = Arc::new(answer(&question));
        known.push_front((question, Arc::clone(&answer)));
        known.truncate(ANSWERS);
        answer
    }
}

impl Publication {
    pub const fn new(number: u64, signed: Signed, manifest: BTreeMap<String, [u8; 32]>) -> Self {
        Self { number, signed, manifest, answers: Answers::new() }
    }

    /// The manifest for a peer that serves these domains, as changes to that of a revision that it holds where `base` is
    /// one.
    pub fn manifest(
        &self,
        base: Option<(RevisionId, &BTreeMap<String, [u8; 32]>)>,
        served: Option<&BTreeSet<Label>>,
    ) -> Arc<Manifest> {
        self.answers.get((base.map(|(id, _)| id), served.cloned()), |_| self.make(base, served))
    }

    fn make(
        &self,
        base: Option<(RevisionId, &BTreeMap<String, [u8; 32]>)>,
        served: Option<&BTreeSet<Label>>,
    ) -> Manifest {
        let entry = |path: &str, sha256: &[u8]| Entry {
            path: path.to_owned(),
            sha256: sha256.to_vec(),
            withheld: part::withheld(path, served),
        };
        let empty = BTreeMap::new();
        let (base, old) = base.map_or((Vec::new(), &empty), |(id, old)| (id.digest().to_vec(), old));
        let new = self.manifest.iter().filter(|(path, sha256)| old.get(*path) != Some(*sha256));
        let gone = old.keys().filter(|path| !self.manifest.contains_key(*path));
        let entries = new.map(|(path, sha256)| entry(path, sha256)).chain(gone.map(|path| entry(path, &[])));
        Manifest { publication: Some(self.signed.clone()), base, entries: entries.collect() }
    }

    /// Whether a file of this content belongs to a peer that serves these domains.
    pub fn gives(&self, sha256: &[u8; 32], served: Option<&BTreeSet<Label>>) -> bool {
        self.manifest.iter().any(|(path, content)| content == sha256 && !part::withheld(path, served))
    }
}

impl Revocations {
    pub fn new(
        epoch: u64,
        digest: [u8; 32],
        signed: Signed,
        items: BTreeMap<[u8; 32], Vec<u8>>,
        before: Option<&Self>,
    ) -> Self {
        let mut steps = before.map(|before| before.steps.clone()).unwrap_or_default();
        if let Some(before) = before {
            let only = |these: &BTreeMap<[u8; 32], Vec<u8>>, those: &BTreeMap<[u8; 32], Vec<u8>>| {
                these.keys().filter(|key| !those.contains_key(*key)).copied().collect::<BTreeSet<_>>()
            };
            steps.push_back(Arc::new(Step {
                from: before.epoch,
                from_digest: before.digest,
                added: only(&items, &before.items),
                removed: only(&before.items, &items),
            }));
        }
        while steps.len() > STEPS {
            steps.pop_front();
        }
        Self { epoch, digest, signed, items, steps, answers: Answers::new() }
    }

    /// The list for a peer, as changes to the one that it holds where those are known.
    pub fn signals(&self, base: Option<(u64, &[u8])>) -> Arc<Signals> {
        let from = base.and_then(|(epoch, digest)| {
            let known = |step: &Arc<Step>| step.from == epoch && step.from_digest == digest;
            // epoch 0 means no base
            self.steps.iter().position(known).filter(|_| epoch != 0).map(|place| (epoch, place))
        });
        self.answers.get(from.map_or(0, |(epoch, _)| epoch), |_| match from {
            Some((epoch, place)) => self.changes(epoch, place),
            None => Signals {
                signed: Some(self.signed.clone()),
                base: 0,
                added: self.items.values().cloned().collect(),
                removed: Vec::new(),
            },
        })
    }

    fn changes(&self, epoch: u64, place: usize) -> Signals {
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for step in self.steps.iter().skip(place) {
            for key in &step.removed {
                if !added.remove(key) {
                    removed.insert(*key);
                }
            }
            for key in &step.added {
                if !removed.remove(key) {
                    added.insert(*key);
                }
            }
        }
        Signals {
            signed: Some(self.signed.clone()),
            base: epoch,
            added: added.iter().filter_map(|key| self.items.get(key)).cloned().collect(),
            removed: removed.iter().map(|key| key.to_vec()).collect(),
        }
    }
}

impl Registered {
    /// Those that run at a place.
    pub fn at(&self, groups: Option<&BTreeSet<Label>>) -> proto::Registrations {
        let here = self.workloads.iter().filter(|placed| match groups {
            None => true,
            Some(groups) => placed.runs_on.as_ref().is_some_and(|runs_on| !runs_on.is_disjoint(groups)),
        });
        let workloads = here.map(|placed| ::wire::content::registration(&placed.workload, &placed.rules));
        let (workloads, revoked) = (workloads.collect(), self.revoked.clone());
        proto::Registrations { generation: self.generation, workloads, revoked }
    }
}

#[cfg(test)]
mod tests;
