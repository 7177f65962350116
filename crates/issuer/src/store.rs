//! The issuer's folder: one folder per domain with all its keys, private to us and used by one process at a time (DESIGN
//! section 6). The system's folder holds the publisher's key and certificate too.
//!
//! A new folder is built beside its place and moved there whole; in a folder that is there, files are added first and then
//! the one file that says which of them count is replaced. So no crash leaves half of anything.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use types::Label;
use zeroize::Zeroizing;

use crate::disk::{Disk, PRIVATE_DIRECTORY, PRIVATE_FILE};
use crate::error::OpenError;
use crate::key::FileKey;
use crate::protection::{KeyProtection, Unreadable, Vault};

/// Far above what a key, a root or the list of a domain's keys takes.
const MAX_BYTES: usize = 131_072;

/// The widest permission bits of what is not secret.
const READABLE: u32 = 0o644;

/// The folder of all keys, locked.
pub(crate) struct Store {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    vault: Vault,
    /// Held for as long as this process lives.
    _lock: File,
}

/// The texts of files by their names.
pub(crate) type Files = Vec<(String, Zeroizing<String>)>;

/// One domain's folder.
pub(crate) struct Folder<'a> {
    store: &'a Store,
    domain: Label,
    path: PathBuf,
}

impl Store {
    /// Makes the issuer's own folder, or checks that it is private, and locks it.
    pub fn open(root: &Path, disk: Arc<dyn Disk>, protection: KeyProtection) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIRECTORY)
            .create(root)
            .map_err(OpenError::io("create the folder", root))?;
        check_directory(root)?;
        let lock = File::open(root).map_err(OpenError::io("open", root))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), disk, vault: Vault::new(protection), _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { path: root.to_owned() }),
            Err(error) => Err(OpenError::io("lock", root)(error.into())),
        }
    }

    /// The folder of a domain, which need not exist.
    pub fn folder(&self, domain: &Label) -> Folder<'_> {
        Folder { store: self, domain: domain.clone(), path: self.root.join(domain.as_str()) }
    }

    /// The text of a key's file.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn protect(&self, pkcs8: &[u8]) -> Result<Zeroizing<String>, String> {
        self.vault.write(pkcs8)
    }
}

