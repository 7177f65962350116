//! What the tests of the example organisation share: a service on a real socket, and a client that sends plain bytes.

mod embedded;
mod installed;
mod money;
mod operations;
mod people_and_tools;
mod processes;
mod trust_directory;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    Ports, catalogue,
    serve::{AcmeError, serve},
};

/// A service that runs in the test's own runtime, over a database of its own.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), AcmeError>>,
    state: TempDir,
}

impl Running {
    pub(super) async fn start(name: &'static str) -> Self {
        Self::start_in(name, tempfile::tempdir().unwrap()).await
    }

    async fn start_in(name: &'static str, state: TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let directory = state.path().to_owned();
        let stop_requested = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(async move { serve(name, listener, &directory, stop_requested).await });
        Self { address, stop, served, state }
    }

    pub(super) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        self.state
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        call(self.address, "GET", target, None).await
    }

    async fn send(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        call(self.address, method, target, Some(&body.to_string())).await
    }

    async fn post(&self, target: &str, body: Value) -> (u16, Value) {
        self.send("POST", target, body).await
    }

    /// Posts something wrong, and gives the words of the 422.
    async fn invalid(&self, target: &str, body: Value) -> String {
        let (status, answer) = self.post(target, body).await;
        assert_eq!(status, 422, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }
}

/// One request on a connection of its own; the status, and the body as JSON (`null` where it is none).
pub(super) async fn call(address: SocketAddr, method: &str, target: &str, body: Option<&str>) -> (u16, Value) {
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Free ports for a test that starts processes: a block for each test, below those that the system gives out by itself,
/// so that no other test takes one between the choice and the use.
fn ports() -> Ports {
    static USED: AtomicU32 = AtomicU32::new(0);
    let block = (std::process::id() + USED.fetch_add(7, Ordering::Relaxed)) % 1000;
    Ports::available_from(12_000 + 20 * u16::try_from(block).unwrap()).unwrap()
}

/// The ports that the trust directory names.
fn standard_ports() -> Ports {
    Ports(catalogue::SERVICES.iter().map(|service| (service.name, service.port)).collect())
}

/// The values of one member of every object of a list.
fn each<'a>(list: &'a Value, member: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().map(|one| &one[member]).collect()
}

#[tokio::test]
async fn every_service_says_its_name_and_refuses_other_pages() {
    for service in catalogue::SERVICES {
        let running = Running::start(service.name).await;
        assert_eq!(running.get("/healthz").await, (200, json!({ "service": service.name })));
        assert_eq!(running.get("/nothing/here").await, (404, json!({ "error": "there is no such page" })));
        running.stop().await;
    }
}

#[tokio::test]
async fn state_survives_a_restart() {
    let running = Running::start("audit").await;
    let (_, event) = running.post("/events", json!({ "actor": "a", "act": "b", "object": "c" })).await;
    let running = Running::start_in("audit", running.stop().await).await;
    let target = format!("/events/{}", event["id"]);
    assert_eq!(running.get(&target).await, (200, event));
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_never_finishes_does_not_keep_a_service_from_stopping() {
    let running = Running::start("status").await;
    let mut stuck = TcpStream::connect(running.address).await.unwrap();
    let half =
        "POST /incidents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stuck.write_all(half.as_bytes()).await.unwrap();
    assert_eq!(running.get("/healthz").await.0, 200);
    tokio::time::timeout(std::time::Duration::from_secs(10), running.stop()).await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_in_json() {
    let running = Running::start("ledger").await;
    let (status, answer) = call(running.address, "POST", "/entries", Some("{")).await;
    assert_eq!(status, 400);
    assert!(answer["error"].is_string(), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn a_name_that_is_no_service_does_not_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let error = serve("payments", listener, state.path(), async {}).await.unwrap_err();
    assert_eq!(error.to_string(), "the example organisation has no service `payments`");
}

#[tokio::test]
async fn a_database_that_is_none_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("ledger.sqlite3"), "not a database, but long enough to be read as one").unwrap();
    let error = serve("ledger", listener, state.path(), async {}).await.unwrap_err();
    assert!(error.to_string().contains("ledger.sqlite3"), "{error}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let state = tempfile::tempdir().unwrap();
    let error = super::serve::run("ledger", address, state.path()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
}
