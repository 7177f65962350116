//! The revisions that ever ran here, kept so that old decisions can be explained by the policies that made them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use trustdir::Revision;
use types::RevisionId;

use crate::files::DirFiles;

/// `DATA/revisions`: one folder for each revision, named by its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revisions {
    dir: PathBuf,
}

/// A revision could not be kept or found again.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system's words.
    #[error("`{}` cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// It was never here, or was removed.
    #[error("revision {0} is not kept here")]
    Gone(String),
    /// What stands there is not what its name says.
    #[error("the kept files of revision {0} were changed")]
    Changed(String),
}

impl Revisions {
    /// Nothing is opened yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Keeps a revision's files. One that is kept already is left alone. It appears whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn keep(&self, id: RevisionId, sources: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let place = self.dir.join(id.to_string());
        if place.is_dir() {
            return Ok(());
        }
        let unfinished = self.dir.join(format!(".unfinished-{}", id.short()));
        let failed = |error| StoreError::Write(place.clone(), error);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for (path, text) in sources {
            write(&unfinished.join(path), text).map_err(failed)?;
        }
        fs::rename(&unfinished, &place).map_err(failed)
    }

    /// The text of one file of a revision that was kept.
    pub fn file(&self, id: RevisionId, path: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(id.to_string()).join(path)).ok()
    }

    /// A revision that was kept, compiled again. What its name does not prove is not used.
    ///
    /// # Errors
    /// [`StoreError::Gone`] or [`StoreError::Changed`].
    pub fn load(&self, id: RevisionId) -> Result<Arc<Revision>, StoreError> {
        let place = self.dir.join(id.to_string());
        if !place.is_dir() {
            return Err(StoreError::Gone(id.short()));
        }
        let loaded = trustdir::load(&DirFiles::new(place));
        loaded.revision.filter(|revision| revision.id() == id).ok_or_else(|| StoreError::Changed(id.short()))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use trustdir::{Files, MemoryFiles};
    use types::TrustDomain;

    use super::*;

    #[test]
    fn a_kept_revision_comes_back_and_a_changed_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path().join("revisions"));
        let files: MemoryFiles = trustdir::starter(&TrustDomain::parse("example.internal").unwrap());
        assert!(files.list().unwrap().len() > 5);
        let loaded = trustdir::load(&files);
        let id = loaded.revision.unwrap().id();
        assert!(matches!(revisions.load(id), Err(StoreError::Gone(_))));
        revisions.keep(id, &loaded.sources).unwrap();
        revisions.keep(id, &loaded.sources).unwrap();
        assert_eq!(revisions.load(id).unwrap().id(), id);
        let kept = dir.path().join("revisions").join(id.to_string()).join("admin.cedar");
        fs::write(kept, "// changed\n").unwrap();
        assert!(matches!(revisions.load(id), Err(StoreError::Changed(_))));
    }
}
