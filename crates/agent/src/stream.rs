//! One open stream: the full state at once, then again whenever it changes, for as long as the process lives.

use core::future::pending;
use core::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{Clock, Timestamp};

use crate::callers::Caller;
use crate::refusal::Refusal;
use crate::retry::{later, pause};
use crate::state::{State, View};

/// The longest sleep before the clock is looked at again: a machine that was suspended, or whose clock was set,
/// notices within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(10); // tidy: how soon a set clock is noticed, not a limit

/// What a stream sends.
pub(crate) type Answers<M> = ReceiverStream<Result<M, Status>>;

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
pub(crate) async fn open<M: View>(caller: Caller) -> Result<Answers<M>, Status> {
    // Subscribed before the first look, so that no change falls between.
    let changes = caller.source.issuance.changes();
    let state = match M::look(&caller.source, &caller.selectors).await {
        Ok(state) => state,
        Err(refusal) => return Err(caller.refuse(&refusal)),
    };
    if !caller.peer.process.is_alive() {
        return Err(Status::unavailable("the calling process has ended"));
    }
    // One message in flight: a slow reader gets the newest state next, not a queue of old ones.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(run(caller, state, changes, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn run<M: View>(
    mut caller: Caller,
    mut state: State<M>,
    mut changes: watch::Receiver<u64>,
    sender: mpsc::Sender<Result<M, Status>>,
) {
    let mut failures = 0;
    caller.shows(&state);
    if !send(&mut caller, &sender, &state.message).await {
        return;
    }
    loop {
        match wait(&mut caller, state.look_again, &mut changes, &sender).await {
            Wake::Look => {}
            Wake::Stopping => return drop(sender.send(Err(Status::unavailable("the agent is stopping"))).await),
            Wake::Over => return,
        }
        match M::look(&caller.source, &caller.selectors).await {
            Ok(next) => {
                failures = 0;
                let changed = next.message != state.message;
                state = next;
                // INVARIANT: nothing is sent for a process that is gone; its id and its end of the socket may have
                // passed to another.
                if !caller.peer.process.is_alive() {
                    return;
                }
                caller.shows(&state);
                if changed && !send(&mut caller, &sender, &state.message).await {
                    return;
                }
            }
            Err(refusal) => {
                if must_end(&caller, &refusal, &state) {
                    caller.shows(&State { handed: Vec::new(), ..state });
                    return drop(sender.send(Err(refusal.status())).await);
                }
                state.look_again = later(caller.source.clock.now(), pause(failures));
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// Hands a message over as soon as the reader has taken the one before. `false` when the stream is over: also for a process that
/// ended while its message waited, because whoever has its end of the socket by then is somebody else.
async fn send<M: View>(caller: &mut Caller, sender: &mpsc::Sender<Result<M, Status>>, message: &M) -> bool {
    tokio::select! {
        biased;
        () = caller.peer.process.ended() => false,
        _ = caller.stopping.wait_for(|stopping| *stopping) => false,
        sent = sender.send(Ok(message.clone())) => sent.is_ok(),
    }
}

async fn wait<M>(
    caller: &mut Caller,
    look_again: Timestamp,
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
        () = caller.peer.process.ended() => Wake::Over,
        _ = caller.stopping.wait_for(|stopping| *stopping) => Wake::Stopping,
        () = changed => Wake::Look,
        () = sleep_until(caller.source.clock.as_ref(), look_again) => Wake::Look,
    }
}

/// A refusal takes the identity away at once. A failure does not, as long as what was sent is still good.
fn must_end<M>(caller: &Caller, refusal: &Refusal, state: &State<M>) -> bool {
    refusal.is_final() || state.good_until <= caller.source.clock.now()
}

/// Sleeps in steps until the clock has reached a moment, or was set back: then that moment may be further away than it was
/// meant to be.
pub(crate) async fn sleep_until(clock: &dyn Clock, moment: Timestamp) {
    let mut now = clock.now();
    loop {
        let left = Duration::from_micros(moment.micros_since(now));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        let before = core::mem::replace(&mut now, clock.now());
        if now < before {
            return;
        }
    }
}
