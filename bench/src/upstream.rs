//! The service behind both proxies: HTTP/1.1, one fixed answer of 1 KiB, as little work as possible.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Answers until the process is ended.
pub fn run(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            tokio::spawn(serve(stream));
        }
    })
}

/// Answers every request head of one connection. The proxies send no bodies.
async fn serve(mut stream: TcpStream) {
    let answer = answer();
    let mut head: Vec<u8> = Vec::new();
    let mut buffer = [0_u8; 8192];
    // a connection that fails was closed by the proxy
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        head.extend(buffer.iter().take(read));
        while let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.drain(..end + 4);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn answer() -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n".to_vec();
    answer.resize(answer.len() + 1024, b'a');
    answer
}
