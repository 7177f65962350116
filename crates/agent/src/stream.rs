//! One open stream: the full state at once, then again whenever it changes, for as long as the process lives.

use core::future::pending;
use core::time::Duration;
use std::sync::Arc;

use api::issuance::IssueError;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{Selectors, Timestamp};

use crate::pin::Pinned;
use crate::quota::Share;
use crate::state::{Source, State, View, status};
use crate::wallet::{later, pause};

/// The longest sleep before the clock is looked at again: a machine that was suspended, or whose clock was set,
/// notices within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(10); // tidy: how soon a set clock is noticed, not a limit

/// What a stream sends.
pub(crate) type Answers<M> = ReceiverStream<Result<M, Status>>;

/// Whom a stream serves.
pub(crate) struct Session {
    pub source: Arc<Source>,
    pub process: Pinned,
    pub selectors: Selectors,
    /// Turns true at the end of the agent.
    pub stopping: watch::Receiver<bool>,
    /// Held, not read: the process has one stream more for as long as this lives.
    pub _share: Share,
}

/// Why a stream woke up.
enum Wake {
    Look,
    Stopping,
    Over,
}

/// Opens a stream. The first state is found before this returns, so that a refusal is the answer to the call itself.
///
/// # Errors
/// The status for the caller.
pub(crate) async fn open<M: View>(session: Session) -> Result<Answers<M>, Status> {
    // Subscribed before the first look, so that no change falls between.
    let changes = session.source.issuance.changes();
    let state = M::look(&session.source, &session.selectors).await.map_err(|error| {
        tracing::info!(pid = session.process.pid, uid = session.process.uid, %error, "no identity");
        status(&error)
    })?;
    if !session.process.is_alive() {
        return Err(Status::unavailable("the calling process has ended"));
    }
    // One message in flight: a slow reader gets the newest state next, not a queue of old ones.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(run(session, state, changes, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn run<M: View>(
    mut session: Session,
    mut state: State<M>,
    mut changes: watch::Receiver<u64>,
    sender: mpsc::Sender<Result<M, Status>>,
) {
    let mut failures = 0;
    if sender.send(Ok(state.message.clone())).await.is_err() {
        return;
    }
    loop {
        match session.wait(&state, &mut changes, &sender).await {
            Wake::Look => {}
            Wake::Stopping => return drop(sender.send(Err(Status::unavailable("the agent is stopping"))).await),
            Wake::Over => return,
        }
        match M::look(&session.source, &session.selectors).await {
            Ok(next) => {
                failures = 0;
                let changed = next.message != state.message;
                state = next;
                // INVARIANT: nothing is sent for a process that is gone; its id and its end of the socket may have
                // passed to another.
                let gone = !session.process.is_alive();
                if gone || (changed && sender.send(Ok(state.message.clone())).await.is_err()) {
                    return;
                }
            }
            Err(error) => {
                if session.must_end(&error, &state) {
                    return drop(sender.send(Err(status(&error))).await);
                }
                state.look_again = later(session.source.clock.now(), pause(failures));
                failures = failures.saturating_add(1);
            }
        }
    }
}

impl Session {
    async fn wait<M: View>(
        &mut self,
        state: &State<M>,
        changes: &mut watch::Receiver<u64>,
        sender: &mpsc::Sender<Result<M, Status>>,
    ) -> Wake {
        let changed = async {
            if changes.changed().await.is_err() {
                // Nobody announces changes any more; renewals still happen.
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = sender.closed() => Wake::Over,
            () = self.process.ended() => Wake::Over,
            _ = self.stopping.wait_for(|stopping| *stopping) => Wake::Stopping,
            () = changed => Wake::Look,
            () = sleep_until(&self.source, state.look_again) => Wake::Look,
        }
    }

    /// A refusal takes the identity away at once. A failure does not, as long as what was sent is still good.
    fn must_end<M>(&self, error: &IssueError, state: &State<M>) -> bool {
        match error {
            IssueError::NotEntitled(_) => true,
            IssueError::Unavailable(_) | IssueError::BadRequest(_) => state.good_until <= self.source.clock.now(),
        }
    }
}

/// Sleeps in steps until the clock has reached a moment.
async fn sleep_until(source: &Source, moment: Timestamp) {
    loop {
        let left = Duration::from_micros(moment.micros_since(source.clock.now()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}
