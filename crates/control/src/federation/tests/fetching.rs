//! Bundles that are fetched and taken: both profiles, what revokes, what a start without the endpoint goes on with.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Authority, LeafPlan};
use tokio::sync::watch;
use tokio::time::Instant;
use types::Timestamp;

use super::server::{Site, Web, svid_server};
use super::*;
use crate::keep_federated;

#[tokio::test]
async fn bu_6_a_bundle_is_fetched_by_https_web_and_is_in_force() {
    let (world, site, _web) = web_world().await;
    let root = authority();
    site.gives(&document(&[&root], 7));
    assert_eq!((roots(&world).len(), seen(&world).fetched), (0, None), "before the first fetch nobody is known");
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&root]));
    let seen = seen(&world);
    assert_eq!(
        (seen.roots, seen.sequence, seen.problem.as_str(), seen.profile.as_str()),
        (1, Some(7), "", "https_web")
    );
    assert_eq!(seen.fetched, Some(Timestamp::from_seconds(NOW)));
    assert_eq!(seen.next, Some(Timestamp::from_seconds(NOW + 300)));
    let [asked] = <[String; 1]>::try_from(site.asked()).unwrap();
    let (first, rest) = asked.split_once("\r\n").unwrap();
    assert_eq!(first, "GET /bundle?x=1 HTTP/1.1");
    let host = site.url().replace("https://", "").replace("/bundle?x=1", "");
    assert!(rest.to_lowercase().contains(&format!("host: {host}\r\n")), "{rest}");
    let acts = world.acts();
    let told = "federate allow spiffe://partner.example by control:  | 1 root, 0 keys for JWT-SVIDs, sequence 7";
    assert_eq!(acts.last().map(String::as_str), Some(told));
    // the same again is no news
    fetch_all(&world).await;
    assert_eq!(world.acts(), acts);
}

#[tokio::test]
async fn bu_7_an_endpoint_proves_itself_by_the_first_bundle_and_then_by_the_newest() {
    let (old, new) = (authority(), authority());
    let site = Site::start(svid_server(&old, ENDPOINT)).await;
    let first = document(&[&old], 1);
    let world = world(&federated(&spiffe_entry(&site.url(), ENDPOINT), &[("first.json", &first)]));
    assert_eq!(roots(&world), ders(&[&old]), "the first bundle is in force from the start");
    site.gives(&document(&[&old, &new], 2));
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&old, &new]));
    // its key is rotated: only the bundle that was fetched knows the new root
    site.becomes(svid_server(&new, ENDPOINT));
    site.gives(&document(&[&new], 3));
    fetch_all(&world).await;
    assert_eq!((roots(&world), seen(&world).problem.as_str()), (ders(&[&new]), ""));
    // and also after a restart, though the trust directory still holds the old one
    let world = world.restart();
    assert_eq!(roots(&world), ders(&[&new]));
    fetch_all(&world).await;
    assert_eq!(seen(&world).problem, "");
    // the old key proves nothing any more
    site.becomes(svid_server(&old, ENDPOINT));
    fetch_all(&world).await;
    assert!(seen(&world).problem.starts_with("the server is not the endpoint: its certificate is refused"));
    assert_eq!(roots(&world), ders(&[&new]));
}

#[tokio::test]
async fn an_endpoint_of_another_federated_domain_is_held_against_that_domains_bundle() {
    let (relay, root) = (Authority::of("relay.example", Timestamp::from_seconds(NOW)), authority());
    let site = Site::start(svid_server(&relay, "spiffe://relay.example/all")).await;
    site.gives(&document(&[&root], 1));
    let relay_bundle = Bundle::from_der(name("relay.example"), vec![relay.der().to_vec()]).unwrap();
    let relay_bundle = identity::document(&relay_bundle, 1, Duration::from_mins(5)).unwrap();
    let url = site.url();
    let entries = format!(
        "{{ name: {PARTNER}, url: '{url}', profile: https_spiffe, endpoint_id: spiffe://relay.example/all }}, \
         {{ name: relay.example, url: 'https://192.0.2.1', profile: https_web, bundle: federation/relay.json }}"
    );
    let world = world(&federated(&entries, &[("relay.json", &relay_bundle)]));
    let (due, _) = world.control.federation.due(Instant::now());
    for due in due.into_iter().filter(|due| due.federation.trust_domain == name(PARTNER)) {
        refresh(Arc::clone(&world.control), due, Duration::from_secs(10)).await;
    }
    assert_eq!(roots(&world), ders(&[&root]));
}

