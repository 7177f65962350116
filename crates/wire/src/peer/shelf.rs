//! The last good state on the disk: written whole or not at all, checked when read, set aside where it is damaged.
//!
//! Every file is `countersign state 1\n`, the SHA-256 of the rest, and the rest. That finds damage; what may be believed is
//! decided by the signatures inside, again, each time it is read. The folder belongs to one process (a lock) and one user
//! (0700, files 0600).

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use types::limits;

use super::StartError;

const MAGIC: &[u8] = b"countersign state 1\n";
/// Where the contents of files lie, each under its SHA-256.
const BLOBS: &str = "blobs";
/// Before the name of a domain: the certificate and key of its gateway.
const GATEWAY: &str = "gateway-";
/// Where a damaged blob goes; the last one is kept.
const BAD_BLOB: &str = "blob.bad";

/// The folder.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    _lock: File,
}

impl Shelf {
    /// Opens the folder, made where it is missing, for this process alone.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StartError> {
        let folder = |source| StartError::Folder { path: dir.clone(), source };
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(&dir).and_then(|()| make(&dir.join(BLOBS))).map_err(folder)?;
        let lock = private(&dir.join("lock")).map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse(dir)),
            Err(TryLockError::Error(error)) => return Err(folder(error)),
        }
        Ok(Self { dir, _lock: lock })
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Replaces a file. When this returns, it is on the disk; when it fails, the old one is still there.
    pub(super) fn keep(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(name, content, true)
    }

    fn put(&self, name: &str, content: &[u8], is_synced: bool) -> io::Result<()> {
        let fresh = self.path(&format!("{name}.new"));
        let written = write(&fresh, content, is_synced).and_then(|()| fs::rename(&fresh, self.path(name)));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written?;
        if is_synced { File::open(&self.dir)?.sync_all() } else { Ok(()) }
    }

    /// A file's content. One that is damaged is set aside with words and counts as not there.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        match read(&self.path(name)) {
            Ok(content) => content,
            Err(Unread::Damaged(why)) => {
                self.set_aside(name, why);
                None
            }
            // it may be read another time: nothing is said about what is in it
            Err(Unread::Unreadable(error)) => {
                tracing::error!(file = %self.path(name).display(), %error, "a part of the last good state cannot be read");
                None
            }
        }
    }

    /// Takes a file out of use. It stays for people to look at, until the next one of its name.
    pub(super) fn set_aside(&self, name: &str, why: &str) {
        let bad = match name.starts_with(BLOBS) {
            true => self.path(BAD_BLOB),
            false => self.path(&format!("{name}.bad")),
        };
        let path = self.path(name);
        tracing::error!(file = %path.display(), why, aside = %bad.display(), "a part of the last good state cannot be used");
        if fs::rename(&path, &bad).is_err() {
            let _ = fs::remove_file(&path);
        }
    }

    /// The contents that are there, by their names.
    pub(super) fn blobs(&self) -> BTreeSet<[u8; 32]> {
        let Ok(entries) = fs::read_dir(self.path(BLOBS)) else { return BTreeSet::new() };
        entries.flatten().filter_map(|entry| unhex(entry.file_name().to_str()?)).collect()
    }

    /// A content, whose digest is that of its name.
    pub(super) fn blob(&self, sha256: &[u8; 32]) -> Option<Vec<u8>> {
        let name = blob_name(sha256);
        let content = self.read(&name)?;
        if digest_of(&content) == *sha256 {
            return Some(content);
        }
        self.set_aside(&name, "the content is not that of its name");
        None
    }

    /// Writes contents; they are on the disk when this returns.
    pub(super) fn keep_blobs<'a>(
        &self,
        blobs: impl IntoIterator<Item = (&'a [u8; 32], &'a Arc<Vec<u8>>)>,
    ) -> io::Result<()> {
        for (sha256, content) in blobs {
            self.put(&blob_name(sha256), content, false)?;
        }
        // one walk of the system instead of one for each file
        rustix::fs::syncfs(&File::open(self.path(BLOBS))?)?;
        Ok(())
    }

    /// Removes the contents that nothing needs any more, and the certificates of domains that are gone.
    pub(super) fn forget(&self, needed: &BTreeSet<[u8; 32]>, domains: &BTreeSet<String>) {
        for gone in self.blobs().difference(needed) {
            let _ = fs::remove_file(self.path(&blob_name(gone)));
        }
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let domain = name.to_str().and_then(|name| name.strip_prefix(GATEWAY));
            if domain.is_some_and(|domain| !domains.contains(domain.split('.').next().unwrap_or(domain))) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The name of the file with a gateway's certificate and key.
    pub(super) fn gateway(domain: &str) -> String {
        format!("{GATEWAY}{domain}")
    }
}

