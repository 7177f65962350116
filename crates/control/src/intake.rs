//! The decision logs of others: taken over the wire, kept as copies in `DATA/enforcers/NAME/log`.
//!
//! What is acknowledged is on the disk. Names come from verified identities, files from [`Copies`]: nothing that a peer
//! says is a path. All copies together stay within one size.

mod enforcer;
mod stream;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::wire::{Received, Shipped};
use record::ReadError;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{Label, limits};

use crate::service::Control;
use enforcer::Enforcer;

/// Answers that wait for a slow peer.
const WAITING: usize = 4;

/// How often copies are listed again while there is no room.
const RECOUNT_EVERY: Duration = Duration::from_millis(1_000); // tidy: a pause, not a limit

/// Why the logs of others cannot be kept.
#[derive(Debug, Error)]
#[error("the decision logs of others cannot be kept: {0}")]
pub struct IntakeError(#[from] ReadError);

impl IntakeError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        "`enforcers` in the data directory must belong to the user who runs this; check owner, mode and disk"
    }
}

/// Takes the logs of others.
pub struct Intake {
    dir: PathBuf,
    max_bytes: u64,
    used: AtomicU64,
    enforcers: Mutex<BTreeMap<Label, Arc<Enforcer>>>,
    /// Why nothing more is taken.
    full: Mutex<Option<String>>,
    writes: Semaphore,
    /// When the copies were counted anew.
    counted: Mutex<Option<Instant>>,
}

/// How the intake fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntakeState {
    /// Bytes of all copies.
    pub used_bytes: u64,
    /// Bytes that they may take.
    pub max_bytes: u64,
    /// Why nothing more is taken; `None` where it is.
    pub full: Option<String>,
    /// Whose copies take the most, and how many bytes.
    pub largest: Option<(String, u64)>,
}

impl Intake {
    /// Opens what is kept in a data directory.
    ///
    /// # Errors
    /// [`IntakeError`], with a hint, where it cannot be read or written.
    pub fn open(data: &Path, max_bytes: u64) -> Result<Arc<Self>, IntakeError> {
        let dir = data.join("enforcers");
        let mut enforcers = BTreeMap::new();
        for name in names(&dir).map_err(|source| ReadError { path: dir.clone(), source })? {
            let enforcer = Enforcer::new(&dir, &name);
            enforcer.open()?;
            enforcers.insert(name, Arc::new(enforcer));
        }
        let used = enforcers.values().fold(0_u64, |sum, enforcer| sum.saturating_add(enforcer.bytes()));
        Ok(Arc::new(Self {
            dir,
            max_bytes,
            used: AtomicU64::new(used),
            enforcers: Mutex::new(enforcers),
            full: Mutex::new(None),
            writes: Semaphore::new(limits::INTAKE_WRITES.default_usize()),
            counted: Mutex::new(None),
        }))
    }

    /// Takes what a peer ships, until it ends. `peer` is who it proved to be. Each answer says what is on the disk; bytes
    /// that contradict what is there, and names that are none, are refused and told. A message that no honest peer sends
    /// ends the stream.
    pub fn ship<S>(self: &Arc<Self>, peer: &Label, shipped: S) -> ReceiverStream<Result<Received, Status>>
    where
        S: Stream<Item = Result<Shipped, Status>> + Send + Unpin + 'static,
    {
        let (out, answers) = mpsc::channel(WAITING);
        let (intake, enforcer) = (Arc::clone(self), self.enforcer(peer));
        tokio::spawn(async move {
            if let Err(status) = stream::take(&intake, &enforcer, shipped, &out).await {
                tracing::warn!(peer = %enforcer.name, why = status.message(), "a peer's decision log is not taken");
                // a peer that is gone needs no answer
                let _ = out.send(Err(status)).await;
            }
        });
        ReceiverStream::new(answers)
    }

