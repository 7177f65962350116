//! What a peer gives out: the state in force, the link, and when there is enough of it to begin.

use std::sync::{Arc, OnceLock};

use api::issuance::Issuance;
use arc_swap::ArcSwap;
use runtime::freshness::Freshness;
use tokio::sync::watch;
use tonic::transport::Channel;
use trustdir::Revision;
use types::Timestamp;

use super::{Config, Link, NoState, State, issuance::WireIssuance, shelf::Shelf};

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Ready {
    /// Too little.
    Nothing,
    /// Bundles: identities can be asked for.
    Issues,
    /// Bundles, signals and a revision.
    Enforces,
    /// It is over.
    Finished,
}

/// The outside of a peer.
pub(super) struct Outlets {
    revision: OnceLock<Arc<ArcSwap<Revision>>>,
    signals: OnceLock<Arc<ArcSwap<signal::State>>>,
    pub(super) freshness: Arc<Freshness>,
    pub(super) issuance: Arc<WireIssuance>,
    changes: watch::Sender<u64>,
    link: watch::Sender<Link>,
    channel: watch::Sender<Option<Channel>>,
    ready: watch::Sender<Ready>,
}

impl Outlets {
    pub(super) fn new(config: &Config, shelf: Option<Arc<Shelf>>) -> Self {
        let channel = watch::Sender::new(None);
        let since = config.clock.now();
        Self {
            revision: OnceLock::new(),
            signals: OnceLock::new(),
            freshness: Arc::new(Freshness::new()),
            issuance: Arc::new(WireIssuance::new(config, shelf, channel.subscribe())),
            changes: watch::Sender::new(0),
            link: watch::Sender::new(Link::Waiting { why: String::new(), since }),
            channel,
            ready: watch::Sender::new(Ready::Nothing),
        }
    }

    pub(super) async fn wait(&self, wanted: Ready) -> Result<(), NoState> {
        let mut ready = self.ready.subscribe();
        match ready.wait_for(|ready| *ready >= wanted).await.map(|ready| *ready) {
            Ok(Ready::Finished) | Err(_) => Err(NoState::Finished),
            Ok(Ready::Nothing | Ready::Issues | Ready::Enforces) => Ok(()),
        }
    }

    pub(super) fn state(&self) -> Option<State> {
        Some(State {
            revision: Arc::clone(self.revision.get()?),
            signals: Arc::clone(self.signals.get()?),
            changes: self.changes.subscribe(),
            issuance: self.issuance(),
            freshness: Arc::clone(&self.freshness),
        })
    }

    pub(super) fn issuance(&self) -> Arc<dyn Issuance> {
        Arc::clone(&self.issuance) as Arc<dyn Issuance>
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(super) fn channel(&self) -> watch::Receiver<Option<Channel>> {
        self.channel.subscribe()
    }

    /// Puts a revision in force.
    pub(super) fn put_revision(&self, revision: &Arc<Revision>) {
        self.revision.get_or_init(|| Arc::new(ArcSwap::new(Arc::clone(revision)))).store(Arc::clone(revision));
        self.changed();
    }

    /// Puts signals in force.
    pub(super) fn put_signals(&self, signals: signal::State) {
        let signals = Arc::new(signals);
        self.signals.get_or_init(|| Arc::new(ArcSwap::new(Arc::clone(&signals)))).store(signals);
        self.changed();
    }

    /// After a swap: tells those that look, and how much there is by now.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        let has = |is_there: bool, ready| if is_there { ready } else { Ready::Nothing };
        let enforces = self.revision.get().is_some() && self.signals.get().is_some();
        let now = match self.issuance.has_bundles() {
            true => Ready::Issues.max(has(enforces, Ready::Enforces)),
            false => Ready::Nothing,
        };
        self.ready.send_if_modified(|ready| {
            let grows = now > *ready;
            *ready = now.max(*ready);
            grows
        });
    }

    pub(super) fn connected(&self, control: String, since: Timestamp) {
        self.link.send_replace(Link::Connected { control, since });
    }

    /// The link is down. `since` stays where it was down already.
    pub(super) fn waiting(&self, why: String, now: Timestamp) {
        self.channel.send_replace(None);
        self.link.send_modify(|link| {
            let since = match link {
                Link::Waiting { since, .. } => *since,
                Link::Connected { .. } => now,
            };
            *link = Link::Waiting { why, since };
        });
    }

    /// Whether the link is up.
    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.link.borrow(), Link::Connected { .. })
    }

    /// Whether this is not why it is down already.
    pub(super) fn is_news(&self, why: &str) -> bool {
        !matches!(&*self.link.borrow(), Link::Waiting { why: known, .. } if known == why)
    }

    pub(super) fn opened(&self, channel: Channel) {
        self.channel.send_replace(Some(channel));
    }

    /// Nothing comes any more; who waits is told.
    pub(super) fn finished(&self, now: Timestamp) {
        self.waiting("the peer has finished".to_owned(), now);
        self.ready.send_if_modified(|ready| {
            let waits = *ready < Ready::Enforces;
            *ready = if waits { Ready::Finished } else { *ready };
            waits
        });
    }
}

impl core::fmt::Debug for Outlets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outlets").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}
