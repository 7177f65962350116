//! What is told of the difference between two revisions.

use super::changes;
use crate::fixture::{commented, files, revision_of, with};

fn said(path: &str, edit: impl FnOnce(String) -> String) -> Vec<String> {
    changes(&revision_of(&files()), &revision_of(&with(path, edit)))
}

const DOMAIN: &str = "domains/shop/domain.yaml";

#[test]
fn nothing_is_said_where_nothing_that_decides_has_changed() {
    assert_eq!(changes(&revision_of(&files()), &revision_of(&files())), [""; 0]);
    assert_eq!(changes(&revision_of(&files()), &revision_of(&commented("words"))), [""; 0]);
}

#[test]
fn a_policy_that_was_added_changed_or_removed_is_named() {
    let added = |text: String| {
        format!(
            "{text}\n@id(\"freeze\")\n@reason(\"R.\")\nforbid (principal, action, resource) when {{ context.risk > 99 }};\n"
        )
    };
    assert_eq!(said("policies/guardrails.cedar", added), ["policy org/freeze added"]);
    let (old, new) = (revision_of(&with("policies/guardrails.cedar", added)), revision_of(&files()));
    assert_eq!(changes(&old, &new), ["policy org/freeze removed"]);
    let changed = |text: String| added(text).replace("> 99", "> 98");
    let new = revision_of(&with("policies/guardrails.cedar", changed));
    assert_eq!(changes(&old, &new), ["policy org/freeze changed"]);
}

#[test]
fn settings_are_told_with_what_they_were_and_what_they_are() {
    let told = said("countersign.yaml", |text| text.replace("risk_unknown: 50", "risk_unknown: 20"));
    assert_eq!(told, ["the risk of the unknown changed from 50 to 20"]);
    let told = said(DOMAIN, |text| format!("{text}\nsvid: {{ ttl: 2h }}\n"));
    assert_eq!(told, ["the life of certificates of shop changed from 3600 s to 7200 s"]);
}

#[test]
fn a_domain_with_its_service_and_the_consent_to_call_it_is_told() {
    let hr = "domain: hr\naccepts_from: { shop: [people] }\nservices:\n  people:\n    hosts: [people.example.internal]\n    \
              upstream: { urls: [http://127.0.0.1:7999] }\n    routes: { \"GET /staff\": {} }\n";
    let mut new = with(DOMAIN, |text| format!("{text}\ncalls: {{ storefront: [hr/people] }}\n"));
    new.insert("domains/hr/domain.yaml", hr);
    let (old, new) = (revision_of(&files()), revision_of(&new));
    let told = changes(&old, &new);
    assert_eq!(
        told,
        [
            "domain hr added",
            "shop lets storefront call hr/people",
            "service hr/people added",
            "workload hr/people added",
        ]
    );
    assert_eq!(changes(&new, &old)[1], "shop no longer lets storefront call hr/people");
    let narrower = hr.replace("accepts_from: { shop: [people] }\n", "").replace("7999", "7998");
    let mut third = with(DOMAIN, |text| format!("{text}\ncalls: {{ storefront: [hr/people] }}\n"));
    third.insert("domains/hr/domain.yaml", narrower.replace("GET /staff", "GET /people"));
    let told = changes(&new, &revision_of(&third));
    assert_eq!(
        told,
        [
            "hr no longer accepts calls from shop to people",
            "the upstream of hr/people changed from http://127.0.0.1:7999 to http://127.0.0.1:7998",
            "route hr/people GET /people added",
            "route hr/people GET /staff removed",
        ]
    );
}

#[test]
fn more_changes_than_are_read_are_counted() {
    let many = |text: String| {
        let policies = (0..150).map(|number| {
            format!("@id(\"p{number}\")\n@reason(\"R.\")\nforbid (principal, action, resource) when {{ context.risk > 99 }};\n")
        });
        text + &policies.collect::<String>()
    };
    let told = said("policies/guardrails.cedar", many);
    assert_eq!((told.len(), told.last().unwrap().as_str()), (100, "and 51 more changes"));
}

#[test]
fn who_administers_and_where_workloads_run_is_told() {
    let old = revision_of(&crate::fixture::owned());
    let mut files = crate::fixture::owned();
    let change = |files: &mut trustdir::MemoryFiles, path: &str, from: &str, to: &str| {
        let text = String::from_utf8(files.remove(path).unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        files.insert(path, text.replace(from, to));
    };
    let vera = "vera: { uid: 4005, roles: [viewer] }";
    change(&mut files, "countersign.yaml", vera, "vera: { roles: [viewer, operator] }");
    change(&mut files, "countersign.yaml", "owners: [operator:sally]", "owners: [operator:sally, operator:local]");
    change(
        &mut files,
        "domains/shop/domain.yaml",
        "owners: [operator:alice]",
        "when_stale: { after: 1h, then: serve }",
    );
    let said = changes(&old, &revision_of(&files));
    for wanted in [
        "who owns the organisation changed from operator:sally to operator:local, operator:sally",
        "the user id of operator vera changed from 4005 to none",
        "the roles of operator vera changed from viewer to viewer, operator",
        "who owns shop changed from operator:alice to nobody",
        "when_stale of shop changed from deny after 15m to serve after 1h",
    ] {
        assert!(said.iter().any(|one| one == wanted), "{wanted}: {said:?}");
    }
    let mut files = crate::fixture::owned();
    crate::fixture::append(&mut files, "countersign.yaml", "nodes: { vm: { join: token } }\n");
    assert_eq!(changes(&old, &revision_of(&files)), ["node group vm added"]);
}
