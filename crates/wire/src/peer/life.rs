//! What a peer is between connections: what it holds, what it gives out, and how an update becomes what is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    protocol::refusals,
    wire::{Ack, Have, Kind},
};
use runtime::shutdown::Shutdown;
use tokio::task::JoinHandle;
use trustdir::Revision;
use types::{Label, Timestamp};

use super::{
    Config,
    assembly::Assembly,
    beat::{Beat, Beats},
    coming::Coming,
    held::{Belief, Held, Publication, Refused, Served},
    node::Node,
    outlets::Outlets,
    restore::{self, BUNDLES, Restored, SIGNALS},
};

/// A peer for as long as it runs.
pub(super) struct Life {
    pub(super) config: Config,
    pub(super) node: Node,
    pub(super) outlets: Arc<Outlets>,
    pub(super) held: Held,
    pub(super) started: Timestamp,
    pub(super) shutdown: Shutdown,
    /// The contents on the disk.
    pub(super) there: BTreeSet<[u8; 32]>,
    pub(super) assembly: Option<Arc<Assembly>>,
    pub(super) coming: Coming,
    pub(super) beats: Option<Beats>,
    pub(super) beat: Beat,
    /// In force and not on the disk, and why; tried again.
    pub(super) unkept: BTreeMap<&'static str, String>,
    /// Control turned this peer away.
    pub(super) is_refused: bool,
    /// The last Hello named the publication that is held.
    has_named: bool,
    /// What the next Hello shall not name, so that it comes whole.
    pub(super) whole: Whole,
}

/// Parts to ask for as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Whole {
    pub(super) publication: bool,
    pub(super) signals: bool,
}

/// The work of compiling and keeping a publication.
pub(super) type Work = JoinHandle<(Arc<Assembly>, Result<Publication, Refused>)>;

/// What an update asks for.
pub(super) enum Next {
    /// An acknowledgement.
    Ack(Ack),
    /// Files that are missing.
    Want(Vec<Vec<u8>>),
    /// The publication can be compiled.
    Compile,
    /// Nothing yet.
    Wait,
    /// An acknowledgement, and then a new connection: something has to come whole.
    Again(Ack),
}

