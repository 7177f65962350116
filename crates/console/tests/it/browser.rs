//! The pages in a real browser: hostile text in every field, and more services than fit. The same script visits the
//! real program in the end-to-end tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use api::admin::Admin;
use tokio::process::Command;

use crate::client::{Going, Site};
use crate::double::World;

const CHROMIUM: &str = "/usr/bin/chromium";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser")
}

/// Runs a script of tests/browser against a world whose clock goes.
async fn run(script: &str, world: World, more: &[(&str, &str)]) {
    if !Path::new(CHROMIUM).exists() || !folder().join("node_modules/playwright-core").exists() {
        println!(
            "left out: chromium or the packages of tests/browser are missing; `cargo xtask ci --install` brings them"
        );
        return;
    }
    let site = Site::start_at(world, Arc::new(Going(Instant::now()))).await;
    let pictures = tempfile::tempdir().unwrap();
    let node = Command::new("node")
        .arg(folder().join(script))
        .env("COUNTERSIGN_LOGIN", site.double.login_link("local").unwrap().url)
        .env("COUNTERSIGN_SCREENSHOTS", pictures.path())
        .env("COUNTERSIGN_CHROMIUM", CHROMIUM)
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .output();
    let ran = node.await.unwrap();
    let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_runs_nothing_and_breaks_no_page() {
    run("visit.js", World::Hostile, &[("COUNTERSIGN_SCHEMES", "light")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_services_fit() {
    run("visit.js", World::Large, &[("COUNTERSIGN_SCHEMES", "light")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_is_found_explained_and_stopped() {
    run("stop.js", World::Acme, &[("COUNTERSIGN_ATTACKER", "platform/ci")]).await;
}
