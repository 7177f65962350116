//! How the keys of the domains rest on the disk: under a passphrase where one is given.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use issuer::{KeyProtection, Secret};
use trustdir::node::KeysConfig;
use zeroize::Zeroizing;

use crate::env::Env;
use crate::exit::Failed;

/// The name of the systemd credential.
const CREDENTIAL: &str = "countersign-keys";
/// The longest passphrase.
const PASSPHRASE_BYTES: u64 = 4 * 1024; // tidy: an operator's own file

/// Where a passphrase comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PassphraseAt {
    /// Nowhere: files that only their owner can read.
    Nowhere,
    /// A file that node.yaml names. Nobody else may read it.
    File(PathBuf),
    /// A credential of systemd, which guards it itself.
    Credential(PathBuf),
}

impl PassphraseAt {
    /// node.yaml first, then the credential where there is one.
    pub fn find(keys: Option<&KeysConfig>, env: &Env) -> Self {
        let named = keys.map(|keys| Self::File(PathBuf::from(&keys.passphrase_file)));
        named.unwrap_or_else(|| {
            let credential = env.service_credentials.as_ref().map(|folder| folder.join(CREDENTIAL));
            credential.filter(|path| path.exists()).map_or(Self::Nowhere, Self::Credential)
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, is empty or too long, or others may read it.
    pub fn open(&self) -> Result<KeyProtection, Failed> {
        match self {
            Self::Nowhere => Ok(KeyProtection::Plain),
            Self::File(path) => read(path, true),
            Self::Credential(path) => read(path, false),
        }
    }
}

fn read(path: &Path, is_private: bool) -> Result<KeyProtection, Failed> {
    let shown = path.display();
    let unusable = |why: &dyn std::fmt::Display| {
        Failed::new(format!("the passphrase of the keys in `{shown}` cannot be used: {why}"))
            .hint("it is one line of text; `keys.passphrase_file` in node.yaml names its file")
    };
    let found = fs::metadata(path).map_err(|error| unusable(&error))?;
    if is_private && found.mode() & 0o077 != 0 {
        return Err(Failed::new(format!("the passphrase file `{shown}` may be read by others"))
            .hint(format!("chmod 600 {}", crate::shell::quote(&shown.to_string()))));
    }
    if found.len() > PASSPHRASE_BYTES {
        return Err(unusable(&"the file is too large to be one"));
    }
    let mut text = Zeroizing::new(String::new());
    let file = fs::File::open(path).map_err(|error| unusable(&error))?;
    file.take(PASSPHRASE_BYTES).read_to_string(&mut text).map_err(|error| unusable(&error))?;
    // what editors and `echo` put at the end is not part of it
    let line = text.strip_suffix('\n').unwrap_or(&text);
    if line.contains('\n') {
        return Err(unusable(&"it has more than one line"));
    }
    let secret = Secret::new(Zeroizing::new(line.to_owned())).ok_or_else(|| unusable(&"it is empty"))?;
    Ok(KeyProtection::Passphrase(secret))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(folder: &Path, content: &str, mode: u32) -> PathBuf {
        let path = folder.join(CREDENTIAL);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn refused(at: &PassphraseAt) -> String {
        at.open().unwrap_err().message.unwrap()
    }

    #[test]
    fn node_yaml_comes_before_the_credential_and_without_either_nothing_is_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env { service_credentials: Some(folder.path().to_owned()), ..Env::default() };
        assert_eq!(PassphraseAt::find(None, &env), PassphraseAt::Nowhere);
        let credential = written(folder.path(), "secret\n", 0o440);
        assert_eq!(PassphraseAt::find(None, &env), PassphraseAt::Credential(credential.clone()));
        assert!(matches!(PassphraseAt::find(None, &env).open(), Ok(KeyProtection::Passphrase(_))));
        let keys = KeysConfig { passphrase_file: "/etc/passphrase".to_owned() };
        assert_eq!(PassphraseAt::find(Some(&keys), &env), PassphraseAt::File("/etc/passphrase".into()));
        assert!(matches!(PassphraseAt::find(None, &Env::default()).open(), Ok(KeyProtection::Plain)));
    }

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_passphrase_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |content: &str, mode| PassphraseAt::File(written(folder.path(), content, mode));
        assert!(matches!(file("secret", 0o600).open(), Ok(KeyProtection::Passphrase(_))));
        assert!(refused(&file("secret", 0o640)).ends_with("may be read by others"));
        assert!(refused(&file("", 0o600)).ends_with("it is empty"));
        assert!(refused(&file("\n", 0o600)).ends_with("it is empty"));
        assert!(refused(&file("a\nb\n", 0o600)).ends_with("it has more than one line"));
        assert!(refused(&file(&"a".repeat(5_000), 0o600)).ends_with("too large to be one"));
        assert!(refused(&PassphraseAt::File("/nowhere".into())).contains("`/nowhere` cannot be used"));
    }
}
