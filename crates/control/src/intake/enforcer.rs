//! One enforcer's copies, and what was refused of them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use record::{Copies, ReadError};
use types::{Label, limits};

/// The longest sentence of a refusal that is kept.
const SENTENCE: usize = 400;

/// One enforcer.
pub(super) struct Enforcer {
    pub(super) name: Label,
    /// `DATA/enforcers/NAME/log`.
    pub(super) dir: PathBuf,
    /// `None` until they are needed, and after they could not be read.
    copies: Mutex<Option<Copies>>,
    bytes: AtomicU64,
    changes: AtomicU64,
}

impl Enforcer {
    pub(super) fn new(dir: &Path, name: &Label) -> Self {
        Self {
            name: name.clone(),
            dir: dir.join(name.as_str()).join("log"),
            copies: Mutex::new(None),
            bytes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// Opens what is kept.
    pub(super) fn open(&self) -> Result<(), ReadError> {
        self.with(|_| ())
    }

    /// Works on the copies; nobody else does meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Copies) -> T) -> Result<T, ReadError> {
        let mut held = self.held();
        let copies = match held.take() {
            Some(copies) => copies,
            None => Copies::open(&self.dir)?,
        };
        let copies = held.insert(copies);
        let result = work(copies);
        self.bytes.store(copies.bytes(), Ordering::Release);
        Ok(result)
    }

    /// Bytes of the copies.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Counts what is there now, where that can be seen.
    pub(super) fn look_again(&self) -> u64 {
        if let Some(copies) = self.held().as_mut() {
            match copies.look_again() {
                Ok(()) => self.bytes.store(copies.bytes(), Ordering::Release),
                Err(error) => tracing::warn!(%error, peer = %self.name, "copies of a decision log cannot be listed"),
            }
        }
        self.bytes()
    }

    /// Grows whenever something came.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// What is missing and what was refused.
    pub(super) fn gaps(&self) -> Vec<String> {
        let mut gaps = self.held().as_ref().map(Copies::gaps).unwrap_or_default();
        gaps.extend(self.refusals().unwrap_or_default());
        gaps
    }

    /// Keeps a refusal, once, for those who look into it later.
    pub(super) fn refuse(&self, name: &str, why: &str) {
        let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(80).collect();
        let line: String = format!("`{name}` was refused: {why}").replace('\n', " ").chars().take(SENTENCE).collect();
        tracing::error!(peer = %self.name, segment = name, why, "bytes of a decision log were refused");
        let kept = self.refusals().and_then(|known| {
            if known.contains(&line) || known.len() >= limits::LOG_GAPS.default_usize() {
                return Ok(());
            }
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.refused())?;
            file.write_all(format!("{line}\n").as_bytes())
        });
        if let Err(error) = kept {
            tracing::warn!(%error, peer = %self.name, "a refusal cannot be kept");
        }
    }

    fn refusals(&self) -> io::Result<Vec<String>> {
        match fs::read_to_string(self.refused()) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn refused(&self) -> PathBuf {
        self.dir.with_file_name("refused")
    }

    fn held(&self) -> MutexGuard<'_, Option<Copies>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
