//! What waits for approval: shown with who has to say yes, approved and taken back by forms.

use api::admin::Admin;

use crate::client::{Answer, Site, form};
use crate::double::World;

async fn act(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let token = site.get("/revisions", cookie).await.field("token");
    let all: Vec<(&str, &str)> = fields.iter().copied().chain([("token", token.as_str())]).collect();
    site.post(path, cookie, &all).await
}

/// The number and the revision of what can be approved.
fn waiting(site: &Site) -> (String, String) {
    let first = site.double.proposals().unwrap().remove(0);
    (first.number.to_string(), first.revision)
}

#[tokio::test]
async fn what_waits_is_shown_with_who_has_to_say_yes() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/revisions", &site.log_in().await).await.body;
    for words in [
        "published by local; 2 publications wait for approval.</h1>",
        "Proposal 8: publish <span class=\"code\">c4c4c4c</span>",
        "the month-end freeze starts on the 28th",
        "policy finance/freeze-at-month-end added",
        "</span>missing</span></dt><dd><strong class=\"code\">domains/finance</strong> one of operator:alice, operator:bob",
        "</span>approved</span></dt><dd><strong class=\"code\">the organisation</strong> by rita",
        "domains/finance/policies/freeze.cedar",
        "approved by alice",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // one that was overtaken can be taken back and nothing else
    let (_, late) = page.split_once("id=\"proposal-7\"").unwrap();
    let late = late.split("</ul>\n</section>").next().unwrap();
    assert!(late.contains("It was made while 0000000 ran; 3f9c21e runs now."), "{late}");
    assert!(late.contains("action=\"/withdraw\"") && !late.contains("action=\"/approve\""));
}

#[tokio::test]
async fn an_owner_approves_what_they_looked_at_and_the_last_approval_makes_it_current() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in_as("bob").await;
    let (number, revision) = waiting(&site);
    let before = (site.double.publications(9).unwrap(), site.double.proposals().unwrap());
    for (fields, status) in [
        (&[("revision", revision.as_str())][..], 400),
        (&[("number", "x"), ("revision", &revision)], 400),
        (&[("number", &number)], 400),
        (&[("number", &number), ("revision", &"f".repeat(64))], 409),
        (&[("number", "99"), ("revision", &revision)], 404),
    ] {
        let refused = act(&site, &cookie, "/approve", fields).await;
        assert_eq!(refused.status, status, "{fields:?}");
        assert!(refused.body.contains("Nothing was changed."));
    }
    assert_eq!(before, (site.double.publications(9).unwrap(), site.double.proposals().unwrap()));
    let done = act(&site, &cookie, "/approve", &[("number", &number), ("revision", &revision), ("why", "read")]).await;
    assert_eq!((done.status, done.header("location")), (303, "/revisions"));
    let current = site.double.publications(1).unwrap().remove(0);
    assert!(current.current && current.revision == revision && current.approvals == ["bob"], "{current:?}");
    let page = site.get("/revisions", &cookie).await.body;
    assert!(page.contains("1 publication waits for approval") && page.contains("approved by bob"));
}

#[tokio::test]
async fn a_proposal_is_taken_back_with_a_reason() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let (number, _) = waiting(&site);
    assert_eq!(act(&site, &cookie, "/withdraw", &[("number", &number)]).await.status, 400);
    assert_eq!(act(&site, &cookie, "/withdraw", &[("why", "w")]).await.status, 400);
    assert_eq!(site.double.proposals().unwrap().len(), 2);
    let done = act(&site, &cookie, "/withdraw", &[("number", &number), ("why", "too early")]).await;
    assert_eq!((done.status, done.header("location")), (303, "/revisions"));
    assert_eq!(site.double.proposals().unwrap().len(), 1);
    assert_eq!(site.double.publications(9).unwrap().len(), 4);
}

#[tokio::test]
async fn who_only_looks_sees_it_and_changes_nothing() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in_as("vera").await;
    let (number, revision) = waiting(&site);
    let before = site.double.proposals().unwrap();
    for path in ["/approve", "/withdraw"] {
        let fields = [("number", number.as_str()), ("revision", revision.as_str()), ("why", "w")];
        let refused = act(&site, &cookie, path, &fields).await;
        assert_eq!(refused.status, 403, "{path}");
        for words in ["Policy refuses that.", "operator `vera`", "Nothing was changed."] {
            assert!(refused.body.contains(words), "{path}: {words}");
        }
    }
    // nor does whoever owns nothing of it
    let other = site.log_in_as("dora").await;
    let refused = act(&site, &other, "/approve", &[("number", &number), ("revision", &revision)]).await;
    assert!(refused.status == 403 && refused.body.contains("owns nothing"), "{}", refused.body);
    assert_eq!(before, site.double.proposals().unwrap());
}

#[tokio::test]
async fn without_the_token_of_the_session_or_from_elsewhere_nothing_is_approved() {
    let site = Site::start(World::Acme).await;
    let (cookie, other) = (site.log_in().await, site.log_in().await);
    let foreign = site.get("/revisions", &other).await.field("token");
    let own = site.get("/revisions", &cookie).await.field("token");
    let (number, revision) = waiting(&site);
    let before = (site.double.publications(9).unwrap(), site.double.proposals().unwrap());
    let fields = [("number", number.as_str()), ("revision", revision.as_str()), ("why", "w")];
    for path in ["/approve", "/withdraw"] {
        assert_eq!(site.post(path, &cookie, &fields).await.status, 403, "{path} without a token");
        let with = |token: &str| {
            [fields[0], fields[1], fields[2]]
                .map(|(a, b)| (a, b.to_owned()))
                .into_iter()
                .chain([("token", token.to_owned())])
                .collect::<Vec<_>>()
        };
        let (mine, theirs) = (with(&own), with(&foreign));
        let pairs =
            |all: &[(&'static str, String)]| form(&all.iter().map(|(a, b)| (*a, b.as_str())).collect::<Vec<_>>());
        let same = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
        let cross = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
        assert_eq!(site.send("POST", path, &same, &pairs(&theirs)).await.status, 403, "{path} with another's token");
        assert_eq!(site.send("POST", path, &cross, &pairs(&mine)).await.status, 403, "{path} from elsewhere");
        assert_eq!(site.send("GET", path, &same, "").await.status, 405, "{path} by a link");
    }
    assert_eq!(before, (site.double.publications(9).unwrap(), site.double.proposals().unwrap()));
}
