//! Callers that go on all the time while something changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::client::{Connection, Dial};
use crate::http2::{body_of, words};
use crate::wait::wait_until;

/// One connection that is kept, and opened again when it breaks.
#[derive(Clone)]
pub struct Caller {
    /// What the test calls it.
    pub name: &'static str,
    /// Where and as whom.
    pub dial: Dial,
    /// How many requests at the same time; more than one over HTTP/2 only.
    pub streams: usize,
    /// Methods and targets, one after the other, over and over.
    pub asks: Vec<(&'static str, String)>,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The caller's name.
    pub name: &'static str,
    /// The method.
    pub method: &'static str,
    /// The target.
    pub target: String,
    /// When it was begun.
    pub begun: Instant,
    /// When its answer was there in full, or was given up.
    pub ended: Instant,
    /// The status; 0 where no answer came whole.
    pub status: u16,
    /// The reason that a refusal names.
    pub reason: String,
    /// Why no answer came whole.
    pub broken: String,
}

/// Running callers. They end with it.
pub struct Load {
    runtime: Option<Runtime>,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Told>>>,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts callers that pause between their requests.
    ///
    /// # Panics
    /// When no thread is to be had.
    pub fn start(callers: Vec<Caller>, pause: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut running = JoinSet::new();
        for caller in callers {
            let shared = Shared { caller: Arc::new(caller), stop: Arc::clone(&stop), told: Arc::clone(&told), pause };
            running.spawn_on(shared.go_on(), runtime.handle());
        }
        Self { runtime: Some(runtime), stop, told, callers: running }
    }

    /// Everything so far.
    pub fn so_far(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until every one of these callers has had an answer of this status that it asked for from now on.
    ///
    /// # Panics
    /// When it does not happen in time.
    pub fn until_all(&self, names: &[&str], status: u16) {
        let from = Instant::now();
        for name in names {
            wait_until(&format!("{name} to be answered {status}"), || {
                let told = self.told.lock().unwrap();
                told.iter().rev().any(|told| told.name == *name && told.status == status && told.begun >= from)
            });
        }
    }

    /// Lets what is under way finish, and gives everything.
    ///
    /// # Panics
    /// When a caller panicked.
    pub fn stop(mut self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let runtime = self.runtime.take().expect("a runtime");
        runtime.block_on(async {
            while let Some(ended) = self.callers.join_next().await {
                ended.unwrap();
            }
        });
        runtime.shutdown_background();
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

#[derive(Clone)]
struct Shared {
    caller: Arc<Caller>,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Told>>>,
    pause: Duration,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn go_on(self) {
        while self.goes_on() {
            let begun = Instant::now();
            match self.caller.dial.open().await {
                Ok(connection) => self.use_up(connection).await,
                Err(broken) => {
                    let (method, target) = ("", String::new());
                    self.tell(Told { broken, ..self.about(method, target, begun) });
                    // tidy: the pace of a caller
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }

    /// Until the connection breaks or the load ends.
    async fn use_up(&self, connection: Connection) {
        let mut streams = JoinSet::new();
        for _ in 1..self.caller.streams {
            let beside = connection.beside().expect("one request at a time over HTTP/1.1");
            streams.spawn(self.clone().ask_on(beside));
        }
        self.clone().ask_on(connection).await;
        while streams.join_next().await.is_some() {}
    }

    async fn ask_on(self, mut connection: Connection) {
        for (method, target) in self.caller.asks.iter().cycle() {
            if !self.goes_on() {
                return;
            }
            let told = self.ask(&mut connection, method, target).await;
            let is_over = !told.broken.is_empty();
            self.tell(told);
            if is_over {
                return;
            }
            // tidy: the pace of a caller
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn ask(&self, connection: &mut Connection, method: &'static str, target: &str) -> Told {
        let begun = Instant::now();
        let request = self.caller.dial.request(method, target, body_of(""));
        let answer = async {
            let response = connection.send(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| words(&error))?.to_bytes();
            Ok::<_, String>((status, body))
        };
        match answer.await {
            Ok((status, body)) => {
                let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
                let reason = problem["type"].as_str().unwrap_or_default();
                let reason = reason.trim_start_matches("urn:countersign:reason:").to_owned();
                Told { status, reason, ..self.about(method, target.to_owned(), begun) }
            }
            Err(broken) => Told { broken, ..self.about(method, target.to_owned(), begun) },
        }
    }

    fn about(&self, method: &'static str, target: String, begun: Instant) -> Told {
        let (reason, broken) = (String::new(), String::new());
        Told { name: self.caller.name, method, target, begun, ended: Instant::now(), status: 0, reason, broken }
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}
