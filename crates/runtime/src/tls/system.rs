//! TLS between those that run Countersign itself: control, its peers, and operators, all of `system.<organisation>`.
//!
//! A server is control by its SPIFFE ID under a root that the client was given beforehand: whole, or as its digest for
//! first contact. Names and addresses prove nothing here, and there is no trust on first use.

use std::sync::Arc;

use identity::{Bundle, BundleSet, SvidRefusal, VerifiedPeer, sign::root_trust_domain};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
    version::TLS13,
};
use thiserror::Error as ThisError;
use types::{Clock, Reason, SpiffeId, Timestamp};

use super::{Always, PeerCertificate, Trust, UnusableKey, config_with};

/// The label before the organisation in the trust domain of Countersign itself.
const SYSTEM: &str = "system.";

/// What a client knows of the system root before it has spoken to anybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinnedRoot {
    /// SHA-256 of it: the server sends the root itself at the end of its chain.
    Sha256([u8; 32]),
    /// The root, DER.
    Root(Vec<u8>),
}

/// Why a server is not the control that a client was told of.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
pub enum ServerRefusal {
    /// It did not send the root, or another one than was pinned.
    #[error(
        "the server does not show the system root with the pinned SHA-256: it is the control of another installation, \
         or none"
    )]
    NotPinned,
    /// The pinned root is not that of a system.
    #[error("the root is not that of a trust domain `system.<organisation>`")]
    NotSystem,
    /// Its certificate is not good.
    #[error("the server's certificate is refused: {0}")]
    Certificate(SvidRefusal),
    /// It is good and not valid at this moment: one of the clocks is wrong.
    #[error(
        "the server's certificate is not valid at this machine's time, {}: {refusal}, {} away; compare both clocks",
        minute(*now),
        span(*apart_seconds)
    )]
    Clock {
        /// This machine's clock.
        now: Timestamp,
        /// From there to the nearest moment at which it is valid: the clocks are apart by as much at least.
        apart_seconds: u64,
        /// What is wrong.
        refusal: SvidRefusal,
    },
    /// It is somebody else's.
    #[error("the server is `{0}`, which is not control")]
    NotControl(SpiffeId),
}

/// Finds out of a failed handshake why the server was refused; `None` where it failed for another cause.
pub fn server_refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ServerRefusal> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref::<Error>().or_else(|| inner.and_then(|inner| inner.downcast_ref::<Error>()));
        if let Some(Error::InvalidCertificate(CertificateError::Other(OtherError(refusal)))) = tls {
            return refusal.downcast_ref::<ServerRefusal>();
        }
        cause = error.source();
    }
    None
}

/// TLS 1.3 to control, without resumption. `identity` is the client's chain, leaf first, and its key; `is_control` says
/// which identity of the system the server may have. Which name was dialled proves nothing and is not compared.
///
/// # Errors
/// When the key is of a kind that TLS cannot use or does not belong to the certificate.
pub fn system_client(
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    root: PinnedRoot,
    is_control: fn(&VerifiedPeer) -> bool,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, UnusableKey> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(ControlVerifier { root, is_control, clock, algorithms });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// TLS 1.3 of control, without resumption. A client certificate is asked for and may be left out; one that is presented
/// must be good in `trust`. `root` goes along at the end of the chain, for clients that know its digest only.
///
/// # Errors
/// When the key is of a kind that TLS cannot use or does not belong to the certificate.
pub fn system_server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    root: CertificateDer<'static>,
    trust: Arc<Trust>,
) -> Result<ServerConfig, UnusableKey> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = chain.into_iter().chain([root]).collect();
    let certified = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
    Ok(config_with(provider, trust, Arc::new(Always(certified)), PeerCertificate::Optional)?)
}

/// Verifies that a server is control.
struct ControlVerifier {
    root: PinnedRoot,
    is_control: fn(&VerifiedPeer) -> bool,
    clock: Arc<dyn Clock>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl core::fmt::Debug for ControlVerifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ControlVerifier").field("root", &self.root).finish_non_exhaustive()
    }
}

impl ControlVerifier {
    fn check(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), ServerRefusal> {
        let root = match &self.root {
            PinnedRoot::Root(root) => root.as_slice(),
            PinnedRoot::Sha256(digest) => rest
                .iter()
                .find(|der| identity::sign::sha256(der) == *digest)
                .map(AsRef::as_ref)
                .ok_or(ServerRefusal::NotPinned)?,
        };
        let domain = root_trust_domain(root).map_err(|_| ServerRefusal::NotSystem)?;
        if !domain.as_str().starts_with(SYSTEM) {
            return Err(ServerRefusal::NotSystem);
        }
        let bundle = Bundle::from_der(domain, vec![root.to_vec()]).map_err(|_| ServerRefusal::NotSystem)?;
        let between = rest.iter().filter(|der| der.as_ref() != root);
        let chain: Vec<CertificateDer<'_>> =
            core::iter::once(leaf).chain(between).map(|der| CertificateDer::from(der.as_ref())).collect();
        let now = self.clock.now();
        let peer =
            identity::verify(&chain, &BundleSet::from_iter([bundle]), now).map_err(|refusal| match refusal.reason {
                Reason::IdentityExpired => ServerRefusal::Clock { now, apart_seconds: apart(leaf, now), refusal },
                _ => ServerRefusal::Certificate(refusal),
            })?;
        if (self.is_control)(&peer) { Ok(()) } else { Err(ServerRefusal::NotControl(peer.spiffe_id().clone())) }
    }
}

/// Seconds from a moment to the nearest one at which a certificate is valid.
fn apart(leaf: &CertificateDer<'_>, now: Timestamp) -> u64 {
    identity::sign::validity(leaf).map_or(0, |(first, last)| {
        let (first, last, now) = (first.seconds(), last.seconds(), now.seconds());
        first.saturating_sub(now).max(now.saturating_sub(last))
    })
}

/// `2026-11-23T09:14Z`: whoever tries again says a thing that has not changed once a minute at most.
fn minute(moment: Timestamp) -> String {
    let mut text = moment.to_string();
    text.truncate("2026-11-23T09:14".len());
    text.push('Z');
    text
}

fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => "less than a minute".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

impl ServerCertVerifier for ControlVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|refusal| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
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

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
