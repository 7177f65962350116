//! Identities of a running system: who holds what, the budget, bundles, and the rotation of keys.

use serde_json::Value;

use crate::running::{Place, Up, eventually};

fn running() -> (Place, Up) {
    let place = Place::new().with_shop();
    // this very test is a workload: whatever runs under our user
    let domain = place.read("shop/domains/shop/domain.yaml");
    let attested = domain.replace("unix: { uid: 1001, path: /opt/shop/storefront }", &attest());
    assert_ne!(domain, attested, "{domain}");
    place.write("shop/domains/shop/domain.yaml", &attested);
    let up = place.up(&["shop", "--data", "d"]);
    (place, up)
}

fn attest() -> String {
    let user = std::process::Command::new("id").arg("-u").output().unwrap().stdout;
    format!("unix: {{ uid: {} }}", String::from_utf8(user).unwrap().trim())
}

fn ask(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let ran = place.run(&[arguments, &["--data", "d", "--json"]].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    ran.json()
}

/// How far the keys have come.
fn phase(place: &Place, keys: &str) -> String {
    let all = ask(place, &["identity", "rotate-root"]);
    let one = all.iter().find(|one| one["domain"] == "shop" && one["keys"] == keys).unwrap();
    one["phase"].as_str().unwrap().to_owned()
}

#[test]
fn who_may_have_what_is_listed_and_the_budget_counts_what_is_held() {
    let (place, mut up) = running();
    let all = ask(&place, &["identity", "list"]);
    let storefront = all.iter().find(|one| one["workload"] == "shop/storefront").unwrap();
    assert_eq!(storefront["spiffe_id"], "spiffe://shop.example.internal/storefront");
    assert_eq!((&storefront["key"], &storefront["ttl_seconds"]), (&"p256".into(), &3_600.into()));
    // the gateway says once a second what it holds
    let budgets = std::iter::repeat_with(|| ask(&place, &["identity", "budget"]).remove(0));
    let told = |budget: &Value| !budget["first"].as_array().unwrap().is_empty();
    let budget = &budgets.take(1_000).find(told).expect("what the gateway holds");
    let gateway = budget["first"].as_array().unwrap().iter();
    assert!(gateway.into_iter().any(|line| line["spiffe_id"].as_str().unwrap().contains("/_gateway/")), "{budget}");
    assert!((3_000..=3_600).contains(&budget["seconds"].as_u64().unwrap()), "{budget}");
    let said = place.run(&["identity", "budget", "--data", "d"]);
    assert!(said.out.starts_with("if issuance stopped now, the first would fail in "), "{said:?}");
    assert!(up.stop().success());
}

#[test]
fn what_is_fetched_verifies_offline_by_the_bundle_that_is_printed() {
    let (place, mut up) = running();
    let bundle = place.run(&["identity", "bundle", "shop", "--data", "d"]);
    place.write("bundle.json", &bundle.out);
    assert!(bundle.out.contains("spiffe_sequence") && bundle.out.contains("jwt-svid"), "{bundle:?}");
    let pem = place.run(&["identity", "bundle", "shop", "--pem", "--data", "d"]);
    assert!(pem.out.starts_with("-----BEGIN CERTIFICATE-----"), "{pem:?}");
    assert_eq!(place.run(&["identity", "bundle", "nowhere", "--data", "d"]).code, 2);

    let fetched = place.run(&["identity", "fetch", "--out", "x", "--data", "d"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let with = ["--bundle", "shop.example.internal=bundle.json"];
    let verified = place.run(&[&["verify", "svid", "x/svid.pem"][..], &with].concat());
    assert!(verified.out.starts_with("accepted  spiffe://shop.example.internal/storefront\n"), "{verified:?}");
    let late = place.run(&[&["verify", "svid", "x/svid.pem", "--at", "2199-01-01T00:00:00Z"][..], &with].concat());
    assert!(late.code == 1 && late.out.contains("PV-1"), "{late:?}");

    let token = place.run(&["identity", "fetch", "--jwt", "--audience", "ledger", "--data", "d"]);
    assert_eq!((token.code, token.out.matches('.').count(), token.out.lines().count()), (0, 2, 1), "{token:?}");
    let verify = |audience| {
        let token = ["verify", "jwt-svid", token.out.trim(), "--audience", audience];
        place.run(&[&token[..], &with].concat())
    };
    assert!(verify("ledger").out.starts_with("accepted  spiffe://shop.example.internal/storefront\n"));
    assert!(verify("payroll").code == 1 && verify("payroll").out.contains("JS-4"));
    assert!(up.stop().success());
}

#[test]
fn a_root_is_rotated_step_by_step_and_what_was_fetched_before_stays_good() {
    let (place, mut up) = running();
    let verify = |out: &str| {
        let bundle = place.run(&["identity", "bundle", "shop", "--data", "d"]);
        place.write("bundle.json", &bundle.out);
        let file = format!("{out}/svid.pem");
        place.run(&["verify", "svid", &file, "--bundle", "shop.example.internal=bundle.json"]).code
    };
    assert_eq!(place.run(&["identity", "fetch", "--out", "before", "--data", "d"]).code, 0);
    let steps = ask(&place, &["identity", "rotate-root", "shop"]);
    let phases: Vec<&str> = steps.iter().map(|step| step["phase"].as_str().unwrap()).collect();
    assert_eq!((phases[0], *phases.last().unwrap()), ("published", "signing"), "{phases:?}");
    assert_eq!(verify("before"), 0, "what the old root signed is still good");
    assert_eq!(phase(&place, "jwt"), "idle", "the JWT key is another one");

    let back = place.run(&["identity", "rotate-root", "shop", "--back", "--data", "d"]);
    assert!(back.code == 0 && back.out.contains("lets it go on"), "{back:?}");
    assert_eq!(phase(&place, "x509"), "published");
    assert_eq!(verify("before"), 0);

    let gone = place.run(&["identity", "rotate-root", "shop", "--emergency", "--reason", "stolen", "--data", "d"]);
    assert!(gone.code == 0 && gone.out.contains("good no more"), "{gone:?}");
    assert_eq!(verify("before"), 1, "what the old root signed is good no more");
    eventually("the agent hands out what the new root signed", || {
        let again = place.run(&["identity", "fetch", "--out", "after", "--data", "d"]);
        again.code == 0 && verify("after") == 0
    });
    let unknown = place.run(&["identity", "rotate-root", "nowhere", "--data", "d"]);
    assert!(unknown.code == 2 && unknown.err.contains("`nowhere`"), "{unknown:?}");
    assert!(up.stop().success());
}

#[test]
fn a_rotation_goes_on_without_the_command_that_started_it() {
    let (place, mut up) = running();
    let started = place.run(&["identity", "rotate-root", "shop", "--jwt", "--no-wait", "--data", "d"]);
    assert!(started.code == 0 && started.out.contains("it goes on by itself"), "{started:?}");
    eventually("the new JWT key signs", || phase(&place, "jwt") == "signing");
    assert!(up.stop().success());
}

#[test]
fn keys_rest_under_a_passphrase_and_another_one_opens_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().with_shop();
    let secret = place.path("passphrase");
    let node = format!("{}keys: {{ passphrase_file: {} }}\n", place.read("shop/node.yaml"), secret.display());
    place.write("shop/node.yaml", &node);
    let write = |text: &str, mode| {
        place.write("passphrase", text);
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("correct horse\n", 0o600);
    assert!(place.up(&["shop", "--data", "d"]).stop().success());
    let keys = crate::running::files(&place.path("d/keys"));
    let texts: Vec<String> = keys.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    assert!(texts.iter().any(|text| text.contains("BEGIN ENCRYPTED PRIVATE KEY")), "{keys:?}");
    assert!(!texts.iter().any(|text| text.contains("BEGIN PRIVATE KEY")), "{keys:?}");
    assert!(place.up(&["shop", "--data", "d"]).stop().success(), "the same passphrase opens them");
    for (text, mode, words) in [
        ("wrong horse\n", 0o600, "the passphrase does not open"),
        ("correct horse\n", 0o644, "may be read by others"),
        ("", 0o600, "it is empty"),
    ] {
        write(text, mode);
        let refused = place.run(&["up", "shop", "--data", "d"]);
        assert!(refused.code == 2 && refused.err.contains(words), "{words}: {refused:?}");
    }
}

/// systemd's way: nothing in node.yaml, a file in the folder that it hands to the service.
#[test]
fn a_credential_of_systemd_is_the_passphrase() {
    let place = Place::new().with_shop();
    std::fs::create_dir(place.path("credentials")).unwrap();
    place.write("credentials/countersign-keys", "correct horse");
    let mut command = place.command(&["up", "shop", "--data", "d"]);
    let mut up = Up::start(command.env("CREDENTIALS_DIRECTORY", place.path("credentials")), "Ctrl-C stops it.");
    assert!(up.stop().success());
    let without = place.run(&["up", "shop", "--data", "d"]);
    assert!(without.code == 2 && without.err.contains("no passphrase is given"), "{without:?}");
    assert!(without.err.contains("countersign-keys"), "the hint says where one is looked for: {without:?}");
}

/// A certificate of the web and its key, for 127.0.0.1.
fn web(place: &Place) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    place.write("web.pem", &parameters.self_signed(&key).unwrap().pem());
    place.write("web.key", &key.serialize_pem());
}

#[test]
fn others_fetch_our_bundle_without_a_certificate_of_theirs() {
    let place = Place::new().with_shop();
    web(&place);
    let file = |name: &str| place.path(name).display().to_string();
    let node = |key: &str| {
        format!(
            "listeners:\n  - {{ name: gateway, kind: gateway, address: 127.0.0.1:0 }}\n  - {{ name: bundles, kind: bundle, \
             address: 127.0.0.1:0, certificate: {}, key: {} }}\n",
            file("web.pem"),
            file(key)
        )
    };
    place.write("shop/node.yaml", &node("web.key"));
    let mut up = place.up(&["shop", "--data", "d"]);
    let line = up.said.lines().find(|line| line.contains("bundles")).unwrap_or_else(|| panic!("{}", up.said));
    let address = line.split("https://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let fetch = |path: &str| {
        let url = format!("https://{address}/{path}");
        let ran = std::process::Command::new("curl").args(["-sS", "-f", "--cacert", &file("web.pem"), &url]).output();
        crate::running::Ran::of(&ran.unwrap())
    };
    let fetched = fetch("shop.example.internal");
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let own = place.run(&["identity", "bundle", "shop", "--data", "d"]);
    let keys = |text: &str| serde_json::from_str::<Value>(text).unwrap()["keys"].clone();
    assert_eq!(keys(&fetched.out), keys(&own.out));
    for path in ["", "nowhere.example.internal", "system.example.internal", "shop.example.internal/x"] {
        assert_ne!(fetch(path).code, 0, "{path}");
    }
    assert!(up.stop().success());

    place.write("shop/node.yaml", &node("nowhere.key"));
    let refused = place.run(&["up", "shop", "--data", "d"]);
    assert!(
        refused.code == 2 && refused.err.contains("listener `bundles`") && refused.err.contains("hint:"),
        "{refused:?}"
    );
}
