//! One domain's keys in use: what its `keys.json` names, loaded; and the making of those of a new domain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::admin::Keys;
use api::issuance::JwtKey;
use identity::{Bundle, BundleSet};
use types::{KeyKind, Label, Timestamp, TrustDomain};
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::error::OpenError;
use crate::jwt::JwtAuthority;
use crate::key::{FileKey, Signer};
use crate::keyring::{Entry, Keyring, Ring};
use crate::store::{Files, Folder, Store};

/// The file that says which keys count.
pub(crate) const KEYS: &str = "keys.json";

/// An issuance that is under way while the key changes takes less.
const UNDER_WAY_SECONDS: u64 = 5;

/// One domain.
pub(crate) struct Domain {
    pub label: Label,
    pub trust_domain: TrustDomain,
    pub keyring: Keyring,
    pub x509: Pair<Authority>,
    pub jwt: Pair<JwtAuthority>,
    /// What the domain's own certificates are held to.
    pub bundle: BundleSet,
}

/// The keys of one kind of use.
pub(crate) struct Pair<K> {
    pub current: Arc<Held<K>>,
    pub other: Option<Arc<Held<K>>>,
}

/// A key in use, with what must be known to let go of it one day.
pub(crate) struct Held<K> {
    pub key: K,
    /// The longest life, in seconds, that it may give; written to the disk before.
    longest: AtomicU64,
    /// The last second in which anything that it signed since the start is good.
    until: AtomicU64,
}

impl<K> Held<K> {
    fn new(key: K, entry: &Entry) -> Self {
        Self { key, longest: AtomicU64::new(entry.longest), until: AtomicU64::new(0) }
    }

    /// The longest life that it may give.
    fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
    }

    fn allow(&self, seconds: u64) {
        self.longest.fetch_max(seconds, Ordering::Relaxed);
    }

    /// Remembers until when something is good.
    pub fn signed_until(&self, not_after: Timestamp) {
        self.until.fetch_max(not_after.seconds(), Ordering::Relaxed);
    }

    /// In which second the last thing that it signed so far has run out, for whom clocks are apart by so many seconds.
    pub fn ends(&self, now: Timestamp, apart: u64) -> u64 {
        let known = self.until.load(Ordering::Relaxed);
        let possible = now.seconds().saturating_add(self.longest()).saturating_add(UNDER_WAY_SECONDS);
        known.max(possible).saturating_add(apart)
    }
}

/// Keys by the names of their files: those that a step leaves in use are taken over and not read again.
#[derive(Default)]
struct Loaded {
    x509: BTreeMap<String, Arc<Held<Authority>>>,
    jwt: BTreeMap<String, Arc<Held<JwtAuthority>>>,
}

impl Domain {
    /// Loads what the domain's folder holds, or makes the folder where there is none.
    pub fn open(
        store: &Store,
        label: &Label,
        trust_domain: TrustDomain,
        kind: KeyKind,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let folder = store.folder(label);
        if !folder.exists()? {
            make(store, &folder, label, &trust_domain, kind, now)?;
        }
        let keyring = Keyring::parse(&folder.read(KEYS)?)
            .map_err(|detail| OpenError::Damaged { path: folder.file(KEYS), detail })?;
        let domain = Self::load(&folder, label, trust_domain, keyring, Loaded::default())?;
        domain.x509.current.key.check_validity(&folder, &domain.keyring.x509.current.name, now)?;
        folder.remove(files_of(&domain.keyring.gone).iter().map(String::as_str));
        Ok(domain)
    }

    /// The domain with another keyring, whose keys' files are there.
    pub fn with(&self, folder: &Folder<'_>, keyring: Keyring) -> Result<Self, OpenError> {
        let x509 = self.keyring.x509.entries().zip(self.x509.all()).map(|(entry, key)| (entry.name.clone(), key));
        let jwt = self.keyring.jwt.entries().zip(self.jwt.all()).map(|(entry, key)| (entry.name.clone(), key));
        let loaded = Loaded { x509: x509.collect(), jwt: jwt.collect() };
        Self::load(folder, &self.label, self.trust_domain.clone(), keyring, loaded)
    }

