//! What one peer is sent next: the newest state that it lacks, never a backlog.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::admin::Role;
use api::wire::update::Update as Content;
use api::wire::{Ask, Blob, Have, Heartbeat, Kind, Update};
use types::{Label, RevisionId, Timestamp, limits};

use super::state::{Publication, Snapshot};

/// What one connection still has to send.
pub(crate) struct Outbox {
    role: Role,
    /// The domains of a proxy; `None` for all.
    served: Option<BTreeSet<Label>>,
    /// The groups of an agent; `None` for all.
    groups: Option<BTreeSet<Label>>,
    /// What the peer holds, as it says.
    has: Have,
    /// The latest that is on its way, or that the peer holds.
    sent: Sent,
    /// The publication whose files the peer may ask for.
    offered: Option<Arc<Publication>>,
    wants: VecDeque<[u8; 32]>,
    piece: Option<Piece>,
    ask: Option<Ask>,
    heartbeat: bool,
    /// Signals wait until then for what the peer holds of another history.
    hold: Option<Instant>,
    /// Until when later signals wait for the answer to those that were sent.
    signals_answer: Option<Instant>,
    /// The same for publications.
    publication_answer: Option<Instant>,
}

/// Later signals wait so long for the answer to earlier ones: what piles up meanwhile goes as one. Who does not answer gets
/// the whole list then.
const SIGNALS_PATIENCE: Duration = Duration::from_millis(900); // tidy: less than between two heartbeats
/// The same for publications, which take a peer longer.
const PUBLICATION_PATIENCE: Duration = Duration::from_secs(10); // tidy: the largest directory compiles in less

#[derive(Default)]
struct Sent {
    publication: u64,
    /// `None` where nothing is held: epoch 0 is a state too.
    epoch: Option<u64>,
    bundles: u64,
    registrations: u64,
}

/// A file on its way.
struct Piece {
    sha256: [u8; 32],
    text: Arc<Vec<u8>>,
    offset: usize,
}

/// What is next.
pub(crate) enum Next {
    Send(Content),
    /// The manifest of a revision that the peer holds has to be read first.
    Manifest(RevisionId),
    /// A file has to be read first.
    File([u8; 32]),
    Nothing,
}

/// Whether a file may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// It is the peer's to have.
    Given,
    /// It is not of the publication that is offered: one that was overtaken on the way.
    Stale,
    /// It is of a domain that the peer does not serve.
    Withheld,
}

impl Outbox {
    pub fn new(role: Role, served: Option<BTreeSet<Label>>, groups: Option<BTreeSet<Label>>, has: Have) -> Self {
        let epoch = (has.signals_digest.len() == DIGEST).then_some(has.epoch);
        let sent = Sent { publication: has.publication, epoch, bundles: has.bundles, registrations: 0 };
        let (wants, piece, ask, offered, hold) = (VecDeque::new(), None, None, None, None);
        let (signals_answer, publication_answer) = (None, None);
        let heartbeat = false;
        Self {
            role,
            served,
            groups,
            has,
            sent,
            offered,
            wants,
            piece,
            ask,
            heartbeat,
            hold,
            signals_answer,
            publication_answer,
        }
    }

    pub const fn has(&self) -> &Have {
        &self.has
    }

    /// The peer answered what it was sent, and holds this.
    pub fn answered(&mut self, kind: Kind, have: Have) {
        match kind {
            Kind::Signals => self.signals_answer = None,
            Kind::Publication => self.publication_answer = None,
            Kind::Bundles | Kind::Unspecified => {}
        }
        self.has = have;
    }

    /// The peer is asked for what it holds of a later history. Signals wait for it until `until`.
    pub fn ask(&mut self, ask: Ask, until: Instant) {
        if ask.signals {
            self.hold = Some(until);
        }
        self.ask = Some(ask);
    }

    /// What was asked for is settled.
    pub const fn go_on(&mut self) {
        self.hold = None;
    }

    /// A heartbeat is due. One that was not sent yet is enough.
    pub const fn beat(&mut self) {
        self.heartbeat = true;
    }

    /// The peer lacks these files of what it was offered.
    pub fn want(&mut self, files: Vec<[u8; 32]>) {
        self.wants = files.into();
    }

    pub fn judge(&self, sha256: &[u8; 32]) -> Wanted {
        match &self.offered {
            Some(offered) if offered.gives(sha256, self.served.as_ref()) => Wanted::Given,
            Some(offered) if offered.manifest.values().any(|content| content == sha256) => Wanted::Withheld,
            Some(_) | None => Wanted::Stale,
        }
    }

    /// Whether there is anything to send.
    pub fn is_waiting(&self, snapshot: &Snapshot, now: Instant) -> bool {
        self.heartbeat
            || self.ask.is_some()
            || self.piece.is_some()
            || !self.wants.is_empty()
            || self.lacks_signals(snapshot, now)
            || self.lacks_bundles(snapshot)
            || self.lacks_registrations(snapshot)
            || self.lacks_publication(snapshot, now)
    }

    fn lacks_signals(&self, snapshot: &Snapshot, now: Instant) -> bool {
        let held_back = [self.hold, self.signals_answer].into_iter().flatten().any(|until| now < until);
        let newer = |epoch: u64| self.sent.epoch.is_none_or(|sent| sent < epoch);
        self.role == Role::Proxy && !held_back && snapshot.signals.as_ref().is_some_and(|it| newer(it.epoch))
    }

