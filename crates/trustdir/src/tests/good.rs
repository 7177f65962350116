//! Directories that load, and what the revision then says.

use std::collections::BTreeMap;

use types::{CanonicalRequest, Host, Label, SpiffeId, TrustDomain};

use super::directory::{good, listed, spoilt};
use crate::*;

fn revision(files: &impl Files) -> std::sync::Arc<Revision> {
    let loaded = load(files);
    assert_eq!(loaded.problems, []);
    loaded.revision.expect("no errors, so a revision")
}

fn request(text: &str) -> CanonicalRequest {
    let (method, url) = text.split_once(' ').expect("method and URL");
    let (host, target) = url.split_at(url.find('/').expect("path"));
    CanonicalRequest::parse(method, host, target).expect(text)
}

fn routed(revision: &Revision, text: &str) -> String {
    match revision.route(&request(text)) {
        Ok((service, route)) => format!("{} -> {}", service.model.id, route.id),
        Err(reason) => reason.to_string(),
    }
}

#[test]
fn the_starter_loads_and_passes_without_a_warning() {
    let files = starter(&TrustDomain::parse("acme.example").expect("name"));
    assert_eq!(listed(&files), Vec::<String>::new());
    let revision = revision(&files);
    let results = run_tests(&revision);
    assert_eq!(results.iter().filter(|result| !result.passed).collect::<Vec<_>>(), Vec::<&TestResult>::new());
    assert_eq!(results.len(), 9);
    assert_eq!(revision.domains()[&Label::parse("shop").expect("label")].trust_domain.as_str(), "shop.acme.example");
}

#[test]
fn requests_find_their_service_and_route() {
    let revision = revision(&good());
    for (asked, want) in [
        ("GET ledger.acme.internal/entries", "finance/ledger -> finance/ledger GET /entries"),
        ("GET LEDGER.acme.internal/entries", "finance/ledger -> finance/ledger GET /entries"),
        ("POST ledger.acme.internal/entries?x=1", "finance/ledger -> finance/ledger POST /entries"),
        ("GET ledger.acme.internal/entries/7", "finance/ledger -> finance/ledger GET /entries/{id}"),
        ("HEAD ledger.acme.internal/entries", "route.unlisted"),
        ("GET ledger.acme.internal/entries/", "route.unlisted"),
        ("GET ledger.acme.internal/", "route.unlisted"),
        ("DELETE ledger.acme.internal/entries/7", "route.unlisted"),
        ("GET hr.acme.internal/people/7", "hr/people -> hr/people GET /people/{id}"),
        ("GET hr.acme.internal/people", "route.unlisted"),
        ("GET hr.acme.internal/peoples", "hr/jobs -> hr/jobs *"),
        ("GET hr.acme.internal/jobs/7", "hr/jobs -> hr/jobs *"),
        ("GET other.acme.internal/entries", "route.unknown-host"),
    ] {
        assert_eq!(routed(&revision, asked), want, "{asked}");
    }
}

#[test]
fn a_literal_beats_a_parameter_and_gives_way_where_it_leads_nowhere() {
    let routes = "routes: { \"GET /a/{x}/c\": {}, \"GET /a/b/d\": {}, \"GET /a/{x}\": {}, \"GET /a/b\": {}, \"PUT /a/b\": {}, \"DELETE /a/{y}\": {}, \"GET /\": {} }";
    let files = spoilt("domains/hr/domain.yaml", "unlisted_routes: judge", routes);
    let revision = revision(&files);
    for (asked, want) in [
        ("GET hr.acme.internal/a/b/c", "GET /a/{x}/c"),
        ("GET hr.acme.internal/a/b/d", "GET /a/b/d"),
        ("GET hr.acme.internal/a/b", "GET /a/b"),
        ("GET hr.acme.internal/a/z", "GET /a/{x}"),
        ("PUT hr.acme.internal/a/b", "PUT /a/b"),
        ("DELETE hr.acme.internal/a/b", "DELETE /a/{y}"),
        ("GET hr.acme.internal/", "GET /"),
    ] {
        assert_eq!(routed(&revision, asked), format!("hr/jobs -> hr/jobs {want}"), "{asked}");
    }
    assert_eq!(routed(&revision, "GET hr.acme.internal/a/b/e"), "route.unlisted");
}

