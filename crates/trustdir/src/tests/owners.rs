//! `operators`, `owners`, `nodes` and `runs_on`: what they make of a directory, and what slips are told.

use std::sync::Arc;

use policy::Role;
use types::Label;

use super::directory::{good, told};
use crate::*;

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";

const PEOPLE: &str = "operators:
  alice: { uid: 1001, roles: [owner, viewer] }
  bob: { roles: [security] }
  carol: { uid: 1003, roles: [viewer] }
  ci: {}
nodes:
  vm-pay: { join: token, rejoin_within: 30d }
  pool: { join: token }
";

/// The good directory with more in `countersign.yaml` and finance's `domain.yaml`.
fn directory(organisation: &str, finance: &str) -> MemoryFiles {
    let mut files = good();
    files.insert(ORG, format!("organisation: acme.internal\n{organisation}"));
    let domain = String::from_utf8(files.read(FIN).expect(FIN)).expect("text");
    files.insert(FIN, format!("{domain}{finance}"));
    files
}

fn revision(files: &impl Files) -> Arc<Revision> {
    let loaded = load(files);
    assert_eq!(loaded.problems, []);
    loaded.revision.expect("no errors, so a revision")
}

fn label(name: &str) -> Label {
    Label::parse(name).expect(name)
}

fn names(owners: &[Owner]) -> Vec<String> {
    owners.iter().map(ToString::to_string).collect()
}

#[test]
fn operators_have_roles_and_user_ids() {
    let revision = revision(&directory(PEOPLE, ""));
    let alice = &revision.operators()[&label("alice")];
    assert_eq!((alice.uid, &alice.roles), (Some(1001), &[Role::Viewer, Role::Owner].into()));
    assert_eq!(revision.operators()[&label("ci")], Operator::default());
    for (uid, want) in [(1001, Some("alice")), (1003, Some("carol")), (0, None), (1002, None)] {
        assert_eq!(revision.operator_of_uid(uid).map(Label::as_str), want, "{uid}");
    }
    let may = |who, act| revision.policies().may(who, act).reason.is_none();
    use policy::Act::{Approve, Publish, View};
    for (who, want) in
        [("alice", [true; 3]), ("bob", [true, false, true]), ("carol", [true, false, false]), ("ci", [false; 3])]
    {
        assert_eq!([View, Publish, Approve].map(|act| may(who, act)), want, "{who}");
    }
}

#[test]
fn a_domain_without_owners_has_those_of_the_organisation() {
    let (finance, root) = (Folder::Domain(label("finance")), Folder::Organisation);
    for (organisation, own, of_finance, of_root) in [
        ("", "", &[][..], &[][..]),
        (
            "owners: [operator:alice, operator:local]\n",
            "",
            &["operator:alice", "operator:local"],
            &["operator:alice", "operator:local"],
        ),
        ("owners: [operator:alice]\n", "owners: [operator:bob]\n", &["operator:bob"], &["operator:alice"]),
        ("", "owners: ['operator:local']\n", &["operator:local"], &[]),
    ] {
        let revision = revision(&directory(&format!("{PEOPLE}{organisation}"), own));
        assert_eq!(names(revision.owners_of(&finance)), of_finance);
        assert_eq!(names(revision.owners_of(&root)), of_root);
        assert_eq!(names(revision.owners_of(&Folder::Domain(label("nowhere")))), of_root);
    }
    assert_eq!([root.to_string(), finance.to_string()], [".", "domains/finance"]);
}

#[test]
fn workloads_are_placed() {
    let mut files = directory(PEOPLE, "");
    let text = String::from_utf8(files.read(FIN).expect(FIN)).expect("text");
    files.insert(FIN, text.replace("payments: { attest", "payments: { runs_on: [vm-pay, pool], attest"));
    let revision = revision(&files);
    let of = |id: &str| revision.workloads()[&id.parse().expect("id")].runs_on.clone();
    assert_eq!(of("finance/payments"), Some([label("pool"), label("vm-pay")].into()));
    assert_eq!((of("finance/ledger"), of("hr/people")), (None, None));
    let days = |name| revision.nodes()[&label(name)].rejoin_within.as_secs() / 86_400;
    assert_eq!((days("vm-pay"), days("pool")), (30, 7));
}

/// More for `countersign.yaml`, more for finance's `domain.yaml`, and what is told.
type Slip = (&'static str, &'static str, &'static [&'static str]);

