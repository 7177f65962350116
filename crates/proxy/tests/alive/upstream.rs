//! A service behind the gateway: `/items` answers, `/stream` trickles for ever, `/flood` pours, `/slow` and `/upload` never
//! answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the service saw.
#[derive(Default)]
pub struct Seen {
    /// Requests whose head has come.
    pub requests: AtomicUsize,
    /// Connections that are open.
    pub open: AtomicUsize,
    /// Bytes of bodies that never end.
    pub uploaded: AtomicU64,
}

pub struct Upstream {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&all);
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Ordering::SeqCst);
                    // the proxy may leave at any moment
                    let _ = serve(stream, &seen).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    pub fn uploaded(&self) -> u64 {
        self.seen.uploaded.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let line = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        match line.split(' ').nth(1).unwrap_or_default() {
            "/stream" => trickle(&mut stream).await?,
            "/flood" => pour(&mut stream).await?,
            "/items" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?,
            _ => swallow(&mut stream, seen).await?,
        }
    }
}

async fn trickle(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    for number in 0.. {
        stream.write_all(format!("9\r\n{number:08}\n\r\n").as_bytes()).await?;
        // the other side may have gone without a byte of ours in between
        tokio::select! {
            // tidy: the trickle of the service, not a wait of the test
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
            read = stream.read_u8() => drop(read?),
        }
    }
    Ok(())
}

async fn pour(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn swallow(stream: &mut TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut scrap = [0; 4096];
    loop {
        match stream.read(&mut scrap).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            bytes => drop(seen.uploaded.fetch_add(bytes as u64, Ordering::SeqCst)),
        }
    }
}
