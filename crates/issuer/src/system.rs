//! The identities of Countersign itself, in the trust domain `system.<organisation>`: control, its peers, operators; and
//! the publisher, whose key signs what peers believe.

use core::time::Duration;
use std::sync::Arc;

use api::issuance::{IssueError, Svid};
use identity::{Bundle, BundleSet};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::{Host, KeyKind, Label, SpiffeId, Timestamp, TrustDomain};
use zeroize::Zeroizing;

use crate::authority::{Authority, Made, certificate};
use crate::domain::key_file;
use crate::error::OpenError;
use crate::issuer::{Issuer, unavailable};
use crate::key::{FileKey, Signer as _};
use crate::leaf::Order;
use crate::mint::Signing;
use crate::protection::pem;
use crate::record::Asked;
use crate::request;
use crate::store::{Files, Folder, Store};

/// The label of the trust domain; no business domain may have it.
pub(crate) const SYSTEM: &str = "system";
/// The publisher's path (`api::protocol`).
const PUBLISHER: &str = "publisher";

/// The roles that have certificates on request. Control's own is made by [`Issuer::control_identity`] alone, the
/// publisher's with the root.
const ROLES: [&str; 3] = ["proxy", "agent", OPERATOR];
const OPERATOR: &str = "operator";
/// Whoever owns the data directory: known by the socket, and by no certificate that could be taken elsewhere.
const LOCAL: &str = "local";

/// For how long control's own identity is good.
const CONTROL_LIFE: Duration = Duration::from_hours(24); // tidy: as long as the issuer says, not an outsider

/// Machines whose clocks are apart by an hour must still be able to tell each other so: system identities are good from an
/// hour and a half before they are issued.
const BACKDATE_SECONDS: u64 = 5_400;

/// The publisher's key is as good as the root.
const PUBLISHER_LIFE: Duration = Duration::from_hours(24 * 3650); // tidy: as long as the issuer says, not an outsider

/// The key that signs facts, and the certificate that says so.
pub(crate) struct Publisher {
    signer: FileKey,
    chain: Vec<Vec<u8>>,
}

/// The system's own authority and the publisher's key.
pub(crate) struct System {
    pub label: Label,
    pub authority: Authority,
    publisher: Publisher,
}

