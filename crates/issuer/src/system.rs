//! The identities of Countersign itself, in the trust domain `system.<organisation>`: control, its peers, operators; and
//! the publisher, whose key signs what peers believe.

use core::time::Duration;
use std::path::Path;

use api::issuance::{IssueError, Svid};
use identity::{Bundle, BundleSet};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::{Host, Label, SpiffeId, Timestamp, TrustDomain};
use zeroize::Zeroizing;

use crate::authority::{Authority, Order};
use crate::error::OpenError;
use crate::issuer::{Issuer, unavailable};
use crate::record::Asked;
use crate::request;
use crate::store::{Files, Slot};

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
    key: KeyPair,
    chain: Vec<Vec<u8>>,
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

/// Opens the system's authority and the publisher's key, or makes both where there is neither yet. One without the other is
/// an error: peers would go on believing a key that somebody else may have.
pub(crate) fn open(
    directory: &Path,
    label: &Label,
    trust_domain: TrustDomain,
    now: Timestamp,
) -> Result<(Authority, Publisher), OpenError> {
    let (root, publisher) = (Slot::new(directory, label), Slot::publisher(directory, label));
    if let (Some(of_root), Some(of_publisher)) = (root.read()?, publisher.read()?) {
        let authority = Authority::load(&root, &of_root, trust_domain, now)?;
        let publisher = Publisher::load(&publisher, &of_publisher, &authority, now)?;
        return Ok((authority, publisher));
    }
    let cannot = |detail| OpenError::CannotMake { domain: label.clone(), detail };
    let of_root = Authority::generate(&trust_domain, now).map_err(cannot)?;
    let authority = Authority::load(&root, &of_root, trust_domain, now)?;
    let of_publisher = Publisher::make(&authority, now).map_err(cannot)?;
    root.write(&of_root, &[(&publisher, &of_publisher)])?;
    tracing::info!(file = %root.certificate.display(), "made the system's root and the publisher's key");
    let publisher = Publisher::load(&publisher, &of_publisher, &authority, now)?;
    Ok((authority, publisher))
}

impl Publisher {
    fn make(system: &Authority, now: Timestamp) -> Result<Files, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
        let id = identity_of(system.trust_domain(), &[PUBLISHER]).ok_or("its name is too long")?;
        let spki = rcgen::SubjectPublicKeyInfo::from_der(&key.subject_public_key_info());
        let order = Order { id: &id, dns: &[], ttl: PUBLISHER_LIFE, via: None, backdated: BACKDATE_SECONDS };
        let certificate = system.sign_pem(&order, &spki.map_err(|error| error.to_string())?, now)?;
        Ok(Files { key: Zeroizing::new(key.serialize_pem()), certificate })
    }

    fn load(slot: &Slot, files: &Files, system: &Authority, now: Timestamp) -> Result<Self, OpenError> {
        let damaged = |path: &Path, detail: String| OpenError::Damaged { path: path.to_owned(), detail };
        let key = KeyPair::from_pem(&files.key)
            .map_err(|_| damaged(&slot.key, "it does not hold one PKCS#8 private key in PEM".to_owned()))?;
        let leaf = CertificateDer::from_pem_slice(files.certificate.as_bytes())
            .map_err(|_| damaged(&slot.certificate, "it does not hold a certificate in PEM".to_owned()))?;
        let bundle = Bundle::from_der(system.trust_domain().clone(), vec![system.root_der().to_vec()])
            .map_err(|error| damaged(&slot.certificate, error.to_string()))?;
        let peer = identity::verify(std::slice::from_ref(&leaf), &BundleSet::from_iter([bundle]), now)
            .map_err(|refusal| damaged(&slot.certificate, refusal.to_string()))?;
        if peer.spiffe_id().path() != format!("/{PUBLISHER}") {
            return Err(damaged(&slot.certificate, format!("it is that of `{}`", peer.spiffe_id())));
        }
        if *peer.key_sha256() != identity::sign::sha256(&key.subject_public_key_info()) {
            return Err(OpenError::Mismatch { key: slot.key.clone(), certificate: slot.certificate.clone() });
        }
        Ok(Self { key, chain: vec![leaf.to_vec()] })
    }
}

impl Issuer {
    /// The system root, DER.
    pub fn system_root(&self) -> Vec<u8> {
        self.snapshot().authorities.get(&self.system).map(|authority| authority.root_der().to_vec()).unwrap_or_default()
    }

    /// SHA-256 of the system root: what those who join hold control to.
    pub fn root_sha256(&self) -> [u8; 32] {
        identity::sign::sha256(&self.system_root())
    }

    /// Signs a statement as the publisher: the signature (ECDSA P-256 with SHA-256, ASN.1) and the publisher's chain.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] when nothing can be signed.
    pub fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), IssueError> {
        let signature = self.publisher.key.sign(message).map_err(|error| unavailable(error.to_string()))?;
        Ok((signature, self.publisher.chain.clone()))
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
        let asked = Asked { spiffe_id: "", selectors: "", via: "" };
        Err(self.book.refuse(&asked, IssueError::NotEntitled(why)))
    }

    fn mint_in_system(&self, path: &[&str], dns: &[Host], csr_der: &[u8], ttl: Duration) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let system = state.authorities.get(&self.system).map(|authority| authority.trust_domain().clone());
        let id = system.as_ref().and_then(|system| identity_of(system, path));
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked { spiffe_id, selectors: "", via: "" };
        let Some(id) = &id else {
            let why = format!("`{}` is no name of a system identity", path.join("/"));
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let order = Order { id, dns, ttl, via: None, backdated: BACKDATE_SECONDS };
        self.mint(&state, &self.system, &asked, &order, csr_der)
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
