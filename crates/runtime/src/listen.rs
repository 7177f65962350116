//! Listening sockets.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
};

use types::limits;

/// Listens on `wanted`, or on the next free port above it when that one is taken. Returns the socket (non-blocking) and
/// the address it has. Port 0 takes any free port.
///
/// # Errors
/// The operating system's, when the address cannot be used at all or none of the ports tried is free.
pub fn bind_next_free(wanted: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for offset in 0..=limits::PORTS_TRIED.default {
        let Some(port) = u16::try_from(offset).ok().and_then(|offset| wanted.port().checked_add(offset)) else { break };
        match TcpListener::bind(SocketAddr::new(wanted.ip(), port)) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_gives_the_next_free_one() {
        let (_held, first) = bind_next_free(SocketAddr::from(([127, 0, 0, 1], 0))).expect("any port");
        let (_next, second) = bind_next_free(first).expect("a port above");
        assert!(second.port() > first.port());
    }

    #[test]
    fn an_address_of_another_machine_is_an_error() {
        assert!(bind_next_free(SocketAddr::from(([192, 0, 2, 1], 1))).is_err());
    }
}
