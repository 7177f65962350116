//! A network that can be cut: a relay in front of one TCP port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Network {
    /// They arrive.
    Up = 0,
    /// Connections are refused, and those there were are gone.
    Cut = 1,
    /// Connections stand, and nothing arrives any more, in neither direction.
    HalfOpen = 2,
    /// They arrive, a few kilobytes a second.
    Slow = 3,
}

/// The relay. It ends with it.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: AtomicU8,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// How often a half-open connection is looked at again, and the pace of a slow one.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes that a slow network lets through in each pause.
const SLOW_BYTES: usize = 512;

impl Relay {
    /// A relay to a port.
    ///
    /// # Panics
    /// When no port is to be had.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            state: AtomicU8::new(Network::Up as u8),
            over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let at_work = Arc::clone(&shared);
        thread::spawn(move || at_work.accept(&listener));
        Self { address, shared }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of the bytes from here on.
    ///
    /// # Panics
    /// When a thread of the relay did.
    pub fn set(&self, network: Network) {
        self.shared.state.store(network as u8, Ordering::SeqCst);
        if network == Network::Cut {
            self.shared.hang_up();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.hang_up();
        // wakes the one who accepts
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn is(&self, network: Network) -> bool {
        self.state.load(Ordering::SeqCst) == network as u8
    }

    fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // it may be gone already
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for near in listener.incoming() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(near) = near else { continue };
            if self.is(Network::Cut) {
                continue;
            }
            let Ok(far) = TcpStream::connect(self.target) else { continue };
            self.open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
            for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.carry(from, to));
            }
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16_384];
        loop {
            let most = if self.is(Network::Slow) { SLOW_BYTES } else { buffer.len() };
            let Ok(count @ 1..) = from.read(&mut buffer[..most]) else { break };
            while self.is(Network::HalfOpen) && !self.over.load(Ordering::SeqCst) {
                // tidy: a network that lost its bytes
                thread::sleep(PAUSE);
            }
            if self.is(Network::Slow) {
                // tidy: a network that is slow
                thread::sleep(PAUSE);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
