//! `publish`, `revisions`, `rollback` on a running system.

use crate::running::{Place, upstream};

const ORDERS: &str = "https://orders.example.internal/orders";
const POLICY: &str = "shop/domains/shop/policies/orders.cedar";

/// The example of `init` running, and its first revision.
fn running() -> (Place, crate::running::Up, String) {
    let place = Place::new().with_served_shop(upstream());
    let up = place.up(&["shop"]);
    let first = current(&place);
    (place, up, first)
}

fn current(place: &Place) -> String {
    let listed = place.run(&["revisions", "--json"]).json();
    let current = listed.iter().find(|one| one["current"] == true).unwrap();
    current["revision"].as_str().unwrap().to_owned()
}

/// Lets nobody order, and drops the test that says otherwise.
fn forbid_orders(place: &Place) {
    let forbidding = "@id(\"closed\")\n@reason(\"The shop is closed.\")\n\
        forbid (principal, action == Action::\"POST\", resource in Service::\"shop/orders\");\n";
    place.write(POLICY, &format!("{}\n{forbidding}", place.read(POLICY)));
    std::fs::remove_file(place.path("shop/domains/shop/tests/orders.yaml")).unwrap();
}

fn order(place: &Place) -> i32 {
    place.run(&["call", "--as", "shop/storefront", "POST", ORDERS, "-d", "{}"]).code
}

#[test]
fn what_is_published_decides_the_next_call_and_a_rollback_the_one_after() {
    let (place, mut up, first) = running();
    assert_eq!(order(&place), 0);
    forbid_orders(&place);
    let published = place.run(&["publish", "shop", "--why", "closed over the holidays"]);
    assert_eq!(published.code, 0, "{published:?}");
    assert!(published.out.starts_with("revision "), "{}", published.out);
    assert!(published.out.contains("is current: publication 2\n"), "{}", published.out);
    assert!(published.out.contains("shop/closed"), "what changed is named: {}", published.out);
    assert_eq!(order(&place), 1);
    let again = place.run(&["publish", "shop"]);
    assert!(again.code == 0 && again.out.contains("is current already; nothing was published"), "{again:?}");
    let short: String = first.chars().take(7).collect();
    let back = place.run(&["rollback", &short, "--why", "open again"]);
    assert!(back.code == 0 && back.out.contains("is current again: publication 3\n"), "{back:?}");
    assert_eq!((order(&place), current(&place)), (0, first));
    let listed = place.run(&["revisions"]).out;
    let lines: Vec<&str> = listed.lines().filter(|line| !line.starts_with("     ")).collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[0].starts_with("3  ") && lines[0].contains("  current  ") && lines[0].ends_with("open again"));
    assert!(lines[1].ends_with("publish   local  closed over the holidays"), "{}", lines[1]);
    assert!(up.stop().success());
}

#[test]
fn what_does_not_validate_or_fails_a_test_is_not_published() {
    let (place, _up, first) = running();
    let good = place.read(POLICY);
    place.write(POLICY, &good.replace("shop/storefront", "shop/storefrunt"));
    let refused = place.run(&["publish", "shop"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(refused.err.contains("did you mean `shop/storefront`?"), "{}", refused.err);
    assert!(refused.err.contains("error: `shop` does not validate; what runs goes on"), "{}", refused.err);
    let json = place.run(&["publish", "shop", "--json"]);
    assert!(json.code == 1 && json.json().iter().all(|line| line["severity"].is_string()), "{json:?}");
    place.write(POLICY, &good.replacen("permit (", "forbid (", 1));
    let failing = place.run(&["publish", "shop"]);
    assert_eq!(failing.code, 1, "{failing:?}");
    assert!(failing.err.contains("✗ ") && failing.err.contains("; what runs goes on"), "{}", failing.err);
    let json = place.run(&["publish", "shop", "--json"]).json();
    assert!(!json.is_empty() && json.iter().all(|line| line["passed"] == false), "{json:?}");
    assert_eq!((current(&place), order(&place)), (first, 0));
}

#[test]
fn a_publication_between_is_not_overridden() {
    let (place, _up, first) = running();
    forbid_orders(&place);
    assert_eq!(place.run(&["publish", "shop"]).code, 0);
    place.write(POLICY, &place.read(POLICY).replace("The shop is closed.", "Closed."));
    let late = place.run(&["publish", "shop", "--after", &first]);
    assert_eq!(late.code, 2, "{late:?}");
    assert!(late.err.starts_with("error: ") && late.err.contains("hint: "), "{}", late.err);
    assert_eq!(place.run(&["revisions", "--json"]).json().len(), 2);
    assert_eq!(place.run(&["publish", "shop"]).code, 0);
}

#[test]
fn a_rollback_to_the_unknown_is_refused() {
    let (place, _up, first) = running();
    for unknown in ["0000000", "", "not-a-revision", &"f".repeat(200)] {
        let refused = place.run(&["rollback", unknown]);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "`{unknown}`: {refused:?}");
        assert!(refused.err.starts_with("error: "), "{}", refused.err);
    }
    assert_eq!(current(&place), first);
}

#[test]
fn where_nothing_runs_it_is_said() {
    let place = Place::new().with_shop();
    for command in [&["publish", "shop"][..], &["revisions"], &["subjects"], &["doctor"], &["login"]] {
        let refused = place.run(command);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.starts_with("error: no countersign is running"), "{}", refused.err);
    }
}
