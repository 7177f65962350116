//! Brings an enforcer's decision log to control: what control does not have, from the byte where it ends there, again
//! after every cut. The log's own disk is the queue; only few bytes are on their way at any time.

mod session;

use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::wire::wire_client::WireClient;
use api::wire::{Piece, Received, Segment, Segments as Named, Shipped, shipped};
use record::{Log, ReadError, SegmentState, Segments};
use session::{Next, Session};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use types::limits;

/// How often the log is looked at: what is recorded is on its way within a second.
const LOOK_EVERY: Duration = Duration::from_millis(300); // tidy: a pause, not a limit
/// The pause before another attempt over the same link.
const AGAIN_AFTER: Duration = Duration::from_millis(1_000); // tidy: a pause, not a limit
/// Messages that wait for the network.
const QUEUE: usize = 4;

/// Ships one log. It has no end of its own: [`Self::run`] goes on where an earlier run was cut.
pub struct Shipper {
    log: Arc<Log>,
    unshipped: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// Why shipping ended.
#[derive(Debug)]
pub enum End {
    /// The link is gone, or control refuses; its words.
    Link(Status),
    /// Control ended the stream.
    Closed,
    /// Control takes no more; its words.
    Full(String),
    /// Control does not acknowledge what it was sent.
    Silent,
    /// The log is not readable.
    Log(ReadError),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(status) => write!(f, "control does not take the decision log: {}", status.message()),
            Self::Closed => f.write_str("control ended the stream of the decision log"),
            Self::Full(why) => write!(f, "control takes no more of the decision log: {why}"),
            Self::Silent => f.write_str("control does not acknowledge the decision log"),
            Self::Log(error) => match std::error::Error::source(error) {
                Some(source) => write!(f, "the decision log cannot be shipped: {error}: {source}"),
                None => write!(f, "the decision log cannot be shipped: {error}"),
            },
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Link(status)
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Log(error)
    }
}

