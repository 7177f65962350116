//! Trust that is taken away by name, serial number, key and node: at the issuer and at every proxy.

use super::*;

const FORBIDDEN: (u16, &str) = (403, "signals.revoked");

fn serial(identity: &Identity) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-in", &identity.certificate.display().to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("serial:{}", text.trim().trim_start_matches("serial=").to_lowercase())
}

#[test]
fn revocation_by_name_serial_key_and_node_counts_in_issuance_and_at_every_proxy() {
    let upstream = Upstream::start(echo);
    let mut fleet = fleet(&upstream, "1h");
    fleet.join_proxy("edge-2");
    // the same workload with a certificate that was issued for no node
    let elsewhere = fleet.identity(CALLER);
    let ask = |identity: &Identity| {
        let answers = ["edge-1", "edge-2"].map(|proxy| fleet.ask(proxy, identity, API, "/items/1"));
        assert_eq!(answers[0], answers[1], "both say the same");
        let (status, reason) = answers[0].clone();
        (status, reason)
    };
    let ok = (200, String::new());
    let refused = (FORBIDDEN.0, FORBIDDEN.1.to_owned());
    for kind in ["serial", "key", "node", "name"] {
        let held = fetched(&fleet, kind).expect("an identity");
        let (subject, also_elsewhere) = match kind {
            "serial" => (serial(&held), false),
            "key" => (held.key_subject(), false),
            "node" => (format!("node:agent/{NODE}"), false),
            _ => (CALLER.to_owned(), true),
        };
        assert_eq!((ask(&held), ask(&elsewhere)), (ok.clone(), ok.clone()), "{subject}");
        let revoked = fleet.done(["revoke", &subject, "--reason", "taken over"]);
        assert!(revoked.contains("in force at"), "{revoked}");
        wait_until("the refusal", || ask(&held) == refused);
        assert_eq!(ask(&elsewhere) == refused, also_elsewhere, "{subject}");
        if subject.starts_with("serial:") || subject.starts_with("key:") {
            // the workload is healthy, and is not made to wait for half of the life of what was taken from it
            wait_within(Duration::from_secs(10), "another certificate at once", || {
                let other = fetched(&fleet, "while")?;
                (ask(&other) == ok).then_some(())
            });
        } else if subject.starts_with("node:") {
            // what the agent holds it may still show, and it is refused everywhere; nothing new comes to the node
            let refused = |words: String| words.contains("Unavailable");
            wait_until("nothing new to be issued", || asked(&fleet, &["jwt", "while"]).is_err_and(refused));
        } else if subject == CALLER {
            wait_until("nothing to be issued", || fetched(&fleet, "while").is_none());
            assert!(asked(&fleet, &["jwt", "while"]).is_err_and(|words| words.contains("PermissionDenied")));
        }
        fleet.done(["restore", &subject]);
        wait_until("it to be allowed again", || ask(&held) == ok);
        wait_within(Duration::from_secs(60), "an identity again", || fetched(&fleet, "again"));
        // for an audience that nobody asked for before
        let audience = format!("after {subject}");
        wait_within(Duration::from_secs(60), "a token again", || asked(&fleet, &["jwt", &audience]).ok());
    }
    let records = fleet.json(&["subjects", "--json"]);
    assert!(records.is_empty(), "{records:#?}");
}

#[test]
fn a_revocation_with_an_end_and_a_reason_ends_by_itself_at_the_issuer_too() {
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1h");
    assert!(fetched(&fleet, "before").is_some());
    fleet.done(["revoke", CALLER, "--reason", "a look at its logs", "--for", "6s"]);
    wait_until("nothing to be issued", || fetched(&fleet, "while").is_none());
    let listed = fleet.json(&["subjects", "--json"]);
    assert_eq!(listed[0]["reason"], "a look at its logs", "{listed:#?}");
    wait_within(Duration::from_secs(60), "an identity again", || fetched(&fleet, "after"));
}
