//! The page of the fleet, and that of one peer.

use crate::client::Site;
use crate::double::World;

/// The text between tags, without them.
fn text(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same, where every tag ends a word.
fn words(html: &str) -> String {
    text(&html.replace('<', " <")).replace("&#39;", "'")
}

/// The row of a peer.
fn row<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<tr id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    rest.split("<tr id=").next().unwrap()
}

fn heading(page: &str) -> String {
    text(page.split_once("<h1").unwrap().1.split_once("</h1>").unwrap().0.split_once('>').unwrap().1)
}

#[tokio::test]
async fn the_fleet_answers_in_one_sentence_and_tells_why_of_everybody() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/fleet", &site.log_in().await).await.body;
    assert_eq!(
        heading(&page),
        "2 of 5 enforcers run revision 3f9c21e; edge-5 is revoked, edge-2 does not take what is current, \
         edge-3 has not been heard since 09:09."
    );
    for (id, part) in [
        ("proxy-gw-1", "● in force proxy/gw-1"),
        ("proxy-gw-1", "3f9c21e since 09:07"),
        ("proxy-edge-2", "■ refuses"),
        ("proxy-edge-2", "8f9c21e"),
        ("proxy-edge-2", "it refused publication 4: the files do not compile there"),
        ("proxy-edge-2", "1 publication"),
        ("proxy-edge-2", "finance, hr"),
        ("proxy-edge-3", "○ away"),
        ("proxy-edge-3", "1 publication 2 epochs"),
        ("proxy-edge-3", "last heard 09:09"),
        ("proxy-edge-3", "its clock is 3,601 s ahead of control's"),
        ("proxy-edge-3", "its log here: lane worker-1: records 40,112 to 40,198 are missing"),
        ("proxy-edge-3", "700 MiB of 4.0 GiB"),
        ("proxy-edge-3", "3.0 MiB not here yet"),
        ("proxy-edge-3", "5.0 GiB kept here"),
        ("proxy-edge-4", "◐ behind"),
        ("proxy-edge-5", "■ revoked"),
        ("agent-vm-pay-1", "● connected"),
        ("agent-vm-pay-1", "vm-pay"),
        ("agent-vm-pay-2", "○ never heard"),
    ] {
        let told = words(row(&page, id));
        assert!(told.contains(part), "{id}: {part}: {told}");
    }
    // 3 ms apart is nothing to say
    assert!(!row(&page, "proxy-gw-1").contains("clock"));
    // whoever needs a look comes first
    let order = ["proxy-edge-5", "proxy-edge-2", "proxy-edge-3", "agent-vm-pay-2", "proxy-edge-4", "proxy-gw-1"];
    let places = order.map(|id| page.find(&format!("<tr id=\"{id}\"")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
    assert!(words(&page).contains("Enforcers in force 1 of 5"));
}

#[tokio::test]
async fn every_peer_of_the_list_has_a_page() {
    let site = Site::start(World::Hostile).await;
    let cookie = site.log_in().await;
    let list = site.get("/fleet", &cookie).await.body;
    let hrefs: Vec<&str> = list.split("href=\"/fleet/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(hrefs.len(), 7);
    for href in hrefs {
        let page = site.get(&format!("/fleet/{href}"), &cookie).await;
        assert_eq!(page.status, 200, "{href}");
    }
    let away = site.get("/fleet/proxy/edge-3", &cookie).await.body;
    assert_eq!(heading(&away), "○away edge-3 has not been heard for 4 min.");
    for words in ["not connected since", "countersign retire proxy/edge-3", "node%3Aproxy%2Fedge-3", "are missing"] {
        assert!(away.contains(words), "{words}");
    }
    // what shares control's process goes with it
    let own = site.get("/fleet/proxy/gw-1", &cookie).await.body;
    assert!(!own.contains("countersign retire"));
    assert!(text(&own).contains("since its start 184,221 allowed, 311 of them would be refused, 1,204 refused"));
}

#[tokio::test]
async fn a_peer_that_is_none_is_not_found() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    for path in ["/fleet/proxy/nobody", "/fleet/agent/gw-1", "/fleet/control/gw-1"] {
        let page = site.get(path, &cookie).await;
        assert!(page.status == 404 && page.body.contains("There is no such thing"), "{path}");
    }
}

#[tokio::test]
async fn of_a_great_fleet_whoever_needs_a_look_is_shown() {
    let site = Site::start(World::Large).await;
    let cookie = site.log_in().await;
    let page = site.get("/fleet", &cookie).await.body;
    assert!(heading(&page).starts_with("340 of 341 enforcers run revision 3f9c21e; edge-3 has not been heard since"));
    assert_eq!(page.matches("<tr id=").count(), 300);
    assert!(text(row(&page, "proxy-edge-3")).contains("away"));
    assert!(text(&page).contains("41 other peers need less of a look and are not shown"));
    assert_eq!(site.get("/fleet/proxy/edge-339", &cookie).await.status, 200);
}

#[tokio::test]
async fn what_the_doctor_finds_about_the_fleet_leads_there() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/health", &site.log_in().await).await.body;
    for subject in ["fleet", "revocation in hr"] {
        assert!(page.contains(&format!("<strong><a href=\"/fleet\">{subject}</a></strong>")), "{subject}");
    }
    assert!(page.contains("<strong>store</strong>"));
}