impl Shipper {
    /// For a log that this process writes.
    pub fn new(log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self { log, unshipped: AtomicU64::new(0), trouble: Mutex::new(None) })
    }

    /// Bytes of the log that control does not have, as last counted.
    pub fn unshipped_bytes(&self) -> u64 {
        self.unshipped.load(Ordering::Relaxed)
    }

    /// Why parts of the log do not get to control, in words; `None` where they do, or there is no link.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ships for as long as it lives: over each link that there is, one after the other. Never ends while links may come.
    pub async fn follow(self: Arc<Self>, mut links: watch::Receiver<Option<Channel>>) {
        loop {
            let link = links.borrow_and_update().clone();
            let changed = match link {
                Some(link) => tokio::select! {
                    end = self.run(crate::client(link)) => {
                        tracing::debug!(%end, "shipping ended");
                        // the link may be good all the same: control may have refused for once
                        tokio::time::timeout(AGAIN_AFTER, links.changed()).await.unwrap_or(Ok(()))
                    }
                    changed = links.changed() => changed,
                },
                None => links.changed().await,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Ships until the link is gone. Where control has no room it is asked again after a while. Safe to drop at any
    /// moment: what control has not acknowledged is sent again.
    pub async fn run(&self, client: WireClient<Channel>) -> End {
        loop {
            let end = self.stream(client.clone()).await;
            self.tell(Some(end.to_string()));
            match end {
                End::Full(why) => {
                    tracing::warn!(why, "control takes no more of the decision log");
                    sleep(Duration::from_millis(limits::SHIP_FULL_TIME.default)).await;
                }
                End::Link(_) | End::Closed | End::Silent | End::Log(_) => return end,
            }
        }
    }

    /// One call, from the list of segments to its end.
    async fn stream(&self, mut client: WireClient<Channel>) -> End {
        let (out, queue) = mpsc::channel(QUEUE);
        let answers = match client.ship(ReceiverStream::new(queue)).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return status.into(),
        };
        let work = Work {
            shipper: self,
            segments: Arc::new(Mutex::new(Segments::new(self.log.dir()))),
            session: Session::default(),
            unsent: Vec::new(),
            heard: Instant::now(),
        };
        work.run(out, answers).await.unwrap_or_else(|end| end)
    }

    fn tell(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// One stream at work.
struct Work<'a> {
    shipper: &'a Shipper,
    segments: Arc<Mutex<Segments>>,
    session: Session,
    /// Names that are still to be told, a message each.
    unsent: Vec<Vec<SegmentState>>,
    /// The last time that control moved on, or had nothing to do.
    heard: Instant,
}

impl Work<'_> {
    async fn run(mut self, out: mpsc::Sender<Shipped>, mut answers: Streaming<Received>) -> Result<End, End> {
        let found = self.look().await?;
        self.session.begin(&found);
        // at least one: control speaks when it was spoken to
        let chunks = found.chunks(limits::SHIP_SEGMENTS.default_usize()).map(<[SegmentState]>::to_vec);
        self.unsent = chunks.rev().collect();
        if self.unsent.is_empty() {
            self.unsent.push(Vec::new());
        }
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_more = !self.unsent.is_empty() || self.session.has_next();
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => self.take(answer)?,
                    None => return Ok(End::Closed),
                },
                permit = out.reserve(), if has_more => match permit {
                    Ok(permit) => self.send(permit).await?,
                    // the call has ended; its answer says why
                    Err(_) => return Ok(answers.message().await.err().map_or(End::Closed, End::Link)),
                },
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    /// What the log holds now.
    async fn look(&mut self) -> Result<Vec<SegmentState>, End> {
        let segments = Arc::clone(&self.segments);
        let look = move || segments.lock().unwrap_or_else(PoisonError::into_inner).look();
        Ok(blocking(look).await??)
    }

    async fn tick(&mut self) -> Result<(), End> {
        let found = self.look().await?;
        self.session.look(&found);
        self.shipper.unshipped.store(self.session.unshipped(&found), Ordering::Relaxed);
        let kept = self.session.kept(&found);
        if !kept.is_empty() {
            let log = Arc::clone(&self.shipper.log);
            blocking(move || log.release(&kept)).await??;
        }
        if !self.session.is_waiting() {
            self.heard = Instant::now();
        }
        let patience = Duration::from_millis(limits::SHIP_ANSWER_TIME.default);
        if self.heard.elapsed() > patience { Err(End::Silent) } else { Ok(()) }
    }

    fn take(&mut self, answer: Received) -> Result<(), End> {
        self.heard = Instant::now();
        for refused in &answer.refused {
            tracing::error!(segment = refused.name, why = refused.why, "control refuses a segment of the decision log");
        }
        self.session.take(&answer);
        if !answer.full.is_empty() {
            return Err(End::Full(answer.full));
        }
        self.shipper.tell(self.session.trouble());
        Ok(())
    }

    async fn send(&mut self, permit: mpsc::Permit<'_, Shipped>) -> Result<(), End> {
        let message = if let Some(named) = self.unsent.pop() {
            let segment =
                |state: SegmentState| Segment { name: state.name, bytes: state.bytes, finished: state.finished };
            shipped::Shipped::Have(Named { segments: named.into_iter().map(segment).collect() })
        } else if let Some(next) = self.session.next() {
            shipped::Shipped::Piece(self.piece(next).await?)
        } else {
            return Ok(());
        };
        permit.send(Shipped { shipped: Some(message) });
        Ok(())
    }

    async fn piece(&mut self, next: Next) -> Result<Piece, End> {
        let (segments, name) = (Arc::clone(&self.segments), next.name.clone());
        let read = move || {
            let segments = segments.lock().unwrap_or_else(PoisonError::into_inner);
            segments.read(&name, next.offset, next.bytes)
        };
        let data = blocking(read).await??;
        Ok(Piece { name: next.name, offset: next.offset, data, finished: next.finished })
    }
}

/// Disks are waited for on another thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, End> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| End::Link(Status::internal(format!("the log could not be looked at: {error}"))))
}

#[cfg(test)]
mod tests;
