//! `revoke`, `restore`, `subjects`, `who-can`, `what-can`, and the counts of what shadow lets pass.

use std::process::Command;

use crate::running::{Place, Up, eventually, upstream};

const ORDERS: &str = "https://orders.example.internal/orders";

fn running() -> (Place, Up) {
    let place = Place::new().with_served_shop(upstream());
    let up = place.up(&["shop"]);
    (place, up)
}

fn order(place: &Place, caller: &str) -> i32 {
    place.run(&["call", "--as", caller, "POST", ORDERS, "-d", "{}"]).code
}

#[test]
fn a_revoked_workload_is_refused_from_the_next_call_on_also_after_a_restart() {
    let (place, mut up) = running();
    let fetched = place.run(&["identity", "fetch", "--as", "shop/storefront", "--out", "id"]).out;
    let curl = format!("{} -s -o /dev/null -w '%{{http_code}}'", fetched.lines().last().unwrap());
    let status = || {
        let ran = Command::new("sh").args(["-c", &curl]).current_dir(place.path("")).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!((status().as_str(), order(&place, "shop/storefront")), ("201", 0));
    let revoked = place.run(&["revoke", "shop/storefront", "--reason", "taken over"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert!(revoked.out.starts_with("spiffe://shop.example.internal/storefront is revoked until it is restored\n"));
    assert_eq!(status(), "403", "with a certificate that is valid for minutes");
    let last = place.run(&["decisions", "--limit", "1", "--json"]).json();
    assert_eq!(last[0]["reason"], "signals.revoked", "{last:?}");
    assert_eq!(order(&place, "shop/storefront"), 1, "and nobody gets another one in its name");
    assert!(up.stop().success());
    let _up = place.up(&["shop"]);
    assert_eq!(order(&place, "shop/storefront"), 1, "a restart forgives nothing");
    let listed = place.run(&["subjects"]).out;
    assert!(listed.starts_with("spiffe://shop.example.internal/storefront  since "), "{listed}");
    assert!(listed.trim_end().ends_with("for good  local  taken over"), "{listed}");
    let restored = place.run(&["restore", "shop/storefront", "--reason", "rebuilt"]);
    assert!(restored.code == 0 && restored.out.contains("is restored"), "{restored:?}");
    assert_eq!(order(&place, "shop/storefront"), 0);
    assert!(place.run(&["subjects"]).out.starts_with("nobody's trust is taken away"));
}

#[test]
fn a_revocation_for_a_time_says_until_when() {
    let (place, _up) = running();
    let revoked = place.run(&["revoke", "serial:5C:1E:08", "--reason", "lost", "--for", "1h", "--json"]).json();
    assert_eq!(revoked[0]["subject"], "serial:5c1e08", "{revoked:?}");
    assert!(revoked[0]["until"].is_string(), "{revoked:?}");
}

#[test]
fn what_cannot_be_revoked_is_told() {
    let (place, _up) = running();
    let refused = |arguments: &[&str], code: i32| {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
        ran.err
    };
    refused(&["revoke", "shop/storefront", "--reason", " "], 64);
    refused(&["revoke", "shop/storefront", "--reason", "x", "--for", "500ms"], 64);
    refused(&["revoke", "shop/nobody", "--reason", "x"], 2);
    refused(&["revoke", "operator:local", "--reason", "x"], 1);
    refused(&["revoke", "", "--reason", "x"], 2);
    refused(&["revoke", "key:zz", "--reason", "x"], 2);
    refused(&["restore", "shop/storefront"], 2);
    assert!(place.run(&["subjects", "--json"]).out.is_empty());
}

#[test]
fn who_can_and_what_can_answer_without_a_call() {
    let (place, _up) = running();
    let by_route = place.run(&["who-can", "shop/orders", "POST", "/orders"]);
    assert_eq!(by_route.code, 0, "{by_route:?}");
    assert!(by_route.out.contains("shop/storefront  shop/storefront-places-orders"), "{}", by_route.out);
    let by_url = place.run(&["who-can", "POST", ORDERS]);
    assert_eq!(by_url.out, by_route.out);
    let all = place.run(&["who-can", "shop/orders POST /orders", "--json"]).json();
    assert!(all.iter().any(|line| line["result"] == "refused"), "{all:?}");
    let what = place.run(&["what-can", "shop/storefront"]);
    assert!(what.code == 0 && what.out.contains("shop/orders POST /orders"), "{what:?}");
    for unknown in
        [&["who-can", "shop/orders", "POST", "/nowhere"][..], &["what-can", "shop/nobody"], &["what-can", ""]]
    {
        assert_eq!(place.run(unknown).code, 2, "{unknown:?}");
    }
}

/// Orders, where nothing that is missing refuses.
fn in_shadow(place: &Place) {
    let domain = "shop/domains/shop/domain.yaml";
    let text = place.read(domain).replacen("domain: shop\n", "domain: shop\nmodes: { permit: shadow }\n", 1);
    assert!(text.contains("modes:"), "{text}");
    place.write(domain, &text);
    let tests = place.path("shop/domains/shop/tests");
    for file in crate::running::files(&tests) {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn what_shadow_lets_pass_is_listed_and_counted_exactly() {
    let place = Place::new().with_served_shop(upstream());
    in_shadow(&place);
    let _up = place.up(&["shop"]);
    assert_eq!(place.run(&["decisions", "--outcome", "would-deny"]).code, 0);
    for _ in 0..3 {
        assert_eq!(order(&place, "shop/orders"), 0, "it is let through");
    }
    assert_eq!(order(&place, "shop/storefront"), 0);
    let listed = place.run(&["decisions", "--outcome", "would-deny"]).out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.lines().all(|line| line.contains("  would-deny  shop/orders via local  → ")), "{listed}");
    assert!(listed.lines().all(|line| line.contains("  201  permit  ")), "{listed}");
    let counts = || place.run(&["decisions", "--counts", "--json"]).json();
    eventually("all is counted", || counts().iter().filter_map(|count| count["count"].as_u64()).sum::<u64>() == 4);
    let would: Vec<_> = counts().into_iter().filter(|count| count["answer"] == "would-deny").collect();
    assert_eq!(would.len(), 1, "{would:?}");
    let one = &would[0];
    assert_eq!((one["count"].as_u64(), one["check"].as_str()), (Some(3), Some("permit")), "{one}");
    assert_eq!((one["caller"].as_str(), one["template"].as_str()), (Some("shop/orders"), Some("/orders")), "{one}");
    let table = place.run(&["decisions", "--counts", "--outcome", "would-deny"]).out;
    assert!(table.starts_with("3  would-deny  shop/orders  → shop/orders  POST /orders  permit  "), "{table}");
    assert_eq!(place.run(&["decisions", "--counts", "--caller", "shop/storefront", "--json"]).json().len(), 1);
}

#[test]
fn text_from_outside_does_not_steer_the_terminal() {
    let body = "{\"name\":\"a\u{200b}b\u{202e}c\u{9b}2J\u{feff}\"}";
    let place = Place::new().with_served_shop(crate::running::upstream_answering("200 OK", "application/json", body));
    let _up = place.up(&["shop"]);
    let hostile = ['\u{200b}', '\u{202e}', '\u{9b}', '\u{feff}'];
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS]);
    assert_eq!(call.code, 0, "{call:?}");
    assert!(
        call.out.contains("\"a\u{fffd}b\u{fffd}c\u{fffd}2J\u{fffd}\"") && !call.out.contains(hostile),
        "{}",
        call.out
    );
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS, "--json"]);
    assert!(!call.out.contains(hostile), "{}", call.out);
    assert_eq!(call.json()[0]["body"], body, "and is the same to whoever parses it");
    let revoked = place.run(&["revoke", "shop/storefront", "--reason", "a\u{202e}b\u{200b}"]);
    assert!(!revoked.out.contains(hostile), "{}", revoked.out);
    for listing in [&["subjects"][..], &["subjects", "--json"]] {
        let listed = place.run(listing).out;
        assert!(!listed.is_empty() && !listed.contains(hostile), "{listed}");
    }
}
