//! Revisions by manifest and file: the whole, parts of it, and what was tampered with.

use std::{collections::BTreeSet, sync::Arc};

use types::{CanonicalRequest, Label, Mode, Reason, WorkloadId};

use super::all::wide;
use crate::{
    part::{Manifest, load_part, manifest_of, revision_id_of, withheld},
    *,
};

/// The wide directory with more that crosses domains: a guardrail that names another domain's route, modes of consent,
/// an API description and a route that is open to everyone.
fn files() -> MemoryFiles {
    let mut files = wide();
    files.insert(
        "policies/guard.cedar",
        "@id(\"no-clerks-in-cases\")\n@reason(\"r\")\nforbid (principal == Workload::\"finance/payments\", action == Action::\"GET\", \
         resource == Route::\"legal/cases GET /cases/{id}\");\n",
    );
    files.insert("admin.cedar", "@id(\"a\")\n@reason(\"r\")\npermit (principal == Operator::\"local\", action == Action::\"impersonate\", resource);\n");
    let hr = String::from_utf8(files.remove("domains/hr/domain.yaml").expect("hr")).expect("text");
    let open = hr.replace(
        "unlisted_routes: judge",
        "unlisted_routes: judge\n    routes: { \"GET /healthz\": { insecure_open: true } }",
    );
    files.insert(
        "domains/hr/domain.yaml",
        open.replace(
            "domain: hr\n",
            "domain: hr\nmodes: { permit: observe, routes.unlisted: observe, policy.late: shadow }\n",
        ),
    );
    files.insert(
        "domains/hr/policies/late.cedar",
        "@id(\"late\")\n@reason(\"r\")\nforbid (principal, action, resource) when { context.risk > 99 };\n",
    );
    files
}

fn manifest() -> Manifest {
    manifest_of(&files()).expect("in memory")
}

fn served(names: &[&str]) -> BTreeSet<Label> {
    names.iter().map(|name| Label::parse(name).expect(name)).collect()
}

/// What an enforcer of these domains is given.
fn given(served: &BTreeSet<Label>) -> MemoryFiles {
    MemoryFiles::new(
        files()
            .iter()
            .filter(|(path, _)| !withheld(path, Some(served)))
            .map(|(path, content)| (path, content.to_vec())),
    )
}

