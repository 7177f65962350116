//! Whose approval a change needs, and what counts as loosening.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::all::wide;
use crate::{
    approval::{leaves_a_way_back, needs},
    part::manifest_of,
    *,
};

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";
const HR: &str = "domains/hr/domain.yaml";
const CEDAR: &str = "domains/finance/policies/ledger.cedar";

/// The organisation's owners are alice and the local operator, finance's are bob; hr and legal say nothing.
const PEOPLE: &str = "organisation: acme.internal
operators: { alice: { roles: [owner] }, bob: { roles: [security] }, carol: { roles: [owner] }, dave: { roles: [viewer] } }
owners: ['operator:alice', 'operator:local']
";

fn owned() -> MemoryFiles {
    let mut files = wide();
    files.insert(ORG, PEOPLE);
    edit(&mut files, FIN, "domain: finance\n", "domain: finance\nowners: ['operator:bob']\n");
    files
}

fn edit(files: &mut MemoryFiles, path: &str, old: &str, new: &str) {
    let text = String::from_utf8(files.remove(path).unwrap_or_default()).expect("text");
    assert!(text.contains(old), "{path} does not hold {old:?}");
    files.insert(path, text.replacen(old, new, 1));
}

fn revision(files: &MemoryFiles) -> Arc<Revision> {
    let loaded = load(files);
    loaded.revision.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
}

fn changed(old: &MemoryFiles, new: &MemoryFiles) -> Vec<String> {
    let [old, new] = [old, new].map(|files| manifest_of(files).expect("in memory"));
    let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).cloned().collect()
}

/// `folder [owners] because; because` of each need of going from one directory to another.
fn told(old: &MemoryFiles, new: &MemoryFiles) -> Vec<String> {
    let needs = needs(&revision(old), &revision(new), &changed(old, new));
    let owners = |need: &approval::Need| need.owners.iter().map(Owner::name).collect::<Vec<_>>().join(" ");
    needs.iter().map(|need| format!("{} [{}] {}", need.folder, owners(need), need.because.join("; "))).collect()
}

/// What an edit of the owned directory needs.
fn needs_of(edits: &[(&str, &str, &str)]) -> Vec<String> {
    let mut files = owned();
    for (path, old, new) in edits {
        match (old.is_empty(), new.is_empty()) {
            (true, true) => drop(files.remove(path)),
            (true, false) => files.insert(*path, *new),
            _ => edit(&mut files, path, old, new),
        }
    }
    told(&owned(), &files)
}

#[test]
fn owners_of_what_is_touched_approve() {
    for (edits, want) in [
        (vec![], vec![]),
        (vec![(CEDAR, "< 60", "< 70")], vec!["domains/finance [bob] domains/finance/policies/ledger.cedar"]),
        (
            vec![("domains/finance/tests/ledger.yaml", "risk: 20", "risk: 21")],
            vec!["domains/finance [bob] domains/finance/tests/ledger.yaml"],
        ),
        // a domain without owners is the organisation's
        (
            vec![("domains/hr/policies/people.cedar", "looks", "reads")],
            vec![". [alice local] domains/hr/policies/people.cedar"],
        ),
        (vec![("policies/guard.cedar", "does not", "never")], vec![". [alice local] policies/guard.cedar"]),
        (vec![("admin.cedar", "", "// nothing\n")], vec![". [alice local] admin.cedar"]),
        (vec![(ORG, "owners:", "risk_unknown: 40\nowners:")], vec![". [alice local] countersign.yaml"]),
        (
            vec![(CEDAR, "< 60", "< 70"), ("policies/guard.cedar", "does not", "never")],
            vec![". [alice local] policies/guard.cedar", "domains/finance [bob] domains/finance/policies/ledger.cedar"],
        ),
        // a domain that comes is the organisation's, whoever it says its owners are
        (
            vec![("domains/new/domain.yaml", "", "domain: new\nowners: ['operator:carol']\n")],
            vec![". [alice local] domains/new/domain.yaml"],
        ),
    ] {
        assert_eq!(needs_of(&edits), want, "{edits:?}");
    }
}

