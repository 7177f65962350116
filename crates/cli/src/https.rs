//! HTTPS requests over mutual TLS, as a workload would make them.
//!
//! The server is held to what SPIFFE says of it: its certificate chains to the roots of the domain that is called, is a
//! gateway's identity of that domain, and covers the host. The public web's authorities count for nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use identity::BundleSet;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use types::{Host, Timestamp, TrustDomain, limits};

/// Who calls.
pub struct Credential {
    /// DER, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Whom to call.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The host of the URL: the server name, and what the certificate must cover.
    pub host: Host,
    /// The trust domain that the host belongs to.
    pub trust_domain: TrustDomain,
    /// Its roots.
    pub bundles: BundleSet,
}

/// A way to one host: TLS as it is to be spoken there. Nothing is opened yet.
pub struct Way {
    address: SocketAddr,
    host: Host,
    config: Arc<ClientConfig>,
}

/// An open connection, good for one request after the other.
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Way {
    /// A caller without a credential shows no certificate.
    ///
    /// # Errors
    /// Words: why TLS cannot be set up.
    pub fn new(credential: Option<&Credential>, server: Server) -> Result<Self, String> {
        let (address, host) = (server.address, server.host.clone());
        let config = client_config(credential, server).map_err(|error| format!("TLS could not be set up: {error}"))?;
        Ok(Self { address, host, config: Arc::new(config) })
    }

    /// Connects.
    ///
    /// # Errors
    /// Words: where it failed and why.
    pub async fn open(&self) -> Result<Connection, String> {
        let (address, host) = (self.address, &self.host);
        let name =
            ServerName::try_from(host.as_str().to_owned()).map_err(|_| format!("`{host}` is not a server name"))?;
        let tcp =
            TcpStream::connect(address).await.map_err(|error| format!("connecting to {address} failed: {error}"))?;
        let _ = tcp.set_nodelay(true);
        let tls = TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp).await;
        let tls = tls.map_err(|error| format!("the TLS handshake with {address} failed: {error}"))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| format!("speaking HTTP to {address} failed: {error}"))?;
        tokio::spawn(connection);
        Ok(Connection { address, sender })
    }
}

impl Connection {
    /// Sends one request and reads the whole response.
    ///
    /// # Errors
    /// Words: where it failed and why. The connection is of no more use then.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String> {
        let address = self.address;
        let no_answer = |error: hyper::Error| format!("no answer from {address}: {}", crate::term::causes(&error));
        self.sender.ready().await.map_err(no_answer)?;
        let (head, body) = self.sender.send_request(request).await.map_err(no_answer)?.into_parts();
        let body = Limited::new(body, limits::CALL_RESPONSE_BYTES.default_usize()).collect().await;
        let body = body.map_err(|error| format!("the response of {address} broke off: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn client_config(credential: Option<&Credential>, server: Server) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = GatewayVerifier::new(server, &provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // not weaker: the verifier below is stricter than the usual one
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credential {
        Some(shown) => builder.with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct GatewayVerifier {
    host: Host,
    trust_domain: TrustDomain,
    bundles: BundleSet,
    algorithms: WebPkiSupportedAlgorithms,
}

impl GatewayVerifier {
    fn new(server: Server, provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { host: server.host, trust_domain: server.trust_domain, bundles: server.bundles, algorithms }
    }
}

impl ServerCertVerifier for GatewayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let peer = identity::verify(&chain, &self.bundles, Timestamp::from_seconds(now.as_secs()))
            .map_err(|refusal| Error::General(format!("the server's certificate is refused: {refusal}")))?;
        let id = peer.spiffe_id();
        if *id.trust_domain() != self.trust_domain || !id.path().starts_with("/_gateway/") {
            return Err(Error::General(format!("the server is {id}, not a gateway of {}", self.trust_domain)));
        }
        if !peer.covers_dns(&self.host) {
            return Err(Error::General(format!("the certificate of {id} does not cover {}", self.host)));
        }
        Ok(ServerCertVerified::assertion())
    }

    /// Only TLS 1.3 is spoken.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use identity::Bundle;
    use testkit::{Authority, LeafPlan};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_425_242);

    /// What the verifier of a call to the ledger says of a server with these names, signed by a domain's authority.
    fn verdict(signer: &str, spiffe_id: &str, dns: &str) -> Result<(), String> {
        let [finance, hr] = ["finance", "hr"].map(|domain| Authority::of(&format!("{domain}.acme.internal"), NOW));
        let trust_domain = TrustDomain::parse("finance.acme.internal").unwrap();
        let bundle = Bundle::from_der(trust_domain.clone(), vec![finance.der().to_vec()]).unwrap();
        let host = Host::parse("ledger.acme.internal").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let server = Server { address, host, trust_domain, bundles: BundleSet::from_iter([bundle]) };
        let verifier = GatewayVerifier::new(server, &aws_lc_rs::default_provider());
        let plan = LeafPlan { dns: vec![dns.to_owned()], ..LeafPlan::svid(spiffe_id, NOW) };
        let leaf = if signer == "finance" { finance.issue(&plan) } else { hr.issue(&plan) };
        let certificate = CertificateDer::from(leaf.chain[0].clone());
        let name = ServerName::try_from("ledger.acme.internal").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW.seconds()));
        let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
        verified.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_gateway_of_the_domain_that_covers_the_host_is_the_server() {
        let (gateway, host) = ("spiffe://finance.acme.internal/_gateway/gw-1", "ledger.acme.internal");
        assert_eq!(verdict("finance", gateway, host), Ok(()));
        let refused = |signer, id, dns| verdict(signer, id, dns).unwrap_err();
        assert!(refused("hr", gateway, host).contains("is refused"), "another domain's authority");
        assert!(refused("hr", "spiffe://hr.acme.internal/_gateway/gw-1", host).contains("is refused"));
        let workload = refused("finance", "spiffe://finance.acme.internal/payments", host);
        assert!(workload.contains("not a gateway of finance.acme.internal"), "{workload}");
        let other = refused("finance", gateway, "payroll.acme.internal");
        assert!(other.contains("does not cover ledger.acme.internal"), "{other}");
    }
}