const SLIPS: &[Slip] = &[
    (
        "operators: { local: { roles: [owner] } }",
        "",
        &[
            "operators.reserved [local] the name `local` is reserved | it is the user who owns the data directory, and needs no entry",
        ],
    ),
    (
        "operators: { a: { uid: 7 }, b: { uid: 7 } }",
        "",
        &[
            "operators.uid [7] the user id 7 is `a` already | one user is one operator; leave `uid` out for who comes with a certificate",
        ],
    ),
    (
        "operators: { a: { uid: -1, roles: [admin] } }",
        "",
        &[
            "value.bad [-1] `-1` is not a whole number from 0 to 4294967294 | use plain decimal digits",
            "value.unknown [admin] unknown value `admin` | the values are `viewer`, `operator`, `owner` and `security`",
        ],
    ),
    (
        "operators: { a: { role: owner, roles: [ownr, viewer, viewer] } }",
        "",
        &[
            "yaml.unknown-key [role] unknown key `role` | an operator takes `uid` and `roles`",
            "value.unknown [ownr] unknown value `ownr` | did you mean `owner`?",
            "value.duplicate [viewer] this stands in the list twice | -",
        ],
    ),
    (
        "operators: { Alice: {} }",
        "",
        &["value.name [Alice] `Alice` is not a name | use 1 to 63 of a-z, 0-9 and dash, starting with a letter"],
    ),
    ("operators: { a: { roles: [] } }", "", &["value.empty [roles] expected a list of roles, found an empty list | -"]),
    ("operators: [alice]", "", &["yaml.type [operators] expected the keys of `operators`, found a list | -"]),
    (
        "owners: [alice, 'group:corp/security', 'operator:Bob']",
        "",
        &[
            "value.bad [alice] `alice` is not an owner | write `operator:NAME` with a name of `operators` in countersign.yaml, or `operator:local`",
            "value.bad ['group:corp/security'] `group:corp/security` is not an owner | write `operator:NAME` with a name of `operators` in countersign.yaml, or `operator:local`",
            "value.bad ['operator:Bob'] `Bob` is not a name: use 1 to 63 of a-z, 0-9 and dash, starting with a letter | an owner is `operator:NAME`",
        ],
    ),
    (
        "operators: { alice: { roles: [owner] } }\nowners: ['operator:alcie', 'operator:loca', 'operator:dave']",
        "owners: ['operator:alcie']",
        &[
            "name.unknown-operator ['operator:alcie'] there is no operator `alcie` | did you mean `operator:alice`?",
            "name.unknown-operator ['operator:loca'] there is no operator `loca` | did you mean `operator:local`?",
            "name.unknown-operator ['operator:dave'] there is no operator `dave` | add it to `operators` in countersign.yaml",
            "name.unknown-operator ['operator:alcie'] there is no operator `alcie` | did you mean `operator:alice`?",
        ],
    ),
    (
        "owners: []",
        "",
        &["value.empty [owners] expected a list of owners such as `operator:alice`, found an empty list | -"],
    ),
    (
        "operators: { carol: { roles: [viewer] }, sec: { roles: [security] } }\nowners: ['operator:carol', 'operator:sec']",
        "owners: ['operator:carol']",
        &[
            "owners.may-not-approve ['operator:carol'] `operator:carol` is an owner who may not approve anything | give carol the role `owner` or `security`, or let admin.cedar permit the action `approve`",
            "owners.may-not-approve ['operator:carol'] `operator:carol` is an owner who may not approve anything | give carol the role `owner` or `security`, or let admin.cedar permit the action `approve`",
        ],
    ),
    (
        "operators: { carol: { roles: [owner] } }",
        "owners: ['operator:local', 'operator:carol']",
        &[
            "owners.organisation ['operator:carol'] whoever may publish can become `operator:carol`: the organisation has no owners | name `owners` in countersign.yaml, who approve changes of `operators` and admin.cedar",
        ],
    ),
    (
        "nodes: { vm: {}, k8s: { join: { k8s: { cluster: prod } } }, pool: { join: token, rejoin_within: soon } }",
        "",
        &[
            "yaml.missing-key [vm] missing key `join` | a node group needs it, such as `join: token`",
            "yaml.type [join] expected `token`, found a mapping | -",
            "value.bad [soon] `soon` is not a duration | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `15m`",
        ],
    ),
    (
        "nodes: { vm-pay: { join: token } }",
        "  extra: { runs_on: [vm-pya, elsewhere, vm-pay], attest: { any: [ { unix: { uid: 9 } } ] } }",
        &[
            "name.unknown-group [vm-pya] there is no node group `vm-pya` | did you mean `vm-pay`?",
            "name.unknown-group [elsewhere] there is no node group `elsewhere` | the only group is `vm-pay`",
        ],
    ),
    (
        "",
        "  extra: { runs_on: [vm-pay], attest: { any: [ { unix: { uid: 9 } } ] } }",
        &[
            "name.unknown-group [vm-pay] there is no node group `vm-pay` | add `vm-pay: { join: token }` to `nodes` in countersign.yaml",
        ],
    ),
    (
        "",
        "  extra: { runs_on: [], attest: { any: [ { unix: { uid: 9 } } ] } }",
        &["value.empty [runs_on] expected a list of node groups, found an empty list | -"],
    ),
];

#[test]
fn slips_are_told() {
    let mut failed = Vec::new();
    for (organisation, finance, want) in SLIPS {
        let got = told(&directory(&format!("{organisation}\n"), &format!("{finance}\n")));
        if got != *want {
            failed.push(format!("{organisation:?} {finance:?}:\n{got:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
