//! The promises that the system makes, each shown where a user would look for it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use countersign_e2e::{Answer, Call, Curl, Refused, Site, Upstream, echo, wait_for, wait_within};
use serde_json::Value;

use crate::identity::{install, run, written};
use crate::{API, CALLER, PROTOCOLS};

/// Calls with every answer that there is, over both protocols.
fn all_kinds(site: &Site) -> Vec<Answer> {
    let mut answers = Vec::new();
    for protocol in PROTOCOLS {
        for (caller, host, method, target) in [
            (CALLER, API, "GET", "/items"),
            (CALLER, API, "DELETE", "/items/1"),
            ("beta/guest", API, "GET", "/items/2"),
            (CALLER, API, "GET", "/unpermitted"),
            (CALLER, API, "GET", "/frozen"),
            (CALLER, API, "GET", "/nowhere"),
            (CALLER, API, "GET", "/items/../unpermitted"),
            ("beta/stranger", API, "GET", "/items"),
            ("beta/guest", API, "POST", "/items"),
            (CALLER, "ledger.e2e.internal", "GET", "/entries"),
            (CALLER, "people.e2e.internal", "GET", "/people"),
            (CALLER, "down.e2e.internal", "GET", "/items"),
        ] {
            answers.push(Curl::to(site, host).by(caller).over(protocol).send(method, target));
        }
        Curl::to(site, API).over(protocol).get("/items");
    }
    answers
}

#[test]
fn no_forward_without_a_permit() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let answers = all_kinds(&site);
    let decisions = site.decisions();
    let permitted: BTreeSet<String> = decisions
        .iter()
        .filter(|decision| decision["outcome"] == "allow" && decision["service"] != "alpha/down")
        .map(|decision| decision["id"].as_str().unwrap().to_owned())
        .collect();
    let calls = upstream.calls();
    let seen: BTreeSet<String> = calls.iter().map(Call::decision).collect();
    assert_eq!(seen, permitted);
    assert_eq!((seen.len(), calls.len()), (8, 8));
    let refused = answers.iter().filter(|answer| (400..500).contains(&answer.status));
    assert!(refused.clone().count() > 10);
    assert!(refused.into_iter().all(|answer| !seen.contains(&answer.decision())));
}

#[test]
fn deny_is_the_default_at_every_step() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.write("domains/alpha/policies/alpha.cedar", "");
    site.start();
    // with nothing permitted, each step that can say no says no, and the last one does so because nothing said yes
    let ghost = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/ghost");
    let by = |caller: &str| Curl::to(&site, API).by(caller);
    for (stage, answer) in [
        ("identity.unknown-workload", Curl::to(&site, API).with(&ghost).get("/items")),
        ("parse.dot-segment", by(CALLER).get("/items/..")),
        ("route.unlisted", by(CALLER).get("/nowhere")),
        ("route.server-name-mismatch", by(CALLER).args(&["-H", "Host: bulk.e2e.internal"]).get("/items")),
        ("limits.body", by(CALLER).args(&["--data-binary", "@-"]).input(vec![0; 70_000]).send("PUT", "/items/1")),
        ("consent.consumer", by("beta/stranger").get("/items")),
        ("policy.no-permit", by(CALLER).get("/items")),
    ] {
        assert_eq!(answer.reason(), stage, "{answer:?}");
    }
    Curl::to(&site, API).get("/items");
    site.refused_at_tls("identity.missing");
    Curl::to(&site, "unknown.e2e.internal").by(CALLER).get("/items");
    site.refused_at_tls("accept.server-name");
    assert_eq!(upstream.bytes(), b"");
}

/// The short form of an id as listings print it.
fn short(listing: &str, id: &str) -> String {
    let (first, last) = (&id[..8], &id[id.len() - 4..]);
    let word = listing.split_whitespace().find(|word| word.starts_with(first) && word.ends_with(last));
    word.unwrap_or_else(|| panic!("{id} is not in\n{listing}")).to_owned()
}