#[test]
fn another_spelling_of_a_listed_route_is_not_judged_as_unlisted() {
    let routes = "unlisted_routes: judge\n    routes: { \"GET /secret/{id}\": { sensitivity: restricted } }";
    let revision = revision(&spoilt("domains/hr/domain.yaml", "unlisted_routes: judge", routes));
    for (call, want) in [
        ("GET hr.acme.internal/secret/1", "hr/jobs -> hr/jobs GET /secret/{id}"),
        ("GET hr.acme.internal/secret/1/", "route.unlisted"),
        ("GET hr.acme.internal/SECRET/1", "route.unlisted"),
        ("HEAD hr.acme.internal/secret/1", "route.unlisted"),
        ("GET hr.acme.internal/secret/1/more", "hr/jobs -> hr/jobs *"),
        ("DELETE hr.acme.internal/secret/1", "hr/jobs -> hr/jobs *"),
    ] {
        assert_eq!(routed(&revision, call), want, "{call}");
    }
}

#[test]
fn the_nearest_route_is_named_for_slips_only() {
    let revision = revision(&good());
    for (asked, want) in [
        ("GET ledger.acme.internal/entires", Some("finance/ledger GET /entries")),
        ("POST ledger.acme.internal/entry", None),
        ("DELETE ledger.acme.internal/entries/7", Some("finance/ledger GET /entries/{id}")),
        ("HEAD ledger.acme.internal/entries", Some("finance/ledger GET /entries")),
        ("GET ledger.acme.internal/entries/", Some("finance/ledger GET /entries")),
        ("GET ledger.acme.internal/", None),
        ("GET nobody.acme.internal/entries", None),
    ] {
        let near = revision.nearest_route(&request(asked)).map(|id| id.to_string());
        assert_eq!(near.as_deref(), want, "{asked}");
    }
}

#[test]
fn hosts_lead_to_one_domain() {
    let revision = revision(&good());
    let host = |name| Host::parse(name).expect("host");
    assert_eq!(revision.find_host(&host("hr.acme.internal")).map(Label::as_str), Some("hr"));
    assert_eq!(revision.find_host(&host("acme.internal")), None);
    assert_eq!(revision.hosts_of(&Label::parse("hr").expect("label")), [host("hr.acme.internal")]);
}

#[test]
fn workloads_carry_their_names_and_rules() {
    let revision = revision(&good());
    let told: Vec<_> = revision
        .workloads()
        .values()
        .map(|workload| (workload.spiffe_id.to_string(), workload.rules.len(), workload.svid_ttl.as_secs()))
        .collect();
    let id = |text: &str| text.to_owned();
    assert_eq!(
        told,
        [
            (id("spiffe://finance.acme.internal/ledger"), 0, 3600),
            (id("spiffe://finance.acme.internal/payments"), 1, 3600),
            (id("spiffe://hr.acme.internal/jobs"), 0, 3600),
            (id("spiffe://hr.acme.internal/people"), 0, 3600),
        ]
    );
    let peer = SpiffeId::parse("spiffe://finance.acme.internal/payments").expect("id");
    assert_eq!(revision.model().workload_of(&peer).map(|id| id.to_string()), Ok(id("finance/payments")));
}

#[test]
fn the_nearest_setting_wins() {
    let routes = "sensitivity: confidential\n    routes: { \"POST /entries\": { effect: read }, \"GET /entries\": { sensitivity: public } }";
    let files = spoilt("domains/finance/domain.yaml", "sensitivity: confidential", routes);
    let revision = revision(&files);
    let told: BTreeMap<_, _> = revision.services()[&"finance/ledger".parse().expect("id")]
        .model
        .routes
        .iter()
        .map(|route| (route.id.to_string(), (route.effect.as_str(), route.sensitivity.as_str())))
        .collect();
    let want = [
        ("finance/ledger GET /entries", ("read", "public")),
        ("finance/ledger GET /entries/{id}", ("read", "confidential")),
        ("finance/ledger POST /entries", ("read", "restricted")),
    ];
    assert_eq!(told, want.into_iter().map(|(id, of)| (id.to_owned(), of)).collect());
}

