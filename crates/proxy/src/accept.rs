//! Step 1, accept: a TLS 1.3 handshake for one served host, with a client certificate that verifies, or none where the
//! host's domain lets callers leave it out.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use policy::call::{Accepted, Refused};
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};
use trustdir::Asks;
use types::{Host, Label, Reason, SpiffeId, facts::Protocol, limits};

use crate::{credentials::ServerNames, standing::Standing, worker::Worker};

/// An accepted connection: who is at the other end and which host it asked for. Verified here; its expiry, and
/// whether the bundles still vouch for it, is looked at again for each request.
pub struct Connection {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The listener's own port, which a Host may name.
    pub port: u16,
    /// The peer's address.
    pub source: SocketAddr,
    /// The host of the TLS server name; `None` without TLS.
    pub server_name: Option<Host>,
    /// The protocol that was agreed on.
    pub protocol: Protocol,
    /// The caller; `None` where it presented no certificate and did not have to.
    pub caller: Option<Rc<Standing>>,
    /// The domains whose hosts the listener serves; `None` for all.
    pub domains: Option<Arc<[Label]>>,
}

impl Connection {
    /// A request begins.
    pub fn accepted(&self, worker: &Worker) -> Accepted {
        let at = worker.now();
        Accepted {
            id: worker.decision_id(at),
            at,
            listener: Arc::clone(&self.listener),
            source: self.source.ip(),
            server_name: self.server_name.clone(),
            protocol: self.protocol,
        }
    }
}

/// A connection that never became one.
pub struct Rejected {
    reason: Reason,
    note: String,
    server_name: Option<Host>,
    claimed: Option<Box<SpiffeId>>,
    /// The connection, where the peer may still have to read an alert.
    stream: Option<TcpStream>,
}

impl Rejected {
    /// Without knowing more than the reason.
    pub fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, note: note.into(), server_name: None, claimed: None, stream: None }
    }

    /// The connection, to [`linger`] on once the refusal is recorded.
    pub fn take_stream(&mut self) -> Option<TcpStream> {
        self.stream.take()
    }

    /// As the record wants it.
    pub fn into_refused(self, worker: &Worker, listener: &Arc<str>, source: SocketAddr) -> Refused {
        let at = worker.now();
        let accepted = Accepted {
            id: worker.decision_id(at),
            at,
            listener: Arc::clone(listener),
            source: source.ip(),
            server_name: self.server_name,
            protocol: Protocol::Tls,
        };
        let refused = Refused::new(accepted, self.reason, self.note);
        match self.claimed {
            Some(claimed) => refused.with_claimed(*claimed),
            None => refused,
        }
    }
}

/// What a handshake establishes: the caller where it presented a certificate, the host it asked for, and the stream.
pub type Handshaken = (Option<Rc<Standing>>, Host, TlsStream<TcpStream>);

/// Runs the handshake within its time.
///
/// # Errors
/// Why the connection is refused. The peer has then been sent a TLS alert wherever the protocol allows one.
pub async fn handshake(worker: &Worker, names: &ServerNames, stream: TcpStream) -> Result<Handshaken, Rejected> {
    let bound = Duration::from_millis(limits::HANDSHAKE_TIME.default);
    timeout(bound, handshake_steps(worker, names, stream))
        .await
        .unwrap_or_else(|_| Err(Rejected::new(Reason::AcceptTimeout, "")))
}

