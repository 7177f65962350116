//! One writer per directory: an `flock` on `lock`, which also says who holds it and since which start.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use types::limits;

use crate::{OpenError, format::StartId};

const NAME: &str = "lock";
/// A reader that asks whether a writer lives holds the lock for microseconds; a writer waits that out.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(limits::LOG_LOCK_PAUSE_TIME.default);

/// The lock of a directory, held until dropped.
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let denied = |source| OpenError::NotWritable { path: dir.to_owned(), source };
        let path = path(dir);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(denied)?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
                Err(error) => return Err(denied(error.into())),
            }
        }
        Err(OpenError::InUse { path: dir.to_owned(), pid: Holder::read(&path).ok().and_then(|holder| holder.pid) })
    }

    /// The start that held it last, where it said so.
    pub(crate) fn last_start(dir: &Path) -> Option<StartId> {
        Holder::read(&path(dir)).ok().and_then(|holder| holder.start)
    }

    /// Says who holds it.
    pub(crate) fn sign(&mut self, start: StartId) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(format!("pid {}\nstart {start}\n", process::id()).as_bytes())
    }
}

/// The start that is being written now; `None` where no writer lives.
pub(crate) fn live_start(dir: &Path) -> io::Result<Option<StartId>> {
    let path = path(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        // a holder that has not signed yet has written nothing: every start there is older
        Err(Errno::WOULDBLOCK) => Ok(Some(Holder::read(&path)?.start.unwrap_or(StartId::new(u64::MAX)))),
        Err(error) => Err(error.into()),
    }
}

struct Holder {
    pid: Option<u32>,
    start: Option<StartId>,
}

impl Holder {
    fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(256).read_to_string(&mut text)?;
        let value = |key| text.lines().find_map(|line| line.strip_prefix(key));
        Ok(Self { pid: value("pid ").and_then(|v| v.parse().ok()), start: value("start ").and_then(StartId::parse) })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}
