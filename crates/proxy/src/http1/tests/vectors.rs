//! Outside cases over real sockets: the smuggling suite, which must be met in full, and llhttp's requests, where being
//! stricter is written down with its reason and being laxer is a failure.

use std::{collections::BTreeMap, future::pending, path::PathBuf, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::support::{Echo, Seen, base64, statuses};
use crate::http1::{Config, serve};

const SMUGGLING: &str = include_str!("../../../tests/vectors/http1-smuggling.json");
const DIVERGENCES: &str = include_str!("llhttp-divergences.txt");

/// Long enough for a slow machine; only a case that fails takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `raw` over TCP; with `half_close`, ends the sending side afterwards. Gives what the handler saw and what came
/// back until the server closed.
async fn send(raw: &[u8], half_close: bool) -> (Seen, String) {
    let echo = Echo::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &echo, &Config::default(), pending()).await
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(raw).await.unwrap();
        if half_close {
            stream.shutdown().await.unwrap();
        }
        let mut back = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut back)).await.expect("the server does not close").unwrap();
        String::from_utf8(back).unwrap()
    };
    let (_, back) = tokio::join!(server, client);
    (echo.0.take(), back)
}

fn cases(value: &Value) -> impl Iterator<Item = (String, Vec<u8>, &Value)> {
    value.as_array().unwrap().iter().map(|case| {
        let text = |key: &str| case[key].as_str().unwrap();
        (text("id").to_owned(), base64(text("raw_base64")), case)
    })
}

#[tokio::test]
async fn smuggling() {
    let suite: Value = serde_json::from_str(SMUGGLING).unwrap();
    let mut refusals = 0;
    for (id, raw, case) in cases(&suite["cases"]) {
        let expect = case["expect"].as_str().unwrap();
        let refuse = expect.starts_with("400") || matches!(id.as_str(), "cl-same-twice" | "connect");
        // who is refused must see the server close by itself
        let (seen, back) = send(&raw, !refuse).await;
        if refuse {
            refusals += 1;
            let statuses = statuses(&back);
            let expected = if id == "connect" { 405 } else { 400 };
            assert_eq!(statuses, [expected], "{id}: {back}");
            assert_eq!((seen.requests.len(), seen.refusals.len()), (0, 1), "{id}: {seen:?}");
        } else if id == "expect-100" {
            assert_eq!(statuses(&back), [100, 408], "{id}");
            assert_eq!((seen.requests.len(), seen.cut_short), (0, 1), "{id}");
        } else {
            assert_eq!((statuses(&back), seen.refusals.len()), (vec![200], 0), "{id}: {back} {seen:?}");
            one_request(&id, &raw, &seen);
        }
    }
    // the suite has 56 cases, 38 of which must be refused by us
    assert_eq!((suite["cases"].as_array().unwrap().len(), refusals), (56, 38));
}

/// What the single request of a case must look like when it is forwarded.
fn one_request(id: &str, raw: &[u8], seen: &Seen) {
    let [(_, target, fields, body)] = seen.requests.as_slice() else { panic!("{id}: {seen:?}") };
    assert_eq!((target.as_str(), seen.heads, seen.cut_short), ("/public", 1, 0), "{id}");
    for name in
        ["connection", "upgrade", "http2-settings", "transfer-encoding", "content-length", "host", "authorization"]
    {
        assert!(!fields.contains_key(name), "{id}: `{name}` is left");
    }
    let expected: &[u8] = if id == "upgrade-cl" { &raw[raw.len() - 42..] } else { b"" };
    assert_eq!(body, expected, "{id}");
}

/// The folder with suites that are not ours to copy.
fn outside_suite(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the tests' one switch: where third-party vectors are")]
    let folder = std::env::var_os("COUNTERSIGN_VECTORS").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")));
    std::fs::read_to_string(folder.join(name)).ok()
}

/// A Host for requests that have none: they would be refused for that alone, and prove nothing else.
fn with_host(raw: &[u8]) -> Vec<u8> {
    if raw.to_ascii_lowercase().windows(5).any(|window| window == b"host:") {
        return raw.to_vec();
    }
    let mut out = Vec::new();
    for line in raw.split_inclusive(|b| *b == b'\n') {
        out.extend_from_slice(line);
        if line.ends_with(b" HTTP/1.1\r\n") || line.ends_with(b" HTTP/1.0\r\n") {
            out.extend_from_slice(b"Host: a\r\n");
        }
    }
    out
}

#[tokio::test]
async fn llhttp_requests() {
    let Some(text) = outside_suite("http1-framing/llhttp-requests.json") else {
        eprintln!("skipped: suite `http1-framing/llhttp-requests` is not here; COUNTERSIGN_VECTORS names its folder");
        return;
    };
    let suite: Value = serde_json::from_str(&text).unwrap();
    let lines = DIVERGENCES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut stricter: BTreeMap<&str, &str> = lines.map(|line| line.split_once(" | ").expect(line)).collect();
    let mut problems = Vec::new();
    for (id, raw, case) in cases(&suite) {
        let given = with_host(&raw);
        if given != raw {
            let (seen, _) = send(&raw, true).await;
            assert_eq!(seen.requests.len(), 0, "{id}: a request without Host was taken");
        }
        let (seen, _) = send(&given, true).await;
        let completed = case["messages_completed"].as_u64().unwrap() as usize;
        let paused = case["llhttp_reason"].as_str().is_some_and(|reason| reason.starts_with("Pause on"));
        let same = match case["llhttp"].as_str().unwrap() {
            "error" if !paused => {
                let refused = seen.refusals.len() + seen.cut_short > 0;
                if !refused || seen.requests.len() > completed {
                    problems.push(format!("{id}: laxer than llhttp: {seen:?}"));
                }
                continue;
            }
            _ => seen.requests.len() == completed,
        };
        match (same, stricter.remove(id.as_str())) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(reason)) => problems.push(format!("{id}: listed as stricter ({reason}) and is not")),
            (false, None) => {
                problems.push(format!("{id}: {} of {completed} requests: {:?}", seen.requests.len(), seen.refusals))
            }
        }
        if seen.requests.len() > completed {
            problems.push(format!("{id}: laxer than llhttp: {seen:?}"));
        }
    }
    problems.extend(stricter.keys().map(|id| format!("{id}: listed and not in the suite")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
