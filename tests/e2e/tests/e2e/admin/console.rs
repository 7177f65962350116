//! The console's doors: who gets in, who does not, and what stands in front of them for machines.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_e2e::{Browser, Curl, Page, Raw, Site, Upstream, echo, wait_for, wait_until};

use crate::{API, CALLER};

/// Everything that a browser with a session finds by following links from the first page.
fn pages(browser: &Browser) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec!["/".to_owned()];
    while let Some(path) = left.pop() {
        if found.len() > 60 || !found.insert(path.clone()) {
            continue;
        }
        let page = browser.get(&path);
        assert!(page.status == 200, "{path}: {page:?}");
        left.extend(quoted(&page.text(), "href=\"").filter(|path| !is_open(path)));
        left.extend(quoted(&page.text(), "hx-get=\""));
    }
    found
}

/// What is open to everybody on the machine.
fn is_open(path: &str) -> bool {
    path.starts_with("/assets/") || ["/healthz", "/readyz", "/metrics", "/login"].contains(&path)
}

/// The local addresses that stand after something, without what is behind `#`.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    let values = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
    let local = values.filter(|value| value.starts_with('/') && !value.starts_with("//"));
    local.map(|value| value.split('#').next().unwrap_or_default().replace("&amp;", "&"))
}

/// What a stranger must get: a status, and nothing that a session would show.
fn locked(page: &Page, path: &str) {
    assert_eq!(page.status, 401, "{path}: {page:?}");
    let text = page.text();
    for secret in ["alpha", "e2e.internal", "items", "caller"] {
        assert!(!text.contains(secret), "{path} shows `{secret}` to a stranger:\n{text}");
    }
}

#[test]
fn without_a_login_every_page_is_locked() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let answers = ["/items/1", "/frozen", "/nowhere"].map(|target| Curl::to(&site, API).by(CALLER).get(target));
    let decision =
        site.refused(&answers[1], countersign_e2e::Refused { status: 403, reason: "policy.forbidden", caller: CALLER });
    site.json(&["revoke", "alpha/other", "--reason", "to be seen", "--json"]);
    let browser = Browser::logged_in(&site);
    let mut found = pages(&browser);
    assert!(found.len() >= 5, "{found:?}");
    found.insert(format!("/decisions/{}", decision["id"].as_str().unwrap()));
    let stranger = Browser::stranger(&site);
    for path in &found {
        locked(&stranger.get(path), path);
        locked(&stranger.ask(path, &["--cookie", &format!("countersign-{}=guessed", site.console().port())]), path);
    }
    // the way in is open to everybody and shows nothing
    let login = stranger.get("/login");
    assert!(login.status == 200 && !login.text().contains("alpha"), "{login:?}");
    for path in ["/nothing", "/admin", "/v1/status", "/../etc/passwd", "/assets/../../Cargo.toml"] {
        let page = stranger.get(path);
        assert!(matches!(page.status, 400 | 401 | 404), "{path}: {page:?}");
    }
}

#[test]
fn acts_need_a_session_a_page_of_ours_and_its_token() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items/1").status, 200);
    let (browser, stranger) = (Browser::logged_in(&site), Browser::stranger(&site));
    let trust = browser.get("/trust").text();
    let token = trust.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let token = format!("token={token}");
    let fields = ["subject=alpha/caller", "reason=from the browser", "seconds=0"];
    let revoked = || !site.json(&["subjects", "--json"]).is_empty();
    let page = stranger.post("/revoke", &[&token, fields[0], fields[1], fields[2]]);
    assert!(page.status == 401 && !revoked(), "{page:?}");
    let page = browser.post("/revoke", &fields);
    assert!(page.status == 403 && !revoked(), "without the token: {page:?}");
    let page = browser.post("/revoke", &["token=0000", fields[0], fields[1], fields[2]]);
    assert!(page.status == 403 && !revoked(), "with another token: {page:?}");
    let foreign = [
        "-X",
        "POST",
        "-H",
        "Origin: http://evil.example",
        "--data-urlencode",
        &token,
        "--data-urlencode",
        fields[0],
        "--data-urlencode",
        fields[1],
        "--data-urlencode",
        fields[2],
    ];
    let page = browser.ask("/revoke", &foreign);
    assert!(page.status == 403 && !revoked(), "from a foreign page: {page:?}");
    let page = browser.ask(&format!("/revoke?{token}&subject=alpha/caller&reason=x"), &[]);
    assert!(page.status == 405 && !revoked(), "by a link: {page:?}");
    let page = browser.post("/revoke", &[&token, fields[0], fields[1], fields[2]]);
    assert!(matches!(page.status, 200 | 302 | 303) && revoked(), "{page:?}");
    let listed = site.json(&["subjects", "--json"]).remove(0);
    assert_eq!(listed["reason"], "from the browser");
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items/1").status, 403);
}