#[tokio::test]
async fn bu_2_an_empty_bundle_revokes_everything_at_once_and_stays() {
    let (world, site, _web) = web_world().await;
    let root = authority();
    site.gives(&document(&[&root], 1));
    fetch_all(&world).await;
    let peer = || {
        let leaf = root.issue(&LeafPlan::svid("spiffe://partner.example/web", Timestamp::from_seconds(NOW)));
        let bundle = Bundle::from_der(name(PARTNER), roots(&world)).unwrap();
        let chain: Vec<_> = leaf.chain.iter().map(|der| der.as_slice().into()).collect();
        identity::verify(&chain, &[bundle].into_iter().collect(), Timestamp::from_seconds(NOW)).is_ok()
    };
    assert!(peer());
    site.gives(r#"{"keys":[],"spiffe_sequence":2}"#);
    fetch_all(&world).await;
    assert!(!peer() && roots(&world).is_empty());
    assert_eq!((seen(&world).roots, seen(&world).problem.as_str()), (0, ""));
    let told =
        "federate allow spiffe://partner.example by control:  | it holds nothing: all of the trust domain is revoked";
    assert_eq!(world.acts().last().map(String::as_str), Some(told));
    let world = world.restart();
    assert!(roots(&world).is_empty(), "a start does not bring it back");
}

#[tokio::test]
async fn bu_2_keys_that_nobody_can_use_revoke_as_none_do() {
    let (world, site, _web) = web_world().await;
    site.gives(&document(&[&authority()], 1));
    fetch_all(&world).await;
    site.gives(r#"{"keys":[{"kty":"XX","use":"x509-svid"},{"kty":"EC","use":"X509-SVID"}],"spiffe_sequence":2}"#);
    fetch_all(&world).await;
    assert!(roots(&world).is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_leaves_the_first_bundle_in_force() {
    let (root, web) = (authority(), Web::new());
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let entry = web_entry_with_first(&format!("https://{nobody}/x"));
    let first = document(&[&root], 1);
    let world = world(&federated(&entry, &[("first.json", &first), ("web.pem", web.pem())]));
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&root]));
    let seen = seen(&world);
    assert!(seen.problem.starts_with(&format!("no connection to {nobody}: ")), "{}", seen.problem);
    assert_eq!((seen.fetched, seen.next), (None, Some(Timestamp::from_seconds(NOW + 300))));
}

#[tokio::test]
async fn bu_8_a_failure_is_tried_again_at_the_next_interval_and_not_in_a_loop() {
    let (world, site, _web) = web_world().await;
    site.sends("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false);
    fetch_all(&world).await;
    assert_eq!(site.asked().len(), 1);
    assert_eq!(seen(&world).problem, "it answered 503");
    let (due, next) = world.control.federation.due(Instant::now() + Duration::from_secs(290));
    assert!(due.is_empty() && next.is_some(), "five minutes have not passed");
    assert_eq!(world.control.federation.due(Instant::now() + Duration::from_secs(310)).0.len(), 1);
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_fetched() {
    let (world, site, _web) = web_world().await;
    let root = authority();
    site.gives(&document(&[&root], 9));
    fetch_all(&world).await;
    let world = world.restart();
    assert_eq!(roots(&world), ders(&[&root]));
    assert_eq!((seen(&world).sequence, seen(&world).fetched), (Some(9), Some(Timestamp::from_seconds(NOW))));
    site.gives(&document(&[&root], 8));
    fetch_all(&world).await;
    assert!(seen(&world).problem.contains("goes back from sequence 9 to 8"));
}

#[tokio::test]
async fn a_changed_profile_or_place_starts_anew_from_the_first_bundle() {
    let (world, site, web) = web_world().await;
    let (fetched, first) = (authority(), authority());
    site.gives(&document(&[&fetched], 9));
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&fetched]));
    let text = document(&[&first], 1);
    publish(&world, &federated(&spiffe_entry(&site.url(), ENDPOINT), &[("first.json", &text)]));
    assert_eq!(roots(&world), ders(&[&first]), "what came from the old place is not trusted in the new one");
    let seen_now = seen(&world);
    assert_eq!((seen_now.profile.as_str(), seen_now.sequence, seen_now.fetched), ("https_spiffe", Some(1), None));
    // the server still has its certificate of the web: there is no falling back
    fetch_all(&world).await;
    assert!(seen(&world).problem.starts_with("the server is not the endpoint"), "{}", seen(&world).problem);
    assert_eq!(roots(&world), ders(&[&first]));
    site.becomes(svid_server(&first, ENDPOINT));
    site.gives(&document(&[&first], 2));
    fetch_all(&world).await;
    assert_eq!((seen(&world).problem.as_str(), seen(&world).sequence), ("", Some(2)));
    drop(web);
}

