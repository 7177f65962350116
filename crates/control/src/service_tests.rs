//! Tests of control's answers, over its socket as the command line asks.

use std::path::Path;

use record::{Cursor, Item};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use types::facts::Facts;

use super::*;
use crate::fixture::World;
use crate::{AdminSocket, serve};

struct Fixture {
    world: World,
    finish: watch::Sender<bool>,
}

impl Fixture {
    fn dir(&self) -> &Path {
        self.world.dir.path()
    }
}

fn fixture() -> Fixture {
    let world = World::new();
    let socket = AdminSocket::bind(&world.dir.path().join("admin.sock")).unwrap();
    let (finish, finishing) = watch::channel(false);
    tokio::spawn(serve(socket, Arc::clone(&world.control), finishing));
    Fixture { world, finish }
}

/// Status and body of one request.
async fn ask(fixture: &Fixture, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = UnixStream::connect(fixture.dir().join("admin.sock")).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
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
    let minted = fixture.world.told.minted.lock().unwrap().clone();
    assert_eq!(minted, [("shop/storefront".to_owned(), "local".to_owned(), vec![1, 2, 3])]);
    let (status, answer) = ask(&fixture, "POST", "/v1/impersonate", &impersonation("shop/orders")).await;
    assert_eq!((status, answer["code"].as_str()), (403, Some("not-allowed")), "{answer}");
    let (status, answer) = ask(&fixture, "POST", "/v1/impersonate", &impersonation("shop/nobody")).await;
    assert_eq!((status, answer["code"].as_str()), (404, Some("not-found")), "{answer}");
    assert_eq!(fixture.world.told.minted.lock().unwrap().len(), 1, "nothing was issued for what was refused");
    let spiffe_id = "spiffe://shop.example.internal/orders".to_owned();
    assert_eq!(refusals(fixture.dir()), [(spiffe_id, "local".to_owned()), (String::new(), "local".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_words() {
    let fixture = fixture();
    let large = "x".repeat(2 * 1024 * 1024);
    for (method, path, body, status) in [
        ("POST", "/v1/impersonate", "{}", 400),
        ("POST", "/v1/impersonate", r#"{"workload":"shop","csr":""}"#, 400),
        ("POST", "/v1/impersonate", r#"{"workload":"shop/storefront","csr":"x"}"#, 400),
        ("POST", "/v1/impersonate", large.as_str(), 413),
        ("GET", "/v1/decisions?outcome=maybe", "", 400),
        ("GET", "/v1/decisions?callr=x", "", 400),
        ("GET", "/v1/decisions/what", "", 400),
        ("GET", "/v1/decisions/01a20790-3693-7102-8304-05060708a1c9", "", 404),
        ("GET", "/v1/bundles/hr", "", 404),
        ("POST", "/v1/publications", "{}", 400),
        ("POST", "/v1/publications", r#"{"files":{},"why":"","after":null,"x":1}"#, 400),
        ("GET", "/v1/publications?limit=many", "", 400),
        ("POST", "/v1/rollback", r#"{"revision":"ffffffffff","why":""}"#, 404),
        ("POST", "/v1/revocations", r#"{"subject":"shop/storefront","reason":""}"#, 400),
        ("POST", "/v1/revocations", r#"{"subject":"operator:local","reason":"x"}"#, 403),
        ("POST", "/v1/restore", r#"{"subject":"shop/storefront","reason":""}"#, 404),
        ("GET", "/v1/minutes", "", 400),
        ("GET", "/v1/counts?since=yesterday", "", 400),
        ("GET", "/v1/who-can", "", 400),
        ("GET", "/v1/what-can?caller=shop/nobody", "", 404),
        ("GET", "/v2/status", "", 404),
        ("DELETE", "/v1/status", "", 405),
    ] {
        let (got, answer) = ask(&fixture, method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}: {answer}");
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
    let roots: Vec<Vec<u8>> = fixture.world.told.keys.bundles().roots.into_values().flatten().collect();
    assert_eq!(pem::read_certificates(bundle["roots"].as_str().unwrap()).unwrap(), roots);
}

#[tokio::test]
async fn a_stream_that_follows_ends_in_order_with_the_service() {
    let fixture = fixture();
    let mut stream = UnixStream::connect(fixture.dir().join("admin.sock")).await.unwrap();
    stream.write_all(b"GET /v1/decisions?follow=true HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    fixture.finish.send_replace(true);
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "the last chunk: {:?}", String::from_utf8_lossy(&answer));
}

/// Every question has a route, and its answer is the type that the trait gives.
#[tokio::test]
async fn each_question_is_answered_over_the_socket() {
    let fixture = fixture();
    let since = 1_795_425_242_000_000_u64 - 60_000_000;
    for path in [
        "/v1/publications?limit=3".to_owned(),
        "/v1/revocations".to_owned(),
        format!("/v1/counts?since={since}"),
        format!("/v1/minutes?since={since}"),
        "/v1/who-can?route=shop/orders%20GET%20/orders".to_owned(),
        "/v1/what-can?caller=shop/storefront".to_owned(),
        "/v1/map".to_owned(),
        "/v1/doctor".to_owned(),
    ] {
        let (status, answer) = ask(&fixture, "GET", &path, "").await;
        assert!(status == 200 && answer.is_array(), "{path}: {status} {answer}");
    }
    let (status, health) = ask(&fixture, "GET", "/v1/health", "").await;
    assert_eq!((status, health["ready"].as_bool()), (200, Some(true)), "{health}");
    let revocation = r#"{"subject":"shop/storefront","reason":"it was stolen","seconds":60}"#;
    let (status, answer) = ask(&fixture, "POST", "/v1/revocations", revocation).await;
    assert_eq!((status, answer["epoch"].as_u64()), (200, Some(1)), "{answer}");
    let restore = r#"{"subject":"shop/storefront","reason":"found again"}"#;
    let (status, answer) = ask(&fixture, "POST", "/v1/restore", restore).await;
    assert_eq!((status, answer["epoch"].as_u64()), (200, Some(2)), "{answer}");
    let (status, link) = ask(&fixture, "POST", "/v1/login-links", "null").await;
    assert!(status == 200 && link["url"].as_str().unwrap().starts_with("http://127.0.0.1:8441/login#"), "{link}");
}

#[test]
fn a_link_works_once_and_for_ten_minutes_and_its_session_for_twelve_hours() {
    let world = World::new();
    let admin = world.admin();
    let link = admin.login_link("local").unwrap();
    let (address, secret) = link.url.split_once('#').unwrap();
    assert_eq!(address, "http://127.0.0.1:8441/login");
    assert!(secret.len() == 43 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    let session = admin.log_in(secret).unwrap().unwrap();
    assert_eq!(session.operator, "local");
    assert_eq!(admin.session(&session.secret).as_deref(), Some("local"));
    assert_eq!(admin.log_in(secret).unwrap(), None, "it works once");
    assert_eq!(admin.session(secret), None, "a link is no session");
    for wrong in ["", "x", &"x".repeat(100_000)] {
        assert_eq!(admin.log_in(wrong).unwrap(), None);
        assert_eq!(admin.session(wrong), None);
    }
    let late = admin.login_link("local").unwrap();
    world.clock.advance(601);
    assert_eq!(admin.log_in(late.url.split_once('#').unwrap().1).unwrap(), None, "after ten minutes");
    world.clock.advance(12 * 3_600 - 602);
    assert_eq!(admin.session(&session.secret).as_deref(), Some("local"));
    world.clock.advance(2);
    assert_eq!(admin.session(&session.secret), None, "after twelve hours");
    // neither secret stands in the store or in the record, and both acts do
    let acts = world.acts();
    assert_eq!(acts.iter().filter(|act| act.starts_with("login allow")).count(), 3, "{acts:?}");
    let mut kept = acts.join("\n").into_bytes();
    for file in ["control.db", "control.db-wal"] {
        kept.extend(std::fs::read(world.dir.path().join(file)).unwrap_or_default());
    }
    for secret in [secret, &session.secret] {
        assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "a secret was kept");
    }
}

#[test]
fn a_session_that_is_ended_is_over_also_after_a_restart() {
    let world = World::new();
    let link = world.admin().login_link("local").unwrap();
    let session = world.admin().log_in(link.url.split_once('#').unwrap().1).unwrap().unwrap();
    let world = world.restart();
    assert_eq!(world.admin().session(&session.secret).as_deref(), Some("local"), "it survives a restart");
    world.admin().log_out(&session.secret);
    assert_eq!(world.admin().session(&session.secret), None);
    assert!(world.admin().login_link("nobody").is_err(), "who has no permit gets no link");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_is_good() {
    let world = World::new();
    let find = |subject: &str| {
        let found = world.admin().doctor().into_iter().filter(|finding| finding.subject == subject);
        found.map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
    };
    use api::admin::Severity::{Good, Problem, Warning};
    assert_eq!(find("store")[0].0, Good);
    assert!(matches!(&find("decision log")[..], [(Good, message)] if message.contains("of 16 MiB are free")));
    assert_eq!(find("certificates")[0].0, Good);
    let ends = |seconds: u64, is_root: bool| crate::Certificate {
        name: "the root of shop".to_owned(),
        domain: "shop".to_owned(),
        is_root,
        not_after: world.clock.now().plus_seconds(seconds),
    };
    *world.told.certificates.lock().unwrap() = vec![ends(86_400, true), ends(86_400, false), ends(0, false)];
    let found = find("certificates");
    assert_eq!(found.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Problem, Warning], "{found:?}");
    let health = world.admin().health();
    assert!(!health.ready && health.problems[0].contains("ended on"), "{health:?}");
    let revoke = Revoke { subject: "shop/storefront".into(), reason: "x".into(), seconds: Some(60) };
    world.admin().revoke("local", &revoke).unwrap();
    assert_eq!(find("revocations").iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Warning, Good]);
    assert!(find("plaintext listener old")[0].1.contains("nobody called without TLS"));
    // a store that somebody moved away takes nothing that would be found again
    std::fs::remove_file(world.dir.path().join("control.db")).unwrap();
    assert_eq!(find("store")[0].0, Problem);
}

#[test]
fn the_doctor_says_that_the_directory_differs_from_what_runs() {
    let mut world = World::new();
    let source = tempfile::tempdir().unwrap();
    let write = |files: &trustdir::MemoryFiles| {
        for (path, content) in files.iter() {
            let path = source.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    };
    Arc::get_mut(&mut world.control).unwrap().parts.source = Some(source.path().to_owned());
    let said = || {
        let found = world.admin().doctor().into_iter().find(|finding| finding.subject == "trust directory");
        found.map(|finding| (finding.message, finding.hint)).unwrap()
    };
    write(&crate::fixture::files());
    assert!(said().0.ends_with("is what runs"), "{:?}", said());
    write(&crate::fixture::commented("another"));
    assert!(said().0.contains("differs") && said().1.starts_with("countersign publish "), "{:?}", said());
    std::fs::write(source.path().join("countersign.yaml"), "nonsense: 1\n").unwrap();
    assert!(said().0.contains("does not validate") && said().1.starts_with("countersign check "), "{:?}", said());
    // and what was published from it is what its files are
    write(&crate::fixture::commented("another"));
    let texts = crate::texts(source.path()).unwrap();
    let why = String::new();
    let published = world.admin().publish("local", &Publish { files: texts, why, after: None }).unwrap();
    assert!(crate::fixture::current(published).current);
    assert!(said().0.ends_with("is what runs"), "{:?}", said());
}

#[test]
fn what_is_stopping_says_so() {
    let world = World::new();
    assert!(world.admin().health().ready);
    world.control.drain();
    assert!(world.admin().health().problems[0].contains("stopping"));
}

#[test]
fn figures_are_there_before_anything_happened() {
    let text = World::new().admin().metrics();
    for name in ["countersign_ready 1\n", "countersign_signals_epoch 0\n", "countersign_log_refused_records_total 0\n"]
    {
        assert!(text.contains(name), "{text}");
    }
    crate::metrics::tests::parse(&text);
}