async fn handshake_steps(worker: &Worker, names: &ServerNames, stream: TcpStream) -> Result<Handshaken, Rejected> {
    let started = client_hello(stream).await?;
    let asked = started.client_hello().server_name().map(str::to_owned);
    let server_name = asked.as_deref().and_then(|name| Host::parse(name).ok());
    let table = names.load();
    let name = match server_name.as_ref().and_then(|host| table.find(host)) {
        Some(name) => name,
        None => {
            // the handshake goes on only so that the peer gets an alert
            let stream = started.into_stream(table.refusing()).into_fallible().await.err().map(|(_, stream)| stream);
            let note = if asked.is_none() { "the peer named no server" } else { "" };
            return Err(Rejected { server_name, stream, ..Rejected::new(Reason::AcceptServerName, note) });
        }
    };
    let refused = |(error, stream): (std::io::Error, TcpStream)| Rejected {
        server_name: server_name.clone(),
        stream: Some(stream),
        ..rejection(&error)
    };
    let tls = started.into_stream(name.config).into_fallible().await.map_err(refused)?;
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let caller = match chain {
        // the chain that is verified is empty too where one is required and none came: that is refused
        [] if name.asks == Asks::Optional => None,
        chain => Some(Standing::verify(chain, &worker.shared().trusted).map(Rc::new).map_err(|refusal| Rejected {
            server_name: server_name.clone(),
            claimed: refusal.claimed.clone().map(Box::new),
            ..Rejected::new(refusal.reason, refusal.to_string())
        })?),
    };
    match server_name {
        Some(host) => Ok((caller, host, tls)),
        None => Err(Rejected::new(Reason::AcceptServerName, "the peer named no server")),
    }
}

/// Waits for the peer's first message, which has a time of its own within that of the handshake.
async fn client_hello(stream: TcpStream) -> Result<StartHandshake<TcpStream>, Rejected> {
    let bound = Duration::from_millis(limits::CLIENT_HELLO_TIME.default);
    timeout(bound, LazyConfigAcceptor::new(Acceptor::default(), stream))
        .await
        .map_err(|_| Rejected::new(Reason::AcceptTimeout, "no TLS ClientHello"))?
        .map_err(|error| Rejected::new(Reason::AcceptTls, error.to_string()))
}

/// Gives the peer time to read its alert. It may have sent a request already, since in TLS 1.3 it is done before we are,
/// and closing a socket with unread bytes would reset the connection and destroy the alert.
pub async fn linger(mut stream: TcpStream) {
    let drain = async {
        let mut left = limits::LINGER_BYTES.default_usize();
        let mut scrap = [0; 1024];
        let mut read = stream.shutdown().await.map(|()| 1);
        while left > 0 && read.is_ok_and(|read| read > 0) {
            read = stream.read(&mut scrap).await.inspect(|read| left = left.saturating_sub(*read));
        }
    };
    // tolerated: a peer that stays is closed on all the same
    let _ = timeout(Duration::from_millis(limits::LINGER_TIME.default), drain).await;
}

/// What a failed handshake says about the peer.
fn rejection(error: &std::io::Error) -> Rejected {
    use runtime::tls::{HandshakeRefusal, peer_refusal};
    match peer_refusal(error) {
        Some(HandshakeRefusal::Missing) => Rejected::new(Reason::IdentityMissing, ""),
        Some(HandshakeRefusal::Svid(refusal)) => Rejected {
            claimed: refusal.claimed.clone().map(Box::new),
            ..Rejected::new(refusal.reason, refusal.to_string())
        },
        None => Rejected::new(Reason::AcceptTls, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::TcpListener,
        time::{Instant, sleep},
    };

    use super::*;

    /// Waits for a first message while `peer` has the other end; gives the note of the refusal and how long it took.
    async fn refused(peer: impl AsyncFnOnce(TcpStream)) -> (Reason, String, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let started = Instant::now();
        tokio::select! {
            hello = client_hello(ours) => {
                let Err(rejected) = hello else { panic!("nobody sent a whole first message") };
                (rejected.reason, rejected.note, started.elapsed())
            }
            () = peer(theirs) => panic!("the peer was waited for to its end"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_keeps_the_first_message_back_is_cut_before_the_handshake_time() {
        let bound = Duration::from_millis(limits::CLIENT_HELLO_TIME.default);
        assert!(bound < Duration::from_millis(limits::HANDSHAKE_TIME.default));
        let silent = refused(async |stream| {
            sleep(10 * bound).await;
            drop(stream);
        });
        assert_eq!(silent.await, (Reason::AcceptTimeout, "no TLS ClientHello".to_owned(), bound));
        // a byte now and then buys no more time
        let trickling = refused(async |mut stream| {
            // a record of 512 bytes that begins a ClientHello
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().chain(&[0; 90]) {
                stream.write_all(&[*byte]).await.unwrap();
                sleep(bound / 10).await;
            }
        });
        assert_eq!(trickling.await, (Reason::AcceptTimeout, "no TLS ClientHello".to_owned(), bound));
    }
}
