//! Control, a proxy and an agent as processes of their own: joining, calling, and what is said when something is wrong.

use std::process::Stdio;

use crate::apart::{Apart, address, status};
use crate::running::{Ran, Up, eventually};

#[test]
fn a_proxy_joins_enforces_and_is_seen() {
    let mut apart = Apart::new();
    apart.invite_proxy("edge-1");
    let mut proxy = apart.start("proxy", "edge-1");
    assert!(proxy.said.starts_with("proxy/edge-1 is up, revision "), "{}", proxy.said);
    let gateway = address(&proxy.said, "gateway");
    let called = apart.call(gateway);
    assert_eq!(called.code, 0, "{called:?}");
    let listed = apart.run(&["fleet"]);
    assert!(
        listed.out.starts_with("the one enforcer runs what is current\n\nin force  proxy/edge-1 "),
        "{}",
        listed.out
    );
    eventually("control has the decision", || {
        apart.run(&["decisions", "--json"]).json().iter().any(|one| one["caller"] == "shop/storefront")
    });
    let domain = "shop/domains/shop/policies/orders.cedar";
    let policy = apart.place.read(domain);
    apart.place.write(domain, &policy.replace("Customers order in the storefront.", "Another reason."));
    let published = apart.run(&["publish", "shop"]);
    assert_eq!(published.code, 0, "{published:?}");
    assert!(published.out.ends_with("  in force at the one enforcer\n"), "{}", published.out);
    let revoked = apart.run(&["revoke", "shop/storefront", "--reason", "taken over"]);
    assert!(revoked.out.contains("  in force at the one enforcer\n"), "{}", revoked.out);
    assert_eq!(apart.call(gateway).code, 1);
    assert!(proxy.stop().success());
    assert!(apart.control.stop().success());
}

#[test]
fn a_proxy_goes_on_and_starts_without_control() {
    let mut apart = Apart::new();
    apart.invite_proxy("edge-1");
    let mut proxy = apart.start("proxy", "edge-1");
    let gateway = address(&proxy.said, "gateway");
    let mut curl = apart.curl(gateway);
    assert_eq!(status(&mut curl), "201");
    let heard = apart.place.path("edge-1/state/heard");
    // the second record lies before the first: by then the publication was in force, and is confirmed
    eventually("heartbeats are kept", || {
        std::fs::read(&heard).is_ok_and(|kept| kept.iter().take(8).any(|byte| *byte != 0))
    });
    apart.control.signal("KILL");
    apart.control.ended();
    assert_eq!(status(&mut curl), "201", "what was known goes on");
    proxy.signal("KILL");
    proxy.ended();
    let listener = format!("listeners: [{{ name: gateway, kind: gateway, address: \"{gateway}\" }}]\n");
    let yaml = apart.place.read("edge-1.yaml");
    let yaml: Vec<&str> = yaml.lines().filter(|line| !line.starts_with("listeners")).collect();
    apart.place.write("edge-1.yaml", &format!("{}\n{listener}", yaml.join("\n")));
    let mut proxy = apart.start("proxy", "edge-1");
    assert!(proxy.said.contains("what it enforces is its last good state"), "{}", proxy.said);
    let answer = status(&mut curl);
    assert_eq!(answer, "201", "it starts with what it has on its disk: {}", proxy.errors());
    apart.control_again();
    eventually("it is back", || apart.peer("edge-1").is_some_and(|peer| peer["connected"] == true));
    let revoked = apart.run(&["revoke", "shop/storefront", "--reason", "taken over"]);
    assert!(revoked.out.contains("  in force at the one enforcer\n"), "{}", revoked.out);
    assert_eq!(status(&mut curl), "403");
    assert!(proxy.stop().success());
}