#[test]
fn limits_have_defaults_and_can_be_set() {
    let files = spoilt(
        "domains/finance/domain.yaml",
        "sensitivity: confidential",
        "limits: { body: 64KiB, first_byte: 1500ms, idle: 2m, total: 1h }",
    );
    let revision = revision(&files);
    let of = |id: &str| revision.services()[&id.parse().expect("id")].limits;
    assert_eq!(of("hr/people"), ServiceLimits::default());
    assert_eq!(of("hr/people").total, None);
    let set = of("finance/ledger");
    assert_eq!((set.body, set.first_byte.as_millis(), set.idle.as_secs()), (65_536, 1_500, 120));
    assert_eq!(set.total.map(|total| total.as_secs()), Some(3_600));
}

/// Lists its files in another order.
struct Shuffled(MemoryFiles, usize);

impl Files for Shuffled {
    fn list(&self) -> Result<Vec<FileEntry>, FilesError> {
        let mut entries = self.0.list()?;
        let by = self.1 % entries.len().max(1);
        entries.rotate_left(by);
        if self.1 % 2 == 1 {
            entries.reverse();
        }
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        self.0.read(path)
    }
}

#[test]
fn the_same_directory_is_the_same_revision_however_it_is_listed() {
    let id = revision(&good()).id();
    assert_eq!(id.to_string(), GOOD_REVISION);
    for turn in 0..12 {
        assert_eq!(revision(&Shuffled(good(), turn)).id(), id, "{turn}");
    }
    let mut more = good();
    for ignored in ["node.yaml", "README.md", "domains/hr/NOTES.md", ".git/HEAD", "domains/hr/.hidden", ".gitignore"] {
        more.insert(ignored, "anything");
    }
    assert_eq!(revision(&more).id(), id);
}

#[test]
fn every_byte_and_every_name_counts() {
    let id = revision(&good()).id();
    let comment = spoilt("domains/hr/domain.yaml", "domain: hr\n", "domain: hr \n");
    assert_ne!(revision(&comment).id(), id);
    let mut renamed = good();
    let tests = renamed.remove("domains/finance/tests/ledger.yaml").expect("file");
    renamed.insert("domains/finance/tests/ledger2.yaml", tests);
    assert_ne!(revision(&renamed).id(), id);
}

/// Computed by another program from the documented encoding.
const GOOD_REVISION: &str = "5beee22a90d1c6f22a9aca2717f036a4fa69c364396729dbaa3292798adc1a24";

#[test]
fn tests_say_what_decided_and_why_they_fail() {
    let tests = "- { name: a, call: { as: finance/payments, request: POST https://ledger.acme.internal/entries }, given: { risk: 59 }, expect: deny }
- { name: b, call: { as: finance/payments, request: POST https://ledger.acme.internal/entries }, given: { risk: 60 }, expect: deny, by: policy.no-permit }
- { name: c, call: { as: nobody, request: POST https://ledger.acme.internal/entries }, expect: deny, by: consent.provider }
- { name: d, call: { as: finance/payments, request: GET https://ledger.acme.internal/entires }, expect: deny, by: route.unlisted }
- { name: e, call: { as: hr/jobs, request: GET https://ledger.acme.internal/entries }, expect: deny, by: consent.provider }
";
    let mut files = good();
    files.insert("domains/finance/tests/ledger.yaml", tests);
    let results = run_tests(&revision(&files));
    let told: Vec<_> =
        results.iter().map(|r| format!("{}:{} {} [{}] {}", r.name, r.line, r.passed, r.by.join(" "), r.note)).collect();
    assert_eq!(
        told,
        [
            "a:1 false [finance/payments-posts-entries] expected deny, got allow",
            "b:2 true [policy.no-permit] the conditions of finance/payments-posts-entries do not hold",
            "c:3 false [finance/requires.identity] deny as expected, but by finance/requires.identity instead of \
             consent.provider; the call has no verified identity",
            "d:4 true [route.unlisted] the nearest route is `finance/ledger GET /entries`",
            "e:5 true [finance/consent.accepts_from.ledger finance/consent.calls.ledger] finance accepts no other \
             domain for ledger; `calls` of hr lists nothing for jobs",
        ]
    );
}
