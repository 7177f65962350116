//! How an update becomes what is in force: believed, swapped, kept, acknowledged.

use std::sync::Arc;

use api::{
    admin::Role,
    protocol::refusals,
    wire::{self, Blob, Heartbeat, Kind},
};
use prost::Message;

use super::{
    assembly::Assembly,
    bundles::Taken,
    coming::Came,
    held::{Manifest, Publication, Refused, Served},
    life::{Life, Next, Work},
    restore::{BUNDLES, SIGNALS},
    shelf::Shelf,
};
use types::Timestamp;

use crate::content::{self, Registrations};

impl Life {
    /// Signals. A revocation counts from the moment it is verified, whether or not the disk takes it; it is acknowledged
    /// when it would outlast this process.
    pub(super) async fn take_signals(&mut self, update: wire::Signals) -> Next {
        let number = claimed_number(update.signed.as_ref());
        let now = self.now();
        let taken = self.belief().and_then(|belief| belief.signals(&self.held, &update, now));
        match taken {
            Ok(Some((signals, state))) => {
                let content = signals.whole().encode_to_vec();
                self.held.signals = Some(signals);
                self.held.raise_floors();
                // control sends what is current, and nothing else
                self.hear(number, now);
                self.outlets.put_signals(state);
                // that it is not kept is remembered
                let _ = self.keep(SIGNALS, content).await;
                self.stand(Kind::Signals, number)
            }
            Ok(None) => self.stand(Kind::Signals, number),
            Err(refused) => self.refused(Kind::Signals, number, refused),
        }
    }

    /// Bundles. A root that is gone counts at once, as [`Self::take_signals`]; one that nobody vouches for never.
    pub(super) async fn take_bundles(&mut self, update: wire::Bundles) -> Next {
        let number = claimed_number(update.signed.as_ref());
        let now = self.now();
        let taken = self.belief().and_then(|belief| belief.bundles(&self.held, &update, now));
        match taken {
            Ok(Some(Taken { list, pins, bundles, set })) => {
                let content = list.encode(&pins);
                self.held.bundles = Some(list);
                self.held.pins = pins;
                self.held.raise_floors();
                self.outlets.issuance.put_bundles(bundles, set);
                self.outlets.changed();
                // that it is not kept is remembered
                let _ = self.keep(BUNDLES, content).await;
                self.stand(Kind::Bundles, number)
            }
            Ok(None) => self.stand(Kind::Bundles, number),
            Err(refused) => self.refused(Kind::Bundles, number, refused),
        }
    }

    /// How it stands with what is in force: acknowledged only where it is understood and would outlast this process.
    fn stand(&self, kind: Kind, number: u64) -> Next {
        let name = if kind == Kind::Signals { SIGNALS } else { BUNDLES };
        let is_incomplete = kind == Kind::Signals && self.held.signals.as_ref().is_some_and(|held| !held.is_complete);
        let strangers = self.strangers().filter(|_| kind == Kind::Bundles);
        let refused = match self.unkept.get(name) {
            _ if strangers.is_some() => Refused::new(refusals::FORGED, strangers.unwrap_or_default()),
            Some(why) => Refused::new(refusals::NOT_KEPT, why.as_str()),
            None if is_incomplete => {
                Refused::new(refusals::INVALID, "it holds revocations that this release does not know")
            }
            None => return Next::Ack(self.ack(kind, number)),
        };
        Next::Ack(self.refuse(kind, number, refused))
    }

    /// The roots that are told and that the pins refuse, with what to do about them.
    fn strangers(&self) -> Option<String> {
        let refused = self.held.bundles.as_ref().map(|list| &list.refused).filter(|refused| !refused.is_empty())?;
        let anew = match self.node.shelf() {
            Some(shelf) => format!("stop this node, remove `{}`, and start it", shelf.path(BUNDLES).display()),
            None => "start this process anew".to_owned(),
        };
        Some(format!("{refused}; what was in force stays. Where you know it to be right: {anew}"))
    }

