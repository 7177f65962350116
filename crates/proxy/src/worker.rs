//! What one worker owns: its lane of the decision log, its ids, its upstream connections. Nothing here is shared with
//! another core; what is shared (revision, trust) is read through atomics.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use arc_swap::ArcSwap;
use policy::{Permit, call::Refused};
use record::{Lane, Recorded};
use runtime::freshness::Freshness;
use signal::State;
use trustdir::Revision;
use types::{Clock, DecisionId, Reason, Recordable, Timestamp};

use crate::{
    early::EarlyRefusals, ids::IdSource, pool::Pool, registry::Registry, stats::Counters, trusted::Trusted,
    watch::Completion,
};

/// What all workers of a proxy read.
pub struct Shared {
    /// The revision in force.
    pub revision: Arc<ArcSwap<Revision>>,
    /// What is held against whom; replaced at any time.
    pub signals: Arc<ArcSwap<State>>,
    /// How old revision and signals are.
    pub freshness: Arc<Freshness>,
    /// What peers are verified against.
    pub trusted: Arc<Trusted>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// One worker.
pub struct Worker {
    shared: Arc<Shared>,
    lane: RefCell<Lane>,
    ids: RefCell<IdSource>,
    pool: Pool,
    early: RefCell<BTreeMap<Arc<str>, EarlyRefusals>>,
    registry: Registry,
    counters: Arc<Counters>,
    is_cut: Cell<bool>,
}

impl Worker {
    /// A worker that writes to `lane`.
    pub fn new(shared: Arc<Shared>, lane: Lane, ids: IdSource, counters: Arc<Counters>) -> Rc<Self> {
        Rc::new(Self {
            shared,
            lane: RefCell::new(lane),
            ids: RefCell::new(ids),
            pool: Pool::default(),
            early: RefCell::default(),
            registry: Registry::default(),
            counters,
            is_cut: Cell::new(false),
        })
    }

    /// What is open.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What all workers read.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// From now on, exchanges end because the proxy stops.
    pub fn cut(&self) {
        self.is_cut.set(true);
    }

    /// Whether exchanges end because the proxy stops.
    pub const fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// The upstream connections.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A new decision id.
    pub fn decision_id(&self, at: Timestamp) -> DecisionId {
        self.ids.borrow_mut().next(at)
    }

    /// Records a permit. Without the record there is nothing to forward with.
    ///
    /// # Errors
    /// [`Reason::RecordFull`] when the log did not take it.
    pub fn record_permit(&self, permit: Permit) -> Result<Recorded<Permit>, Reason> {
        match self.lane.borrow_mut().append(permit) {
            Ok(recorded) => {
                self.counters.allowed(recorded.get().noted());
                Ok(recorded)
            }
            Err(refused) => {
                tracing::error!(error = %refused.why(), "a permit could not be recorded; the request is refused");
                self.counters.refused(Reason::RecordFull, &[]);
                Err(Reason::RecordFull)
            }
        }
    }

    /// Records a refusal and gives the reason to answer with: its own, or that of a log that is full.
    pub fn record_refusal(&self, refused: Refused) -> Reason {
        match self.lane.borrow_mut().append(refused) {
            Ok(recorded) => {
                self.counters.refused(recorded.get().reason(), recorded.get().noted());
                recorded.get().reason()
            }
            Err(error) => {
                tracing::error!(error = %error.why(), "a refusal could not be recorded");
                self.counters.refused(Reason::RecordFull, &[]);
                Reason::RecordFull
            }
        }
    }

    /// Records a refusal from before identity, or counts it where there are too many.
    pub fn record_early(&self, listener: &Arc<str>, refused: Refused) {
        let accepted = refused.reached().accepted();
        let admitted = self
            .early
            .borrow_mut()
            .entry(Arc::clone(listener))
            .or_insert_with(|| EarlyRefusals::new(Arc::clone(listener)))
            .admit(refused.reason(), accepted.source, accepted.at);
        if admitted {
            self.record_refusal(refused);
        } else {
            self.counters.refused(refused.reason(), &[]);
        }
    }

    /// Records what was only counted since the last call.
    pub fn flush_early(&self) {
        for early in self.early.borrow_mut().values_mut() {
            for tally in early.take() {
                if let Err(error) = self.lane.borrow_mut().append(tally) {
                    early.put_back(error.into_inner());
                }
            }
        }
    }

    /// Records how an allowed exchange ended. Room was reserved when the permit was recorded.
    pub fn record_completion(&self, completion: &Completion) {
        let owned = OwnedFacts(completion);
        if let Err(error) = self.lane.borrow_mut().append(owned) {
            tracing::error!(error = %error.why(), "a completion could not be recorded");
        }
    }
}

/// A completion is recorded while it is being dropped, so the log gets a view of it.
struct OwnedFacts<'a>(&'a Completion);

impl Recordable for OwnedFacts<'_> {
    fn facts(&self) -> types::facts::Facts<'_> {
        self.0.facts()
    }
}
