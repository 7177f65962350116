//! Administration: publications that must not happen, the store at its worst, the signals of the operating system.

mod console;
mod store;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_e2e::{
    After, Curl, Ended, Raw, Site, Upstream, closed_port, echo, edit, read_log, wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::{API, CALLER};

/// Looks that a command ended so, and said all of this.
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing: {ended:#?}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
}

/// What must be as before when an act was refused.
struct Before {
    revision: String,
    publications: Vec<Value>,
}

impl Before {
    fn of(site: &Site) -> Self {
        Self { revision: site.revision(), publications: publications(site) }
    }

    fn is_still_so(&self, site: &Site, what: &str) {
        assert_eq!(site.revision(), self.revision, "{what}");
        assert_eq!(publications(site), self.publications, "{what}");
        let answer = Curl::to(site, API).by(CALLER).get("/items/1");
        assert_eq!(site.ended_well(&answer, CALLER)["revision"], self.revision.as_str(), "{what}");
    }
}

fn publications(site: &Site) -> Vec<Value> {
    site.json(&["revisions", "--limit", "1000", "--json"])
}

/// A copy of the trust directory that is another revision.
fn another(site: &Site, name: &str) -> std::path::PathBuf {
    let dir = site.copy_as(name);
    edit(
        &dir,
        "domains/alpha/policies/alpha.cedar",
        "Nobody reads the frozen item",
        &format!("Nobody reads it ({name})"),
    );
    dir
}

fn publish<'a>(dir: &'a Path, more: &[&'a str]) -> Vec<String> {
    let dir = dir.display().to_string();
    let mut arguments = vec!["publish".to_owned(), dir];
    arguments.extend(more.iter().map(|more| (*more).to_owned()));
    arguments
}

#[test]
fn of_two_publications_at_once_one_wins_and_the_other_is_told() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for round in 0..5 {
        let before = site.revision();
        let dirs = ["left", "right"].map(|side| another(&site, &format!("{side}-{round}")));
        let children = dirs.map(|dir| {
            let mut command = site.command(publish(&dir, &["--after", &before, "--json"]));
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        });
        let ended = children.map(|child| child.wait_with_output().unwrap());
        let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|output| output.status.success());
        assert_eq!((won.len(), lost.len()), (1, 1), "{ended:#?}");
        let published: Value = serde_json::from_slice(&won[0].stdout).unwrap();
        assert_eq!(published["publication"]["revision"], site.revision().as_str());
        let told = String::from_utf8_lossy(&lost[0].stderr).into_owned();
        assert_eq!(lost[0].status.code(), Some(2), "{told}");
        assert!(
            told.contains("is current, and not the one that this was to follow") && told.contains("hint: "),
            "{told}"
        );
        assert_eq!(publications(&site).len(), round + 2);
    }
    let log = read_log(&site.data());
    assert_eq!(log.iter().filter(|record| record.is_done("publish")).count(), 6, "the losers stand nowhere as done");
}

#[test]
fn what_does_not_validate_or_fails_its_tests_changes_nothing() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let before = Before::of(&site);
    type Change = fn(&Path);
    let cases: [(&str, Change, &[&str]); 6] = [
        (
            "an unknown key",
            |dir| edit(dir, "countersign.yaml", "timezone: UTC", "timezone: UTC\nsurprise: 1"),
            &["surprise", "does not validate", "what runs goes on"],
        ),
        (
            "a policy that names nobody",
            |dir| edit(dir, "domains/alpha/policies/alpha.cedar", "alpha/caller", "alpha/callr"),
            &["callr", "alpha/caller", "does not validate"],
        ),
        (
            "no Cedar at all",
            |dir| fs::write(dir.join("domains/beta/policies/beta.cedar"), "permit (").unwrap(),
            &["beta.cedar", "does not validate"],
        ),
        ("a failing test", |dir| test_file(dir, "deny"), &["caller reads", "1 test fails of 1", "what runs goes on"]),
        (
            "nobody could roll back",
            |dir| forbid_operator(dir, "rollback"),
            &["after it nobody could rollback", "admin.cedar"],
        ),
        (
            "nobody could publish",
            |dir| forbid_operator(dir, "publish"),
            &["after it nobody could publish", "admin.cedar"],
        ),
    ];
    for (what, change, words) in cases {
        let dir = another(&site, &what.replace(' ', "-"));
        change(&dir);
        let ended = site.run(publish(&dir, &[]));
        says(&ended, if what.starts_with("nobody") { 2 } else { 1 }, words);
        before.is_still_so(&site, what);
        // whoever goes round the command is refused all the same
        let (status, told) = site.ask_admin("POST", "/v1/publications", &files_of(&dir, &before.revision)).unwrap();
        assert_eq!(status, 400, "{what}: {told:#}");
        before.is_still_so(&site, what);
    }
    let dir = another(&site, "good");
    test_file(&dir, "allow");
    site.publish(&dir, "its test passes");
}

