//! An upstream that answers a byte at a time, on thousands of connections at once, and says when it last heard of a body.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What it is asked by: `GET /files/…` drips, `GET …/hold…` never gets an answer, `PUT /files/…` is read to its end,
/// whatever else is answered at once.
pub struct Drip {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Shared {
    pause: Duration,
    open: AtomicUsize,
    answered: AtomicUsize,
    /// When the last byte of each upload came.
    received: Mutex<BTreeMap<String, Instant>>,
    /// Requests without an answer that the gateway has given up.
    left: Mutex<Vec<String>>,
}

impl Drip {
    /// Starts it, with a pause between two bytes of a stream.
    ///
    /// # Panics
    /// When no port is to be had.
    pub fn start(pause: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { pause, ..Shared::default() });
        let each = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&each).serve(stream));
            }
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many streams drip now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// How many requests were answered at once.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// When the last byte of an upload came.
    pub fn received(&self, target: &str) -> Option<Instant> {
        self.shared.received.lock().unwrap().get(target).copied()
    }

    /// Whether the gateway has given up a request that gets no answer.
    pub fn was_left(&self, target: &str) -> bool {
        self.shared.left.lock().unwrap().iter().any(|left| left == target)
    }
}

impl Drop for Drip {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::new();
        while let Some((method, target)) = head(&mut stream, &mut buffer).await {
            let goes_on = match method.as_str() {
                "GET" if target.contains("/hold") => {
                    until_gone(&mut stream).await;
                    self.left.lock().unwrap().push(target);
                    false
                }
                "GET" if target.starts_with("/files/") => {
                    self.open.fetch_add(1, Ordering::Relaxed);
                    self.drip(&mut stream).await;
                    self.open.fetch_sub(1, Ordering::Relaxed);
                    false
                }
                "PUT" if target.starts_with("/files/") => {
                    self.take(&mut stream, target).await;
                    false
                }
                _ => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await.is_ok()
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// A byte now and then, until the gateway has gone.
    async fn drip(&self, stream: &mut TcpStream) {
        let (mut input, mut output) = stream.split();
        let write = async {
            let mut written =
                output.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
            while written.is_ok() {
                // tidy: slowness is what is tested
                tokio::time::sleep(self.pause).await;
                written = output.write_all(b"1\r\nx\r\n").await;
            }
        };
        let mut byte = [0];
        tokio::select! {
            () = write => {}
            _ = input.read(&mut byte) => {}
        }
    }

    /// Reads what comes, and keeps when.
    async fn take(&self, stream: &mut TcpStream, target: String) {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            self.received.lock().unwrap().insert(target.clone(), Instant::now());
            if chunk[..read].ends_with(b"0\r\n\r\n") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    }
}

async fn until_gone(stream: &mut TcpStream) {
    let mut chunk = [0; 64];
    while matches!(stream.read(&mut chunk).await, Ok(1..)) {}
}

/// Reads a head; gives method and target. Bodies other than those of uploads are dropped with it.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..at]).into_owned();
            buffer.clear();
            let mut words = head.split(' ');
            return Some((words.next()?.to_owned(), words.next()?.to_owned()));
        }
        match stream.read(&mut chunk).await {
            Ok(read @ 1..) => buffer.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}
