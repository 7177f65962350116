//! Identities: attested, issued over the Workload API, renewed, and worth nothing once they have expired.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use countersign_e2e::{
    Curl, Http2, Identity, Process, Raw, Refused, Site, Upstream, body_of, echo, now, wait_for, workload,
};
use http::Request;
use serde_json::Value;

use crate::{API, CALLER};

/// Who is expired is nobody, whatever the certificate says.
const EXPIRED: Refused<'_> = Refused { status: 403, reason: "identity.expired", caller: "" };

/// Runs the workload from this path until it has had so many updates.
pub fn run(site: &Site, path: &Path, updates: usize) -> Process {
    let mut command = Command::new(path);
    command.arg(updates.to_string()).arg(site.root());
    command.env("SPIFFE_ENDPOINT_SOCKET", format!("unix:{}", site.data().join("workload.sock").display()));
    Process::start(command, site.root(), "workload")
}

/// Puts the workload's program where the trust directory says that it is.
pub fn install(site: &Site, name: &str) -> std::path::PathBuf {
    let bin = site.data().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(workload(), bin.join(name)).unwrap();
    bin.join(name)
}

/// What the workload was given, by its number.
pub fn written(site: &Site, number: usize) -> Identity {
    let path = |end: &str| site.root().join(format!("svid-{number}.{end}"));
    Identity { certificate: path("pem"), key: path("key") }
}

#[test]
fn an_attested_process_gets_its_identity_and_calls_with_it() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let ended = run(&site, &install(&site, "e2e-workload"), 1).wait();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["spiffe_id"], "spiffe://alpha.e2e.internal/caller");
    assert_eq!(told["bundles"]["alpha.e2e.internal"], 1, "{told}");
    let answer = Curl::to(&site, API).with(&written(&site, 1)).get("/items");
    let record = site.ended_well(&answer, CALLER);
    assert_eq!(record["identity"]["verified"]["via"], "", "its own, not an operator's");
}

#[test]
fn a_process_that_nobody_registered_gets_nothing() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    // the same program, from another path
    let ended = run(&site, &install(&site, "e2e-workload-2"), 1).wait();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("PermissionDenied"), "{ended:#?}");
    // the program of the tests' own user, which no rule names either
    let fetched = site.run(["identity", "fetch", "--out", &site.root().join("own").display().to_string()]);
    assert_eq!(fetched.code, Some(2), "{fetched:#?}");
    assert!(!site.root().join("own/svid.key").exists());
}

#[test]
fn a_certificate_that_expires_while_its_connection_is_open_is_refused_from_then_on() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let until = now() + Duration::from_secs(3);
    let short = site
        .authority("alpha")
        .sign(site.root(), "spiffe://alpha.e2e.internal/caller", |params| params.not_after = until);
    let mut http1 = Raw::open(&site, Some(&short), API).unwrap();
    let mut http2 = Http2::with(&site, &short, API);
    let by_http1 = format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n");
    let by_http2 = || Request::get(format!("https://{API}/items/2")).body(body_of("")).unwrap();
    assert_eq!(http1.ask(&by_http1).status, 200);
    assert_eq!(http2.ask(by_http2()).unwrap().status, 200);
    let refused = wait_for("the refusal", || {
        let answer = http1.ask(&by_http1);
        (answer.status != 200).then_some(answer)
    });
    assert!(now() > until);
    let record = site.refused(&refused, EXPIRED);
    assert_eq!(record["identity"]["unidentified"]["claimed"], "spiffe://alpha.e2e.internal/caller");
    let forwarded = upstream.count();
    site.refused(&http2.ask(by_http2()).unwrap(), EXPIRED);
    let answer = Curl::to(&site, API).with(&short).get("/items/3");
    assert_eq!(answer.status, 0, "{answer:?}");
    site.refused_at_tls("identity.expired");
    assert_eq!(upstream.count(), forwarded);
}
