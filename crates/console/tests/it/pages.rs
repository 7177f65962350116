//! What the pages say, and that nothing from outside becomes markup.

use api::admin::{Admin, Answer as Given, DecisionQuery, Entry, Revoke};

use crate::client::Site;
use crate::double::{HOSTILE, World};

/// The addresses of every page that shows something from outside.
async fn addresses(site: &Site) -> Vec<String> {
    let mut all: Vec<String> = [
        "/",
        "/?span=1h",
        "/?span=24h",
        "/live",
        "/figures",
        "/map",
        "/map?sort=refused",
        "/map?open=finance,hr",
        "/decisions",
        "/decisions?outcome=deny",
        "/decisions?outcome=would-deny",
        "/decisions?service=hr%2Fpayroll&reason=consent.provider",
        "/revisions",
        "/fleet",
        "/fleet/proxy/edge-3",
        "/identity",
        "/identity/now",
        "/identity?domain=finance&keys=jwt",
        "/trust",
        "/access",
        "/access?caller=platform%2Fci",
        "/access?route=hr%2Fpayroll%20GET%20%2Fsalaries%2F%7Bid%7D",
        "/health",
    ]
    .map(str::to_owned)
    .to_vec();
    let hostile = site.double.fleet().unwrap().into_iter().find(|peer| peer.name.contains('<'));
    all.extend(hostile.map(|peer| {
        let name: String = peer.name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("/fleet/proxy/{name}")
    }));
    for answer in [Given::Allow, Given::WouldDeny, Given::Deny] {
        let query = DecisionQuery { outcome: Some(answer), limit: Some(9), ..DecisionQuery::default() };
        let mut found = site.double.decisions(&query).unwrap();
        while let Some(entry) = found.recv().await {
            if let Entry::Decision(decision) = entry {
                all.push(format!("/decisions/{}", decision.id));
            }
        }
    }
    all
}

#[tokio::test]
async fn scripts_and_marks_in_every_foreign_field_stay_text() {
    let site = Site::start(World::Hostile).await;
    let cookie = site.log_in().await;
    let mut shown = 0;
    for address in addresses(&site).await {
        let page = site.get(&address, &cookie).await;
        assert_eq!(page.status, 200, "{address}");
        for bad in ["<script>alert", "<img", "\"'&", "\u{202e}", "\u{0}", "\u{1b}"] {
            assert!(!page.body.contains(bad), "{bad:?} at {address}");
        }
        // what scripts there are come from files
        assert_eq!(
            page.body.matches("<script").count(),
            page.body.matches("<script src=\"/assets/").count(),
            "{address}"
        );
        shown += page.body.matches("&#60;script&#62;alert(1)").count();
    }
    assert!(shown > 100, "{shown}");
}

/// What a visitor types comes back as text too.
#[tokio::test]
async fn questions_come_back_as_text() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let hostile: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        "/decisions?caller=",
        "/decisions?service=",
        "/decisions?reason=",
        "/decisions?outcome=",
        "/access?caller=",
        "/access?route=",
        "/map?open=",
        "/map?sort=",
        "/?span=",
        "/decisions/",
        "/fleet/proxy/",
        "/fleet/agent/",
        "/identity?domain=",
        "/identity?keys=",
    ] {
        let page = site.get(&format!("{path}{hostile}"), &cookie).await;
        assert!([200, 404].contains(&page.status), "{path}: {}", page.status);
        assert!(
            !page.body.contains("<script>") && !page.body.contains("<img") && !page.body.contains('\u{202e}'),
            "{path}"
        );
    }
    let token = site.get("/trust", &cookie).await.field("token");
    let refused = site.post("/restore", &cookie, &[("token", &token), ("subject", HOSTILE)]).await;
    assert_eq!(refused.status, 404);
    assert!(refused.body.contains("&#60;script&#62;") && !refused.body.contains("<script>"));
}