/// An identity with its key, for the process that the issuer runs in.
pub struct SystemIdentity {
    /// DER, leaf first, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

impl System {
    /// Opens the system's authority and the publisher's key, or makes both where there is neither yet. One without the
    /// other is an error: peers would go on believing a key that somebody else may have.
    pub fn open(store: &Store, label: Label, trust_domain: &TrustDomain, now: Timestamp) -> Result<Self, OpenError> {
        let folder = store.folder(&label);
        if !folder.exists()? {
            make(store, &folder, &label, trust_domain, now)?;
        }
        let authority = Authority::load(&folder, "ca", trust_domain)?;
        authority.check_validity(&folder, "ca", now)?;
        let publisher = Publisher::load(&folder, &authority, now)?;
        Ok(Self { label, authority, publisher })
    }
}

fn make(
    store: &Store,
    folder: &Folder<'_>,
    label: &Label,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<(), OpenError> {
    let cannot = |detail| OpenError::CannotMake { domain: label.clone(), detail };
    let root = Authority::generate(trust_domain, KeyKind::P256, now).map_err(cannot)?;
    let publisher = FileKey::generate(KeyKind::P256).map_err(cannot)?;
    let certificate = publisher_certificate(&root, &publisher, trust_domain, now).map_err(cannot)?;
    let files: Files = vec![
        key_file(store, "ca", &root.pkcs8).map_err(cannot)?,
        ("ca.pem".to_owned(), Zeroizing::new(root.root)),
        key_file(store, PUBLISHER, &publisher).map_err(cannot)?,
        (format!("{PUBLISHER}.pem"), certificate),
    ];
    folder.make(&files)?;
    tracing::info!(file = %folder.file("ca.pem").display(), "made the system's root and the publisher's key");
    Ok(())
}

fn publisher_certificate(
    root: &Made,
    publisher: &[u8],
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<Zeroizing<String>, String> {
    let of = |pkcs8: &[u8]| FileKey::from_pkcs8(pkcs8).ok_or("a key that was just made cannot be read");
    let authority = Authority::new(Arc::new(of(&root.pkcs8)?), certificate(&root.root)?, trust_domain)?;
    let id = identity_of(trust_domain, &[PUBLISHER]).ok_or("its name is too long")?;
    let order = Order::new(&id, &[], PUBLISHER_LIFE, BACKDATE_SECONDS);
    let svid = authority.sign(&order, of(publisher)?.spki_der(), now)?;
    Ok(pem("CERTIFICATE", svid.chain_der.first().map(Vec::as_slice).unwrap_or_default()))
}

impl Publisher {
    fn load(folder: &Folder<'_>, system: &Authority, now: Timestamp) -> Result<Self, OpenError> {
        let (key, file) = (format!("{PUBLISHER}.key"), format!("{PUBLISHER}.pem"));
        let path = folder.file(&file);
        let damaged = |detail: String| OpenError::Damaged { path: path.clone(), detail };
        let signer = folder.read_key(&key)?;
        let leaf = CertificateDer::from(certificate(&folder.read(&file)?).map_err(damaged)?);
        let bundle = Bundle::from_der(system.trust_domain().clone(), vec![system.root_der().to_vec()])
            .map_err(|error| damaged(error.to_string()))?;
        let peer = identity::verify(std::slice::from_ref(&leaf), &BundleSet::from_iter([bundle]), now)
            .map_err(|refusal| damaged(refusal.to_string()))?;
        if peer.spiffe_id().path() != format!("/{PUBLISHER}") {
            return Err(damaged(format!("it is that of `{}`", peer.spiffe_id())));
        }
        if *peer.key_sha256() != identity::sign::sha256(signer.spki_der()) {
            return Err(OpenError::Mismatch { key: folder.file(&key), certificate: path });
        }
        Ok(Self { signer, chain: vec![leaf.to_vec()] })
    }
}

impl Issuer {
    /// The system root, DER.
    pub fn system_root(&self) -> Vec<u8> {
        self.system.authority.root_der().to_vec()
    }

    /// SHA-256 of the system root: what those who join hold control to.
    pub fn root_sha256(&self) -> [u8; 32] {
        *self.system.authority.root_sha256()
    }

    /// Signs a statement as the publisher: the signature (ECDSA P-256 with SHA-256, ASN.1) and the publisher's chain.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] when nothing can be signed.
    pub fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), IssueError> {
        let publisher = &self.system.publisher;
        Ok((publisher.signer.sign(message).map_err(unavailable)?, publisher.chain.clone()))
    }

    /// A certificate of `system.<organisation>`: `["proxy", NAME]`, `["agent", NAME]` or `["operator", NAME]`. Whether the
    /// asker may have it is the caller's to decide. Control, the publisher and the local operator are refused to everybody.
    /// Recorded.
    ///
    /// # Errors
    /// [`IssueError::NotEntitled`] for a name that cannot be or is revoked, [`IssueError::BadRequest`] for a request that
    /// cannot be used, [`IssueError::Unavailable`] when the issuance cannot be recorded.
    pub fn mint_system(&self, path: &[&str], dns: &[Host], csr_der: &[u8], ttl: Duration) -> Result<Svid, IssueError> {
        let may_be_asked_for = match path {
            [role, name] => ROLES.contains(role) && Label::parse(name).is_ok() && (*role, *name) != (OPERATOR, LOCAL),
            _ => false,
        };
        if may_be_asked_for {
            return self.mint_in_system(path, dns, csr_der, ttl);
        }
        let why = format!("`{}` is no system identity that can be asked for", path.join("/"));
        let asked = Asked::plain("");
        Err(self.book.refuse(&asked, IssueError::NotEntitled(why)))
    }

    fn mint_in_system(&self, path: &[&str], dns: &[Host], csr_der: &[u8], ttl: Duration) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = identity_of(self.system.authority.trust_domain(), path);
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked::plain(spiffe_id);
        let Some(id) = &id else {
            let why = format!("`{}` is no name of a system identity", path.join("/"));
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let order = Order::new(id, dns, ttl, BACKDATE_SECONDS);
        self.mint(&state, &Signing::System, &asked, &order, csr_der, "a system identity")
    }

    /// Control's own identity, `spiffe://system.<organisation>/control/NAME`, also good for these host names, with a fresh
    /// key. Recorded.
    ///
    /// # Errors
    /// As [`Self::mint_system`].
    pub fn control_identity(&self, name: &Label, dns: &[Host]) -> Result<SystemIdentity, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| unavailable(error.to_string()))?;
        let csr = request::for_key(&key).map_err(unavailable)?;
        let svid = self.mint_in_system(&["control", name.as_str()], dns, &csr, CONTROL_LIFE)?;
        let chain = svid.chain_der.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(SystemIdentity { chain, key, not_after: svid.not_after })
    }
}

fn identity_of(system: &TrustDomain, path: &[&str]) -> Option<SpiffeId> {
    SpiffeId::from_segments(system, path).ok()
}