    fn load(
        folder: &Folder<'_>,
        label: &Label,
        trust_domain: TrustDomain,
        keyring: Keyring,
        loaded: Loaded,
    ) -> Result<Self, OpenError> {
        let authority = |name: &str| Authority::load(folder, name, &trust_domain);
        let x509 = Pair::load(&keyring.x509, &loaded.x509, authority)?;
        let jwt = |name: &str| {
            let signer: Arc<dyn Signer> = Arc::new(folder.read_key(&format!("{name}.key"))?);
            Ok(JwtAuthority::new(signer))
        };
        let jwt = Pair::load(&keyring.jwt, &loaded.jwt, jwt)?;
        let roots = x509.shown(&keyring.x509).map(|held| held.key.root_der().to_vec()).collect();
        let bundle = Bundle::from_der(trust_domain.clone(), roots)
            .map_err(|error| OpenError::Damaged { path: folder.file(KEYS), detail: error.to_string() })?;
        let bundle = BundleSet::from_iter([bundle]);
        Ok(Self { label: label.clone(), trust_domain, keyring, x509, jwt, bundle })
    }

    /// The longest life, in seconds, that the key of the moment may give.
    pub fn longest(&self, keys: Keys) -> u64 {
        match keys {
            Keys::X509 => self.x509.current.longest(),
            Keys::Jwt => self.jwt.current.longest(),
        }
    }

    /// Lets the keys that sign give lives as long as the keyring says, which must be on the disk.
    pub fn allow_what_is_written(&self) {
        self.x509.current.allow(self.keyring.x509.current.longest);
        self.jwt.current.allow(self.keyring.jwt.current.longest);
    }

    /// The roots that peers hold certificates to: the one that signs first.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        self.x509.shown(&self.keyring.x509).map(|held| held.key.root_der().to_vec()).collect()
    }

    /// The keys that peers hold JWT-SVIDs to: the one that signs first.
    pub fn jwt_keys(&self) -> Vec<JwtKey> {
        self.jwt.shown(&self.keyring.jwt).map(|held| held.key.public()).collect()
    }
}

impl<K> Pair<K> {
    fn load(
        ring: &Ring,
        loaded: &BTreeMap<String, Arc<Held<K>>>,
        read: impl Fn(&str) -> Result<K, OpenError>,
    ) -> Result<Self, OpenError> {
        let load = |entry: &Entry| match loaded.get(&entry.name) {
            Some(held) => Ok(Arc::clone(held)),
            None => read(&entry.name).map(|key| Arc::new(Held::new(key, entry))),
        };
        Ok(Self { current: load(&ring.current)?, other: ring.other.as_ref().map(load).transpose()? })
    }

    /// All, in the order of [`Ring::entries`].
    fn all(&self) -> impl Iterator<Item = Arc<Held<K>>> {
        core::iter::once(&self.current).chain(&self.other).cloned()
    }

    /// Those in the bundle, the one that signs first.
    fn shown(&self, ring: &Ring) -> impl Iterator<Item = &Held<K>> {
        let other = self.other.as_deref().filter(|_| ring.shows_other());
        core::iter::once(&*self.current).chain(other)
    }
}

/// The files of these keys, whatever each is for.
pub(crate) fn files_of(names: &[String]) -> Vec<String> {
    names.iter().flat_map(|name| [format!("{name}.key"), format!("{name}.pem")]).collect()
}

/// The text of a private key's file.
pub(crate) fn key_file(store: &Store, name: &str, pkcs8: &[u8]) -> Result<(String, Zeroizing<String>), String> {
    Ok((format!("{name}.key"), store.protect(pkcs8)?))
}

fn make(
    store: &Store,
    folder: &Folder<'_>,
    label: &Label,
    trust_domain: &TrustDomain,
    kind: KeyKind,
    now: Timestamp,
) -> Result<(), OpenError> {
    let cannot = |detail| OpenError::CannotMake { domain: label.clone(), detail };
    let keyring = Keyring::new(kind);
    let root = Authority::generate(trust_domain, kind, now).map_err(cannot)?;
    let jwt = FileKey::generate(kind).map_err(cannot)?;
    let files: Files = vec![
        key_file(store, "ca", &root.pkcs8).map_err(cannot)?,
        ("ca.pem".to_owned(), Zeroizing::new(root.root)),
        key_file(store, "jwt", &jwt).map_err(cannot)?,
        (KEYS.to_owned(), Zeroizing::new(keyring.to_text())),
    ];
    folder.make(&files)?;
    tracing::info!(domain = %label, file = %folder.file("ca.pem").display(), "made a new root");
    Ok(())
}