#[tokio::test]
async fn empty_pages_say_what_to_do_next() {
    let site = Site::start(World::Empty).await;
    let cookie = site.log_in().await;
    for (path, words) in [
        ("/", "No calls in the last 15 minutes."),
        ("/", "countersign call --as"),
        ("/map", "countersign publish DIR"),
        ("/decisions", "countersign call --as"),
        ("/decisions?outcome=deny", "Show every decision"),
        ("/revisions", "countersign publish DIR"),
        ("/fleet", "Nobody has joined."),
        ("/fleet", "countersign join-token --proxy NAME"),
        ("/identity", "Nobody holds an identity"),
        ("/trust", "Nobody&#39;s trust is taken away."),
        ("/access", "Name a route to learn who can call it"),
        ("/health", "countersign doctor"),
    ] {
        let page = site.get(path, &cookie).await;
        assert!(page.status == 200 && page.body.contains(words), "{path}: {words}");
    }
}

#[tokio::test]
async fn a_revoked_caller_is_named_beside_what_policies_say() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let words = "platform/ci: whatever policies say, every call of it is refused.";
    let path = "/access?caller=platform%2Fci";
    assert!(!site.get(path, &cookie).await.body.contains(words));
    let request =
        Revoke { subject: "spiffe://platform.acme.internal/ci".into(), reason: "taken over".into(), seconds: None };
    site.double.revoke("local", &request).unwrap();
    assert!(site.get(path, &cookie).await.body.contains(words));
}

#[tokio::test]
async fn a_listener_without_tls_is_called_insecure() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/health", &site.log_in().await).await;
    assert_eq!(page.body.matches("insecure_plaintext: no TLS").count(), 1);
}

#[tokio::test]
async fn the_overview_answers_in_one_sentence_and_lists_what_was_refused() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/", &site.log_in().await).await;
    let (_, rest) = page.body.split_once("<h1>").unwrap();
    let sentence = rest.split("</h1>").next().unwrap();
    assert!(sentence.contains(" calls in the last 15 minutes: ") && sentence.ends_with(" refused."), "{sentence}");
    for words in [
        "/decisions?outcome=deny&#38;caller=platform%2Fci&#38;service=hr%2Fpayroll&#38;reason=consent.provider",
        "policy.freeze-on-friday",
        "class=\"publication\"",
        "data-hx-get=\"/live\"",
        "data-hx-get=\"/figures?span=15m\"",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
}

#[tokio::test]
async fn a_denial_is_told_to_the_clause() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let listing = site.get("/decisions?outcome=deny&reason=policy.no-permit", &cookie).await;
    let (_, rest) = listing.body.split_once("href=\"/decisions/").unwrap();
    let page = site.get(&format!("/decisions/{}", rest.split('"').next().unwrap()), &cookie).await;
    for words in [
        "platform/ci asked hr/people",
        "<span class=\"clause deny\">context.risk &#60; 40</span>",
        "does not hold: was <span class=\"code\">50</span>",
        "To allow this call",
        "Nothing was forwarded.",
        "value=\"spiffe://platform.acme.internal/ci\"",
        "&#34;outcome&#34;: &#34;deny&#34;",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
}

#[tokio::test]
async fn a_decision_made_elsewhere_names_its_enforcer() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let query = DecisionQuery { limit: Some(9), ..DecisionQuery::default() };
    let (mut found, mut seen) = (site.double.decisions(&query).unwrap(), [0, 0]);
    while let Some(entry) = found.recv().await {
        let Entry::Decision(decision) = entry else { continue };
        let page = site.get(&format!("/decisions/{}", decision.id), &cookie).await.body;
        let is_elsewhere = decision.enforcer == "edge-1";
        assert_eq!(page.contains("at <a href=\"/fleet/proxy/edge-1\">edge-1</a>"), is_elsewhere);
        seen[usize::from(is_elsewhere)] += 1;
    }
    assert_eq!(seen, [6, 3]);
}

