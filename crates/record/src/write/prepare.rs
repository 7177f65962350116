//! Segments ahead of need: one thread per log makes the next ones and shrinks the finished ones, off the path.

use core::fmt;
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use rustix::io::Errno;
use types::{Clock, Label, Timestamp, limits};

use super::segment::Segment;
use crate::{directory::Listing, format::SegmentName};

/// How long until a segment that could not be made is tried again.
const RETRY: Duration = Duration::from_millis(limits::SEGMENT_RETRY_TIME.default);

/// Work for the thread.
pub(crate) enum Job {
    /// Make a segment.
    Prepare(Request),
    /// Shrink a segment that is finished.
    Retire(Segment),
}

/// A segment that a lane waits for.
pub(crate) struct Request {
    pub(crate) name: SegmentName,
    pub(crate) reply: Sender<Segment>,
    /// Gone when the lane is.
    pub(crate) lane: Weak<()>,
}

/// Why a lane has no next segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Another segment would take the directory beyond its size.
    LogFull,
    /// The file system has no space left, or the quota is used up.
    DiskFull,
    /// The system says something else.
    Failed(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogFull => f.write_str("the decision log has reached its size"),
            Self::DiskFull => f.write_str("the file system of the decision log is full"),
            Self::Failed(what) => write!(f, "a segment of the decision log cannot be made: {what}"),
        }
    }
}

impl Cause {
    pub(crate) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::DiskFull,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A lane that has no next segment. It records on while the present one has room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The lane.
    pub lane: Label,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Timestamp,
}

/// How a log fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Bytes of the directory, with what is reserved; as last counted where it cannot be listed now.
    pub used_bytes: u64,
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// Records that were refused since the start.
    pub refused: u64,
    /// Lanes without a next segment, with why; gone as soon as there is one.
    pub troubles: Vec<Trouble>,
}

/// What the thread and the lanes share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bytes of the directory when last counted. Held while a segment is made, so that two cannot take the same room.
    pub(crate) space: Mutex<u64>,
    troubles: Mutex<BTreeMap<Label, Trouble>>,
    pub(crate) refused: AtomicU64,
}

impl Shared {
    pub(crate) fn new(dir: PathBuf, max_bytes: u64, segment_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            dir,
            max_bytes,
            segment_bytes,
            clock,
            space: Mutex::new(0),
            troubles: Mutex::new(BTreeMap::new()),
            refused: AtomicU64::new(0),
        }
    }

    /// Makes a segment within the log's size. The inner error is one that time may cure.
    pub(crate) fn make(&self, name: &SegmentName) -> io::Result<Result<Segment, Cause>> {
        let mut used = held(&self.space);
        *used = Listing::of(&self.dir)?.bytes;
        if used.saturating_add(self.segment_bytes) > self.max_bytes {
            return Ok(Err(Cause::LogFull));
        }
        let bytes = usize::try_from(self.segment_bytes).map_err(io::Error::other)?;
        match Segment::create(&self.dir.join(name.to_string()), bytes) {
            Ok(segment) => Ok(Ok(segment)),
            Err(error) => match Cause::of(&error) {
                Cause::Failed(_) => Err(error),
                cause => Ok(Err(cause)),
            },
        }
    }

    /// Tries to make the segment that a lane waits for. False where it must be tried again.
    fn serve(&self, request: &Request) -> bool {
        let lane = &request.name.key.lane;
        if request.lane.strong_count() == 0 {
            held(&self.troubles).remove(lane);
            return true;
        }
        let cause = match self.make(&request.name) {
            Ok(Ok(segment)) => {
                held(&self.troubles).remove(lane);
                // a lane that went meanwhile needs none: the segment is dropped, which removes it
                let _ = request.reply.send(segment);
                return true;
            }
            Ok(Err(cause)) => cause,
            Err(error) => Cause::of(&error),
        };
        self.note(lane, cause);
        false
    }

    fn note(&self, lane: &Label, cause: Cause) {
        let mut troubles = held(&self.troubles);
        let since = troubles.get(lane).map_or_else(|| self.clock.now(), |trouble| trouble.since);
        troubles.insert(lane.clone(), Trouble { lane: lane.clone(), cause, since });
    }

    /// How the log fares.
    pub(crate) fn health(&self) -> Health {
        let mut used = held(&self.space);
        if let Ok(listing) = Listing::of(&self.dir) {
            *used = listing.bytes;
        }
        Health {
            used_bytes: *used,
            max_bytes: self.max_bytes,
            refused: self.refused.load(Ordering::Relaxed),
            troubles: held(&self.troubles).values().cloned().collect(),
        }
    }
}

/// The thread: serves lanes until all of them and the log are gone.
pub(crate) fn run(shared: &Shared, jobs: &Receiver<Job>) {
    let mut waiting: Vec<Request> = Vec::new();
    loop {
        let job = if waiting.is_empty() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(RETRY)
        };
        match job {
            Ok(Job::Prepare(request)) => waiting.push(request),
            Ok(Job::Retire(segment)) => drop(segment),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.retain(|request| !shared.serve(request));
    }
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
