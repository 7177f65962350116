//! TLS 1.3 with SPIFFE verification on top of rustls.
//!
//! rustls runs the handshake; who the peer is, is decided by `identity::verify` alone (XS rules, roots by trust domain).
//! Session tickets are off: a resumed session would skip the verifier and keep trust that was taken away.

use std::sync::Arc;

use arc_swap::ArcSwap;
use identity::{BundleSet, SvidRefusal};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use thiserror::Error as ThisError;
use types::{Clock, Reason};

mod system;

pub use system::{PinnedRoot, ServerRefusal, server_refusal, system_client, system_server};

/// What peers are verified against: the bundles of every trust domain and the clock. Bundles are swapped whole.
pub struct Trust {
    bundles: ArcSwap<BundleSet>,
    clock: Arc<dyn Clock>,
}

impl Trust {
    /// Starts with these bundles.
    pub fn new(bundles: BundleSet, clock: Arc<dyn Clock>) -> Self {
        Self { bundles: ArcSwap::from_pointee(bundles), clock }
    }

    /// Replaces all bundles.
    pub fn replace(&self, bundles: BundleSet) {
        self.bundles.store(Arc::new(bundles));
    }

    /// Verifies a chain, leaf first, now.
    ///
    /// # Errors
    /// The rule that refused it.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<identity::VerifiedPeer, SvidRefusal> {
        identity::verify(chain, &self.bundles.load(), self.clock.now())
    }
}

impl core::fmt::Debug for Trust {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// Why a certificate and key cannot serve.
#[derive(Debug, ThisError)]
#[error("the certificate and its key cannot be used for TLS")]
pub struct UnusableKey(#[from] Error);

/// Whether a peer must present a certificate. One that is presented must be good in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerCertificate {
    /// The handshake fails without.
    Required,
    /// It may be left out; the peer is then nobody known.
    Optional,
}

/// The configurations of a listener for one server identity: TLS 1.3, no resumption.
#[derive(Clone, Debug)]
pub struct ServerConfigs {
    /// For peers that must present a certificate.
    pub required: Arc<ServerConfig>,
    /// For peers that may.
    pub optional: Arc<ServerConfig>,
}

/// Makes the configurations for a certificate and its key.
///
/// # Errors
/// When the key is of a kind that TLS cannot use or does not belong to the certificate.
pub fn server_configs(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    trust: &Arc<Trust>,
) -> Result<ServerConfigs, UnusableKey> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
    let config = |peer| {
        let resolver = Arc::new(Always(Arc::clone(&certified)));
        config_with(Arc::clone(&provider), Arc::clone(trust), resolver, peer).map(Arc::new)
    };
    Ok(ServerConfigs { required: config(PeerCertificate::Required)?, optional: config(PeerCertificate::Optional)? })
}

/// A configuration that refuses every handshake with a TLS alert: for server names that are not served.
///
/// # Errors
/// Never in practice; rustls checks the provider.
pub fn refusing_config(trust: Arc<Trust>) -> Result<ServerConfig, UnusableKey> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(config_with(provider, trust, Arc::new(Never), PeerCertificate::Required)?)
}

fn config_with(
    provider: Arc<CryptoProvider>,
    trust: Arc<Trust>,
    resolver: Arc<dyn ResolvesServerCert>,
    peer: PeerCertificate,
) -> Result<ServerConfig, Error> {
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(SpiffeClientVerifier { trust, algorithms, peer });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Finds out of a failed handshake why the peer was refused: the verifier's refusal, a missing certificate, or `None`
/// where it failed for another cause.
pub fn peer_refusal(error: &std::io::Error) -> Option<HandshakeRefusal<'_>> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::NoCertificatesPresented => Some(HandshakeRefusal::Missing),
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            cause.downcast_ref::<SvidRefusal>().map(HandshakeRefusal::Svid)
        }
        _ => None,
    }
}

/// Why a handshake refused the peer.
#[derive(Debug)]
pub enum HandshakeRefusal<'a> {
    /// No certificate where one is required.
    Missing,
    /// A certificate that is no acceptable SVID.
    Svid(&'a SvidRefusal),
}

impl HandshakeRefusal<'_> {
    /// The reason as the record names it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::IdentityMissing,
            Self::Svid(refusal) => refusal.reason,
        }
    }
}

/// Always the same certificate: the server name was resolved before.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// No certificate, which makes rustls send an alert.
#[derive(Debug)]
struct Never;

impl ResolvesServerCert for Never {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Verifies client certificates by the SPIFFE rules.
#[derive(Debug)]
struct SpiffeClientVerifier {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    peer: PeerCertificate,
}

impl ClientCertVerifier for SpiffeClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.peer == PeerCertificate::Required
    }

    /// No hints: which trust domains are known is nobody's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> =
            core::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        match self.trust.verify(&chain) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))),
        }
    }

    /// TLS 1.2 is not offered.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