fn load_given(names: &[&str]) -> Arc<Revision> {
    let served = served(names);
    load_part(&given(&served), &manifest(), Some(&served)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_whole_is_what_load_makes_of_it() {
    let whole = load(&files()).revision.expect("good");
    let part = load_part(&files(), &manifest(), None).expect("good");
    assert_eq!(part.id(), whole.id());
    assert_eq!(revision_id_of(&manifest()), whole.id());
    let policies = |revision: &Revision| revision.policies().all().cloned().collect::<Vec<_>>();
    assert_eq!(policies(&part), policies(&whole));
    assert_eq!((part.tests().len(), part.workloads()), (whole.tests().len(), whole.workloads()));
    let mut more = files();
    more.insert("node.yaml", "name: x\n");
    more.insert("README.md", "words");
    assert_eq!(manifest_of(&more), Ok(manifest()));
}

#[test]
fn an_enforcer_is_given_what_it_serves_and_no_more() {
    let finance = served(&["finance"]);
    let table = [
        ("countersign.yaml", false),
        ("policies/guard.cedar", false),
        ("admin.cedar", true),
        ("domains/finance/domain.yaml", false),
        ("domains/finance/policies/ledger.cedar", false),
        ("domains/finance/apis/ledger.yaml", false),
        ("domains/finance/tests/ledger.yaml", true),
        ("domains/hr/domain.yaml", false),
        ("domains/hr/policies/people.cedar", true),
        ("domains/legal/apis/cases.yaml", true),
        ("domains/hr/tests/people.yaml", true),
        ("../etc/passwd", true),
        ("anything", true),
    ];
    for (path, want) in table {
        assert_eq!(withheld(path, Some(&finance)), want, "{path}");
        assert!(!withheld(path, None), "{path}");
        assert!(
            withheld(path, Some(&served(&[])))
                || !path.contains('/')
                || path.ends_with("domain.yaml")
                || path.starts_with("policies/"),
            "{path}"
        );
    }
}

#[test]
fn a_part_has_the_name_of_the_whole() {
    for names in [&["finance"][..], &["hr"], &["finance", "legal"], &[], &["nowhere"]] {
        assert_eq!(load_given(names).id(), revision_id_of(&manifest()), "{names:?}");
    }
}

/// `allow`, or the reason, of a call as an enforcer finds it.
fn asked(revision: &Revision, caller: &str, request: &str) -> String {
    let (method, url) = request.split_once(' ').expect("method and URL");
    let (host, target) = url.split_at(url.find('/').expect("path"));
    let request = CanonicalRequest::parse(method, host, target).expect("a request");
    let route = match revision.route(&request) {
        Err(reason) => return reason.to_string(),
        Ok((_, route)) => route,
    };
    let caller: Option<WorkloadId> = (caller != "nobody").then(|| caller.parse().expect("a caller"));
    let principal = caller.as_ref().map_or(policy::Principal::Unidentified, policy::Principal::Workload);
    let (method, at) = (request.method(), types::Timestamp::from_seconds(1_772_442_000));
    let question = policy::Question { principal, method, route: &route, source: None, risk: 20, at };
    revision.policies().evaluate(&question).reason.map_or("allow".to_owned(), |reason: Reason| reason.to_string())
}

const CALLS: [(&str, &str); 9] = [
    ("finance/payments", "POST ledger.acme.internal/entries"),
    ("finance/payments", "GET ledger.acme.internal/entries"),
    ("legal/clerk", "POST ledger.acme.internal/entries"),
    ("finance/payments", "GET hr.acme.internal/people/7"),
    ("finance/payments", "GET hr.acme.internal/anything"),
    ("nobody", "GET hr.acme.internal/healthz"),
    ("legal/clerk", "GET legal.acme.internal/cases/1"),
    ("hr/jobs", "POST ledger.acme.internal/entries"),
    ("finance/payments", "GET nowhere.acme.internal/"),
];

#[test]
fn a_part_decides_like_the_whole_where_it_serves_and_refuses_everything_else() {
    let whole = load(&files()).revision.expect("good");
    for names in [&["finance"][..], &["hr"], &["finance", "legal"], &["finance", "hr", "legal"], &[]] {
        let part = load_given(names);
        for (caller, request) in CALLS {
            let of_host = |prefix: &str| request.contains(&format!(" {prefix}."));
            let is_served = names.iter().any(|name| of_host(if *name == "finance" { "ledger" } else { name }));
            let got = asked(&part, caller, request);
            match is_served {
                true => assert_eq!(got, asked(&whole, caller, request), "{names:?} {caller} {request}"),
                false => assert!(got.starts_with("route."), "{names:?} {caller} {request}: {got}"),
            }
        }
        assert_eq!(part.tests().len(), 0);
        assert_eq!(part.workloads(), whole.workloads(), "callers of every domain are known");
    }
    assert_eq!(asked(&whole, "nobody", "GET hr.acme.internal/healthz"), "allow", "or the table shows nothing");
}

/// The caller's domain relaxes its own consent, so the enforcer of another domain must know.
#[test]
fn the_modes_of_other_domains_are_known() {
    let part = load_given(&["finance"]);
    let hr = Label::parse("hr").expect("label");
    let modes = part.model().modes(&hr).expect("hr").clone();
    assert_eq!((modes.permit, modes.consent), (Mode::Observe, Mode::Enforce));
}

#[test]
fn what_was_tampered_with_is_refused() {
    let finance = served(&["finance"]);
    let refused = |files: &MemoryFiles, manifest: &Manifest| {
        let problems = load_part(files, manifest, Some(&finance)).expect_err("refused");
        problems.iter().map(|problem| format!("{} {}", problem.code, problem.path)).collect::<Vec<_>>()
    };
    let cedar = "domains/finance/policies/ledger.cedar";
    let mut other = given(&finance);
    other.insert(cedar, "@id(\"x\")\n@reason(\"r\")\npermit (principal, action, resource);\n");
    assert_eq!(refused(&other, &manifest()), [format!("part.digest {cedar}")]);
    let mut fewer = given(&finance);
    fewer.remove(cedar);
    fewer.remove("policies/guard.cedar");
    assert_eq!(
        refused(&fewer, &manifest()),
        [format!("part.missing {cedar}"), "part.missing policies/guard.cedar".to_owned()]
    );
    let mut more = given(&finance);
    more.insert("domains/finance/policies/more.cedar", "// nothing\n");
    assert_eq!(refused(&more, &manifest()), ["part.unexpected domains/finance/policies/more.cedar"]);
    // what is withheld is held against the manifest where it is there, and not used
    let mut withheld = given(&finance);
    withheld.insert("admin.cedar", "other");
    assert_eq!(refused(&withheld, &manifest()), ["part.digest admin.cedar"]);
    let with_all = load_part(&files(), &manifest(), Some(&finance)).expect("the same files");
    assert_eq!(asked(&with_all, "finance/payments", "GET hr.acme.internal/people/7"), "route.unlisted");
    let mut odd = manifest();
    odd.insert("../evil".to_owned(), [0; 32]);
    odd.insert("README.md".to_owned(), [0; 32]);
    assert_eq!(refused(&given(&finance), &odd)[..2], ["part.path ../evil", "part.path README.md"]);
    let many = (0..20_000).map(|n| (format!("policies/{n}.cedar"), [0; 32])).collect();
    assert_eq!(refused(&given(&finance), &many), ["part.too-many "]);
    // nothing of a directory that does not validate
    let mut bad = files();
    bad.insert("countersign.yaml", "organisation: acme.internal\ncolour: blue\n");
    let manifest = manifest_of(&bad).expect("in memory");
    assert_eq!(refused(&bad, &manifest), ["yaml.unknown-key countersign.yaml"]);
}