#[test]
fn an_agent_hands_out_what_is_placed_at_its_node_and_nothing_else() {
    let apart = Apart::new();
    let program = env!("CARGO_BIN_EXE_countersign");
    let path = "shop/domains/shop/domain.yaml";
    let domain = apart.place.read(path);
    let attested = format!(
        "  storefront: {{ runs_on: [vm], attest: {{ any: [ {{ unix: {{ path: {program} }} }} ] }} }}\n  orders: {{ runs_on: [lab], attest: {{ any: [ {{ unix: {{ path: {program} }} }} ] }} }}\n"
    );
    let (before, _) = domain.split_once("  storefront: {").unwrap();
    apart.place.write(path, &format!("{before}{attested}"));
    let published = apart.run(&["publish", "shop"]);
    assert_eq!(published.code, 0, "{published:?}");
    apart.invite_agent("vm-1", "vm");
    let mut agent = apart.start("agent", "vm-1");
    assert!(agent.said.starts_with("agent/vm-1 is up\n"), "{}", agent.said);
    let socket = apart.place.path("vm-1/workload.sock");
    let socket = socket.to_str().unwrap();
    let fetched = apart.run(&["identity", "fetch", "--socket", socket, "--out", "id"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert!(
        fetched.out.starts_with("spiffe://shop.example.internal/storefront, "),
        "placed here, and alone: {}",
        fetched.out
    );
    let unknown = apart.run(&["join-token", "--agent", "vm-2", "--group", "nowhere"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(agent.stop().success());
}

#[test]
fn somebody_who_may_not_join_is_told_why_and_tries_again() {
    let apart = Apart::new();
    apart.invite_proxy("edge-1");
    let good = apart.place.read("edge-1.token");
    let yaml = apart.place.read("edge-1.yaml");
    apart.place.write("edge-1.token", &format!("{}x", good.trim_end()));
    waits(&apart, "token");
    let root = yaml.split("root_sha256: ").nth(1).unwrap().get(..64).unwrap().to_owned();
    apart.place.write("edge-1.token", &good);
    apart.place.write("edge-1.yaml", &yaml.replace(&root, &"0".repeat(64)));
    waits(&apart, "root");
    apart.place.write("edge-1.yaml", &yaml.replace(&apart.peers.port().to_string(), "1"));
    waits(&apart, "127.0.0.1:1");
    apart.place.write("edge-1.yaml", &yaml);
    assert!(apart.start("proxy", "edge-1").stop().success());
    // the same token, and another key
    std::fs::remove_dir_all(apart.place.path("edge-1")).unwrap();
    waits(&apart, "used");
    std::fs::remove_file(apart.place.path("edge-1.token")).unwrap();
    let ran = Ran::of(&apart.command("proxy", "edge-1").output().unwrap());
    assert!(ran.code == 2 && ran.err.contains("has not joined"), "{ran:?}");
    assert!(ran.err.contains("countersign join-token"), "{}", ran.err);
}

/// Starts the proxy, which does not come up, and waits for one clear line.
fn waits(apart: &Apart, part: &str) {
    let mut command = apart.command("proxy", "edge-1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("waiting for control: ")));
    let line = line.unwrap_or_else(|| panic!("it ended, and was to wait because of `{part}`")).unwrap();
    assert!(line.contains(part), "`{part}` is missing: {line}");
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && child.wait().unwrap().success(), "it can be stopped while it waits");
}

#[test]
fn a_control_without_anything_to_publish_says_what_it_needs() {
    let apart = Apart::new();
    apart.place.write("empty.yaml", &format!("data: {}\n", apart.place.path("empty").display()));
    let refused = apart.place.run(&["control", "-c", "empty.yaml"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("nothing was published yet"), "{}", refused.err);
    assert!(refused.err.contains("countersign control -c FILE DIR"), "{}", refused.err);
}

#[test]
fn a_hangup_takes_over_the_address_of_control_and_names_what_needs_a_restart() {
    let apart = Apart::new();
    apart.invite_proxy("edge-1");
    let mut command = apart.command("proxy", "edge-1");
    let proxy = Up::start(command.env("COUNTERSIGN_LOG", "info"), "Ctrl-C stops it.");
    let yaml = apart.place.read("edge-1.yaml");
    let moved = yaml.replace("https://127.0.0.1:", "https://localhost:");
    apart.place.write("edge-1.yaml", &format!("{moved}decision_log: {{ max_size: 1GiB }}\n"));
    proxy.signal("HUP");
    eventually("it says what it took over", || proxy.errors().contains("control.url"));
    eventually("it says what needs a restart", || {
        proxy.errors().lines().any(|line| line.contains("needs a restart") && line.contains("decision_log"))
    });
    apart.place.write("edge-1.yaml", "name: edge-1\nsurprise: 1\n");
    proxy.signal("HUP");
    eventually("it says what is wrong", || proxy.errors().contains("edge-1.yaml:2:1"));
    eventually("it is connected", || apart.peer("edge-1").is_some_and(|peer| peer["connected"] == true));
}

#[test]
fn somebody_who_is_retired_is_refused_and_the_name_is_free() {
    let apart = Apart::new();
    apart.invite_proxy("edge-1");
    let mut proxy = apart.start("proxy", "edge-1");
    let retired = apart.run(&["retire", "proxy/edge-1", "--why", "moved"]);
    assert!(retired.code == 0 && retired.out.starts_with("proxy/edge-1 is retired"), "{retired:?}");
    assert!(apart.peer("edge-1").is_none());
    assert_eq!(apart.run(&["retire", "proxy/edge-1"]).code, 2);
    assert!(proxy.stop().success());
    std::fs::remove_dir_all(apart.place.path("edge-1")).unwrap();
    apart.invite_proxy("edge-1");
    assert!(apart.start("proxy", "edge-1").stop().success());
}