/// The body of a publication as the command sends it.
fn files_of(dir: &Path, after: &str) -> String {
    json!({ "files": texts(dir), "why": "by hand", "after": after }).to_string()
}

/// The files of a revision by path.
fn texts(dir: &Path) -> BTreeMap<String, String> {
    fn walk(base: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(base, &path, found);
            } else if path.file_name().unwrap() != "node.yaml" {
                let name = path.strip_prefix(base).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

fn test_file(dir: &Path, expect: &str) {
    let test = format!(
        "- name: caller reads\n  call: {{ as: alpha/caller, request: GET https://{API}/items }}\n  expect: {expect}\n"
    );
    fs::create_dir_all(dir.join("domains/alpha/tests")).unwrap();
    fs::write(dir.join("domains/alpha/tests/api.yaml"), test).unwrap();
}

fn forbid_operator(dir: &Path, action: &str) {
    let path = dir.join("admin.cedar");
    let text = fs::read_to_string(&path).unwrap();
    let forbid = format!(
        "\n@id(\"no-way\")\n@reason(\"None.\")\nforbid (principal, action == Action::\"{action}\", resource);\n"
    );
    fs::write(path, text + &forbid).unwrap();
}

#[test]
fn publishing_what_is_current_changes_nothing() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let before = Before::of(&site);
    let ended = site.run(publish(&site.dir(), &[]));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("is current already"), "{ended:#?}");
    before.is_still_so(&site, "published again");
}

/// The name of a revision: as the documentation of the format says, so that a test can choose one.
fn name_of(files: &BTreeMap<String, String>) -> String {
    let mut text = b"countersign revision 1\n".to_vec();
    for (path, content) in files {
        text.extend((path.len() as u64).to_be_bytes());
        text.extend(path.as_bytes());
        text.extend(digest(&SHA256, content.as_bytes()).as_ref());
    }
    digest(&SHA256, &text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two directories whose revisions begin with the same four digits.
fn twins(site: &Site) -> [(std::path::PathBuf, String); 2] {
    const POLICIES: &str = "domains/alpha/policies/alpha.cedar";
    let mut files = texts(&site.dir());
    let text = files[POLICIES].clone();
    let mut seen = BTreeMap::new();
    for number in 0.. {
        files.insert(POLICIES.into(), format!("{text}// {number}\n"));
        let name = name_of(&files);
        if let Some(earlier) = seen.insert(name[..4].to_owned(), number) {
            return [earlier, number].map(|number| {
                let dir = site.copy_as(&format!("twin-{number}"));
                fs::write(dir.join(POLICIES), format!("{text}// {number}\n")).unwrap();
                (dir.clone(), name_of(&texts(&dir)))
            });
        }
    }
    panic!("there are not so many beginnings")
}

#[test]
fn a_rollback_to_what_is_unknown_or_ambiguous_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    assert_eq!(name_of(&texts(&site.dir())), site.revision());
    let first = site.revision();
    let [left, right] = twins(&site);
    for (dir, name) in [&left, &right] {
        assert_eq!(site.publish(dir, "a twin")["revision"], name.as_str());
    }
    let before = Before::of(&site);
    let unknown = "0123456789abcdef".repeat(4);
    for (name, words) in [
        (
            left.1[..4].to_owned(),
            &["is the beginning of more than one revision", left.1.as_str(), right.1.as_str()][..],
        ),
        (unknown.clone(), &["was never current here", "countersign revisions"]),
        ("ffffffff".into(), &["was never current here"]),
        (first[..3].into(), &["is not a revision"]),
        ("main".into(), &["is not a revision"]),
        (String::new(), &["is not a revision"]),
        (format!("{first}0"), &["is not a revision"]),
        ("../../etc".into(), &["is not a revision"]),
    ] {
        let ended = site.run(["rollback", &name]);
        says(&ended, 2, words);
        before.is_still_so(&site, &name);
    }
    for name in [&left.1, &first[..8].to_owned(), &right.1.to_uppercase()] {
        site.json(&["rollback", name, "--json"]);
        assert!(site.revision().starts_with(&name.to_lowercase()), "{name}");
    }
}

#[test]
fn a_hang_up_takes_nothing_back_that_others_published_since() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    site.publish(&another(&site, "second"), "somebody else's");
    let runs = Before { revision: site.revision(), publications: publications(&site) };
    site.process().hang_up();
    wait_until("it to say so", || site.process().stderr().contains("has not changed since it was read"));
    assert_eq!((site.revision(), publications(&site)), (runs.revision, runs.publications));
}