impl Folder<'_> {
    /// Where a file of it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the folder is there; it is private then.
    pub fn exists(&self) -> Result<bool, OpenError> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(OpenError::io("look at", &self.path)(error)),
            Ok(_) => check_directory(&self.path).map(|()| true),
        }
    }

    /// Whether it holds anything of this name.
    pub fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok()
    }

    /// The text of a file that is not secret.
    pub fn read(&self, name: &str) -> Result<String, OpenError> {
        self.read_file(&self.file(name), READABLE).map(|text| text.to_string())
    }

    /// A private key. One that is not protected as it should be is written anew.
    pub fn read_key(&self, name: &str) -> Result<FileKey, OpenError> {
        let path = self.file(name);
        let damaged = || OpenError::Damaged {
            path: path.clone(),
            detail:
                "it does not hold one PKCS#8 private key in PEM (ECDSA P-256, P-384 or RSA of 2,048 bits; encrypted \
                     with PBES2, PBKDF2-HMAC-SHA-256 and AES-256-CBC, or not at all)"
                    .to_owned(),
        };
        let text = self.read_file(&path, PRIVATE_FILE)?;
        let (pkcs8, protected) = self.store.vault.read(&text).map_err(|why| match why {
            Unreadable::NotAKey => damaged(),
            Unreadable::Encrypted => OpenError::Encrypted { path: path.clone() },
            Unreadable::WrongPassphrase => OpenError::WrongPassphrase { path: path.clone() },
        })?;
        let key = FileKey::from_pkcs8(&pkcs8).ok_or_else(damaged)?;
        if !protected {
            let text =
                self.store.protect(&pkcs8).map_err(|detail| OpenError::Damaged { path: path.clone(), detail })?;
            self.replace(name, &text)?;
            tracing::info!(file = %path.display(), "encrypted a key that was not");
        }
        Ok(key)
    }

    /// Makes the folder with these files, durably, all of them or none.
    pub fn make(&self, files: &Files) -> Result<(), OpenError> {
        let (disk, root) = (&*self.store.disk, &*self.store.root);
        let fresh = root.join(format!(".{}.new", self.domain));
        // What a crash left behind was never in use.
        match disk.remove_folder(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", &fresh)(error));
            }
            Ok(()) | Err(_) => {}
        }
        disk.make_folder(&fresh).map_err(OpenError::io("create the folder", &fresh))?;
        for (name, text) in files {
            let path = fresh.join(name);
            disk.create(&path, text.as_bytes()).map_err(OpenError::io("write", &path))?;
        }
        disk.sync_folder(&fresh).map_err(OpenError::io("sync", &fresh))?;
        disk.rename_new(&fresh, &self.path).map_err(OpenError::io("create the folder", &self.path))?;
        disk.sync_folder(root).map_err(OpenError::io("sync", root))
    }

    /// Adds files, durably. Where that fails, those that were added are taken away again.
    pub fn add(&self, files: &Files) -> Result<(), OpenError> {
        let disk = &*self.store.disk;
        let written = files.iter().try_for_each(|(name, text)| {
            let path = self.file(name);
            disk.create(&path, text.as_bytes()).map_err(OpenError::io("write", &path))
        });
        let synced = written.and_then(|()| disk.sync_folder(&self.path).map_err(OpenError::io("sync", &self.path)));
        if synced.is_err() {
            self.remove(files.iter().map(|(name, _)| name.as_str()));
        }
        synced
    }

    /// Replaces one file, durably and whole.
    pub fn replace(&self, name: &str, text: &str) -> Result<(), OpenError> {
        let (disk, path, fresh) = (&*self.store.disk, self.file(name), self.file(&format!(".{name}.new")));
        match disk.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", &fresh)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let written = disk.create(&fresh, text.as_bytes()).map_err(OpenError::io("write", &fresh));
        let renamed = written.and_then(|()| disk.rename(&fresh, &path).map_err(OpenError::io("replace", &path)));
        if renamed.is_err() {
            self.remove(core::iter::once(format!(".{name}.new").as_str()));
            return renamed;
        }
        disk.sync_folder(&self.path).map_err(OpenError::io("sync", &self.path))
    }

    /// Takes files away that nothing counts on any more. What cannot be removed is told, and tried again at the next start.
    pub fn remove<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut removed = false;
        for name in names {
            let path = self.file(name);
            match self.store.disk.remove(&path) {
                Ok(()) => removed = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "a key that is out of use stays on the disk")
                }
            }
        }
        if removed && let Err(error) = self.store.disk.sync_folder(&self.path) {
            tracing::error!(folder = %self.path.display(), %error, "removed files may come back after a power failure");
        }
    }

    fn read_file(&self, path: &Path, widest: u32) -> Result<Zeroizing<String>, OpenError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { path: path.to_owned(), domain: self.domain.clone() });
            }
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Err(wrong_kind(path)),
            Err(error) => return Err(OpenError::io("read", path)(error)),
        };
        let metadata = file.metadata().map_err(OpenError::io("look at", path))?;
        if !metadata.is_file() {
            return Err(wrong_kind(path));
        }
        check_access(path, &metadata, widest)?;
        // Room for all of it at once: growing would leave copies of a key behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        match file.take(MAX_BYTES as u64).read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(OpenError::Damaged { path: path.to_owned(), detail: "it is not text".to_owned() })
            }
            Err(error) => Err(OpenError::io("read", path)(error)),
        }
    }
}

fn check_directory(path: &Path) -> Result<(), OpenError> {
    let metadata = fs::symlink_metadata(path).map_err(OpenError::io("look at", path))?;
    if !metadata.is_dir() {
        return Err(OpenError::WrongKind { path: path.to_owned(), wanted: "a folder" });
    }
    check_access(path, &metadata, PRIVATE_DIRECTORY)
}

/// Ours, and open to nobody beyond `widest`.
fn check_access(path: &Path, metadata: &Metadata, widest: u32) -> Result<(), OpenError> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(OpenError::NotOurs { path: path.to_owned(), owner: metadata.uid(), user });
    }
    let mode = metadata.mode() & 0o777;
    let beyond = 0o077 & !widest;
    if mode & beyond != 0 {
        return Err(OpenError::TooOpen { path: path.to_owned(), mode, wanted: widest });
    }
    Ok(())
}

fn wrong_kind(path: &Path) -> OpenError {
    OpenError::WrongKind { path: path.to_owned(), wanted: "a plain file" }
}
