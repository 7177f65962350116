//! `federation` and the workloads whose identities other trust domains issue.

use std::collections::BTreeSet;

use core::time::Duration;
use identity::Bundle;
use testkit::Authority;
use types::{Label, Reason, SpiffeId, Timestamp, TrustDomain};

use super::directory::{good, listed, told};
use crate::{part::*, *};

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";
const FIRST: &str = "federation/partner.json";
const NOON: Timestamp = Timestamp::from_seconds(1_772_442_000);

const WEB: &str = "{ name: partner.example, url: https://bundles.partner.example/x, profile: https_web }";

fn name(text: &str) -> TrustDomain {
    TrustDomain::parse(text).expect(text)
}

/// A bundle document of a trust domain, with a root or without.
fn bundle(of: &str, roots: bool) -> String {
    let roots = if roots { vec![Authority::of(of, NOON).der().to_vec()] } else { Vec::new() };
    let bundle = Bundle::from_der(name(of), roots).expect("a bundle");
    identity::document(&bundle, 1, Duration::from_mins(5)).expect("a document")
}

/// The good directory with these entries.
fn federated(entries: &str) -> MemoryFiles {
    let mut files = good();
    files.insert(ORG, format!("organisation: acme.internal\nfederation: [{entries}]\n"));
    files
}

/// The same with a workload of finance.
fn with_workload(entries: &str, workload: &str) -> MemoryFiles {
    let mut files = federated(entries);
    let finance = String::from_utf8(files.remove(FIN).expect(FIN)).expect("text");
    files.insert(FIN, format!("{finance}  web: {workload}\n"));
    files
}

fn revision(files: &MemoryFiles) -> std::sync::Arc<Revision> {
    let loaded = load(files);
    loaded.revision.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
}

#[test]
fn both_profiles_are_read_with_what_belongs_to_each() {
    let mut files = federated(
        "{ name: partner.example, url: 'https://bundles.partner.example/p?x=1', profile: https_web, bundle: federation/partner.json, \
         roots: federation/web.pem, private_network: true }, \
         { name: cluster.local, url: 'https://[2001:db8::1]:8443', profile: https_spiffe, endpoint_id: \
         spiffe://cluster.local/spire/server, bundle: federation/cluster.json }, \
         { name: other.example, url: https://other.example, profile: https_spiffe, endpoint_id: spiffe://cluster.local/relay }",
    );
    let authority = Authority::of("partner.example", NOON);
    let pem = pem(authority.der());
    files.insert(FIRST, bundle("partner.example", true));
    files.insert("federation/cluster.json", bundle("cluster.local", true));
    files.insert("federation/web.pem", pem);
    let revision = revision(&files);
    let federation = revision.federation();
    let partner = &federation[&name("partner.example")];
    assert_eq!(partner.url.to_string(), "https://bundles.partner.example/p?x=1");
    assert_eq!(partner.profile, Profile::HttpsWeb { roots: Some(vec![authority.der().to_vec()]) });
    assert!(partner.private_network && partner.first.is_some());
    let cluster = &federation[&name("cluster.local")];
    assert_eq!(
        (cluster.url.port(), cluster.url.target(), cluster.url.authority().as_str()),
        (8443, "/", "[2001:db8::1]:8443")
    );
    let endpoint_id = SpiffeId::parse("spiffe://cluster.local/spire/server").expect("an id");
    assert_eq!(cluster.profile, Profile::HttpsSpiffe { endpoint_id });
    assert!(!cluster.private_network);
    assert!(federation[&name("other.example")].first.is_none(), "its endpoint is known by another bundle");
    assert_eq!(federation.len(), 3);
}

