//! Federation over real TLS on loopback, with real certificates.

mod endpoint;
mod fetching;
mod reaching;
mod refusing;
mod server;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use api::admin::{Admin as _, Federated};
use identity::Bundle;
use testkit::Authority;
use tokio::time::{Instant, sleep};
use trustdir::MemoryFiles;
use types::{Timestamp, TrustDomain};

use self::server::{Site, Web};
use super::refresh::refresh;
use crate::fixture::{Folder, NOW, World, append, current, files, request};

const PARTNER: &str = "partner.example";
const ENDPOINT: &str = "spiffe://partner.example/bundle-endpoint";
const HOUR: u64 = 3_600;

fn name(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

fn authority() -> Authority {
    Authority::of(PARTNER, Timestamp::from_seconds(NOW))
}

/// A bundle document with these roots.
fn document(roots: &[&Authority], sequence: u64) -> String {
    let roots = roots.iter().map(|root| root.der().to_vec()).collect();
    let bundle = Bundle::from_der(name(PARTNER), roots).unwrap();
    identity::document(&bundle, sequence, Duration::from_mins(5)).unwrap()
}

/// The starter's files with these entries of `federation`, and the files that they name.
fn federated(entries: &str, beside: &[(&str, &str)]) -> MemoryFiles {
    let mut files = files();
    append(&mut files, "countersign.yaml", &format!("federation: [{entries}]\n"));
    beside.iter().for_each(|(path, content)| files.insert(format!("federation/{path}"), *content));
    files
}

/// One entry of the profile `https_web`, whose roots are those of a test.
fn web_entry(url: &str) -> String {
    format!("{{ name: {PARTNER}, url: '{url}', profile: https_web, roots: federation/web.pem }}")
}

/// The same with a first bundle.
fn web_entry_with_first(url: &str) -> String {
    web_entry(url).replace(" }", ", bundle: federation/first.json }")
}

/// One entry of the profile `https_spiffe`.
fn spiffe_entry(url: &str, endpoint_id: &str) -> String {
    format!(
        "{{ name: {PARTNER}, url: '{url}', profile: https_spiffe, endpoint_id: {endpoint_id}, bundle: federation/first.json }}"
    )
}

fn world(files: &MemoryFiles) -> World {
    // two segments of log: one for each lane, and no other
    World::with(files, Folder::Own(tempfile::tempdir().unwrap()), 2 * 64 * 1024)
}

/// A world with one partner of the web, and its site.
async fn web_world() -> (World, Site, Web) {
    let web = Web::new();
    let site = Site::start(web.server("127.0.0.1", NOW + HOUR)).await;
    let world = world(&federated(&web_entry(&site.url()), &[("web.pem", web.pem())]));
    (world, site, web)
}

/// One attempt for everything that is due within two days.
async fn fetch_all(world: &World) {
    fetch_all_within(world, Duration::from_secs(10)).await;
}

async fn fetch_all_within(world: &World, patience: Duration) {
    let (due, _) = world.control.federation.due(Instant::now() + Duration::from_hours(48));
    assert!(!due.is_empty(), "nothing is due");
    for due in due {
        refresh(Arc::clone(&world.control), due, patience).await;
    }
}

/// The only federated trust domain as operators see it.
fn seen(world: &World) -> Federated {
    let [one] = <[Federated; 1]>::try_from(world.control.federated().unwrap()).unwrap();
    one
}

/// The roots in force, as the issuer was told.
fn roots(world: &World) -> Vec<Vec<u8>> {
    world.told.federated.lock().unwrap().get(&name(PARTNER)).map(|it| it.roots.clone()).unwrap_or_default()
}

fn ders(authorities: &[&Authority]) -> Vec<Vec<u8>> {
    authorities.iter().map(|root| root.der().to_vec()).collect()
}

fn publish(world: &World, files: &MemoryFiles) {
    current(world.admin().publish("local", &request(files)).unwrap());
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come");
        // tidy: between two looks
        sleep(Duration::from_millis(5)).await;
    }
}
