//! An operator's credentials: one PEM file with the key, its certificate, and the system root that control is held to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use control::pem;
use runtime::clock::SystemClock;
use runtime::tls::{PinnedRoot, system_client};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use types::limits;

use crate::exit::Failed;

/// What to do about a file that is no good.
const ANEW: &str = "`countersign operator certificate NAME --out FILE` on control's machine writes one";

/// Who asks, and whom it takes for control.
#[derive(Debug)]
pub struct Credentials {
    /// Leaf first.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// DER of the system root.
    root: Vec<u8>,
}

impl Credentials {
    /// Reads a file that nobody else may read.
    ///
    /// # Errors
    /// When it cannot be read, others can read it, or something is missing in it.
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let shown = path.display();
        let unreadable = |error: &dyn std::fmt::Display| {
            Failed::new(format!("the credentials `{shown}` cannot be read: {error}")).hint(ANEW)
        };
        let found = fs::metadata(path).map_err(|error| unreadable(&error))?;
        if found.mode() & 0o077 != 0 {
            let message = format!("the credentials `{shown}` hold a key, and others may read the file");
            return Err(Failed::new(message).hint(format!("chmod 600 {}", crate::shell::quote(&shown.to_string()))));
        }
        if found.len() > limits::FILE_BYTES.default {
            return Err(unreadable(&"the file is too large to be one"));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        Self::parse(&text).map_err(|what| Failed::new(format!("`{shown}` are no credentials: {what}")).hint(ANEW))
    }

    /// The last certificate is the root; those before are the chain.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "there is no private key in it")?;
        let mut certificates = pem::read_certificates(text).ok_or("there is no certificate in it")?;
        let root = certificates.pop().ok_or("there is no certificate in it")?;
        if certificates.is_empty() {
            return Err("there is one certificate in it, and two are wanted: the operator's and the system root");
        }
        Ok(Self { chain: certificates.into_iter().map(CertificateDer::from).collect(), key, root })
    }

    /// TLS as it is spoken to control: it must be `spiffe://system.<organisation>/control/…` under this root.
    ///
    /// # Errors
    /// When key and certificate do not belong together.
    pub fn config(&self) -> Result<ClientConfig, Failed> {
        let identity = (self.chain.clone(), self.key.clone_key());
        let clock = Arc::new(SystemClock);
        let mut config = system_client(Some(identity), PinnedRoot::Root(self.root.clone()), is_control, clock)
            .map_err(|error| Failed::new(format!("the credentials cannot be used: {error}")).hint(ANEW))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Whether a verified server is a control.
fn is_control(peer: &identity::VerifiedPeer) -> bool {
    peer.spiffe_id().path().starts_with("/control/")
}

/// The text of such a file.
pub fn text(key_pem: &str, chain_pem: &str, root_pem: &str) -> String {
    format!("{key_pem}{chain_pem}{root_pem}")
}

/// Writes a secret, whole or not at all, readable by its owner alone, not even for a moment by others.
///
/// # Errors
/// The system's.
pub fn write_secret(path: &Path, content: &str) -> io::Result<()> {
    write(path, 0o600, content)
}

/// Whole or not at all, and never with a wider mode.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, mode: u32, content: &str) -> io::Result<()> {
    let half = path.with_extension("half");
    fs::remove_file(&half)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(mode).open(&half))
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .and_then(|()| fs::rename(&half, path))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(content: &str, mode: u32) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice.pem");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Credentials::read(&path).unwrap_err().message.unwrap()
    }

    #[test]
    fn a_file_that_is_no_credentials_says_why() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let certificate = pem::certificates([&vec![0xa5; 64]]);
        assert!(read("", 0o644).ends_with("others may read the file"));
        assert!(read("", 0o600).ends_with("there is no private key in it"));
        assert!(read(&key, 0o600).ends_with("there is no certificate in it"));
        assert!(read(&format!("{key}{certificate}"), 0o600).contains("two are wanted"));
        let whole = Credentials::parse(&text(&key, &certificate, &certificate)).unwrap();
        assert_eq!((whole.chain.len(), whole.root.len()), (1, 64));
        let unusable = whole.config().unwrap_err();
        assert!(unusable.message.unwrap().starts_with("the credentials cannot be used"));
        assert!(Credentials::read(Path::new("/nowhere")).unwrap_err().hint.unwrap().contains("operator certificate"));
    }
}
