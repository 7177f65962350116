//! A TLS connection on which every byte is the test's own: for what curl would not send or not show.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::answer::{Answer, shown};
use crate::certificates::Identity;
use crate::site::Site;
use crate::wait::PATIENCE;

/// An open connection.
pub struct Raw {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

/// What came until the connection ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Rest {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the peer closed in order, with a TLS close notification.
    pub clean: bool,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rest {{ {:?}, clean: {} }}", shown(&self.bytes), self.clean)
    }
}

/// The configuration of a client.
///
/// # Panics
/// When the identity is not usable.
pub(crate) fn client_config(roots_file: &Path, identity: Option<&Identity>, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots_file).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    if !protocol.is_empty() {
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    }
    Arc::new(config)
}

/// One request without TLS to a port of 127.0.0.1, which must ask for the connection to be closed.
///
/// # Panics
/// When no answer comes.
pub fn plain(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("{bytes:?}")) + 4;
    Answer { body: bytes.split_off(end), ..Answer::of_head(&String::from_utf8_lossy(&bytes)) }
}

impl Raw {
    /// Opens a connection for HTTP/1.1 to a host behind the gateway. The handshake is not over before the first answer:
    /// in TLS 1.3 a client learns only then what the server thinks of its certificate.
    ///
    /// # Errors
    /// When TCP or the handshake fails.
    ///
    /// # Panics
    /// When the identity is not usable.
    pub fn open(site: &Site, identity: Option<&Identity>, host: &str) -> io::Result<Self> {
        Self::to(site.gateway(), &site.roots_of(host), identity, host)
    }

    /// As [`Self::open`], to a gateway at this address whose certificates lead to these roots.
    ///
    /// # Errors
    /// When TCP or the handshake fails.
    ///
    /// # Panics
    /// When the identity is not usable.
    pub fn to(gateway: SocketAddr, roots: &Path, identity: Option<&Identity>, host: &str) -> io::Result<Self> {
        let config = client_config(roots, identity, "http/1.1");
        let name = host.to_owned().try_into().unwrap();
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let stream = TcpStream::connect(gateway)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self { tls, buffer: Vec::new() })
    }

    /// A connection of a workload.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn by(site: &Site, workload: &str, host: &str) -> Self {
        Self::open(site, Some(&site.identity(workload)), host).unwrap()
    }

    /// How many session tickets the server has sent.
    pub fn tickets(&self) -> u32 {
        self.tls.conn.tls13_tickets_received()
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the peer does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.tls.write_all(bytes.as_ref())?;
        self.tls.flush()
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).unwrap();
        self.answer().unwrap()
    }

    /// Reads one answer of known length or in chunks. A body that breaks off makes the answer broken.
    ///
    /// # Errors
    /// When not even a head comes.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let head = self.up_to(b"\r\n\r\n")?;
        let mut answer = Answer::of_head(&String::from_utf8_lossy(&head));
        let length = answer.field("content-length").and_then(|length| length.parse().ok());
        let read = match length {
            _ if answer.status < 200 || matches!(answer.status, 204 | 304) => Ok(Vec::new()),
            Some(length) => self.exactly(length),
            None if answer.field("transfer-encoding") == Some("chunked") => self.chunks(),
            None => Ok(Vec::new()),
        };
        match read {
            Ok(body) => answer.body = body,
            Err(error) => answer.broken = error.to_string(),
        }
        Ok(answer)
    }

    /// Reads until the connection ends.
    pub fn rest(&mut self) -> Rest {
        loop {
            match self.more() {
                Ok(true) => {}
                Ok(false) => return Rest { bytes: std::mem::take(&mut self.buffer), clean: true },
                Err(_) => return Rest { bytes: std::mem::take(&mut self.buffer), clean: false },
            }
        }
    }

    /// Says that nothing more will be sent, and listens on.
    ///
    /// # Panics
    /// When the peer has gone.
    pub fn finish(&mut self) {
        self.tls.conn.send_close_notify();
        self.tls.flush().unwrap();
    }

    /// Reads at least as many bytes, and leaves them to be taken.
    ///
    /// # Errors
    /// When fewer come.
    pub fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.buffer.len() < length {
            self.some()?;
        }
        Ok(&self.buffer)
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let read = self.tls.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }

    fn some(&mut self) -> io::Result<()> {
        if self.more()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn up_to(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.some()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.some()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.up_to(b"\r\n")?).trim().to_owned();
            let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            body.extend(self.exactly(size)?);
            self.up_to(b"\r\n")?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}
