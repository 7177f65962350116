//! The way in: a link works once, by a form of ours only; without a session nothing is shown and nothing is done.

use api::admin::Admin;
use countersign_console::{Door, places};

use crate::client::{Site, form};
use crate::double::World;

#[tokio::test]
async fn a_link_works_once_and_only_by_the_form() {
    let site = Site::start(World::Acme).await;
    let secret = site.secret();
    // looking at the page, as a prefetch does, uses nothing up
    for path in ["/login", &format!("/login?{secret}"), &format!("/login?secret={secret}")] {
        let page = site.send("GET", path, &[("sec-purpose", "prefetch")], "").await;
        assert_eq!((page.status, page.header("set-cookie")), (200, ""));
        assert!(!page.body.contains(&secret));
    }
    let first = site.redeem(&secret).await;
    assert_eq!(first.status, 303);
    assert!(first.header("set-cookie").ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600"), "{first:?}");
    let second = site.redeem(&secret).await;
    assert_eq!((second.status, second.header("set-cookie")), (403, ""));
    assert!(second.body.contains("countersign login"), "{}", second.body);
}

#[tokio::test]
async fn a_whole_link_may_be_pasted_and_rubbish_may_not() {
    let site = Site::start(World::Acme).await;
    assert_eq!(site.redeem(&site.double.login_link("local").unwrap().url).await.status, 303);
    for rubbish in ["", "#", "secret-0", &"x".repeat(10_000), "\u{202e}"] {
        assert_eq!(site.redeem(rubbish).await.status, 403, "{rubbish:.20}");
    }
    let huge = site.redeem(&"x".repeat(350_000)).await;
    assert_eq!(huge.status, 413);
}

#[tokio::test]
async fn another_site_cannot_log_a_browser_in() {
    let site = Site::start(World::Acme).await;
    let secret = site.secret();
    for headers in [&[("origin", "http://evil.example")][..], &[("sec-fetch-site", "cross-site")], &[]] {
        let answer = site.send("POST", "/login", headers, &form(&[("secret", &secret)])).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{headers:?}");
    }
    assert_eq!(site.redeem(&secret).await.status, 303);
}

/// Everything there is, as nobody, with a made-up session, and with one that ended.
#[tokio::test]
async fn without_a_session_nothing_is_shown_and_nothing_is_done() {
    let site = Site::start(World::Acme).await;
    let ended = site.log_in().await;
    let token = site.get("/", &ended).await.field("token");
    let all = || {
        let double = &site.double;
        let acts = (double.proposals().unwrap(), double.rotations().unwrap());
        (double.revocations().unwrap(), double.publications(9).unwrap(), acts)
    };
    let before = all();
    let waits = before.2.0.first().unwrap().clone();
    let revision = before.1.last().unwrap().revision.clone();
    assert_eq!(site.post("/logout", &ended, &[("token", &token)]).await.status, 401);
    let made_up = ended.replace("secret", "secrets");
    let (mut closed, mut acts) = (0, 0);
    for place in places() {
        let path = place.path.replace("{id}", "0197").replace("{name}", "console.css");
        for cookie in ["", &made_up, &ended] {
            let fields = [
                ("token", token.as_str()),
                ("subject", "platform/ci"),
                ("reason", "r"),
                ("why", "w"),
                ("seconds", "60"),
                ("revision", if path == "/approve" { &waits.revision } else { &revision }),
                ("number", &waits.number.to_string()),
                ("domain", "platform"),
                ("keys", "jwt"),
                ("act", "start"),
            ];
            let answer = match place.method {
                "GET" => site.get(&path, cookie).await,
                _ => site.post(&path, cookie, &fields).await,
            };
            match place.door {
                Door::Open => assert_eq!(answer.status, 200, "{place:?}"),
                Door::OwnForm => assert_eq!(answer.status, 403, "{place:?}"),
                Door::Session | Door::Act => {
                    assert_eq!(answer.status, 401, "{place:?} as {cookie:?}");
                    assert!(
                        answer.body.contains("countersign login") && !answer.body.contains("acme.internal"),
                        "{place:?}"
                    );
                    closed += 1;
                    acts += usize::from(place.door == Door::Act);
                }
            }
        }
    }
    assert!(closed >= 60 && acts >= 21, "{closed} {acts}");
    assert_eq!(before, all());
}

#[tokio::test]
async fn with_a_session_every_page_is_there() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    for place in places().iter().filter(|place| place.method == "GET" && !place.path.contains('{')) {
        let answer = site.get(place.path, &cookie).await;
        assert_eq!(answer.status, 200, "{place:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_script_that_polls_is_told_in_words_that_the_session_ended() {
    let site = Site::start(World::Acme).await;
    let answer = site.send("GET", "/live", &[("hx-request", "true")], "").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.body.contains('<'), "{}", answer.body);
}

#[tokio::test]
async fn acts_need_the_session_the_token_and_a_page_of_ours() {
    let site = Site::start(World::Acme).await;
    let (cookie, other) = (site.log_in().await, site.log_in().await);
    let token = site.get("/trust", &cookie).await.field("token");
    let before = site.double.revocations().unwrap();
    let fields = [("subject", "platform/ci"), ("reason", "it asks for salaries"), ("seconds", "3600")];
    let with = |token: &str| {
        let token = token.to_owned();
        form(&fields) + &form(&[("&token", "")]).replace("&token=", &format!("&token={token}"))
    };
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let refused = [
        ("no token", site.send("POST", "/revoke", &own, &form(&fields)).await),
        ("an empty token", site.send("POST", "/revoke", &own, &with("")).await),
        ("another token", site.send("POST", "/revoke", &own, &with(&token.chars().rev().collect::<String>())).await),
        ("another session", site.send("POST", "/revoke", &[("cookie", &other), own[1]], &with(&token)).await),
        (
            "another site",
            site.send("POST", "/revoke", &[own[0], ("sec-fetch-site", "cross-site")], &with(&token)).await,
        ),
        (
            "another origin",
            site.send("POST", "/revoke", &[own[0], ("origin", "http://127.0.0.1:1")], &with(&token)).await,
        ),
        ("no word of where from", site.send("POST", "/revoke", &own[..1], &with(&token)).await),
    ];
    for (name, answer) in &refused {
        assert_eq!(answer.status, 403, "{name}: {}", answer.body);
    }
    assert_eq!(site.double.revocations().unwrap(), before);
    let done = site.send("POST", "/revoke", &own, &with(&token)).await;
    assert_eq!((done.status, done.header("location")), (303, "/trust"));
    let now = site.double.revocations().unwrap();
    assert_eq!(
        (now.len(), now[0].subject.as_str(), now[0].operator.as_str()),
        (before.len() + 1, "platform/ci", "local")
    );
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let token = site.get("/", &cookie).await.field("token");
    let left = site.post("/logout", &cookie, &[("token", &token)]).await;
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    assert_eq!(site.get("/", &cookie).await.status, 401);
}
