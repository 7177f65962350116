//! Why the issuer does not open, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use types::{Label, Timestamp};

/// The issuer's keys cannot be used as they are. Nothing was remade.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A domain's folder lacks its key, its certificate, or both.
    #[error("`{}` is missing", path.display())]
    Missing {
        /// The file that should be there.
        path: PathBuf,
        /// The domain.
        domain: Label,
    },
    /// A file or folder that others may read or change.
    #[error("`{}` has mode {mode:03o} and is open to other users", path.display())]
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest permission bits that are accepted.
        wanted: u32,
    },
    /// A file or folder that belongs to another user.
    #[error("`{}` belongs to user {owner}, not to user {user} who runs this program", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// Not a plain file or folder, such as a symbolic link.
    #[error("`{}` is not {wanted}", path.display())]
    WrongKind {
        /// Which.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// Contents that do not parse, or do not belong where they are.
    #[error("`{}` is damaged: {detail}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        detail: String,
    },
    /// A key and a certificate that do not belong together.
    #[error("`{}` is not the key of `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A root outside its validity.
    #[error("the root `{}` is valid from {not_before} to {not_after}, and it is {now}", path.display())]
    NotValid {
        /// The certificate's file.
        path: PathBuf,
        /// First moment.
        not_before: Timestamp,
        /// Last moment.
        not_after: Timestamp,
        /// The present moment.
        now: Timestamp,
    },
    /// Another process uses the same keys.
    #[error("`{}` is in use by another process", path.display())]
    InUse {
        /// The folder of all keys.
        path: PathBuf,
    },
    /// A private key is encrypted, and no passphrase is given.
    #[error("`{}` is encrypted, and no passphrase is given", path.display())]
    Encrypted {
        /// The key's file.
        path: PathBuf,
    },
    /// A private key is encrypted under another passphrase.
    #[error("the passphrase does not open `{}`", path.display())]
    WrongPassphrase {
        /// The key's file.
        path: PathBuf,
    },
    /// A new root could not be made.
    #[error("no root can be made for domain `{domain}`: {detail}")]
    CannotMake {
        /// The domain.
        domain: Label,
        /// Why.
        detail: String,
    },
}

impl OpenError {
    /// What it and everything below it says, as one text.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let restore = "restore the folder from a backup; to start over with a new root, which every enforcer and \
                       workload of the domain must then learn, move the folder away";
        match self {
            Self::Io { .. } => "check that the folder exists, is writable and has room".to_owned(),
            Self::Missing { domain, .. } if domain.as_str() == crate::system::SYSTEM => {
                "the system's root and the publisher's key are never remade by themselves: restore the folder from a \
                 backup; to start over, after which every proxy, agent and operator must join again, move the folder away"
                    .to_owned()
            }
            Self::Missing { domain, .. } => {
                format!("the root of domain `{domain}` is never remade by itself: {restore}")
            }
            Self::TooOpen { path, wanted, .. } => format!(
                "others may have read or replaced the key; if that can be ruled out: chmod {wanted:o} {}",
                path.display()
            ),
            Self::NotOurs { path, user, .. } => {
                format!("run the program as the owner, or: chown {user} {}", path.display())
            }
            Self::WrongKind { .. } => "put the file itself there; links are not followed".to_owned(),
            Self::Damaged { .. } | Self::Mismatch { .. } => restore.to_owned(),
            Self::NotValid { .. } => format!("check the clock of this machine; if it is right, {restore}"),
            Self::InUse { .. } => {
                "stop the other `countersign` that runs on this data directory; two issuers must not share keys".to_owned()
            }
            Self::Encrypted { path } => format!(
                "give the passphrase (`keys.passphrase_file` in node.yaml, or the systemd credential \
                 `countersign-keys`); to see whether one is right: openssl pkey -noout -in {}",
                path.display()
            ),
            Self::WrongPassphrase { path } => format!(
                "give the passphrase under which the keys were encrypted, without a line feed after it; to see whether \
                 one is right: openssl pkey -noout -in {}",
                path.display()
            ),
            Self::CannotMake { .. } => "shorten the names of the organisation and the domain".to_owned(),
        }
    }
}

/// Why a step of a rotation was not taken. Everything is as it was.
#[derive(Debug, Error)]
pub enum RotateError {
    /// The step cannot be taken from where the keys are, or there are no such keys.
    #[error("{0}")]
    Refused(String),
    /// Not before a moment: credentials that are still good would be dropped.
    #[error("{why} until {until}")]
    NotYet {
        /// What is good until then.
        why: &'static str,
        /// The moment.
        until: Timestamp,
    },
    /// The new state could not be written.
    #[error("the keys of domain `{domain}` could not be written")]
    Files {
        /// The domain.
        domain: Label,
        /// Why not.
        source: OpenError,
    },
    /// No key or root could be made, or the old one could not sign.
    #[error("no key can be made for domain `{domain}`: {detail}")]
    CannotMake {
        /// The domain.
        domain: Label,
        /// Why.
        detail: String,
    },
}
