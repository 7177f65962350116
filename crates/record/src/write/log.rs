//! A log opened for writing: its lock, its start, its lanes.

use std::{
    collections::BTreeSet,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
};

use rustix::io::Errno;
use types::{Clock, Label, limits};

use super::{
    lane::Lane,
    prepare::{self, Health, Job, Shared},
    recovery::{self, Recovery},
};
use crate::{
    OpenError, ReadError, SegmentState,
    format::{LaneKey, SegmentName, StartId},
    lock::Lock,
};

/// Where a log lies and how large it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The directory; made where it is missing, readable by its owner only.
    pub dir: PathBuf,
    /// Bytes that the directory may take, with what is reserved ahead. Nothing is recorded beyond it.
    pub max_bytes: u64,
    /// Bytes of one segment, 64 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Who writes.
    pub enforcer: Label,
}

impl LogConfig {
    /// A log with the sizes of [`limits::LOG_BYTES`] and [`limits::SEGMENT_BYTES`].
    pub fn new(dir: impl Into<PathBuf>, enforcer: Label) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: limits::LOG_BYTES.default,
            segment_bytes: limits::SEGMENT_BYTES.default,
            enforcer,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        let fits = (64 * 1024..=1024 * 1024 * 1024).contains(&self.segment_bytes);
        if fits && self.max_bytes / 2 >= self.segment_bytes {
            Ok(())
        } else {
            Err(OpenError::Sizes { max_bytes: self.max_bytes, segment_bytes: self.segment_bytes })
        }
    }
}

/// A decision log that this process writes. One per directory.
pub struct Log {
    core: Arc<Core>,
    recovery: Recovery,
}

impl Log {
    /// Opens a directory for writing: takes its lock, looks at what earlier starts left, and gives back the space that
    /// they had reserved and not written.
    ///
    /// Durability is `process`: records survive the death of this process at any moment, not the loss of power.
    ///
    /// # Errors
    /// [`OpenError`], with a hint, where the directory cannot be written, is in use, or holds segments whose headers
    /// are damaged or of a later version. Torn tails and damaged records are no errors: [`Log::recovery`] tells them.
    pub fn open(config: LogConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        config.check()?;
        let LogConfig { dir, max_bytes, segment_bytes, enforcer } = config;
        make_directory(&dir)?;
        let mut lock = Lock::take(&dir)?;
        let before = Lock::last_start(&dir);
        let (recovery, last) = recovery::recover(&dir)?;
        let start = next_start(&dir, last, clock.as_ref())?;
        // the segments of that start may all have been released
        let before = before.map_or(0, |before| before.value().saturating_add(1));
        let start = StartId::new(start.value().max(before));
        lock.sign(start).map_err(|source| OpenError::NotWritable { path: dir.clone(), source })?;
        let shared = Arc::new(Shared::new(dir, max_bytes, segment_bytes, Arc::clone(&clock)));
        let core = Core::spawn(shared, start, enforcer, clock, lock)?;
        Ok(Self { core: Arc::new(core), recovery })
    }

    /// What was found when the log was opened.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// This run of the enforcer.
    pub fn start(&self) -> StartId {
        self.core.start
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.core.shared.dir
    }

    /// How the log fares: its size, and why lanes cannot record.
    pub fn health(&self) -> Health {
        self.core.shared.health()
    }

    /// Removes segments that are kept elsewhere, the oldest first, while the log takes more than half of its size. Of
    /// `kept` only those go that are whole here and there, and of each lane none before an older one. Gives the bytes that
    /// became free.
    ///
    /// # Errors
    /// When the directory cannot be read or written; what was removed until then is on record in it.
    pub fn release(&self, kept: &[SegmentState]) -> Result<u64, ReadError> {
        let shared = &self.core.shared;
        shared.release(self.core.start, kept).map_err(|source| ReadError::new(&shared.dir, source))
    }

    /// Opens a lane, with its first segment where there is room; where there is none, [`Lane::append`] refuses until
    /// there is.
    ///
    /// # Errors
    /// [`OpenError`] where the name is none or was used since the start, or a segment cannot be made for a reason that
    /// time does not cure.
    pub fn lane(&self, name: &str) -> Result<Lane, OpenError> {
        let lane = Label::parse(name).map_err(|_| OpenError::LaneName(name.chars().take(80).collect()))?;
        self.core.claim(&lane)?;
        let key = LaneKey { start: self.core.start, lane: lane.clone() };
        let shared = &self.core.shared;
        let first = shared.make(&SegmentName { key, number: 0 }).map_err(|source| {
            let path = shared.dir.clone();
            match Errno::from_io_error(&source) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV) => OpenError::NoReservation { path, source },
                _ => OpenError::NotWritable { path, source },
            }
        })?;
        Ok(Lane::new(Arc::clone(&self.core), lane, first.ok()))
    }
}

/// What the log and its lanes hold together; the last of them to go stops the thread, then gives up the lock.
pub(crate) struct Core {
    pub(crate) start: StartId,
    pub(crate) enforcer: Label,
    pub(crate) clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    names: Mutex<BTreeSet<Label>>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    _lock: Lock,
}

impl Core {
    fn spawn(
        shared: Arc<Shared>,
        start: StartId,
        enforcer: Label,
        clock: Arc<dyn Clock>,
        lock: Lock,
    ) -> Result<Self, OpenError> {
        let (jobs, work) = channel();
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("record-prepare".to_owned())
            .spawn(move || prepare::run(&for_thread, &work))
            .map_err(OpenError::Thread)?;
        let names = Mutex::default();
        Ok(Self { start, enforcer, clock, shared, names, jobs: Some(jobs), thread: Some(thread), _lock: lock })
    }

    /// Gives work to the thread. It lives as long as this, so the work is always taken.
    pub(crate) fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    pub(crate) fn count_refused(&self) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn claim(&self, lane: &Label) -> Result<(), OpenError> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.insert(lane.clone()) { Ok(()) } else { Err(OpenError::LaneTwice(lane.to_string())) }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // it ends because the sender is gone; a panic in it has been told on stderr
            let _ = thread.join();
        }
    }
}

fn make_directory(dir: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(source) => match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Err(OpenError::NotADirectory(dir.to_owned()))
            }
            _ => Err(OpenError::NotWritable { path: dir.to_owned(), source }),
        },
    }
}

/// This start: the present moment, or just after the latest start in the directory.
fn next_start(dir: &Path, last: Option<SegmentName>, clock: &dyn Clock) -> Result<StartId, OpenError> {
    let now = clock.now().micros();
    let Some(last) = last else { return Ok(StartId::new(now)) };
    let what = "its start is the last that there can be";
    let after = last.key.start.value().checked_add(1);
    let after = after.ok_or_else(|| OpenError::Damaged { file: dir.join(last.to_string()), what })?;
    Ok(StartId::new(now.max(after)))
}
