//! What connections read from the store, remembered for the others that ask for the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use types::RevisionId;

use super::sending::{File, Manifest, Read};

/// Manifests of earlier revisions: peers are mostly at the same.
const MANIFESTS: usize = 8; // tidy: of our own revisions
/// Bytes of files: a new revision changes a few.
const FILE_BYTES: usize = 8 << 20; // tidy: beyond it they are read again

/// What was read a short time ago.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    manifests: VecDeque<(RevisionId, Manifest)>,
    files: VecDeque<([u8; 32], File)>,
    bytes: usize,
}

impl Shelf {
    pub fn put_manifest(&self, revision: RevisionId, manifest: Manifest) {
        let mut kept = self.lock();
        kept.manifests.retain(|(known, _)| *known != revision);
        kept.manifests.push_front((revision, manifest));
        kept.manifests.truncate(MANIFESTS);
    }

    pub fn put_file(&self, sha256: [u8; 32], text: File) {
        let size = |text: &File| text.as_ref().map_or(0, |text| text.len()).saturating_add(64);
        let mut kept = self.lock();
        if kept.files.iter().any(|(known, _)| *known == sha256) {
            return;
        }
        kept.bytes = kept.bytes.saturating_add(size(&text));
        kept.files.push_front((sha256, text));
        // the last one stays, however large it is: somebody is about to send it
        while kept.bytes > FILE_BYTES && kept.files.len() > 1 {
            let Some((_, gone)) = kept.files.pop_back() else { break };
            kept.bytes = kept.bytes.saturating_sub(size(&gone));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Shelf {
    fn manifest(&self, revision: RevisionId) -> Option<Manifest> {
        self.lock().manifests.iter().find(|(known, _)| *known == revision).map(|(_, manifest)| manifest.clone())
    }

    fn file(&self, sha256: &[u8; 32]) -> Option<File> {
        self.lock().files.iter().find(|(known, _)| known == sha256).map(|(_, text)| text.clone())
    }
}