    /// Everybody of whom something is kept: the name, the directory, and a number that grows whenever something came.
    pub fn logs(&self) -> Vec<(Label, PathBuf, u64)> {
        let log = |enforcer: &Arc<Enforcer>| (enforcer.name.clone(), enforcer.dir.clone(), enforcer.changes());
        self.held().values().map(log).collect()
    }

    /// How it fares.
    pub fn state(&self) -> IntakeState {
        let enforcers = self.held();
        let largest = enforcers.values().max_by_key(|enforcer| enforcer.bytes());
        IntakeState {
            used_bytes: self.used.load(Ordering::Relaxed),
            max_bytes: self.max_bytes,
            full: self.full.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            largest: largest.map(|enforcer| (enforcer.name.to_string(), enforcer.bytes())),
        }
    }

    /// Bytes that are kept of a peer's log, and what is missing in it as far as files show, one sentence each.
    pub fn kept(&self, peer: &Label) -> (u64, Vec<String>) {
        let enforcer = self.held().get(peer).cloned();
        enforcer.map_or_else(Default::default, |enforcer| (enforcer.bytes(), enforcer.gaps()))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Label, Arc<Enforcer>>> {
        self.enforcers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enforcer(&self, name: &Label) -> Arc<Enforcer> {
        let make = || Arc::new(Enforcer::new(&self.dir, name));
        Arc::clone(self.held().entry(name.clone()).or_insert_with(make))
    }

    /// Takes room for so many more bytes. False where there is none.
    fn reserve(&self, bytes: u64) -> bool {
        let within = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.max_bytes);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // the closure always gives a value
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Counts anew, once in a while: pieces may not have been kept, and copies may have been moved away.
    fn recount(&self) {
        {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            if counted.is_some_and(|at| at.elapsed() < RECOUNT_EVERY) {
                return;
            }
            *counted = Some(Instant::now());
        }
        let enforcers: Vec<Arc<Enforcer>> = self.held().values().cloned().collect();
        let used = enforcers.iter().fold(0_u64, |sum, enforcer| sum.saturating_add(enforcer.look_again()));
        self.used.store(used, Ordering::Release);
    }

    fn tell_full(&self, why: Option<String>) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if *full != why {
            match &why {
                Some(why) => tracing::error!(why, "the decision logs of others are not taken"),
                None => tracing::info!("the decision logs of others are taken again"),
            }
            *full = why;
        }
    }

    /// What a peer is told, and `doctor` tells.
    fn no_room(&self) -> String {
        format!(
            "the intake has reached its size of {} bytes: raise `intake.max_size` in control's node.yaml, or move \
             segments that are named in `{}` to an archive",
            self.max_bytes,
            self.dir.join("NAME/log/received").display()
        )
    }
}

/// The folders that are named like peers. Others are nobody's log.
fn names(dir: &Path) -> io::Result<Vec<Label>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<fs::DirEntry>| match entry {
        Ok(entry) => Label::parse(&entry.file_name().to_string_lossy()).ok().map(Ok),
        Err(error) => Some(Err(error)),
    };
    entries.filter_map(name).collect()
}

/// What the wire's service answers with.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<Received, Status>> + Send>>;

/// Takes what an authorised proxy ships.
///
/// # Errors
/// None at present: what is wrong is told on the stream.
pub(crate) fn receive<S>(control: &Arc<Control>, proxy: &Label, shipped: S) -> Result<Answers, Status>
where
    S: Stream<Item = Result<Shipped, Status>> + Send + Unpin + 'static,
{
    Ok(Box::pin(control.parts.intake.ship(proxy, shipped)))
}

/// Bytes that control keeps of a proxy's log, and what is missing in it, one sentence each.
pub(crate) fn kept(control: &Control, proxy: &Label) -> (u64, Vec<String>) {
    let (bytes, mut gaps) = control.parts.intake.kept(proxy);
    match control.parts.store.log_gaps(proxy.as_str()) {
        Ok(found) => gaps.extend(found),
        Err(error) => gaps.push(format!("what counting found missing is not known: {error}")),
    }
    (bytes, gaps)
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