impl Life {
    pub(super) fn new(config: Config, node: Node, outlets: Arc<Outlets>, shutdown: Shutdown) -> Self {
        let started = config.clock.now();
        Self {
            config,
            node,
            outlets,
            held: Held::default(),
            started,
            shutdown,
            there: BTreeSet::new(),
            assembly: None,
            coming: Coming::default(),
            beats: None,
            beat: Beat::default(),
            unkept: BTreeMap::new(),
            is_refused: false,
            has_named: false,
            whole: Whole::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(super) fn belief(&self) -> Result<Belief, Refused> {
        self.node.belief().cloned().ok_or_else(|| Refused::new(refusals::FORGED, "this node has not joined"))
    }

    /// Runs something that blocks; a stop of the peer waits for it.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let running = self.shutdown.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _running = running;
            work()
        });
        task.await.ok()
    }

    /// Puts in force what an earlier run kept.
    pub(super) async fn restore(&mut self) {
        let (Some(shelf), Some(belief)) = (self.node.shelf(), self.node.belief().cloned()) else { return };
        let now = self.now();
        let found = self.blocking(move || (restore::restore(&shelf, &belief, now), shelf.blobs())).await;
        let Some((restored, there)) = found else { return };
        let Restored { held, signals, bundles, beats, beat } = restored;
        (self.held, self.beats, self.beat, self.there) = (held, beats, beat, there);
        if let Some((bundles, set)) = bundles {
            self.outlets.issuance.put_bundles(bundles, set);
        }
        self.restore_freshness();
        if let Some(signals) = signals {
            self.outlets.put_signals(signals);
        }
        if let Some(publication) = &self.held.publication {
            self.put_revision(&Arc::clone(&publication.revision));
        }
        self.outlets.changed();
        self.tell_restored();
    }

    fn tell_restored(&self) {
        let have = self.held.have();
        if have.publication != 0 {
            let (publication, epoch) = (have.publication, have.epoch);
            tracing::info!(publication, epoch, heard = %self.beat.heard, "the last good state is in force");
        }
    }

    /// Ages run from what was on the disk, where that is about what is held.
    fn restore_freshness(&self) {
        let signals = self.held.signals.as_ref();
        if signals.is_some_and(|held| held.is_complete && held.fact.number() == self.beat.epoch) {
            self.outlets.freshness.hear(self.beat.heard);
        }
        let publication = self.held.publication.as_ref();
        if publication.is_some_and(|held| held.fact.number() == self.beat.publication) {
            self.outlets.freshness.confirm(self.beat.confirmed);
        }
    }

    pub(super) fn put_revision(&self, revision: &Arc<Revision>) {
        let hosts = |domain: &Label| (domain.clone(), revision.hosts_of(domain));
        let hosts: BTreeMap<_, _> = revision.domains().keys().map(hosts).collect();
        self.outlets.put_revision(revision);
        self.outlets.issuance.put_hosts(hosts);
    }

    /// What the Hello of a connection says that is held.
    pub(super) fn have(&mut self) -> Have {
        let mut have = self.told();
        let whole = core::mem::take(&mut self.whole);
        if whole.publication {
            (have.publication, have.revision) = (0, Vec::new());
        }
        if whole.signals {
            (have.epoch, have.signals_digest) = (0, Vec::new());
        }
        self.has_named = have.publication != 0;
        have
    }

    /// Whether what is held was compiled for other domains than may be served now, and control does not know that it has to
    /// come again; then the next Hello says so.
    pub(super) fn serves_others(&mut self, served: &Served) -> bool {
        let differs = self.held.publication.as_ref().is_some_and(|held| held.served != *served);
        self.whole.publication = differs && self.has_named;
        self.whole.publication
    }

    /// A connection ended; what was gathered is kept for the next.
    pub(super) fn cut(&mut self) {
        self.coming.cut();
    }

    pub(super) fn ack(&self, kind: Kind, number: u64) -> Ack {
        Ack { have: Some(self.told()), refused: String::new(), why: String::new(), kind: kind.into(), number }
    }

    pub(super) fn refuse(&self, kind: Kind, number: u64, refused: Refused) -> Ack {
        tracing::warn!(kind = kind.as_str_name(), number, refused = refused.word, why = %refused.why, "an update is refused");
        Ack { refused: refused.word.to_owned(), why: refused.why, ..self.ack(kind, number) }
    }

    pub(super) fn refused(&mut self, kind: Kind, number: u64, refused: Refused) -> Next {
        let lacks_base = refused.lacks_base;
        let ack = self.refuse(kind, number, refused);
        if !lacks_base {
            return Next::Ack(ack);
        }
        match kind {
            Kind::Publication => self.whole.publication = true,
            Kind::Signals => self.whole.signals = true,
            Kind::Bundles | Kind::Unspecified => {}
        }
        Next::Again(ack)
    }

    /// Writes a file of the state, or remembers why it is not written.
    pub(super) async fn keep(&mut self, name: &'static str, content: Vec<u8>) -> bool {
        let Some(shelf) = self.node.shelf() else { return true };
        let kept = self.blocking(move || shelf.keep(name, &content)).await;
        match kept.unwrap_or_else(|| Err(std::io::Error::other("the process is ending"))) {
            Ok(()) => {
                self.unkept.remove(name);
                true
            }
            Err(error) => {
                self.unkept.insert(name, format!("it is in force and cannot be kept on the disk: {error}"));
                false
            }
        }
    }

    /// What is in force, understood, and would outlast this process: so much is told to control.
    fn told(&self) -> Have {
        let mut have = self.held.have();
        let is_complete = self.held.signals.as_ref().is_some_and(|held| held.is_complete);
        if !is_complete || self.unkept.contains_key(SIGNALS) {
            (have.epoch, have.signals_digest) = (0, Vec::new());
        }
        let is_whole = self.held.bundles.as_ref().is_some_and(|held| held.refused.is_empty());
        if !is_whole || self.unkept.contains_key(BUNDLES) {
            (have.bundles, have.bundles_digest) = (0, Vec::new());
        }
        have
    }
}
