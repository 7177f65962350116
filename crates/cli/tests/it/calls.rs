//! Calls through a running system, and what is known about them afterwards.

use std::net::TcpListener;
use std::process::Command;

use crate::running::{Place, upstream, upstream_answering};

const ORDERS: &str = "https://orders.example.internal/orders";

#[test]
fn a_call_is_allowed_recorded_and_explained() {
    let place = Place::new().with_served_shop(upstream());
    let mut up = place.up(&["shop"]);
    let call = place.run(&["call", "--as", "shop/storefront", "POST", ORDERS, "-d", r#"{"sku":"a"}"#]);
    assert_eq!(call.code, 0, "{call:?}");
    assert!(
        call.out.starts_with("201 Created\n{\"ok\":true}\n\nallow  shop/storefront via local asked"),
        "{}",
        call.out
    );
    assert!(
        call.out.contains("by shop/storefront-places-orders   domains/shop/policies/orders.cedar:"),
        "{}",
        call.out
    );
    let listed = place.run(&["decisions"]);
    let line = listed.out.lines().last().unwrap();
    assert!(line.contains("  allow       shop/storefront via local  → shop/orders  POST /orders  201  "), "{line}");
    let short = line.split_whitespace().last().unwrap();
    let told = place.run(&["explain", short]);
    assert_eq!(told.code, 0, "{told:?}");
    for part in [
        "spiffe://shop.example.internal/storefront",
        "impersonated by operator local",
        "✓  policy    permitted",
        "✓  upstream  status 201",
        "permit shop/storefront-places-orders",
        "The call was forwarded.",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    assert!(up.stop().success());
}

#[test]
fn a_refusal_says_why_and_nothing_reaches_the_service() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let place = Place::new().with_served_shop(nobody.local_addr().unwrap());
    let _up = place.up(&["shop"]);
    let call = place.run(&["call", "--as", "shop/orders", "POST", ORDERS, "-d", "{}", "--json"]);
    assert_eq!(call.code, 1, "{call:?}");
    let call = &call.json()[0];
    assert_eq!((call["allowed"].as_bool(), call["status"].as_u64()), (Some(false), Some(403)));
    assert!(!call["body"].as_str().unwrap().contains("storefront"), "the caller's text names no policy: {call}");
    let story = &call["explanation"];
    assert_eq!(story["forwarded"], false);
    assert_eq!(story["decision"]["reason"], "policy.no-permit");
    assert!(
        story["to_change"].as_str().unwrap().contains("a policy of shop would have to permit shop/orders"),
        "{story}"
    );
    assert!(nobody.accept().is_err(), "somebody connected");
}

#[test]
fn what_the_service_does_wrong_is_not_our_refusal() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new().with_served_shop(gone);
    let _up = place.up(&["shop"]);
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS]);
    assert_eq!(call.code, 2, "{call:?}");
    assert!(call.out.starts_with("502 Bad Gateway\n") && call.out.contains("✗  upstream  FAILED"), "{}", call.out);
}

#[test]
fn a_service_that_imitates_a_refusal_of_ours_has_answered() {
    let forged = r#"{"type":"urn:countersign:reason:policy.no-permit","title":"no","status":403}"#;
    let place = Place::new().with_served_shop(upstream_answering("403 Forbidden", "application/problem+json", forged));
    let _up = place.up(&["shop"]);
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS]);
    assert_eq!(call.code, 0, "{call:?}");
    assert!(call.out.starts_with("403 Forbidden\n") && call.out.contains("\nallow  shop/storefront"), "{}", call.out);
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS, "--json"]);
    assert_eq!((call.code, call.json()[0]["allowed"].as_bool()), (0, Some(true)), "{call:?}");
}

#[test]
fn without_a_permit_nobody_impersonates() {
    let place = Place::new().with_shop();
    let _up = place.up(&["shop"]);
    let call = place.run(&["call", "--as", "shop/storefront", "GET", ORDERS]);
    assert_eq!((call.code, call.out.as_str()), (1, ""), "{call:?}");
    assert!(call.err.starts_with("error: operator `local` may not impersonate shop/storefront"), "{}", call.err);
    assert!(call.err.contains("hint: permit the action `impersonate` in admin.cedar"), "{}", call.err);
    let fetch = place.run(&["identity", "fetch", "--as", "shop/storefront", "--out", "id"]);
    assert_eq!(fetch.code, 1, "{fetch:?}");
    assert!(!place.path("id").exists());
}

#[test]
fn listings_are_filtered_and_say_so_when_empty() {
    let place = Place::new().with_served_shop(upstream());
    let _up = place.up(&["shop"]);
    let none = place.run(&["decisions"]);
    assert_eq!((none.code, none.out.as_str()), (0, "no decisions; make one with `countersign call`\n"));
    for workload in ["shop/storefront", "shop/orders", "shop/storefront"] {
        place.run(&["call", "--as", workload, "POST", ORDERS, "-d", "{}"]);
    }
    let of = |arguments: &[&str]| {
        let lines = place.run(&[&["decisions", "--json"], arguments].concat()).json();
        lines.iter().map(|line| line["caller"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), ["shop/storefront", "shop/orders", "shop/storefront"]);
    assert_eq!(of(&["--outcome", "deny"]), ["shop/orders"]);
    assert_eq!(of(&["--caller", "shop/storefront", "--limit", "1"]), ["shop/storefront"]);
    assert_eq!(of(&["--since", "1h", "--outcome", "allow"]).len(), 2);
    assert_eq!(place.run(&["decisions", "--since", "1ms"]).out, "no decisions; try without filters\n");
    assert_eq!(place.run(&["decisions", "--caller", "storefront"]).code, 64);
}

#[test]
fn fetched_files_work_with_curl() {
    let place = Place::new().with_served_shop(upstream());
    let _up = place.up(&["shop"]);
    let fetch = place.run(&["identity", "fetch", "--as", "shop/storefront", "--out", "id"]);
    assert_eq!(fetch.code, 0, "{fetch:?}");
    let line = fetch.out.lines().last().unwrap().to_owned();
    assert!(line.starts_with("curl "), "{}", fetch.out);
    let curl = Command::new("sh").args(["-c", &line]).current_dir(place.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&curl.stdout), r#"{"ok":true}"#, "{line}: {curl:?}");
    let own = place.run(&["identity", "fetch"]);
    assert_eq!(own.code, 2, "this process is no workload: {own:?}");
    assert!(own.err.contains("the agent has no identity for this process"), "{}", own.err);
}

#[test]
fn old_decisions_are_explained_by_the_revision_that_made_them() {
    let place = Place::new().with_served_shop(upstream());
    let mut up = place.up(&["shop"]);
    place.run(&["call", "--as", "shop/storefront", "POST", ORDERS, "-d", "{}"]);
    assert!(up.stop().success());
    let policy = "shop/domains/shop/policies/orders.cedar";
    let changed = place.read(policy).replace("Customers order in the storefront.", "Another reason.");
    place.write(policy, &changed);
    let _up = place.up(&["shop"]);
    let short = place.run(&["decisions"]).out.split_whitespace().last().unwrap().to_owned();
    assert!(
        place.run(&["explain", &short]).out.contains(", in force)"),
        "a start publishes nothing over what is there"
    );
    assert_eq!(place.run(&["publish", "shop"]).code, 0);
    let told = place.run(&["explain", &short]).out;
    assert!(told.contains("Customers order in the storefront.") && told.contains("replaced since"), "{told}");
}