    fn lacks_bundles(&self, snapshot: &Snapshot) -> bool {
        snapshot.bundles.is_some() && self.sent.bundles < snapshot.bundles_are.0
    }

    fn lacks_registrations(&self, snapshot: &Snapshot) -> bool {
        self.role == Role::Agent && self.sent.registrations < snapshot.registrations.generation
    }

    fn lacks_publication(&self, snapshot: &Snapshot, now: Instant) -> bool {
        self.role == Role::Proxy
            && self.publication_answer.is_none_or(|until| now >= until)
            && snapshot.publication.as_ref().is_some_and(|it| self.sent.publication < it.number)
    }

    /// What goes next: what takes trust away first, files last, so that nothing waits behind a large one. `manifest` is the
    /// one of a revision, where it was read; `file` the text of a file.
    pub fn next(&mut self, snapshot: &Snapshot, now: Instant, clock: Timestamp, read: &impl Read) -> Next {
        if let Some(ask) = self.ask.take() {
            return Next::Send(Content::Ask(ask));
        }
        if let Some(signals) = snapshot.signals.as_ref().filter(|_| self.lacks_signals(snapshot, now)) {
            let base = (self.sent.epoch == Some(self.has.epoch)).then_some((self.has.epoch, &*self.has.signals_digest));
            self.sent.epoch = Some(signals.epoch);
            self.signals_answer = Some(now + SIGNALS_PATIENCE);
            return Next::Send(Content::Signals(signals.signals(base).as_ref().clone()));
        }
        if let Some(bundles) = snapshot.bundles.as_ref().filter(|_| self.lacks_bundles(snapshot)) {
            self.sent.bundles = snapshot.bundles_are.0;
            return Next::Send(Content::Bundles(bundles.as_ref().clone()));
        }
        if self.lacks_registrations(snapshot) {
            self.sent.registrations = snapshot.registrations.generation;
            return Next::Send(Content::Registrations(snapshot.registrations.at(self.groups.as_ref())));
        }
        if let Some(publication) = snapshot.publication.clone().filter(|_| self.lacks_publication(snapshot, now)) {
            return self.offer(publication, read, now);
        }
        if std::mem::take(&mut self.heartbeat) {
            let super::state::Truth { publication, epoch } = snapshot.truth;
            return Next::Send(Content::Heartbeat(Heartbeat { clock: clock.micros(), publication, epoch }));
        }
        self.next_piece(read)
    }

    /// The manifest, as changes to the one that the peer holds where that is known here.
    fn offer(&mut self, publication: Arc<Publication>, read: &impl Read, now: Instant) -> Next {
        let held = <[u8; 32]>::try_from(self.has.revision.as_slice()).ok().map(RevisionId::from_digest);
        let settled = self.sent.publication == self.has.publication;
        let base = match held.filter(|_| settled) {
            Some(held) => match read.manifest(held) {
                Some(known) => known.map(|manifest| (held, manifest)),
                None => return Next::Manifest(held),
            },
            None => None,
        };
        let base = base.as_ref().map(|(id, manifest)| (*id, manifest.as_ref()));
        let manifest = publication.manifest(base, self.served.as_ref()).as_ref().clone();
        self.sent.publication = publication.number;
        self.publication_answer = Some(now + PUBLICATION_PATIENCE);
        self.offered = Some(publication);
        // what was asked for belongs to a publication that is overtaken
        self.wants.clear();
        Next::Send(Content::Manifest(manifest))
    }

    fn next_piece(&mut self, read: &impl Read) -> Next {
        if self.piece.is_none() {
            let Some(sha256) = self.wants.front().copied() else { return Next::Nothing };
            let Some(text) = read.file(&sha256) else { return Next::File(sha256) };
            self.wants.pop_front();
            self.piece = text.map(|text| Piece { sha256, text, offset: 0 });
        }
        let Some(piece) = &mut self.piece else { return Next::Nothing };
        let end = piece.offset.saturating_add(limits::WIRE_PIECE_BYTES.default_usize()).min(piece.text.len());
        let data = piece.text.get(piece.offset..end).unwrap_or_default().to_vec();
        piece.offset = end;
        let (sha256, last) = (piece.sha256.to_vec(), end == piece.text.len());
        if last {
            self.piece = None;
        }
        Next::Send(Content::Blob(Blob { sha256, data, last }))
    }
}

/// Bytes of a digest.
const DIGEST: usize = 32;

/// The manifest of a revision; `None` where the store does not have it.
pub(crate) type Manifest = Option<Arc<trustdir::part::Manifest>>;
/// The text of a file; `None` where the store does not have it.
pub(crate) type File = Option<Arc<Vec<u8>>>;

/// What was read from the store: `None` where it has to be read first.
pub(crate) trait Read {
    fn manifest(&self, revision: RevisionId) -> Option<Manifest>;
    fn file(&self, sha256: &[u8; 32]) -> Option<File>;
}

/// As it travels.
pub(crate) const fn update(content: Content) -> Update {
    Update { update: Some(content) }
}