    /// The workloads of an agent's node. Those that are understood count at once; it is acknowledged when all are.
    pub(super) fn take_registrations(&mut self, update: &wire::Registrations) -> Next {
        let revoked = content::read_revoked(&update.revoked);
        match content::read_registrations(&update.workloads).and_then(|read| Ok((read, revoked?))) {
            Ok((Registrations { known, unknown }, revoked)) => {
                self.outlets.issuance.put_registered(known, revoked);
                self.held.registrations = update.generation;
                let Some(first) = unknown.first() else {
                    return Next::Ack(self.ack(Kind::Unspecified, update.generation));
                };
                let why = format!(
                    "it holds rules of {} workloads, such as `{first}`, that this release does not know and that recognise \
                     nobody here: bring this agent up to date",
                    unknown.len()
                );
                Next::Ack(self.refuse(Kind::Unspecified, update.generation, Refused::new(refusals::INVALID, why)))
            }
            Err(error) => self.refused(Kind::Unspecified, update.generation, error.into()),
        }
    }

    /// The manifest of a publication.
    pub(super) fn take_manifest(&mut self, update: wire::Manifest, served: &Served) -> Next {
        let number = claimed_number(update.publication.as_ref());
        if self.config.role == Role::Agent {
            return Next::Wait;
        }
        let now = self.now();
        let coming = self.assembly.as_ref().map(|assembly| (assembly.fact.digest(), &assembly.files));
        let current = self.held.publication.as_ref().map(|current| (current.fact.digest(), &current.files));
        let bases: Vec<(&[u8; 32], &Manifest)> = coming.into_iter().chain(current).collect();
        let taken = self.belief().and_then(|belief| belief.manifest(&self.held, &update, served, &bases, now));
        match taken {
            Ok(Some((fact, files))) => {
                let signed = update.publication.unwrap_or_default();
                let earlier = self.assembly.take();
                let assembly = Assembly::new(fact, signed, files, served.clone(), now, &self.there, earlier.as_deref());
                self.assembly = Some(Arc::new(assembly));
                self.go_on()
            }
            Ok(None) => Next::Ack(self.ack(Kind::Publication, number)),
            Err(refused) => self.refused(Kind::Publication, number, refused),
        }
    }

    /// What the publication that is coming needs next.
    fn go_on(&self) -> Next {
        match &self.assembly {
            Some(assembly) if assembly.is_complete() => Next::Compile,
            Some(assembly) => Next::Want(assembly.wanted()),
            None => Next::Wait,
        }
    }

    /// A piece of a file.
    pub(super) fn take_blob(&mut self, piece: Blob) -> Next {
        let assembly = self.assembly.as_ref();
        let came = self.coming.take(piece, |sha256| assembly.is_some_and(|assembly| assembly.wants(sha256)));
        let came = came.and_then(|came| self.file(came));
        came.unwrap_or_else(|refused| {
            let number = self.assembly.take().map(|assembly| assembly.fact.number());
            self.refused(Kind::Publication, number.unwrap_or_default(), refused)
        })
    }

    /// A whole file, where it is wanted: it may belong to a publication before the one that is coming.
    fn file(&mut self, came: Option<Came>) -> Result<Next, Refused> {
        let Some(Came { sha256, content }) = came else { return Ok(Next::Wait) };
        let Some(assembly) = self.assembly.as_mut().filter(|assembly| assembly.wants(&sha256)) else {
            return Ok(Next::Wait);
        };
        match content {
            Some(content) => Arc::make_mut(assembly).take(sha256, content)?,
            // a Want names everything that is missing
            None => return Ok(Next::Want(assembly.wanted())),
        }
        Ok(if assembly.is_complete() { Next::Compile } else { Next::Wait })
    }

    /// Begins to compile what is complete.
    pub(super) fn compile(&self) -> Option<Work> {
        let assembly = Arc::clone(self.assembly.as_ref()?);
        let (shelf, running) = (self.node.shelf(), self.shutdown.clone());
        let current = self.held.publication.as_ref();
        let current = current.map(|current| (Arc::clone(&current.revision), current.served.clone()));
        Some(tokio::task::spawn_blocking(move || {
            let _running = running;
            let current = current.as_ref().map(|(revision, served)| (revision, served));
            let finished = assembly.finish(shelf.as_deref(), current);
            (assembly, finished)
        }))
    }

