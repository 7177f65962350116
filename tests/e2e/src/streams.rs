//! Many open streams at once, each watched for its last byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::runtime::Runtime;

use crate::client::{Connection, Dial};
use crate::http2::{body_of, streamed, words};

/// Between two bytes of an upload.
const UPLOAD_PAUSE: Duration = Duration::from_millis(3);

/// What is known of a stream.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// The status; 0 before the head.
    pub status: u16,
    /// The decision that the head names.
    pub decision: String,
    /// When the last byte came.
    pub last: Option<Instant>,
    /// When and how it ended; `""` for a whole body.
    pub ended: Option<(Instant, String)>,
}

/// One stream.
#[derive(Default)]
pub struct Watched {
    /// The target that was asked for.
    pub target: String,
    bytes: AtomicUsize,
    seen: Mutex<Seen>,
}

impl Watched {
    /// What is known by now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// How many bytes of the response have come.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.lock().ended.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn end(&self, how: String) {
        self.lock().ended = Some((Instant::now(), how));
    }

    async fn follow(&self, connection: &mut Connection, request: http::Request<crate::http2::Sent>) {
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(broken) => return self.end(broken),
        };
        let decision = response.headers().get("countersign-decision").and_then(|id| id.to_str().ok());
        {
            let mut seen = self.lock();
            (seen.status, seen.decision) = (response.status().as_u16(), decision.unwrap_or_default().to_owned());
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    self.bytes.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::Relaxed);
                    self.lock().last = Some(Instant::now());
                }
                Err(error) => return self.end(words(&error)),
            }
        }
        self.end(String::new());
    }
}

/// A runtime for streams. They end with it.
pub struct Streams {
    runtime: Option<Runtime>,
}

impl Default for Streams {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime: Some(runtime) }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Streams {
    /// Asks for each target on one connection, all at once; more than one over HTTP/2 only.
    ///
    /// # Panics
    /// When the connection cannot be opened.
    pub fn open(&self, dial: &Dial, targets: &[String]) -> Vec<Arc<Watched>> {
        let runtime = self.runtime.as_ref().expect("a runtime");
        let connection = runtime.block_on(dial.open()).unwrap();
        let mut connections: Vec<Connection> = (1..targets.len()).filter_map(|_| connection.beside()).collect();
        connections.push(connection);
        assert_eq!(connections.len(), targets.len(), "one stream at a time over HTTP/1.1");
        let begin = |(target, mut connection): (&String, Connection)| {
            let watched = Arc::new(Watched { target: target.clone(), ..Watched::default() });
            let (request, shared) = (dial.request("GET", target, body_of("")), Arc::clone(&watched));
            runtime.spawn(async move { shared.follow(&mut connection, request).await });
            watched
        };
        targets.iter().zip(connections).map(begin).collect()
    }

    /// Sends a body that does not end, a byte at a time.
    ///
    /// # Panics
    /// When the connection cannot be opened.
    pub fn upload(&self, dial: &Dial, target: &str) -> Arc<Watched> {
        let runtime = self.runtime.as_ref().expect("a runtime");
        let mut connection = runtime.block_on(dial.open()).unwrap();
        let (sender, body) = streamed();
        let watched = Arc::new(Watched { target: target.to_owned(), ..Watched::default() });
        let (request, shared) = (dial.request("PUT", target, body), Arc::clone(&watched));
        runtime.spawn(async move {
            while sender.send(Bytes::from_static(b"x")).await.is_ok() {
                // tidy: the pace of an upload
                tokio::time::sleep(UPLOAD_PAUSE).await;
            }
        });
        runtime.spawn(async move { shared.follow(&mut connection, request).await });
        watched
    }
}