#[test]
fn a_hang_up_reads_the_directory_again() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let before = site.revision();
    site.edit("domains/alpha/policies/alpha.cedar", "alpha/api GET /frozen", "alpha/api GET /items");
    site.process().hang_up();
    wait_until("the new revision", || site.revision() != before);
    let newest = publications(&site).remove(0);
    assert_eq!((newest["why"].as_str(), newest["operator"].as_str()), (Some("SIGHUP"), Some("local")), "{newest:#}");
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 403);
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/frozen").status, 200);

    // what does not validate is told, and what ran goes on
    let runs = Before { revision: site.revision(), publications: publications(&site) };
    site.edit("domains/alpha/domain.yaml", "domain: alpha", "domain: alpha\nsurprise: 1");
    site.process().hang_up();
    wait_until("the failure to be told", || site.process().stderr().contains("what ran goes on"));
    assert_eq!((site.revision(), publications(&site)), (runs.revision, runs.publications));
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/frozen").status, 200);
    let told = site.process().stderr();
    assert!(told.contains("surprise"), "the problem is not named: {told}");
}

#[test]
fn another_directory_is_not_published_by_a_start() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let before = site.revision();
    site.stop();
    site.edit("domains/alpha/policies/alpha.cedar", "alpha/api GET /frozen", "alpha/api GET /items");
    site.start();
    assert_eq!(site.revision(), before);
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 200);
    wait_until("the difference to be told", || site.process().stdout().contains("countersign publish"));
    site.publish(&site.dir(), "now");
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 403);
}

/// SIGTERM: what was forwarded is answered whole, and what is not answered was not forwarded.
#[test]
fn a_stop_under_load_finishes_what_was_begun() {
    let upstream = Upstream::start(|turn| {
        turn.dawdle(Duration::from_millis(150));
        echo(turn)
    });
    let mut site = Site::up(&upstream);
    let identity = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/caller");
    let process = site.take_process();
    let answered = std::thread::scope(|scope| {
        let (site, identity) = (&site, &identity);
        let callers: Vec<_> = (0..6).map(|caller| scope.spawn(move || until_closed(site, identity, caller))).collect();
        wait_until("the load", || upstream.count() > 30);
        let asked = Instant::now();
        process.ask_to_end();
        let ended = process.wait();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(asked.elapsed() < Duration::from_secs(6), "it took {:?}", asked.elapsed());
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<String>>()
    });
    let forwarded: Vec<String> = upstream.calls().iter().map(|call| call.target.clone()).collect();
    let lost: Vec<&String> = forwarded.iter().filter(|target| !answered.contains(target)).collect();
    assert!(lost.is_empty(), "forwarded and not answered: {lost:?} of {}", forwarded.len());
    site.start();
    let ended: Vec<Value> = site.decisions();
    assert!(ended.iter().all(|record| record["completion"]["reason"] == ""), "each has its end");
    assert_eq!(ended.len(), forwarded.len());
}

