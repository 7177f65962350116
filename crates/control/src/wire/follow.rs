//! One connection of a peer: takes what it reports, sends it what it lacks, and ends when it may no longer be there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::admin::Role;
use api::protocol;
use api::wire::report::Report as Said;
use api::wire::update::Update as Content;
use api::wire::{Goodbye, Have, Hello, Report, Update, Welcome};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tonic::{Code, Status, Streaming};
use types::{Label, limits};

use super::frames::Allowance;
use super::sending::{Next, Outbox, update};
use super::state::Snapshot;
use super::who::Caller;
use crate::peers::{Ending, Held, Name};
use crate::service::Control;

/// Between heartbeats.
const BEAT: Duration = Duration::from_secs(1); // tidy: the protocol says so
/// Silence after which a connection is given up.
pub(super) const SILENCE: Duration = Duration::from_millis(limits::WIRE_SILENCE_TIME.default);
/// Words of a peer are shown to this length.
const WORDS: usize = 600; // tidy: of a text that is only shown

/// Where updates go: few at a time, so that whoever is slow gets the newest state and not a backlog.
pub(crate) type Sender = mpsc::Sender<Result<Update, Status>>;

/// One connection.
pub(crate) struct Session {
    pub control: Arc<Control>,
    pub caller: Caller,
    pub sender: Sender,
    pub finishing: watch::Receiver<bool>,
    /// How long its reports may be.
    pub allowance: Allowance,
}

/// One that has said hello.
pub(super) struct Line {
    pub(super) control: Arc<Control>,
    pub(super) caller: Caller,
    pub(super) name: Name,
    pub(super) id: u64,
    pub(super) out: Outbox,
    /// What the peer was asked for last, so that it is not asked in a loop.
    pub(super) asked: Option<Have>,
    /// It was asked and has not answered: its offer is taken, and may be large.
    pub(super) is_awaited: bool,
    pub(super) allowance: Allowance,
}

impl Session {
    /// Until it ends.
    pub async fn run(self, mut reports: Streaming<Report>) {
        let Self { control, caller, sender, finishing, allowance } = self;
        let hello = match timeout(SILENCE, reports.message()).await {
            Ok(Ok(Some(Report { report: Some(Said::Hello(hello)) }))) => hello,
            Ok(Err(status)) => {
                return tracing::debug!(peer = caller.title(), %status, "a peer went before it said hello");
            }
            _ => return goodbye(&sender, "a connection begins with a hello", false).await,
        };
        let Some(version) = protocol::agree(hello.oldest, hello.newest) else {
            let why = versions_apart(&hello);
            control.refuse("connect", &caller.title(), &why);
            return goodbye(&sender, &why, false).await;
        };
        let now = control.parts.clock.now();
        let in_process = caller.peer.is_none();
        let Some(held) = control.hub.peers.connect(&caller.place, in_process, caller.address, now) else {
            return goodbye(&sender, "it was retired, or its name belongs to another peer", false).await;
        };
        let (name, id) = (caller.name(), held.id);
        tracing::info!(peer = caller.title(), address = ?caller.address, version = %shown(&hello.version), "a peer is connected");
        control.hub.peers.greet(&name, id, &hello.version, now);
        let have = hello.have.clone().unwrap_or_default();
        control.hub.peers.acknowledge(&name, id, &have, now, None);
        control.hub.heard.bundles(&control.hub.peers, &name, have.bundles);
        let out = Outbox::new(caller.place.role, caller.served(), caller.groups(), have);
        let (asked, is_awaited) = (None, false);
        let control_of = Arc::clone(&control);
        let mut line = Line { control: control_of, caller, name, id, out, asked, is_awaited, allowance };
        let why = if sender.send(Ok(line.welcome(version))).await.is_ok() {
            line.run(&mut reports, &sender, held, finishing).await
        } else {
            String::new()
        };
        let title = line.caller.title();
        control.hub.peers.disconnect(&line.name, id, control.parts.clock.now(), &why);
        tracing::info!(peer = title, why, "a peer is no longer connected");
    }
}

impl Line {
    fn welcome(&self, version: u32) -> Update {
        let names = |labels: &[Label]| labels.iter().map(Label::to_string).collect();
        let place = &self.caller.place;
        let (is_proxy, in_process) = (place.role == Role::Proxy, self.caller.peer.is_none());
        update(Content::Welcome(Welcome {
            protocol: version,
            version: self.control.parts.version.to_owned(),
            control: self.control.parts.node.to_string(),
            clock: self.control.parts.clock.now().micros(),
            domains: place.domains.as_deref().map(names).unwrap_or_default(),
            every_domain: is_proxy && place.domains.is_none(),
            groups: place.group.as_slice().iter().map(Label::to_string).collect(),
            every_group: !is_proxy && in_process,
        }))
    }

