//! Who calls: counted, then attested, before anything is done for them.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Status};
use types::{Selectors, limits};

use crate::attest::{AttestError, Attestor};
use crate::hands::Hand;
use crate::pin::Pinned;
use crate::quota::{Rate, Share, Shares, Turns};
use crate::refusal::Refusal;
use crate::state::{Source, State, View};

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(crate) struct Peer {
    pub process: Pinned,
    pub hand: Arc<Hand>,
}

/// Lets callers in.
pub(crate) struct Callers {
    source: Arc<Source>,
    attestor: Arc<Attestor>,
    rate: Rate,
    of_all: Shares,
    of_user: Shares,
    of_process: Shares,
    turns: Turns,
    stopping: watch::Receiver<bool>,
}

/// An attested process in one of its calls.
pub(crate) struct Caller {
    pub source: Arc<Source>,
    pub peer: Peer,
    pub selectors: Selectors,
    /// Turns true at the end of the agent.
    pub stopping: watch::Receiver<bool>,
    /// Held, not read: there is one call more for as long as this lives.
    _shares: [Share; 3],
}

impl Callers {
    pub fn new(source: Arc<Source>, attestor: Attestor, stopping: watch::Receiver<bool>) -> Self {
        Self {
            source,
            attestor: Arc::new(attestor),
            rate: Rate::default(),
            of_all: Shares::of(&limits::WORKLOAD_ALL_STREAMS),
            of_user: Shares::of(&limits::WORKLOAD_USER_STREAMS),
            of_process: Shares::of(&limits::WORKLOAD_STREAMS),
            turns: Turns::default(),
            stopping,
        }
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// The status for the caller: too many calls, or a process about which nothing can be said.
    pub async fn admit<R: Sync>(&self, request: &Request<R>) -> Result<Caller, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::permission_denied("the calling process is not known"))?;
        let Pinned { uid, pid, .. } = peer.process;
        if !self.rate.admit(uid, self.source.clock.now().seconds()) {
            return Err(Status::unavailable("too many calls of this user; try again in a second"));
        }
        let busy =
            |who| move || Status::unavailable(format!("{who} too many open calls; close some, or try again later"));
        let shares = [
            self.of_process.take(pid).ok_or_else(busy("this process has"))?,
            self.of_user.take(uid).ok_or_else(busy("the processes of this user have"))?,
            self.of_all.take(0).ok_or_else(busy("the processes of this machine have"))?,
        ];
        let selectors = self.attest(peer.process.clone()).await?;
        let (source, stopping) = (Arc::clone(&self.source), self.stopping.clone());
        Ok(Caller { source, peer, selectors, stopping, _shares: shares })
    }

    async fn attest(&self, process: Pinned) -> Result<Selectors, Status> {
        let (pid, uid) = (process.pid, process.uid);
        let attested = async {
            let turn = self.turns.take(uid).await;
            let (attestor, clock) = (Arc::clone(&self.attestor), Arc::clone(&self.source.clock));
            tokio::task::spawn_blocking(move || {
                // What outlasts everybody's patience still keeps its turn, so that there are never more.
                let _turn = turn;
                attestor.attest(&process, clock.as_ref())
            })
            .await
        };
        let patience = Duration::from_millis(limits::ATTESTATION_TIME.default);
        let late = |_| Status::unavailable("the calling process could not be attested in time; try again");
        let attested = tokio::time::timeout(patience, attested).await.map_err(late)?;
        attested.map_err(|_| Status::unavailable("the agent is stopping"))?.map_err(|error| {
            tracing::info!(pid, uid, %error, "not attested");
            match error {
                AttestError::Gone | AttestError::OtherUser => {
                    Status::permission_denied("the calling process could not be attested")
                }
                AttestError::Unreadable(_) => Status::unavailable("the calling process cannot be attested now"),
            }
        })
    }
}

impl Caller {
    /// Tells the operator why, and gives the caller's words for it.
    pub fn refuse(&self, refusal: &Refusal) -> Status {
        let Pinned { pid, uid, .. } = self.peer.process;
        tracing::info!(pid, uid, error = %refusal, proven = %self.selectors, "nothing is handed out");
        refusal.status()
    }

    /// Notes what the caller has in hand from now on.
    pub fn shows<M: View>(&self, state: &State<M>) {
        if M::HANDS_OUT {
            self.peer.hand.show(state.handed.clone());
        }
    }
}