#[tokio::test]
async fn listings_are_filtered_and_paged() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let first = site.get("/decisions?caller=platform/ci", &cookie).await;
    assert!(first.body.contains("The latest 50 decisions of platform/ci."));
    let older = first.body.split("class=\"pages\"").nth(1).unwrap().split("href=\"").nth(1).unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&");
    let second = site.get(&older, &cookie).await;
    let ids = |page: &str| page.matches("<tr id=").count();
    let keys = |page: &str| {
        page.split("<tr id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first.body), 50);
    assert!(ids(&second.body) > 0 && second.body.contains("the latest</a>"));
    assert!(keys(&second.body).iter().all(|key| !keys(&first.body).contains(key)));
}

#[tokio::test]
async fn the_map_draws_every_call_and_lists_it() {
    let site = Site::start(World::Acme).await;
    let page = site.get("/map", &site.log_in().await).await;
    let (drawn, table) = page.body.split_once("The same as a table").unwrap();
    assert_eq!(drawn.matches("class=\"edge ").count(), table.matches("<tr>").count() - 1);
    assert!(
        drawn.contains("finance/payments → finance/ledger: 160 calls in 15 minutes, 10 a minute; POST /entries 118")
    );
    assert!(drawn.contains("platform/ci → hr/payroll: 9 calls in 15 minutes, 9 refused"));
    assert!(page.body.contains("3 more calls were refused before a service was known"));
}

#[tokio::test]
async fn two_hundred_services_are_folded_by_domain() {
    let site = Site::start(World::Large).await;
    let cookie = site.log_in().await;
    let folded = site.get("/map", &cookie).await.body;
    assert_eq!(
        (folded.matches("class=\"pill domain\"").count(), folded.matches("class=\"pill service\"").count()),
        (12, 0)
    );
    let opened = site.get("/map?open=domain-3", &cookie).await.body;
    assert_eq!(
        (opened.matches("class=\"pill domain\"").count(), opened.matches("class=\"pill service\"").count()),
        (11, 17)
    );
    assert!(opened.contains("close domain-3") && opened.contains("open domain-4"));
}

#[tokio::test]
async fn trust_is_taken_away_and_given_back() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let token = site.get("/trust", &cookie).await.field("token");
    let revoke = |subject: &'static str, reason: &'static str, seconds: &'static str| {
        let fields = [
            ("token", token.clone()),
            ("subject", subject.into()),
            ("reason", reason.into()),
            ("seconds", seconds.into()),
        ];
        let (site, cookie) = (&site, &cookie);
        async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value): &(&str, String)| (*name, value.as_str())).collect();
            site.post("/revoke", cookie, &fields).await
        }
    };
    assert_eq!(revoke("platform/ci", "", "60").await.status, 400);
    assert_eq!(revoke("platform/ci", "why", "").await.status, 400, "no time is not for good");
    assert_eq!(revoke("operator:local", "why", "0").await.status, 400);
    assert_eq!(revoke("platform/ci", "it asks for salaries", "3600").await.status, 303);
    let page = site.get("/trust", &cookie).await;
    assert!(page.body.contains("2 subjects are revoked") && page.body.contains("it asks for salaries"));
    let restored = site.post("/restore", &cookie, &[("token", &token), ("subject", "platform/ci")]).await;
    assert_eq!(restored.status, 303);
    assert!(site.get("/trust", &cookie).await.body.contains("1 subject is revoked"));
}

#[tokio::test]
async fn rolling_back_needs_a_reason() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let mut page = site.get("/revisions", &cookie).await;
    page.body = page.body.split_once("action=\"/rollback\"").unwrap().1.to_owned();
    let (token, revision) = (page.field("token"), page.field("revision"));
    let ask = |why: &'static str, revision: String| {
        let (site, cookie, token) = (&site, &cookie, &token);
        async move { site.post("/rollback", cookie, &[("token", token), ("revision", &revision), ("why", why)]).await }
    };
    assert_eq!(ask("", revision.clone()).await.status, 400);
    let unknown = ask("why", "f".repeat(64)).await;
    assert!(unknown.status == 404 && unknown.body.contains("no revision is named"));
    assert_eq!(site.double.publications(9).unwrap().len(), 4);
    assert_eq!(ask("it refuses too much", revision.clone()).await.status, 303);
    let current = site.double.publications(1).unwrap().remove(0);
    assert_eq!(
        (current.revision, current.why.as_str(), current.operator.as_str()),
        (revision, "it refuses too much", "local")
    );
}

#[tokio::test]
async fn access_is_answered_both_ways() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let who = site.get("/access?route=finance/ledger%20POST%20/entries", &cookie).await;
    assert!(who.body.contains("1 caller can call finance/ledger POST /entries"), "{}", who.body);
    let what = site.get("/access?caller=platform/ci", &cookie).await;
    assert!(what.body.contains("platform/ci can call 1 route"), "{}", what.body);
    let unknown = site.get("/access?route=nowhere", &cookie).await;
    assert!(unknown.status == 200 && unknown.body.contains("no route is named `nowhere`"));
}