/// The targets that were answered whole.
fn until_closed(site: &Site, identity: &countersign_e2e::Identity, caller: usize) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0.. {
        let Ok(mut client) = Raw::open(site, Some(identity), API) else { return answered };
        for request in 0.. {
            let target = format!("/items/{caller}-{number}-{request}");
            if client.send(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n")).is_err() {
                break;
            }
            let Ok(answer) = client.answer() else { break };
            assert_eq!((answer.status, answer.broken.as_str()), (200, ""), "{answer:?}");
            answered.push(target);
        }
    }
    answered
}

/// What a drain does not finish in its time is cut, with its record.
#[test]
fn a_stop_cuts_what_does_not_end() {
    let upstream = Upstream::start(|turn| {
        turn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
        turn.until_left();
        After::Close
    });
    let mut site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    client.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
    client.peek(20).unwrap();
    let asked = Instant::now();
    assert_eq!(site.stop().code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(8), "it took {:?}", asked.elapsed());
    assert!(!client.answer().unwrap().broken.is_empty());
    site.start();
    let record = site.decisions().remove(0);
    assert_eq!(record["completion"]["reason"], "stopped", "{record:#}");
}

/// Sums of the counts by what they say, and the same from the log, decision by decision.
fn compared(site: &Site) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let counts = site.json(&["decisions", "--counts", "--since", "1d", "--json"]);
    let key = |one: &Value, answer: &str| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        // counts name an unlisted route of a known service `*`, refused or not; the record of a refusal names none
        let template = if text("reason") == "route.unlisted" { "*".to_owned() } else { text("template") };
        format!("{answer} {} {} {} {template} {}", text("caller"), text("service"), text("method"), text("reason"))
    };
    let mut counted = BTreeMap::new();
    for one in &counts {
        *counted.entry(key(one, one["answer"].as_str().unwrap())).or_default() += one["count"].as_u64().unwrap();
    }
    let mut logged = BTreeMap::new();
    for one in site.decisions() {
        *logged.entry(key(&one, one["outcome"].as_str().unwrap())).or_default() += 1;
    }
    (counted, logged)
}

#[test]
fn counts_equal_the_log_also_after_kills() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "address: 127.0.0.1:0, domains", &format!("address: 127.0.0.1:{}, domains", closed_port()));
    site.start();
    let names = ["caller", "other"].map(|name| format!("spiffe://alpha.e2e.internal/{name}"));
    let mut identities: Vec<_> = names.iter().map(|id| site.authority("alpha").svid(site.root(), id)).collect();
    identities.push(site.authority("beta").svid(site.root(), "spiffe://beta.e2e.internal/stranger"));
    for round in 0..4 {
        for identity in &identities {
            let mut client = Raw::open(&site, Some(identity), API).unwrap();
            for target in ["/items/1", "/items", "/frozen", "/unpermitted", "/nowhere", "/items//1"]
                .iter()
                .cycle()
                .take(40 + round)
            {
                client.ask(format!("GET {target} HTTP/1.1\r\nHost: {API}\r\n\r\n"));
            }
        }
        // in the middle of a fold, or after it
        if round % 2 == 0 {
            wait_for("some counts", || site.json(&["decisions", "--counts", "--json"]).pop());
        }
        site.kill();
        site.start();
    }
    let total: usize = (0..4).map(|round| 3 * (40 + round)).sum();
    wait_until("every decision to be counted", || compared(&site).0.values().sum::<u64>() >= total as u64);
    let (counted, logged) = compared(&site);
    assert_eq!(counted, logged);
    assert_eq!(counted.values().sum::<u64>(), total as u64);
}
