//! Connections within one process, for `up`: the same protocol over memory instead of sockets.

use std::io;

use api::admin::Role;
use tokio::{io::DuplexStream, sync::mpsc};
use types::Label;

use crate::server::{Connection, Incoming, PeerInfo, Who};

/// Bytes that one end may be ahead of the other.
const BUFFER: usize = 1 << 18; // tidy: both ends are this process

/// The side of the roles; cheap to clone. When every one is gone, the incoming side ends.
#[derive(Clone, Debug)]
pub struct Connector(mpsc::Sender<Connection>);

/// The two sides of connections within this process.
pub fn pair() -> (Connector, Incoming) {
    let (door, incoming) = Incoming::channel();
    (Connector(door), incoming)
}

impl Connector {
    /// Opens a connection as this role.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn connect(&self, role: Role, name: &Label) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(BUFFER);
        let peer = PeerInfo { who: Who::InProcess { role, name: name.clone() }, address: None };
        let sent = self.0.send(Connection::new(far, peer, Vec::new())).await;
        sent.map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "control has finished"))?;
        Ok(near)
    }
}