#[test]
fn every_answer_has_a_why() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let answers = all_kinds(&site);
    let listing = site.run(["decisions", "--since", "1h"]).stdout;
    assert_eq!(listing.lines().count(), answers.len() + PROTOCOLS.len(), "{listing}");
    for answer in &answers {
        let record = site.record(&answer.decision());
        let told = site.run(["explain", &short(&listing, &answer.decision()), "--json"]);
        assert_eq!(told.code, Some(0), "{told:#?}");
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["decision"]["id"], record["id"]);
        let allowed = record["outcome"] == "allow";
        let ended_well = allowed && record["completion"]["reason"] == "";
        assert_eq!(told["to_change"] == "", ended_well, "{told:#}");
        let steps = told["steps"].as_array().unwrap();
        let refused: Vec<&str> = steps
            .iter()
            .filter(|step| step["result"] == "refused")
            .map(|step| step["name"].as_str().unwrap())
            .collect();
        let stage = record["reason"].as_str().unwrap().split('.').next().unwrap();
        assert_eq!(refused, if allowed { vec![] } else { vec![stage] }, "{told:#}");
        assert_eq!(
            told["policies"].as_array().unwrap().len(),
            record["determining"].as_array().unwrap().len(),
            "{told:#}"
        );
        for policy in told["policies"].as_array().unwrap() {
            assert!(policy["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{policy:#}");
            assert!(policy["path"].as_str().is_some_and(|path| site.dir().join(path).is_file()), "{policy:#}");
        }
        let story = site.explained(&record);
        assert!(allowed || story.contains(record["reason"].as_str().unwrap()), "{story}");
        assert!(record["caller"] == "" || story.contains(record["caller"].as_str().unwrap()), "{story}");
    }
    let nobody = site.run(["explain", "01a20000-0000-7000-8000-000000000000"]);
    assert_eq!((nobody.code, nobody.stderr.contains("no decision")), (Some(2), true), "{nobody:#?}");
}

#[test]
fn no_decision_is_lost_or_altered_unseen() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let answers = all_kinds(&site);
    let before = site.entries();
    let ids: BTreeSet<String> = before.iter().filter_map(|entry| entry["id"].as_str().map(str::to_owned)).collect();
    assert!(answers.iter().all(|answer| ids.contains(&answer.decision())));
    site.kill();
    site.start();
    assert_eq!(site.entries(), before, "a kill and a start change nothing");
    site.stop();

    // one byte of one record, in the middle of what was written
    let target = answers[3].decision();
    let needle: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&target.replace('-', "")[2 * at..2 * at + 2], 16).unwrap()).collect();
    let changed = fs::read_dir(site.data().join("log")).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(16).position(|window| window == needle)?;
        bytes[at + 20] ^= 1;
        fs::write(&path, bytes).unwrap();
        Some(path)
    });
    let changed = changed.expect("the record of a decision").file_name().unwrap().to_string_lossy().into_owned();
    site.start();
    let entries = site.entries();
    let damage: Vec<&Value> = entries.iter().filter(|entry| entry["kind"] == "damage").collect();
    assert!(damage.iter().any(|damage| damage["message"].to_string().contains(&changed)), "{damage:?}");
    assert!(
        entries.iter().all(|entry| entry["id"] != target.as_str()),
        "the altered record is shown as if it were whole"
    );
    let listing = site.run(["decisions"]).stdout;
    assert!(listing.contains(&changed), "the listing is silent about it:\n{listing}");
    let others = entries.iter().filter(|entry| entry["kind"] == "decision").count();
    assert_eq!(others, before.len() - 1, "what was not touched is still readable");
}