#[test]
fn a_link_works_once_and_a_session_ends() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let stranger = Browser::stranger(&site);
    let (link, other) = (Browser::link(&site), Browser::link(&site));
    assert!(link.starts_with(&format!("http://{}/", site.console())) && link.contains('#'), "{link}");
    let entered = stranger.enter(&link);
    let cookie = entered.field("set-cookie").unwrap().to_owned();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    for _ in 0..2 {
        let again = stranger.enter(&link);
        assert!(again.status == 403 && again.field("set-cookie").is_none(), "{again:?}");
    }
    let guess = stranger.enter("#0000000000000000000000000000000000000000000");
    assert!(guess.status == 403 && guess.field("set-cookie").is_none(), "{guess:?}");
    // older links stay good, and sessions outlive a restart of the process or say plainly that they do not
    assert!(stranger.enter(&other).field("set-cookie").is_some());
    let secret = cookie.split(['=', ';']).nth(1).unwrap();
    let store = std::fs::read(site.data().join("control.db")).unwrap();
    let wal = std::fs::read(site.data().join("control.db-wal")).unwrap_or_default();
    for kept in [store, wal] {
        for plain in [secret, link.rsplit('#').next().unwrap()] {
            assert!(!kept.windows(plain.len()).any(|bytes| bytes == plain.as_bytes()), "a secret lies in the store");
        }
    }
    site.stop();
}

#[test]
fn another_host_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let browser = Browser::logged_in(&site);
    let port = site.console().port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "127.0.0.1".into(),
        format!("127.0.0.1:{}", port.wrapping_add(1)),
        format!("[::1]:{port}"),
    ] {
        for path in ["/", "/login", "/metrics", "/readyz", "/decisions"] {
            let page = browser.ask(path, &["-H", &format!("Host: {host}")]);
            assert_eq!(page.status, 421, "{host} {path}: {page:?}");
            assert!(!page.text().contains("alpha"), "{host} {path}: {page:?}");
        }
    }
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert_eq!(browser.ask("/", &["-H", &format!("Host: {host}")]).status, 200, "{host}");
    }
    let headers = browser.get("/");
    let policy = headers.field("content-security-policy").expect("a content security policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn what_callers_write_is_text_and_never_markup() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let script = "<script>alert(1)</script>";
    // everything that a caller or an operator can write into a record
    let name = "spiffe://alpha.e2e.internal/%3Cscript%3E";
    let identity =
        site.authority("alpha").svid(site.root(), name.trim_end_matches("%3Cscript%3E").trim_end_matches('/'));
    Curl::to(&site, API).with(&identity).get("/items");
    Curl::to(&site, API).by(CALLER).get("/nowhere/%3Cscript%3Ealert(1)%3C/script%3E");
    Curl::to(&site, API).by(CALLER).arg("-H").arg(&format!("X-Y: {script}")).get("/frozen?q=%3Cscript%3E");
    site.json(&["revoke", "alpha/other", "--reason", script, "--json"]);
    let dir = super::another(&site, "scripted");
    site.publish(&dir, script);
    let browser = Browser::logged_in(&site);
    for path in pages(&browser) {
        let page = browser.get(&path);
        let text = page.text();
        assert!(!text.contains("<script>alert") && !text.contains("onerror="), "{path}:\n{text}");
        // every script is a file of ours
        for tag in text.split("<script").skip(1) {
            assert!(tag.split('>').next().is_some_and(|tag| tag.contains("src=\"/assets/")), "{path}: <script{tag}");
        }
    }
    assert!(
        browser.get("/revisions").text().contains("&lt;script&gt;")
            || browser.get("/revisions").text().contains("&#60;script&#62;"),
        "it is shown, as text"
    );
}

#[test]
fn readiness_says_why_not() {
    let upstream = Upstream::start(|turn| {
        turn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
        turn.until_left()
    });
    let mut site = Site::up(&upstream);
    let stranger = Browser::stranger(&site);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(stranger.get(path).status, 200, "{path}");
    }
    // something that does not end holds the stop up
    let mut client = Raw::by(&site, CALLER, API);
    client.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
    client.peek(20).unwrap();
    let process = site.take_process();
    process.ask_to_end();
    let told = wait_for("it to be not ready", || Some(stranger.get("/readyz")).filter(|page| page.status == 503));
    assert!(told.text().trim().len() > 10 && !told.text().contains("alpha"), "{told:?}");
    assert_eq!(stranger.get("/healthz").status, 200, "it lives");
    assert_eq!(process.wait().code, Some(0));
}

#[test]
fn readiness_says_that_nothing_can_be_recorded() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "max_size: 1GiB", "max_size: 64MiB");
    site.start();
    let mut client = Raw::by(&site, CALLER, API);
    crate::faults::fill(&site, &mut client);
    let stranger = Browser::stranger(&site);
    let told = wait_for("it to be not ready", || Some(stranger.get("/readyz")).filter(|page| page.status == 503));
    assert!(told.text().contains("log"), "{told:?}");
    let health = site.run(["doctor"]);
    assert_eq!(health.code, Some(1), "{health:#?}");
    assert!(health.stdout.contains("log"), "{health:#?}");
}

#[test]
fn metrics_count_what_was_answered() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for target in ["/items/1", "/items/2", "/frozen", "/nowhere"] {
        Curl::to(&site, API).by(CALLER).get(target);
    }
    let stranger = Browser::stranger(&site);
    let metrics = wait_for("the counts", || {
        let page = stranger.get("/metrics");
        assert_eq!(page.status, 200, "{page:?}");
        let text = page.text();
        text.contains("policy.forbidden").then_some(text)
    });
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    for name in ["alpha/caller", "/items", "e2e.internal"] {
        assert!(!metrics.contains(name), "`{name}` is named to whoever asks:\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    wait_until("decisions by reason", || {
        stranger.get("/metrics").text().lines().any(|line| line.contains("route.unlisted") && line.ends_with(" 1"))
    });
    // nothing waits for long on a quiet system
    let begin = std::time::Instant::now();
    stranger.get("/metrics");
    assert!(begin.elapsed() < Duration::from_secs(2));
}