#[test]
fn a_domain_that_goes_needs_both() {
    let mut without = owned();
    let finance: Vec<String> =
        without.iter().map(|(path, _)| path.to_owned()).filter(|path| path.contains("/finance/")).collect();
    finance.iter().for_each(|path| drop(without.remove(path)));
    for path in ["domains/hr/policies/people.cedar", "domains/hr/tests/people.yaml", "policies/guard.cedar"] {
        without.remove(path);
    }
    edit(&mut without, HR, "accepts_from: { finance: [people] }\n", "");
    edit(
        &mut without,
        "domains/legal/tests/cases.yaml",
        "- name: payments reads no case
  call: { as: finance/payments, request: GET https://legal.acme.internal/cases/1 }
  expect: deny
  by: legal/consent.accepts_from.cases
",
        "",
    );
    let needs = needs(&revision(&owned()), &revision(&without), &finance);
    let told: Vec<_> = needs.iter().map(|need| (need.folder.to_string(), need.because.len())).collect();
    assert_eq!(told, [(".".to_owned(), 4), ("domains/finance".to_owned(), 4)]);
}

#[test]
fn who_satisfies_a_need() {
    let mut files = owned();
    edit(&mut files, CEDAR, "< 60", "< 70");
    edit(&mut files, "policies/guard.cedar", "does not", "never");
    let needs = needs(&revision(&owned()), &revision(&files), &changed(&owned(), &files));
    let by = |who: &str| needs.iter().map(|need| need.satisfied_by(who)).collect::<Vec<_>>();
    for (who, want) in [
        ("alice", [true, true]),
        ("local", [true, true]),
        ("bob", [false, true]),
        ("carol", [false, false]),
        ("operator:bob", [false, false]),
        ("", [false, false]),
    ] {
        assert_eq!(by(who), want, "{who}");
    }
}

#[test]
fn nobody_is_asked_where_nobody_is_named() {
    let mut files = wide();
    edit(&mut files, "policies/guard.cedar", "does not", "never");
    edit(&mut files, FIN, "domain: finance\n", "domain: finance\nmode: observe\n");
    assert_eq!(told(&wide(), &files), [""; 0]);
    // a domain's owners are asked all the same, and for loosening there is nobody
    let mut owned = wide();
    edit(&mut owned, FIN, "domain: finance\n", "domain: finance\nowners: ['operator:local']\n");
    let mut loosened = owned.clone();
    edit(&mut loosened, FIN, "domain: finance\n", "domain: finance\nmode: observe\n");
    assert_eq!(told(&owned, &loosened), ["domains/finance [local] domains/finance/domain.yaml"]);
}

/// The owners are those of the revision that runs: a candidate cannot make its author one.
#[test]
fn nobody_makes_themselves_an_owner() {
    assert_eq!(
        needs_of(&[(FIN, "['operator:bob']", "['operator:carol']")]),
        [
            ". [alice local] finance: the owners change from `operator:bob` to `operator:carol`",
            "domains/finance [bob] domains/finance/domain.yaml"
        ]
    );
    assert_eq!(
        needs_of(&[(FIN, "owners: ['operator:bob']\n", "")]),
        [
            ". [alice local] finance: the owners change from `operator:bob` to those of the organisation",
            "domains/finance [bob] domains/finance/domain.yaml"
        ]
    );
    assert_eq!(
        needs_of(&[(ORG, "owners: ['operator:alice', 'operator:local']", "owners: ['operator:carol']")]),
        [". [alice local] countersign.yaml"]
    );
}

/// What loosens a check in finance needs the organisation's owners, and says what it loosens.
#[test]
fn loosening_is_the_organisations() {
    let forbid = "@id(\"freeze\")\n@reason(\"r\")\nforbid (principal, action in [Action::\"write\"], resource) when { context.risk >= 50 };\n";
    let service = "    sensitivity: confidential\n";
    let loosenings: &[(&str, &str, &[&str])] = &[
        (
            "domain: finance\n",
            "domain: finance\nmode: shadow\n",
            &[
                "finance: the mode of `consent` goes from enforce to shadow",
                "finance: the mode of `permit` goes from enforce to shadow",
                "finance: the mode of `requires.identity` goes from enforce to shadow",
                "finance: the mode of `routes.unlisted` goes from enforce to shadow",
                "finance: the mode of every other check goes from enforce to shadow",
            ],
        ),
        (
            "domain: finance\n",
            "domain: finance\nmodes: { permit: observe }\n",
            &["finance: the mode of `permit` goes from enforce to observe"],
        ),
        (
            "domain: finance\n",
            "domain: finance\nmodes: { policy.freeze: { mode: shadow, enforce_for: 10% } }\n",
            &["finance/freeze: its mode goes from enforce to shadow, enforced for 10% of callers"],
        ),
        ("domain: finance\n", "domain: finance\nsvid: { ttl: 2h }\n", &["finance: certificates live 2h instead of 1h"]),
        (
            "domain: finance\n",
            "domain: finance\nsvid: { jwt_ttl: 10m, key: rsa-2048 }\n",
            &["finance: JWT-SVIDs live 10m instead of 5m", "finance: keys are rsa-2048 instead of p256"],
        ),
        (
            "domain: finance\n",
            "domain: finance\nwhen_stale: { after: 1h }\n",
            &["finance: `when_stale` goes from deny after 15m to deny after 1h"],
        ),
        (
            "domain: finance\n",
            "domain: finance\nsignals_stale: { after: 1m, then: serve }\n",
            &["finance: `signals_stale` goes from deny after 5m to serve after 1m"],
        ),
        (
            service,
            "    sensitivity: internal\n",
            &[
                "finance/ledger GET /entries/{id}: its sensitivity goes from confidential to internal",
                "finance/ledger GET /entries: its sensitivity goes from confidential to internal",
                "finance/ledger: its sensitivity goes from confidential to internal",
            ],
        ),
        (
            service,
            "    sensitivity: confidential\n    unlisted_routes: judge\n",
            &["finance/ledger: `unlisted_routes` goes from deny to judge"],
        ),
        (
            service,
            "    sensitivity: confidential\n    routes: { \"GET /healthz\": { insecure_open: true } }\n",
            &["finance/ledger GET /healthz: it is open to everyone"],
        ),
        (
            service,
            "    sensitivity: confidential\n    routes: { \"POST /entries\": { sensitivity: restricted, effect: read } }\n",
            &["finance/ledger POST /entries: its effect goes from write to read"],
        ),
        // a nearer template takes what the old one answered
        (
            service,
            "    sensitivity: confidential\n    routes: { \"GET /entries/total\": { sensitivity: public } }\n",
            &["finance/ledger GET /entries/total: its sensitivity goes from confidential to public"],
        ),
        (
            "upstream: { urls: [http://127.0.0.1:7101] }",
            "upstream: { urls: [http://10.0.0.7:7101], insecure_plaintext: true }",
            &["finance/ledger: calls leave the machine in plain text, to http://10.0.0.7:7101"],
        ),
    ];
    let mut base = owned();
    base.insert("domains/finance/policies/freeze.cedar", forbid);
    for (old, new, want) in loosenings {
        let mut files = base.clone();
        edit(&mut files, FIN, old, new);
        let because: Vec<String> = want.iter().map(|words| (*words).to_owned()).collect();
        let needs = needs(&revision(&base), &revision(&files), &changed(&base, &files));
        let found: BTreeMap<_, _> = needs.iter().map(|need| (need.folder.to_string(), need.because.clone())).collect();
        assert_eq!(found.get(".").cloned().unwrap_or_default(), because, "{new}");
        assert_eq!(found["domains/finance"], [FIN], "{new}");
        // and the way back is none
        let back = approval::needs(&revision(&files), &revision(&base), &changed(&base, &files));
        assert!(back.iter().all(|need| need.folder != Folder::Organisation), "back from {new}: {back:#?}");
    }
}

/// Fewer callers for whom a policy is enforced, and a later moment of staleness: only one direction loosens.
#[test]
fn a_smaller_share_loosens_and_a_greater_one_does_not() {
    let freeze = "@id(\"freeze\")\n@reason(\"r\")\nforbid (principal, action, resource) when { context.risk >= 50 };\n";
    let with = |settings: &str| {
        let mut files = owned();
        files.insert("domains/finance/policies/freeze.cedar", freeze);
        edit(&mut files, FIN, "domain: finance\n", &format!("domain: finance\n{settings}\n"));
        files
    };
    let share = |percent: u8| with(&format!("modes: {{ policy.freeze: {{ mode: shadow, enforce_for: {percent}% }} }}"));
    let stale = |text: &str| with(&format!("when_stale: {{ {text} }}"));
    let of_root =
        |old: &MemoryFiles, new: &MemoryFiles| told(old, new).first().filter(|need| need.starts_with('.')).cloned();
    assert_eq!(
        of_root(&share(50), &share(10)).as_deref(),
        Some(
            ". [alice local] finance/freeze: its mode goes from shadow, enforced for 50% of callers to shadow, enforced for \
             10% of callers"
        )
    );
    assert_eq!(of_root(&share(10), &share(50)), None);
    for (old, new, loosens) in [
        ("after: 10m", "after: 15m", true),
        ("after: 15m", "after: 10m", false),
        ("after: 1m, then: deny", "after: 1m, then: serve", true),
        ("after: 1m, then: serve", "after: 1h, then: deny", false),
    ] {
        assert_eq!(of_root(&stale(old), &stale(new)).is_some(), loosens, "{old} to {new}");
    }
}

/// A route that moves to another service or another name is held against what answered there before.
#[test]
fn a_new_name_loosens_all_the_same() {
    let renamed = needs_of(&[
        (FIN, "  ledger:\n", "  books:\n"),
        (FIN, "    sensitivity: confidential\n", "    sensitivity: public\n"),
        (CEDAR, "finance/ledger", "finance/books"),
        ("policies/guard.cedar", "finance/ledger", "finance/books"),
    ]);
    assert!(
        renamed[0].contains("finance/books GET /entries: its sensitivity goes from confidential to public"),
        "{renamed:#?}"
    );
    // without a listed route of its own the path falls to a wider one
    let mut narrow = owned();
    edit(
        &mut narrow,
        FIN,
        "    sensitivity: confidential\n",
        "    sensitivity: confidential\n    routes: { \"GET /entries/secret\": { sensitivity: restricted } }\n",
    );
    let told = told(&narrow, &owned());
    assert_eq!(
        told[0],
        ". [alice local] finance/ledger GET /entries/{id}: its sensitivity goes from restricted to confidential"
    );
}

#[test]
fn a_new_policy_may_be_tried_in_shadow() {
    let freeze = "@id(\"freeze\")\n@reason(\"r\")\nforbid (principal, action, resource) when { context.risk >= 50 };\n";
    let needs = needs_of(&[
        ("domains/finance/policies/freeze.cedar", "", freeze),
        (FIN, "domain: finance\n", "domain: finance\nmodes: { policy.freeze: shadow }\n"),
    ]);
    assert_eq!(needs, ["domains/finance [bob] domains/finance/domain.yaml; domains/finance/policies/freeze.cedar"]);
}

#[test]
fn tightening_needs_the_domain_alone() {
    for (old, new) in [
        (
            "domain: finance\n",
            "domain: finance\nsvid: { ttl: 30m, jwt_ttl: 1m, key: p384 }\nwhen_stale: { after: 1m }\n",
        ),
        ("    sensitivity: confidential\n", "    sensitivity: restricted\n"),
        (
            "    sensitivity: confidential\n",
            "    sensitivity: confidential\n    routes: { \"GET /new\": { sensitivity: public } }\n",
        ),
        ("uid: 1001", "uid: 1002"),
    ] {
        assert_eq!(needs_of(&[(FIN, old, new)]), ["domains/finance [bob] domains/finance/domain.yaml"], "{new}");
    }
}

#[test]
fn somebody_must_be_able_to_go_back() {
    let no_local = |act: &str| {
        format!(
            "@id(\"x\")\n@reason(\"r\")\nforbid (principal == Operator::\"local\", action == Action::\"{act}\", resource);\n"
        )
    };
    let nobody =
        |act: &str| format!("@id(\"x\")\n@reason(\"r\")\nforbid (principal, action == Action::\"{act}\", resource);\n");
    let operators = "organisation: acme.internal\noperators: { alice: { roles: [owner] }, bob: { roles: [security] }, dave: { roles: [viewer] } }\n";
    let plain = "organisation: acme.internal\n";
    let with = |owners: &str| format!("{operators}owners: [{owners}]\n");
    for (organisation, admin, want) in [
        (plain.to_owned(), String::new(), ""),
        (plain.to_owned(), no_local("rollback"), "after it nobody could rollback: org/admin.x forbids it"),
        (plain.to_owned(), no_local("publish"), "after it nobody could publish: org/admin.x forbids it"),
        // alice can
        (operators.to_owned(), no_local("rollback"), ""),
        (operators.to_owned(), nobody("rollback"), "after it nobody could rollback: org/admin.x forbids it"),
        // whoever owns approves; the one who rolls back may be another
        (with("operator:bob"), String::new(), ""),
        (with("operator:alice"), no_local("approve"), ""),
        (
            with("operator:dave"),
            String::new(),
            "after it a rollback could be approved by nobody: of the organisation's owners (`operator:dave`) none may approve",
        ),
        (with("operator:dave, operator:local"), String::new(), ""),
        // an owner who rolls back needs nobody's approval
        (with("operator:alice"), nobody("approve"), ""),
        (
            with("operator:bob"),
            nobody("approve"),
            "after it a rollback could be approved by nobody: of the organisation's owners (`operator:bob`) none may approve",
        ),
    ] {
        let mut files = wide();
        files.insert(ORG, organisation.clone());
        if !admin.is_empty() {
            files.insert("admin.cedar", admin.clone());
        }
        let told = leaves_a_way_back(&revision(&files)).err().map(|no| no.to_string()).unwrap_or_default();
        assert_eq!(told, want, "{organisation}{admin}");
    }
    let mut files = wide();
    files.insert(ORG, operators);
    edit(&mut files, HR, "domain: hr\n", "domain: hr\nowners: ['operator:dave']\n");
    let no = leaves_a_way_back(&revision(&files)).expect_err("dave may not approve");
    assert_eq!(
        no.message,
        "after it a rollback could be approved by nobody: of hr's owners (`operator:dave`) none may approve"
    );
    assert_eq!(no.hint, "give one of them the role `owner` or `security`, or name another owner");
    // the organisation's owners satisfy every need
    files.insert(ORG, with("operator:bob"));
    assert_eq!(leaves_a_way_back(&revision(&files)), Ok(()));
}

#[test]
fn owners_who_could_not_ask_are_no_way_back() {
    let mut files = wide();
    let with = |uid: &str| {
        format!(
            "organisation: acme.internal\noperators: {{ alice: {{ {uid}roles: [owner] }} }}\nowners: ['operator:alice']\n"
        )
    };
    files.insert(ORG, with(""));
    assert_eq!(leaves_a_way_back(&revision(&files)), Ok(()), "local makes her a certificate");
    let nobody =
        "@id(\"none\")\n@reason(\"No certificates.\")\nforbid (principal, action == Action::\"certify\", resource);\n";
    files.insert("admin.cedar", nobody);
    let no = leaves_a_way_back(&revision(&files)).expect_err("she has no way in");
    assert_eq!(
        no.message,
        "after it a rollback could be approved by nobody: of the organisation's owners (`operator:alice`) none has a \
         `uid`, and nobody may certify them"
    );
    assert!(no.hint.contains("`uid`"), "{}", no.hint);
    files.insert(ORG, with("uid: 1001, "));
    assert_eq!(leaves_a_way_back(&revision(&files)), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is touched, each changed file stands in the need of somebody, and nobody but an owner satisfies any.
    #[test]
    fn no_change_goes_unapproved(touched in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let before = owned();
        let paths: Vec<String> = before.iter().map(|(path, _)| path.to_owned()).filter(|path| !path.ends_with(".json")).collect();
        let mut after = before.clone();
        for index in touched {
            let path = &paths[index.index(paths.len())];
            let comment = if path.ends_with(".cedar") { "// more\n" } else { "# more\n" };
            let text = String::from_utf8(before.read(path).expect("there")).expect("text");
            after.insert(path.clone(), format!("{text}{comment}"));
        }
        let changed = changed(&before, &after);
        let needs = needs(&revision(&before), &revision(&after), &changed);
        for path in &changed {
            let asked: Vec<_> = needs.iter().filter(|need| need.because.contains(path)).collect();
            prop_assert_eq!(asked.len(), 1, "{}", path);
            prop_assert_eq!(asked[0].satisfied_by("bob"), path.starts_with("domains/finance/"));
            prop_assert!(asked[0].satisfied_by("alice") && !asked[0].satisfied_by("carol"));
        }
    }
}
