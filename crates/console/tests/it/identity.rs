//! The page of identities: the budget, who holds what, the keys and their rotation, and trust domains of others.

use api::admin::{Admin, Keys, RotationPhase};

use crate::client::{Answer, Site, form};
use crate::double::World;

/// The text between tags, where every tag ends a word.
fn words(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        out.push(' ');
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#39;", "'")
}

fn row<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<tr id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    rest.split("<tr ").next().unwrap()
}

fn heading(page: &str) -> String {
    words(page.split_once("<h1").unwrap().1.split_once("</h1>").unwrap().0.split_once('>').unwrap().1)
}

async fn act(site: &Site, cookie: &str, fields: &[(&str, &str)]) -> Answer {
    let token = site.get("/identity", cookie).await.field("token");
    let all: Vec<(&str, &str)> = fields.iter().copied().chain([("token", token.as_str())]).collect();
    site.post("/rotate", cookie, &all).await
}

/// How far a rotation has come, and whether it stays there.
fn phase(site: &Site, domain: &str, keys: Keys) -> (RotationPhase, bool) {
    let all = site.double.rotations().unwrap();
    let one = all.into_iter().find(|one| one.domain == domain && one.keys == keys).unwrap();
    (one.phase, one.held)
}

#[tokio::test]
async fn what_fails_first_is_answered_in_one_sentence() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/identity", &site.log_in().await).await.body;
    assert_eq!(
        heading(&page),
        "If issuance stopped now, internal-tools/intranet on vm-in-1 would be the first to fail, in 20 min; 2 keys rotate."
    );
    let told = words(&page);
    for part in [
        "Outage budget 20 min",
        "Identities held 9",
        "Workloads that hold one 3 of 4",
        "Renewals that fail 2",
        "agent/vm-pay-2 joined and never said what it holds",
        "25 min finance/ledger vm-pay-0",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn every_workload_says_who_holds_it_and_whoever_needs_a_look_comes_first() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/identity", &site.log_in().await).await.body;
    for (id, part) in [
        ("w-internal-tools-intranet", "■ revoked internal-tools/intranet"),
        ("w-internal-tools-intranet", "rsa-2048 1 h"),
        ("w-finance-payments", "◐ not renewed"),
        ("w-finance-payments", "unix uid:1001 path:/opt/payments/bin k8s prod/pay/payments"),
        ("w-finance-payments", "vm-pay-1: 29 min"),
        ("w-finance-payments", "not renewed: tried 3 times"),
        ("w-finance-payments", "not renewed: tried 9 times; as it said last: it is away"),
        ("w-finance-ledger", "● held"),
        ("w-finance-ledger", "control's own node"),
        ("w-finance-ledger", "and 2 more"),
        ("w-finance-month-end", "○ not held"),
        ("w-hr-web", "○ elsewhere"),
        ("w-hr-web", "issued elsewhere –"),
        ("w-hr-web", "spiffe://cluster.local/ns/a/sa/web"),
    ] {
        let told = words(row(&page, id));
        assert!(told.contains(part), "{id}: {part}: {told}");
    }
    let order =
        ["w-internal-tools-intranet", "w-finance-payments", "w-finance-ledger", "w-finance-month-end", "w-hr-web"];
    let places = order.map(|id| page.find(&format!("<tr id=\"{id}\"")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn a_rotation_shows_its_steps_and_names_whom_it_waits_for() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    for path in ["/identity", "/identity/now"] {
        let told = words(&site.get(path, &cookie).await.body);
        for part in [
            "The root of finance ◐ published",
            "from 9f86d081884c7d65 to 03ac674216f3e15c",
            "✓ prepared : done ● published : now ○ acknowledged : to come ○ signing : to come ○ retired : to come",
            "Waits for proxy/edge-3, not connected since 09:09, runs the bundles of before agent/vm-pay-2",
            "Not waited for proxy/edge-9, not heard for 8 days",
            "The JWT key of hr ◐ signing",
            "from 0000aaaabbbbcccc to a1b2c3d4e5f60718",
            "the old one is taken out in 4 min",
        ] {
            assert!(told.contains(part), "{path}: {part}: {told}");
        }
    }
}

#[tokio::test]
async fn trust_domains_of_others_say_how_fetching_goes() {
    let site = Site::start(World::Acme).await;
    let told = words(&site.get("/identity", &site.log_in().await).await.body);
    for part in [
        "● trusted cluster.local 2 roots sequence 41 1 min ago",
        "◐ not fetched partner.example",
        "the server's certificate is not valid for bundles.partner.example",
        "■ revoked gone.example none: all is revoked",
        "○ first bundle new.example 1 root sequence 41 never: the first bundle is in force",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn a_rotation_is_started_taken_back_and_forced_by_forms() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let form = |domain: &'static str, keys: &'static str, what: &'static str, reason: &'static str| {
        [("domain", domain), ("keys", keys), ("act", what), ("reason", reason)]
    };
    assert_eq!(phase(&site, "platform", Keys::Jwt), (RotationPhase::Idle, false));
    let done = act(&site, &cookie, &form("platform", "jwt", "start", "")).await;
    assert_eq!((done.status, done.header("location")), (303, "/identity"));
    assert_eq!(phase(&site, "platform", Keys::Jwt), (RotationPhase::Published, false));
    assert_eq!(phase(&site, "platform", Keys::X509), (RotationPhase::Idle, false));
    assert_eq!(act(&site, &cookie, &form("platform", "jwt", "back", "")).await.status, 303);
    assert_eq!(phase(&site, "platform", Keys::Jwt), (RotationPhase::Prepared, true));
    let page = words(&site.get("/identity", &cookie).await.body);
    assert!(page.contains("It was taken back a step and stays there."), "{page}");

    let before = site.double.rotations().unwrap();
    for (fields, status) in [
        (form("platform", "jwt", "emergency", ""), 400),
        (form("platform", "", "start", ""), 400),
        (form("platform", "jwt", "", ""), 400),
        (form("", "jwt", "start", ""), 400),
        (form("nowhere", "jwt", "start", ""), 404),
        (form("platform", "x509", "back", ""), 409),
    ] {
        let refused = act(&site, &cookie, &fields).await;
        assert_eq!(refused.status, status, "{fields:?}");
        assert!(refused.body.contains("Nothing was changed."), "{fields:?}");
    }
    assert_eq!(site.double.rotations().unwrap(), before);
    assert_eq!(act(&site, &cookie, &form("platform", "x509", "emergency", "stolen")).await.status, 303);
    assert!(
        site.double.rotations().unwrap().iter().any(|one| one.domain == "platform" && one.current.starts_with("03ac"))
    );
}

#[tokio::test]
async fn who_only_looks_rotates_nothing() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in_as("vera").await;
    let before = site.double.rotations().unwrap();
    for what in ["start", "back", "emergency"] {
        let fields = [("domain", "hr"), ("keys", "x509"), ("act", what), ("reason", "r")];
        let refused = act(&site, &cookie, &fields).await;
        assert!(refused.status == 403 && refused.body.contains("Policy refuses that."), "{what}: {}", refused.body);
        assert_eq!(site.post("/rotate", &cookie, &fields).await.status, 403, "{what} without a token");
        let cross = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
        assert_eq!(site.send("POST", "/rotate", &cross, &form(&fields)).await.status, 403, "{what} from elsewhere");
    }
    assert_eq!(before, site.double.rotations().unwrap());
}

#[tokio::test]
async fn the_form_is_filled_in_by_the_link_of_a_key() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let page = site.get("/identity", &cookie).await.body;
    assert!(page.contains("href=\"/identity?domain=hr&#38;keys=jwt#rotate-title\""));
    let page = site.get("/identity?domain=hr&keys=jwt", &cookie).await.body;
    assert_eq!(page.matches("<option selected>hr</option>").count(), 2);
    assert_eq!(page.matches("<option value=\"jwt\" selected>").count(), 2);
}

#[tokio::test]
async fn nothing_held_and_very_many_are_both_said() {
    let site = Site::start(World::Empty).await;
    let page = site.get("/identity", &site.log_in().await).await.body;
    assert_eq!(heading(&page), "Nobody holds an identity: nothing would fail if issuance stopped now.");
    assert!(page.contains("No workload is registered.") && !page.contains("action=\"/rotate\""));
    assert!(words(&page).contains("None: only identities of acme.internal are accepted."));

    let site = Site::start(World::Large).await;
    let page = site.get("/identity", &site.log_in().await).await.body;
    assert_eq!(page.matches("<tr id=\"w-").count(), 300);
    assert!(words(&page).contains("100 other workloads need less of a look and are not shown"));
    let first = page.split_once("<tr id=\"").unwrap().1;
    assert!(first.starts_with("w-domain-3-caller-399\""), "whoever is not renewed comes first");
}
