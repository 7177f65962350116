//! A gateway listener on one worker: takes connections, within limits, and serves each with its protocol.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use policy::call::Refused;
use runtime::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use types::{Host, Label, Reason, facts::Protocol, limits};

use crate::{
    accept::{self, Connection, Rejected},
    credentials::ServerNames,
    http2, inbound,
    registry::{OpenConnection, Registered},
    standing::Standing,
    worker::Worker,
};

/// A listener as all workers know it.
pub struct Gateway {
    /// Its name.
    pub name: Arc<str>,
    /// Its own port.
    pub port: u16,
    /// How callers come in.
    pub door: Door,
    /// The domains whose hosts it serves; `None` for all.
    pub domains: Option<Arc<[Label]>>,
    /// Open connections, over all workers.
    pub connections: AtomicUsize,
}

/// How callers come in.
pub enum Door {
    /// Over TLS, for these hosts.
    Tls(Arc<ServerNames>),
    /// Over HTTP/1.1 without TLS.
    Plaintext,
}

/// Counts a connection as open until it is dropped.
struct Admitted(Arc<Gateway>);

impl Admitted {
    fn new(gateway: &Arc<Gateway>) -> Option<Self> {
        let before = gateway.connections.fetch_add(1, Ordering::Relaxed);
        let admitted = Self(Arc::clone(gateway));
        (before < limits::CONNECTIONS.default_usize()).then_some(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a handshake in flight until it is dropped.
struct Handshaking(Rc<Cell<usize>>);

impl Handshaking {
    fn new(count: &Rc<Cell<usize>>) -> Option<Self> {
        let fits = count.get() < limits::HANDSHAKES.default_usize();
        count.set(count.get() + 1);
        let handshaking = Self(Rc::clone(count));
        fits.then_some(handshaking)
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Takes connections until told to finish.
pub async fn listen(worker: Rc<Worker>, gateway: Arc<Gateway>, listener: TcpListener, mut shutdown: Shutdown) {
    let handshakes = Rc::new(Cell::new(0));
    loop {
        let taken = tokio::select! {
            () = shutdown.asked() => return,
            taken = listener.accept() => taken,
        };
        match taken {
            Ok((stream, source)) => {
                let (worker, gateway, shutdown) = (Rc::clone(&worker), Arc::clone(&gateway), shutdown.clone());
                let (Some(admitted), Some(handshaking)) = (Admitted::new(&gateway), Handshaking::new(&handshakes))
                else {
                    refuse(&worker, &gateway, source, Rejected::new(Reason::AcceptOverload, ""));
                    continue;
                };
                tokio::task::spawn_local(async move {
                    serve(worker, &gateway, stream, source, handshaking, shutdown).await;
                    drop(admitted);
                });
            }
            Err(error) => {
                // out of descriptors or memory: waiting is all that can be done, and nothing is let through meanwhile
                tracing::error!(listener = %gateway.name, %error, "no connection can be taken");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_TIME.default)).await;
            }
        }
    }
}

async fn serve(
    worker: Rc<Worker>,
    gateway: &Gateway,
    stream: TcpStream,
    source: SocketAddr,
    handshaking: Handshaking,
    shutdown: Shutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection is already gone");
        return;
    }
    let Door::Tls(names) = &gateway.door else {
        drop(handshaking);
        return serve_plaintext(worker, gateway, stream, source, shutdown).await;
    };
    let (caller, server_name, tls) = match accept::handshake(&worker, names, stream).await {
        Ok(accepted) => accepted,
        Err(mut rejected) => {
            let stream = rejected.take_stream();
            refuse(&worker, gateway, source, rejected);
            drop(handshaking);
            if let Some(stream) = stream {
                accept::linger(stream).await;
            }
            return;
        }
    };
    drop(handshaking);
    let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
    let open = Connected::new(&worker, caller.clone());
    let connection = Rc::new(gateway.connection(source, Some(server_name), protocol, caller));
    if http2 {
        if let Err(error) = http2::serve(worker, connection, open.get(), tls, shutdown).await {
            tracing::debug!(%error, "an HTTP/2 connection ended");
        }
    } else {
        inbound::serve(worker, connection, open.get(), tls, shutdown).await;
    }
}

/// Without TLS nobody is identified, and no host is known before the request names it.
async fn serve_plaintext(
    worker: Rc<Worker>,
    gateway: &Gateway,
    stream: TcpStream,
    source: SocketAddr,
    shutdown: Shutdown,
) {
    let open = Connected::new(&worker, None);
    let connection = Rc::new(gateway.connection(source, None, Protocol::Http1, None));
    inbound::serve(worker, connection, open.get(), stream, shutdown).await;
}

impl Gateway {
    fn connection(
        &self,
        source: SocketAddr,
        server_name: Option<Host>,
        protocol: Protocol,
        caller: Option<Rc<Standing>>,
    ) -> Connection {
        let (listener, port, domains) = (Arc::clone(&self.name), self.port, self.domains.clone());
        Connection { listener, port, source, server_name, protocol, caller, domains }
    }
}

/// An open connection, registered until this is dropped.
struct Connected {
    worker: Rc<Worker>,
    registered: Registered<OpenConnection>,
}

impl Connected {
    fn new(worker: &Rc<Worker>, caller: Option<Rc<Standing>>) -> Self {
        worker.counters().connection_opened();
        Self { registered: worker.registry().connect(caller), worker: Rc::clone(worker) }
    }

    fn get(&self) -> &OpenConnection {
        self.registered.get()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.worker.registry().closed(&self.registered);
        self.worker.counters().connection_ended();
    }
}

fn refuse(worker: &Worker, gateway: &Gateway, source: SocketAddr, rejected: Rejected) {
    let refused: Refused = rejected.into_refused(worker, &gateway.name, source);
    worker.record_early(&gateway.name, refused);
}