#[test]
fn credentials_look_after_themselves() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("domains/alpha/domain.yaml", "domain: alpha", "domain: alpha\nsvid: { ttl: 1m }");
    site.start();
    let mut watching = run(&site, &install(&site, "e2e-workload"), 2);
    let first = wait_for("the first identity", || {
        let line = watching.stdout();
        (line.ends_with('\n')).then(|| written(&site, 1))
    });
    let answer = Curl::to(&site, API).with(&first).get("/items/1");
    let before = site.ended_well(&answer, CALLER);
    // a minute is the shortest life that can be configured
    let ended = wait_within(Duration::from_secs(40), "the renewed identity", || watching.ended());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let answer = Curl::to(&site, API).with(&written(&site, 2)).get("/items/2");
    let after = site.ended_well(&answer, CALLER);
    let of = |record: &Value, key: &str| record["identity"]["verified"][key].as_str().unwrap().to_owned();
    assert_ne!(of(&before, "serial"), of(&after, "serial"));
    assert!(of(&before, "not_after").as_str() > after["at"].as_str().unwrap(), "the first one was still good");
}
#[test]
fn keys_are_private_and_last() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let mode = |path: &str| fs::metadata(site.data().join(path)).unwrap().permissions().mode() & 0o777;
    for domain in ["alpha", "beta", "edge"] {
        assert_eq!(mode(&format!("keys/{domain}/ca.key")), 0o600, "{domain}");
    }
    assert_eq!((mode("admin.sock"), mode("keys"), mode("log")), (0o600, 0o700, 0o700));
    let caller = site.identity(CALLER);
    assert_eq!(fs::metadata(&caller.key).unwrap().permissions().mode() & 0o777, 0o600);
    let root = || fs::read(site.data().join("keys/alpha/ca.pem")).unwrap();
    let before = root();
    site.kill();
    site.start();
    assert_eq!(fs::read(site.data().join("keys/alpha/ca.pem")).unwrap(), before);
    let answer = Curl::to(&site, API).with(&caller).get("/items");
    site.ended_well(&answer, CALLER);
}

#[test]
fn a_domain_is_a_wall() {
    let upstream = Upstream::start(echo);
    let answers = |beta: Option<&str>| {
        let mut site = Site::prepare(&upstream);
        if let Some(policy) = beta {
            site.write("domains/beta/policies/more.cedar", policy);
        }
        site.start();
        let answers = all_kinds(&site);
        let told = |answer: &Answer| {
            let record = site.record(&answer.decision());
            (record["service"].to_string(), record["outcome"].to_string(), record["reason"].to_string())
        };
        answers.iter().map(told).filter(|(service, ..)| !service.contains("beta/")).collect::<Vec<_>>()
    };
    // whatever beta's policies say, nothing changes for alpha
    let plain = answers(None);
    let everything = "@id(\"all\")\n@reason(\"All.\")\npermit (principal, action, resource);\n";
    let nothing = "@id(\"none\")\n@reason(\"None.\")\nforbid (principal, action, resource);\n";
    assert_eq!(answers(Some(everything)), plain);
    assert_eq!(answers(Some(nothing)), plain);

    // whoever holds alpha's key is nobody in beta
    let site = Site::up(&upstream);
    let forged = site.authority("alpha").svid(site.root(), "spiffe://beta.e2e.internal/guest");
    let seen = upstream.count();
    let answer = Curl::to(&site, API).with(&forged).get("/items");
    assert_eq!(answer.status, 0, "{answer:?}");
    site.refused_at_tls("identity.untrusted");
    // and beta's gateway certificate comes from beta's root alone
    let answer = Curl::to(&site, "people.e2e.internal").by(CALLER).get("/people");
    assert_eq!(answer.status, 200, "{answer:?}");
    let roots = site.data().join("keys/alpha/ca.pem").display().to_string();
    let answer = Curl::to(&site, "people.e2e.internal").by(CALLER).args(&["--cacert", &roots]).get("/people");
    assert_eq!((answer.status, answer.exit), (0, 60), "curl does not trust it: {answer:?}");
    // crossing needs both sides
    let answer = Curl::to(&site, API).by("beta/stranger").get("/items");
    site.refused(&answer, Refused { status: 403, reason: "consent.consumer", caller: "beta/stranger" });
    let answer = Curl::to(&site, "ledger.e2e.internal").by(CALLER).get("/entries");
    site.refused(&answer, Refused { status: 403, reason: "consent.provider", caller: CALLER });
    assert_eq!(upstream.count(), seen + 1);
}