    /// The compiled publication is put in force, or what ran goes on.
    pub(super) fn compiled(&mut self, assembly: &Arc<Assembly>, finished: Result<Publication, Refused>) -> Vec<Next> {
        let number = assembly.fact.number();
        let is_latest = self.assembly.as_ref().is_some_and(|latest| latest.fact == assembly.fact);
        self.there = self.node.shelf().map(|shelf: Arc<Shelf>| shelf.blobs()).unwrap_or_default();
        if let Some(latest) = &mut self.assembly {
            Arc::make_mut(latest).check(&self.there);
        }
        let is_unkept = matches!(&finished, Err(refused) if refused.word == refusals::NOT_KEPT);
        if is_latest && !is_unkept {
            self.assembly = None;
        }
        let told = match finished {
            Ok(publication) => {
                let revision = Arc::clone(&publication.revision);
                self.held.publication = Some(publication);
                self.held.raise_floors();
                // it was current when its manifest came
                self.confirm(number, assembly.at);
                self.put_revision(&revision);
                tracing::info!(publication = number, revision = %revision.id().short(), "a revision is in force");
                Next::Ack(self.ack(Kind::Publication, number))
            }
            Err(refused) if refused.word == refusals::CONTENT => {
                self.whole.publication = true;
                Next::Again(self.refuse(Kind::Publication, number, refused))
            }
            Err(refused) => Next::Ack(self.refuse(Kind::Publication, number, refused)),
        };
        let next = if is_latest { Next::Wait } else { self.go_on() };
        vec![told, next]
    }

    /// Tries to write again what the disk did not take.
    pub(super) async fn keep_again(&mut self) -> Vec<Next> {
        let mut told = Vec::new();
        let signals = self.held.signals.as_ref().filter(|_| self.unkept.contains_key(SIGNALS));
        if let Some((number, content)) = signals.map(|held| (held.fact.number(), held.whole().encode_to_vec()))
            && self.keep(SIGNALS, content).await
        {
            told.push(self.stand(Kind::Signals, number));
        }
        let bundles = self.held.bundles.as_ref().filter(|_| self.unkept.contains_key(BUNDLES));
        if let Some((number, content)) = bundles.map(|held| (held.fact.number(), held.encode(&self.held.pins)))
            && self.keep(BUNDLES, content).await
        {
            told.push(self.stand(Kind::Bundles, number));
        }
        let is_complete = self.assembly.as_ref().is_some_and(|assembly| assembly.is_complete());
        told.push(if is_complete { Next::Compile } else { Next::Wait });
        told
    }

    /// Control says what is current; where that is what is in force, it is fresh.
    pub(super) fn take_heartbeat(&mut self, heartbeat: Heartbeat) {
        let now = self.now();
        self.hear(heartbeat.epoch, now);
        self.confirm(heartbeat.publication, now);
        self.beat.floors = self.held.floors;
        if let Some(beats) = &self.beats
            && let Err(error) = beats.write(self.beat)
        {
            tracing::warn!(%error, "when control was last heard could not be written");
        }
    }

    /// This epoch is the latest.
    fn hear(&mut self, epoch: u64, at: Timestamp) {
        if self.held.signals.as_ref().is_some_and(|held| held.is_complete && held.fact.number() == epoch) {
            (self.beat.epoch, self.beat.heard) = (epoch, at);
            self.outlets.freshness.hear(at);
        }
    }

    /// This publication is the current one.
    fn confirm(&mut self, publication: u64, at: Timestamp) {
        if self.held.publication.as_ref().is_some_and(|held| held.fact.number() == publication) {
            (self.beat.publication, self.beat.confirmed) = (publication, at);
            self.outlets.freshness.confirm(at);
        }
    }
}

/// The number that a fact claims, for words only: it is not verified.
fn claimed_number(signed: Option<&wire::Signed>) -> u64 {
    let fact = signed.and_then(|signed| wire::Fact::decode(signed.fact.as_slice()).ok());
    fact.map(|fact| fact.number).unwrap_or_default()
}