fn blob_name(sha256: &[u8; 32]) -> String {
    format!("{BLOBS}/{}", hex(sha256))
}

/// Opens a file for writing that only this user can read; what is in it stays.
pub(super) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)
}

fn write(path: &Path, content: &[u8], is_synced: bool) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&digest_of(content))?;
    file.write_all(content)?;
    if is_synced { file.sync_all() } else { Ok(()) }
}

/// Why a file was not read.
enum Unread {
    /// It is not what was written.
    Damaged(&'static str),
    /// The operating system does not give it.
    Unreadable(io::Error),
}

/// `None` where there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Unread> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unread::Unreadable(error)),
    };
    let mut bytes = Vec::new();
    let most = limits::WIRE_MESSAGE_BYTES.default;
    file.take(most).read_to_end(&mut bytes).map_err(Unread::Unreadable)?;
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unread::Damaged("it does not begin as such a file does"))?;
    let (digest, content) = rest.split_first_chunk::<32>().ok_or(Unread::Damaged("it is too short"))?;
    if digest_of(content) != *digest {
        return Err(Unread::Damaged("its bytes were changed or cut"));
    }
    Ok(Some(content.to_vec()))
}

/// SHA-256.
pub(super) fn digest_of(content: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    let digest = digest::digest(&digest::SHA256, content);
    // INVARIANT: SHA-256 gives 32 bytes, so every place is written.
    array.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    array
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_what_was_changed_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().join("state")).unwrap();
        assert_eq!(shelf.read("x"), None);
        shelf.keep("x", b"content").unwrap();
        shelf.keep("x", b"newer").unwrap();
        assert_eq!(shelf.read("x").unwrap(), b"newer");
        let path = shelf.path("x");
        let good = fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(shelf.read("x"), None, "byte {index}");
            assert!(!path.exists() && shelf.path("x.bad").exists());
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert_eq!(shelf.read("x"), None);
    }

    #[test]
    fn a_folder_belongs_to_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Shelf::open(dir.path().to_owned()).unwrap();
        assert!(matches!(Shelf::open(dir.path().to_owned()), Err(StartError::InUse(_))));
    }

    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().join("state")).unwrap();
        shelf.keep("node.key", b"secret").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(shelf.path("")), mode(shelf.path("node.key"))), (0o700, 0o600));
    }

    #[test]
    fn blobs_are_known_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().to_owned()).unwrap();
        let (one, two) = (Arc::new(b"one".to_vec()), Arc::new(b"two".to_vec()));
        let (name_of_one, name_of_two) = (digest_of(&one), digest_of(&two));
        shelf.keep_blobs([(&name_of_one, &one), (&name_of_two, &two)]).unwrap();
        assert_eq!(shelf.blobs(), BTreeSet::from([name_of_one, name_of_two]));
        // one good file under the name of another
        fs::copy(shelf.path(&blob_name(&name_of_one)), shelf.path(&blob_name(&name_of_two))).unwrap();
        assert_eq!((shelf.blob(&name_of_one), shelf.blob(&name_of_two)), (Some(one.to_vec()), None));
        shelf.forget(&BTreeSet::new(), &BTreeSet::new());
        assert!(shelf.blobs().is_empty());
    }

    #[test]
    fn gateways_of_domains_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().to_owned()).unwrap();
        for domain in ["finance", "hr"] {
            shelf.keep(&Shelf::gateway(domain), b"key").unwrap();
        }
        shelf.forget(&BTreeSet::new(), &BTreeSet::from(["finance".to_owned()]));
        assert!(shelf.read(&Shelf::gateway("finance")).is_some() && shelf.read(&Shelf::gateway("hr")).is_none());
    }
}