#[tokio::test]
async fn what_the_trust_directory_does_not_name_any_more_is_forgotten_at_once() {
    let (world, site, _web) = web_world().await;
    site.gives(&document(&[&authority()], 1));
    fetch_all(&world).await;
    publish(&world, &files());
    assert!(world.told.federated.lock().unwrap().is_empty());
    assert!(world.control.federated().unwrap().is_empty());
    assert!(world.control.parts.store.kept_bundles().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_comes_after_the_entry_changed_is_not_taken() {
    let (world, site, web) = web_world().await;
    let (due, _) = world.control.federation.due(Instant::now());
    let [due] = <[_; 1]>::try_from(due).ok().unwrap();
    site.gives(&document(&[&authority()], 1));
    publish(&world, &federated(&web_entry("https://192.0.2.1/other"), &[("web.pem", web.pem())]));
    refresh(Arc::clone(&world.control), due, Duration::from_secs(10)).await;
    assert!(roots(&world).is_empty() && site.asked().len() == 1);
}

#[tokio::test]
async fn the_task_fetches_at_the_start_and_after_a_publication_and_ends_when_asked() {
    let (world, site, web) = web_world().await;
    let (one, two) = (authority(), authority());
    site.gives(&document(&[&one], 1));
    let (finish, finishing) = watch::channel(false);
    let task = tokio::spawn(keep_federated(Arc::clone(&world.control), finishing));
    until("the first fetch", || roots(&world) == ders(&[&one])).await;
    let other = Site::start(web.server("127.0.0.1", NOW + HOUR)).await;
    other.gives(&document(&[&two], 1));
    publish(&world, &federated(&web_entry(&other.url()), &[("web.pem", web.pem())]));
    until("the fetch from the new place", || roots(&world) == ders(&[&two])).await;
    assert_eq!((site.asked().len(), other.asked().len()), (1, 1));
    finish.send_replace(true);
    task.await.unwrap();
}

/// A bundle that is new is on record before anybody is accepted by it; one that takes away needs no room in the log.
#[tokio::test]
async fn what_cannot_be_recorded_adds_no_trust_and_takes_it_away_all_the_same() {
    let (world, site, _web) = web_world().await;
    let (one, two) = (authority(), authority());
    site.gives(&document(&[&one], 1));
    fetch_all(&world).await;
    fill(&world);
    site.gives(&document(&[&one, &two], 2));
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&one]));
    assert!(seen(&world).problem.starts_with("the decision log does not take the record"), "{}", seen(&world).problem);
    site.gives(r#"{"keys":[],"spiffe_sequence":3}"#);
    fetch_all(&world).await;
    assert!(roots(&world).is_empty());
}

/// Writes until the log takes nothing more.
fn fill(world: &World) {
    use types::facts::{Administration, Outcome};
    for length in [500, 0] {
        let words = "x".repeat(length);
        let facts = Administration {
            act: "fill",
            outcome: Outcome::Allow,
            operator: "local",
            subject: "",
            why: &words,
            note: &words,
            revision: None,
            until: None,
        };
        while world.control.parts.ledger.administration(&facts).is_ok() {}
    }
}
