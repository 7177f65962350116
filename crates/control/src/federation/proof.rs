//! How a bundle endpoint proves who it is: by a certificate of the web, or by an X.509-SVID. One profile never falls back
//! to the other (BU-5).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use identity::{BundleSet, SvidRefusal};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use types::{Clock, SpiffeId};

use super::fetch::FetchError;

/// A client for `https_web`: the roots that are given, or those of the system.
pub(super) fn web(roots: Option<&[Vec<u8>]>, clock: &Arc<dyn Clock>) -> Result<ClientConfig, FetchError> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(roots) => {
            store.add_parsable_certificates(roots.iter().map(|der| CertificateDer::from(der.as_slice())));
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(FetchError::NoRoots);
    }
    let (provider, time) = parts(clock);
    let builder = ClientConfig::builder_with_details(provider, time).with_safe_default_protocol_versions();
    let config = builder.map_err(FetchError::NoTls)?.with_root_certificates(store).with_no_client_auth();
    Ok(careful(config))
}

/// A client for `https_spiffe`: the server has exactly this SPIFFE ID under the bundle that is held of its trust domain
/// (BU-7). Which name or address was dialled proves nothing and is not compared.
pub(super) fn spiffe(
    endpoint_id: &SpiffeId,
    bundles: BundleSet,
    clock: &Arc<dyn Clock>,
) -> Result<ClientConfig, FetchError> {
    let (provider, time) = parts(clock);
    let verifier = SpiffeServer {
        endpoint_id: endpoint_id.clone(),
        bundles,
        clock: Arc::clone(clock),
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_details(provider, time).with_safe_default_protocol_versions();
    let builder = builder.map_err(FetchError::NoTls)?.dangerous();
    Ok(careful(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()))
}

fn parts(clock: &Arc<dyn Clock>) -> (Arc<CryptoProvider>, Arc<dyn TimeProvider>) {
    (Arc::new(aws_lc_rs::default_provider()), Arc::new(ByClock(Arc::clone(clock))))
}

/// Every fetch proves the server anew.
fn careful(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Our clock, for rustls.
struct ByClock(Arc<dyn Clock>);

impl fmt::Debug for ByClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByClock")
    }
}

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().seconds())))
    }
}

/// Why a server is not the endpoint that was configured.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
pub(super) enum NotTheEndpoint {
    /// Its certificate is not good under the bundle that is held.
    #[error("its certificate is refused: {0}")]
    Certificate(SvidRefusal),
    /// It is good and somebody else's.
    #[error("it is `{0}`, which `endpoint_id` does not name")]
    SomebodyElse(SpiffeId),
}

/// Finds out of a failed handshake why the server was refused; `None` where it failed for another cause.
pub(super) fn refusal(error: &std::io::Error) -> Option<&NotTheEndpoint> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

/// Verifies a server by its SPIFFE ID.
struct SpiffeServer {
    endpoint_id: SpiffeId,
    bundles: BundleSet,
    clock: Arc<dyn Clock>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for SpiffeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpiffeServer").field("endpoint_id", &self.endpoint_id).finish_non_exhaustive()
    }
}

impl SpiffeServer {
    fn check(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), NotTheEndpoint> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(leaf).chain(rest).map(|der| CertificateDer::from(der.as_ref())).collect();
        let peer = identity::verify(&chain, &self.bundles, self.clock.now()).map_err(NotTheEndpoint::Certificate)?;
        if *peer.spiffe_id() == self.endpoint_id {
            Ok(())
        } else {
            Err(NotTheEndpoint::SomebodyElse(peer.spiffe_id().clone()))
        }
    }
}

impl ServerCertVerifier for SpiffeServer {
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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
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
