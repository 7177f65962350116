//! Key and root files: one folder per domain, all its files in it or none (DESIGN section 6). The system's folder holds the
//! publisher's key and certificate too, so that neither is ever there without the other.
//!
//! A new folder is built beside its place and moved there whole, so that no crash leaves half a root.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use types::Label;
use zeroize::Zeroizing;

use crate::error::OpenError;

/// Of an authority.
const AUTHORITY: (&str, &str) = ("ca.key", "ca.pem");
/// Of the publisher of facts.
const PUBLISHER: (&str, &str) = ("publisher.key", "publisher.pem");

/// Far above what a key or a root takes.
const MAX_BYTES: usize = 65_536;

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Where a key and its certificate are.
pub(crate) struct Slot {
    domain: Label,
    directory: PathBuf,
    names: (&'static str, &'static str),
    /// Of the private key, PKCS#8 in PEM.
    pub key: PathBuf,
    /// Of the certificate, PEM.
    pub certificate: PathBuf,
}

/// The texts of both files.
pub(crate) struct Files {
    pub key: Zeroizing<String>,
    pub certificate: String,
}

/// Makes the issuer's own folder, or checks that it is private.
pub(crate) fn prepare(root: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(root) {
        Ok(()) => check_directory(root),
        Err(error) => Err(OpenError::io("create the folder", root)(error)),
    }
}

impl Slot {
    /// That of a domain's authority.
    pub fn new(root: &Path, domain: &Label) -> Self {
        Self::named(root, domain, AUTHORITY)
    }

    /// That of the publisher of facts, in the folder of the system's authority.
    pub fn publisher(root: &Path, system: &Label) -> Self {
        Self::named(root, system, PUBLISHER)
    }

    fn named(root: &Path, domain: &Label, names: (&'static str, &'static str)) -> Self {
        let directory = root.join(domain.as_str());
        let (key, certificate) = (directory.join(names.0), directory.join(names.1));
        Self { domain: domain.clone(), key, certificate, directory, names }
    }

    /// Reads both files; `None` when the domain has no folder yet.
    pub fn read(&self) -> Result<Option<Files>, OpenError> {
        match fs::symlink_metadata(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io("look at", &self.directory)(error)),
            Ok(_) => check_directory(&self.directory)?,
        }
        let key = self.read_file(&self.key, PRIVATE_FILE)?;
        let certificate = self.read_file(&self.certificate, 0o644)?.to_string();
        Ok(Some(Files { key, certificate }))
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
        let read = file.take(MAX_BYTES as u64).read_to_string(&mut text);
        match read {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(OpenError::Damaged { path: path.to_owned(), detail: "it is not text".to_owned() })
            }
            Err(error) => Err(OpenError::io("read", path)(error)),
        }
    }

    /// Writes the files of a new domain so that they appear together, durably: its own, and those of `more` slots of the
    /// same folder.
    pub fn write(&self, files: &Files, more: &[(&Self, &Files)]) -> Result<(), OpenError> {
        let root = self.directory.parent().unwrap_or(&self.directory);
        let fresh = root.join(format!(".{}.new", self.domain));
        // What a crash left behind was never in use.
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", &fresh)(error));
            }
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(PRIVATE_DIRECTORY).create(&fresh).map_err(OpenError::io("create the folder", &fresh))?;
        for (slot, files) in more.iter().copied().chain([(self, files)]) {
            write_file(&fresh.join(slot.names.0), files.key.as_bytes())?;
            write_file(&fresh.join(slot.names.1), files.certificate.as_bytes())?;
        }
        sync_directory(&fresh)?;
        renameat_with(CWD, &fresh, CWD, &self.directory, RenameFlags::NOREPLACE)
            .map_err(|error| OpenError::io("create the folder", &self.directory)(error.into()))?;
        sync_directory(root)
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(path)
        .map_err(OpenError::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(OpenError::io("write", path))
}

fn sync_directory(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(OpenError::io("sync", path))
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
