//! Tests of control's answers, over its socket as the command line asks.

use std::path::Path;
use std::sync::Mutex;

use api::issuance::{Answer, Bundles};
use record::{Cursor, Item, Log, LogConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use trustdir::MemoryFiles;
use types::facts::Facts;
use types::{Selectors, SpiffeId, TrustDomain};

use super::*;
use crate::{AdminSocket, serve};

#[test]
fn the_line_of_a_key_is_found_at_the_top_level_only() {
    let text = "domain: hr\n# calls: no\nservices:\n  calls: {}\ncalls :\n  a: [b/c]\n";
    assert_eq!(line_of(text, "calls"), Some(5));
    assert_eq!(line_of(text, "accepts_from"), None);
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_425_242)
    }
}

/// Roots of one domain; issues nothing by itself.
struct Roots;

fn refused<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(IssueError::Unavailable("control asks for roots only".to_owned()))))
}

impl Issuance for Roots {
    fn entitled<'a>(&'a self, _: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        refused()
    }

    fn mint_workload<'a>(&'a self, _: &'a Selectors, _: &'a SpiffeId, _: &'a [u8]) -> Answer<'a, Svid> {
        refused()
    }

    fn mint_gateway<'a>(&'a self, _: &'a Label, _: &'a Label, _: &'a [u8]) -> Answer<'a, Svid> {
        refused()
    }

    fn bundles(&self) -> Bundles {
        let domain = TrustDomain::parse("shop.example.internal").unwrap();
        Bundles { generation: 1, roots: [(domain, vec![vec![1, 2, 3]])].into() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

const PERMIT: &str = r#"
@id("local-impersonates-the-storefront")
@reason("A test.")
permit (principal == Operator::"local", action == Action::"impersonate", resource == Workload::"shop/storefront");
"#;

/// Workload, operator and request of each certificate that was issued.
type Minted = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

struct Fixture {
    dir: tempfile::TempDir,
    finish: watch::Sender<bool>,
    minted: Minted,
}

fn revision() -> Arc<Revision> {
    let mut files: MemoryFiles = trustdir::starter(&TrustDomain::parse("example.internal").unwrap());
    files.insert("admin.cedar", PERMIT);
    let loaded = trustdir::load(&files);
    loaded.revision.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let log = dir.path().join("log");
    let config = LogConfig {
        max_bytes: 4 * 1024 * 1024,
        segment_bytes: 64 * 1024,
        ..LogConfig::new(&log, Label::parse("local").unwrap())
    };
    let opened = Log::open(config, Arc::clone(&clock)).unwrap();
    let minted = Minted::default();
    let record = Arc::clone(&minted);
    let control = Control::new(Parts {
        version: "0",
        node: Label::parse("local").unwrap(),
        data: dir.path().to_owned(),
        workload_socket: dir.path().join("workload.sock"),
        log,
        log_findings: Vec::new(),
        listeners: Vec::new(),
        revision: Arc::new(ArcSwap::new(revision())),
        revisions: Revisions::new(dir.path().join("revisions")),
        issuance: Arc::new(Roots),
        mint: Box::new(move |workload, operator, csr| {
            record.lock().unwrap().push((workload.to_string(), operator.to_owned(), csr.to_vec()));
            Ok(Svid {
                spiffe_id: SpiffeId::parse("spiffe://shop.example.internal/storefront").unwrap(),
                chain_der: vec![vec![7]],
                not_before: Timestamp::default(),
                not_after: Timestamp::from_seconds(300),
                serial: "5c".to_owned(),
            })
        }),
        ledger: Arc::new(Ledger::new(opened.lane("control").unwrap())),
        clock,
    });
    let socket = AdminSocket::bind(&dir.path().join("admin.sock")).unwrap();
    let (finish, finishing) = watch::channel(false);
    tokio::spawn(serve(socket, Arc::new(control), finishing));
    Fixture { dir, finish, minted }
}

/// Status and body of one request.
async fn ask(fixture: &Fixture, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = UnixStream::connect(fixture.dir.path().join("admin.sock")).await.unwrap();
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    // what is too large is answered before all of it was sent
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn impersonation(workload: &str) -> String {
    let csr = pem::encode("CERTIFICATE REQUEST", &[1, 2, 3]);
    serde_json::json!({ "workload": workload, "csr": csr }).to_string()
}

/// The notes of the refused issuances that are on record.
fn refusals(dir: &Path) -> Vec<(String, String)> {
    let records = Cursor::open(&dir.join("log")).unwrap().map(Result::unwrap);
    let refused = records.filter_map(|item| match item {
        Item::Record(record) => match record.view().facts {
            Facts::Issuance(facts) if facts.outcome == Outcome::Deny => {
                Some((facts.spiffe_id.to_owned(), facts.via.to_owned()))
            }
            _ => None,
        },
        Item::Damage(damage) => panic!("{damage}"),
    });
    refused.collect()
}

#[tokio::test]
async fn impersonation_is_judged_and_a_refusal_is_on_record() {
    let fixture = fixture();
    let (status, answer) = ask(&fixture, "POST", "/v1/impersonate", &impersonation("shop/storefront")).await;
    assert_eq!((status, answer["via"].as_str()), (200, Some("local")), "{answer}");
    let minted = fixture.minted.lock().unwrap().clone();
    assert_eq!(minted, [("shop/storefront".to_owned(), "local".to_owned(), vec![1, 2, 3])]);
    let (status, answer) = ask(&fixture, "POST", "/v1/impersonate", &impersonation("shop/orders")).await;
    assert_eq!((status, answer["code"].as_str()), (403, Some("not-allowed")), "{answer}");
    let (status, answer) = ask(&fixture, "POST", "/v1/impersonate", &impersonation("shop/nobody")).await;
    assert_eq!((status, answer["code"].as_str()), (404, Some("not-found")), "{answer}");
    assert_eq!(fixture.minted.lock().unwrap().len(), 1, "nothing was issued for what was refused");
    let spiffe_id = "spiffe://shop.example.internal/orders".to_owned();
    assert_eq!(refusals(fixture.dir.path()), [(spiffe_id, "local".to_owned()), (String::new(), "local".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_words() {
    let fixture = fixture();
    let large = "x".repeat(2 * 1024 * 1024);
    for (method, path, body, status) in [
        ("POST", "/v1/impersonate", "{}", 400),
        ("POST", "/v1/impersonate", r#"{"workload":"shop","csr":""}"#, 400),
        ("POST", "/v1/impersonate", r#"{"workload":"shop/storefront","csr":"x"}"#, 400),
        ("POST", "/v1/impersonate", large.as_str(), 400),
        ("GET", "/v1/decisions?outcome=maybe", "", 400),
        ("GET", "/v1/decisions?callr=x", "", 400),
        ("GET", "/v1/decisions/what", "", 400),
        ("GET", "/v1/decisions/01a20790-3693-7102-8304-05060708a1c9", "", 404),
        ("GET", "/v1/bundles/hr", "", 404),
        ("GET", "/v2/status", "", 404),
        ("DELETE", "/v1/status", "", 405),
    ] {
        let (got, answer) = ask(&fixture, method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(status == 405 || answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn status_and_bundles_say_what_is_there() {
    let fixture = fixture();
    let (_, status) = ask(&fixture, "GET", "/v1/status", "").await;
    assert_eq!(status["organisation"], "example.internal");
    assert_eq!(status["hosts"]["orders.example.internal"], "shop");
    assert_eq!(status["counts"]["domains"], 1);
    let (_, bundle) = ask(&fixture, "GET", "/v1/bundles/shop", "").await;
    assert_eq!(bundle["trust_domain"], "shop.example.internal");
    assert_eq!(pem::read_certificates(bundle["roots"].as_str().unwrap()).unwrap(), [vec![1, 2, 3]]);
}

#[tokio::test]
async fn a_stream_that_follows_ends_in_order_with_the_service() {
    let fixture = fixture();
    let mut stream = UnixStream::connect(fixture.dir.path().join("admin.sock")).await.unwrap();
    stream.write_all(b"GET /v1/decisions?follow=true HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    fixture.finish.send_replace(true);
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "the last chunk: {:?}", String::from_utf8_lossy(&answer));
}