fn pem(der: &[u8]) -> String {
    use std::fmt::Write as _;
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for chunk in der.chunks(3) {
        let bits = chunk.iter().chain([0, 0].iter()).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS[(bits >> shift & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
        if text.len() % 68 == 0 {
            writeln!(text).expect("a string");
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}

#[test]
fn a_federated_workload_is_of_the_domain_that_names_it() {
    let revision = revision(&with_workload(WEB, "{ spiffe_id: spiffe://partner.example/ns/a/sa/web }"));
    let id = SpiffeId::parse("spiffe://partner.example/ns/a/sa/web").expect("an id");
    assert_eq!(revision.model().workload_of(&id).map(|id| id.to_string()), Ok("finance/web".to_owned()));
    let workload = &revision.workloads()[&"finance/web".parse().expect("an id")];
    assert_eq!((&workload.spiffe_id, workload.federated, workload.rules.len()), (&id, true, 0));
    let own = SpiffeId::parse("spiffe://finance.acme.internal/web").expect("an id");
    assert_eq!(revision.model().workload_of(&own), Err(Reason::IdentityUnknownWorkload));
    let unnamed = SpiffeId::parse("spiffe://partner.example/ns/a/sa/db").expect("an id");
    assert_eq!(revision.model().workload_of(&unnamed), Err(Reason::IdentityUnknownWorkload));
}

#[test]
fn an_enforcer_of_one_domain_knows_the_federated_workloads_of_all() {
    let mut files = with_workload(
        "{ name: partner.example, url: https://b.partner.example, profile: https_web, bundle: federation/partner.json }",
        "{ spiffe_id: spiffe://partner.example/web }",
    );
    files.insert(FIRST, bundle("partner.example", true));
    let manifest = manifest_of(&files).expect("in memory");
    let served = BTreeSet::from([Label::parse("hr").expect("a label")]);
    let given = manifest.keys().filter(|path| !withheld(path, Some(&served)));
    let given = MemoryFiles::new(given.map(|path| (path.as_str(), files.read(path).expect(path))));
    let part = load_part(&given, &manifest, Some(&served)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let id = SpiffeId::parse("spiffe://partner.example/web").expect("an id");
    assert_eq!(part.model().workload_of(&id).map(|id| id.to_string()), Ok("finance/web".to_owned()));
}

/// BU-4, BU-5, BU-6: nothing is inferred, nothing stands twice, no URL that is not for fetching.
#[test]
fn bu_5_name_url_and_profile_are_told_apart_and_none_is_inferred() {
    let spiffe = "url: https://p.example, profile: https_spiffe";
    for (entries, want) in [
        (
            "{ name: p.example, url: https://p.example }",
            "yaml.missing-key [name] missing key `profile` | a federated trust domain needs it, such as `profile: https_web`",
        ),
        (
            "{ url: https://p.example, profile: https_web }",
            "yaml.missing-key [url] missing key `name` | a federated trust domain needs it, such as `name: partner.example`",
        ),
        (
            "{ name: p.example, profile: https_web }",
            "yaml.missing-key [name] missing key `url` | a federated trust domain needs it, such as `url: https://bundles.partner.example/partner.example`",
        ),
        (
            "{ name: p.example, url: https://p.example, profile: web }",
            "value.unknown [web] unknown value `web` | the values are `https_web` and `https_spiffe`",
        ),
        (
            "{ name: 'spiffe://p.example', url: https://p.example, profile: https_web }",
            "value.bad ['spiffe://p.example'] `spiffe://p.example` is an ID, not the name of a trust domain | write the name alone, such as `partner.example`",
        ),
        (
            "{ name: hr.acme.internal, url: https://p.example, profile: https_web }",
            "federation.own [hr.acme.internal] `hr.acme.internal` is a trust domain of this organisation | what ends in the organisation's name is its own: its domains stand in `domains`",
        ),
        (
            "{ name: p.example, url: http://p.example, profile: https_web }",
            "value.bad [http://p.example] `http://p.example` is not the URL of a bundle | a bundle is fetched at `https://HOST/PATH`, never in plain text",
        ),
        (
            "{ name: p.example, url: https://me@p.example, profile: https_web }",
            "value.bad [https://me@p.example] `https://me@p.example` is not the URL of a bundle | the URL of a bundle has no user name: its endpoint asks nobody who they are",
        ),
        (
            "{ name: p.example, url: 'https://p.example/#x', profile: https_web }",
            "value.bad ['https://p.example/#x'] `https://p.example/#x` is not the URL of a bundle | a URL to fetch has no fragment",
        ),
        (
            "{ name: p.example, url: 'https://p.example/a b', profile: https_web }",
            "value.bad ['https://p.example/a b'] `https://p.example/a b` is not the URL of a bundle | a URL has no spaces, and other characters than ASCII are percent-encoded",
        ),
        (
            "{ name: p.example, url: 'https://p.example:99999/', profile: https_web }",
            "value.bad ['https://p.example:99999/'] `https://p.example:99999/` is not the URL of a bundle | a port is a number from 1 to 65535",
        ),
        (
            "{ name: p.example, url: https://p.example, profile: https_web, endpoint_id: spiffe://p.example/x }",
            "federation.profile [endpoint_id] `endpoint_id` is of the other profile: with `https_web` a certificate for the URL's host is the proof | leave it out, or change `profile`",
        ),
        (
            &format!(
                "{{ name: p.example, {spiffe}, endpoint_id: spiffe://p.example/x, bundle: federation/p.json, roots: federation/x.pem }}"
            ),
            "federation.profile [roots] `roots` is of the other profile: with `https_spiffe` the bundle itself is the proof | leave it out, or change `profile`",
        ),
        (
            &format!("{{ name: p.example, {spiffe} }}"),
            "yaml.missing-key [name] missing key `endpoint_id` | `https_spiffe` needs it, such as `endpoint_id: spiffe://partner.example/bundle-endpoint`",
        ),
        (
            &format!("{{ name: p.example, {spiffe}, endpoint_id: spiffe://p.example }}"),
            "value.bad [spiffe://p.example] `spiffe://p.example` is not the SPIFFE ID of a server | such as `spiffe://partner.example/bundle-endpoint`",
        ),
        (
            &format!("{{ name: p.example, {spiffe}, endpoint_id: spiffe://p.example/x }}"),
            "federation.first-bundle [name] the first fetch needs a bundle that proves the server | get the bundle of `p.example` from its operator, and name it: `bundle: federation/partner.json`",
        ),
        (
            &format!("{{ name: p.example, {spiffe}, endpoint_id: spiffe://relay.example/x }}"),
            "name.unknown-trust-domain [spiffe://relay.example/x] nothing here proves who is of `relay.example` | the only trust domain is `p.example`",
        ),
        (
            "{ name: p.example, url: https://p.example, profile: https_web, bundle: p.json }",
            "value.bad [p.json] `p.json` is not a file of the folder `federation` | put it there, and write `federation/partner.json`",
        ),
        (
            "{ name: p.example, url: https://p.example, profile: https_web, bundle: federation/p.json }",
            "federation.missing [federation/p.json] there is no file `federation/p.json` | put it into the folder `federation` of the trust directory",
        ),
        (
            "{ name: p.example, url: https://p.example, profile: https_web, roots: federation/p.json }",
            "value.bad [federation/p.json] `federation/p.json` is not a file of the folder `federation` | put it there, and write `federation/partner.pem`",
        ),
    ] {
        let mut files = federated(entries);
        if entries.contains("roots: federation/x.pem") {
            files.insert("federation/p.json", bundle("p.example", true));
        }
        assert_eq!(told(&files).first().map(String::as_str), Some(want), "{entries}");
        assert!(load(&files).revision.is_none(), "{entries}");
    }
}

#[test]
fn bu_4_a_trust_domain_stands_once() {
    let twice = told(&federated(&format!("{WEB}, {WEB}")));
    assert_eq!(
        twice,
        [
            "value.duplicate [partner.example] the trust domain `partner.example` stands here twice | a trust domain has one \
          bundle: leave one of the entries out (BU-4)"
        ]
    );
}

#[test]
fn files_of_federation_are_held_against_their_rules() {
    let entry = "{ name: p.example, url: https://p.example, profile: https_web, bundle: federation/p.json }";
    let own = "{ name: p.example, url: https://p.example, profile: https_spiffe, endpoint_id: spiffe://p.example/x, bundle: \
               federation/p.json }";
    let rooted = "{ name: p.example, url: https://p.example, profile: https_web, roots: federation/p.pem }";
    let empty = bundle("p.example", false);
    for (entry, path, content, want) in [
        (entry, "federation/p.json", "{}", &["error federation.bundle federation/p.json"][..]),
        (entry, "federation/p.json", "not json", &["error federation.bundle federation/p.json"]),
        (entry, "federation/p.json", r#"{"keys":[],"keys":[]}"#, &["error federation.bundle federation/p.json"]),
        (entry, "federation/p.json", &empty, &["warning federation.bundle federation/p.json"]),
        (own, "federation/p.json", &empty, &["error federation.bundle federation/p.json"]),
        (rooted, "federation/p.pem", "no pem", &["error federation.roots federation/p.pem"]),
        (WEB, "federation/p.json", &empty, &["warning federation.unused federation/p.json"]),
        (WEB, "federation/p.yaml", "", &["error file.unexpected federation/p.yaml"]),
    ] {
        let mut files = federated(entry);
        files.insert(path, content);
        assert_eq!(listed(&files), want, "{entry} {content}");
    }
}

#[test]
fn slips_in_federated_workloads_are_told_with_what_to_do() {
    for (workload, want) in [
        (
            "{ spiffe_id: spiffe://partner.exmaple/web }",
            "name.unknown-trust-domain [spiffe://partner.exmaple/web] the trust domain `partner.exmaple` is not federated | did you mean `partner.example`?",
        ),
        (
            "{ spiffe_id: spiffe://finance.acme.internal/web }",
            "federation.own [spiffe://finance.acme.internal/web] `spiffe://finance.acme.internal/web` is an ID of this organisation | it is issued here: name what attests the workload, `attest: { any: [ … ] }`, in its domain",
        ),
        (
            "{ spiffe_id: spiffe://partner.example }",
            "value.bad [spiffe://partner.example] `spiffe://partner.example` names a trust domain and nobody in it | write the whole ID, such as `spiffe://cluster.local/ns/a/sa/web`",
        ),
        (
            "{ spiffe_id: partner.example/web }",
            "value.bad [partner.example/web] `partner.example/web` is not a SPIFFE ID: the scheme is not exactly `spiffe` | such as `spiffe://cluster.local/ns/a/sa/web`",
        ),
        (
            "{ spiffe_id: spiffe://partner.example/web, attest: { any: [] } }",
            "workload.elsewhere [attest] `attest` and `spiffe_id` exclude each other | another trust domain issues a `spiffe_id`, so nothing here attests it: leave one of the two out",
        ),
        (
            "{ spiffe_id: spiffe://partner.example/web, runs_on: [vm] }",
            "workload.elsewhere [runs_on] `runs_on` and `spiffe_id` exclude each other | another trust domain issues a `spiffe_id`, so it is placed there: leave one of the two out",
        ),
        (
            "{ spiffe_id: spiffe://partner.example/web }\n  web2: { spiffe_id: spiffe://partner.example/web }",
            "workload.same-id [spiffe://partner.example/web] `spiffe://partner.example/web` is `finance/web` already | who calls is one workload of one domain; name the ID once, and let policies and consent say what it may call elsewhere",
        ),
    ] {
        let files = with_workload(WEB, workload);
        let told = told(&files);
        assert_eq!(told.as_slice(), [want], "{workload}");
    }
    let nobody = with_workload("", "{ spiffe_id: spiffe://partner.example/web }");
    assert_eq!(
        told(&nobody),
        [
            "name.unknown-trust-domain [spiffe://partner.example/web] the trust domain `partner.example` is not federated | add it \
          to `federation` in countersign.yaml: `{ name: partner.example, url: …, profile: https_web }`"
        ]
    );
}

#[test]
fn a_name_that_could_not_be_read_is_not_held_against_workloads() {
    let files = with_workload(
        "{ name: Partner, url: https://p.example, profile: https_web }",
        "{ spiffe_id: spiffe://p.example/web }",
    );
    assert_eq!(listed(&files), ["error value.bad countersign.yaml:2"]);
    let mut files = with_workload("", "{ spiffe_id: spiffe://p.example/web }");
    files.insert(ORG, "organisation: acme.internal\nfederations: [{ name: p.example }]\n");
    assert_eq!(listed(&files), ["error yaml.unknown-key countersign.yaml:2"]);
}