    /// Gives why it ended, `""` where the peer went by itself.
    async fn run(
        &mut self,
        reports: &mut Streaming<Report>,
        sender: &Sender,
        mut held: Held,
        mut finishing: watch::Receiver<bool>,
    ) -> String {
        let mut snapshots = self.control.hub.follow();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_at = tokio::time::Instant::now() + SILENCE;
        let mut judged_under = Arc::clone(&snapshots.borrow());
        self.compare().await;
        let ending = loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if !Arc::ptr_eq(&snapshot, &judged_under) {
                judged_under = Arc::clone(&snapshot);
                if let Some(ending) = self.may_not_stay() {
                    break ending;
                }
            }
            let waiting = self.out.is_waiting(&snapshot, Instant::now());
            tokio::select! {
                biased;
                ending = ended(&mut held.end) => break ending,
                () = stopping(&mut finishing) => break Ending { why: "control is stopping".to_owned(), retry: true },
                report = reports.message() => match report {
                    Ok(Some(report)) => {
                        silent_at = tokio::time::Instant::now() + SILENCE;
                        if let Err(ending) = self.take(report).await { break ending }
                    }
                    Err(status) if status.code() == Code::OutOfRange => break self.too_large(&status),
                    Ok(None) | Err(_) => return String::new(),
                },
                permit = sender.reserve(), if waiting => match permit {
                    Ok(permit) => if let Some(next) = self.next(&snapshot).await { permit.send(Ok(next)) },
                    Err(_) => return String::new(),
                },
                changed = snapshots.changed() => if changed.is_err() { return String::new() },
                _ = beats.tick() => {
                    if let Some(ending) = self.may_not_stay() { break ending }
                    self.out.beat();
                }
                () = sleep_until(silent_at) => {
                    let why = format!("nothing was heard for {} seconds", SILENCE.as_secs());
                    break Ending { why, retry: true };
                }
            }
        };
        goodbye(sender, &ending.why, ending.retry).await;
        ending.why
    }

    /// Why the peer may no longer be there.
    fn may_not_stay(&self) -> Option<Ending> {
        let peer = self.caller.peer.as_ref()?;
        let now = self.control.parts.clock.now();
        let Some(seen) = self.control.hub.peers.get(&self.name) else {
            return Some(Ending { why: "it was retired".to_owned(), retry: false });
        };
        let why = self.control.untrusted(&seen, Some(peer), now)?;
        // who renewed its certificate comes again with the new one
        let retry = now > peer.not_after();
        if !retry {
            self.control.refuse("connect", &self.caller.title(), &why);
        }
        Some(Ending { why, retry })
    }

    async fn next(&mut self, snapshot: &Snapshot) -> Option<Update> {
        loop {
            let control = Arc::clone(&self.control);
            let now = self.control.parts.clock.now();
            match self.out.next(snapshot, Instant::now(), now, &control.hub.shelf) {
                Next::Send(content) => return Some(update(content)),
                Next::Nothing => return None,
                Next::Manifest(revision) => blocking(move || control.fetch_manifest(revision)).await,
                Next::File(sha256) => blocking(move || control.fetch_file(sha256)).await,
            }
        }
    }
}

impl Control {
    fn fetch_manifest(&self, revision: types::RevisionId) {
        let manifest = self.parts.store.manifest(revision).ok().map(Arc::new);
        self.hub.shelf.put_manifest(revision, manifest);
    }

    fn fetch_file(&self, sha256: [u8; 32]) {
        let text = self.parts.store.text(&sha256).inspect_err(|error| tracing::error!(%error, "a file cannot be read"));
        self.hub.shelf.put_file(sha256, text.ok().flatten().map(|text| Arc::new(text.into_bytes())));
    }
}

/// Off the threads that carry connections.
pub(super) async fn blocking(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "work for a peer did not come to its end");
    }
}

/// Resolves when control is to end.
async fn stopping(finishing: &mut watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

/// Resolves when the connection is to end.
async fn ended(end: &mut watch::Receiver<Option<Ending>>) -> Ending {
    match end.wait_for(Option::is_some).await {
        Ok(ending) => ending.clone().unwrap_or_else(retired),
        // whoever held the other end forgot the peer
        Err(_) => retired(),
    }
}

fn retired() -> Ending {
    Ending { why: "it was retired".to_owned(), retry: false }
}

/// The last word, where it can still be said.
async fn goodbye(sender: &Sender, why: &str, retry: bool) {
    let last = update(Content::Goodbye(Goodbye { why: why.to_owned(), retry }));
    let _ = timeout(BEAT, sender.send(Ok(last))).await;
}

fn versions_apart(hello: &Hello) -> String {
    format!(
        "it speaks versions {} to {} of the protocol, and this control {} to {}: bring the older program up to date",
        hello.oldest,
        hello.newest,
        protocol::OLDEST,
        protocol::NEWEST
    )
}

pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(WORDS).collect()
}
