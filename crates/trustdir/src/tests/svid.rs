//! How long credentials live and what kind of key they have: defaults, floors, domains.

use core::time::Duration;
use std::sync::Arc;

use types::{KeyKind, Label};

use super::directory::{spoilt, told};
use crate::*;

const ORG: &str = "countersign.yaml";
const HR: &str = "domains/hr/domain.yaml";

fn hr(files: &MemoryFiles) -> (Arc<Revision>, Domain) {
    let loaded = load(files);
    let revision = loaded.revision.unwrap_or_else(|| panic!("{:#?}", loaded.problems));
    let hr = revision.domains()[&Label::parse("hr").expect("a label")].clone();
    (revision, hr)
}

const fn minutes(number: u64) -> Duration {
    Duration::from_mins(number)
}

#[test]
fn the_nearest_setting_holds_for_the_domain_and_its_workloads() {
    let org = |text: &str| spoilt(ORG, "acme.internal\n", &format!("acme.internal\n{text}"));
    let own = |text: &str| spoilt(HR, "domain: hr\n", &format!("domain: hr\n{text}"));
    for (files, ttl, jwt_ttl, key) in [
        (org(""), minutes(60), minutes(5), KeyKind::P256),
        (org("defaults: { svid: { ttl: 30m, jwt_ttl: 2m, key: p384 } }\n"), minutes(30), minutes(2), KeyKind::P384),
        (org("floor: { svid: { ttl: 20m, jwt_ttl: 3m } }\n"), minutes(20), minutes(3), KeyKind::P256),
        (own("svid: { ttl: 10m, jwt_ttl: 1m, key: rsa-2048 }\n"), minutes(10), minutes(1), KeyKind::Rsa2048),
        (own("svid: { key: p384 }\n"), minutes(60), minutes(5), KeyKind::P384),
    ] {
        let (revision, hr) = hr(&files);
        assert_eq!((hr.svid_ttl, hr.jwt_ttl, hr.key), (ttl, jwt_ttl, key));
        for workload in revision.workloads().values().filter(|workload| workload.id.domain().as_str() == "hr") {
            assert_eq!(
                (workload.svid_ttl, workload.jwt_ttl, workload.key, workload.federated),
                (ttl, jwt_ttl, key, false)
            );
        }
    }
}

#[test]
fn slips_are_told_with_the_key_they_are_of() {
    for (path, old, new, want) in [
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { jwt_ttl: 90m }\n",
            "settings.below-floor [90m] `svid.jwt_ttl` of 90m is weaker than the floor of 1h | at most 1h; the floor stands in \
             countersign.yaml, or is 1h where it says nothing",
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { jwt_ttl: 10m }\n",
            "settings.weaker [10m] `svid.jwt_ttl` of 10m is weaker than the organisation's 5m | a stolen token is good for as \
             long, for whoever has it",
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { jwt_ttl: 10s }\n",
            "value.bad [10s] `svid.jwt_ttl` of 10s is too short | at least 1m, so that a renewal at half-life has time for a \
             second try",
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { key: ed25519 }\n",
            "value.unknown [ed25519] unknown value `ed25519` | the values are `p256`, `p384` and `rsa-2048`",
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { key: P-256 }\n",
            "value.unknown [P-256] unknown value `P-256` | did you mean `p256`?",
        ),
        (
            ORG,
            "acme.internal\n",
            "acme.internal\nfloor: { svid: { key: p384 } }\n",
            "yaml.unknown-key [key] unknown key `key` | `svid` of `floor` takes `ttl` and `jwt_ttl`",
        ),
        (
            ORG,
            "acme.internal\n",
            "acme.internal\nfloor: { svid: { jwt_ttl: 2m } }\ndefaults: { svid: { jwt_ttl: 4m } }\n",
            "settings.below-floor [4m] `svid.jwt_ttl` of 4m is weaker than the floor of 2m | at most 2m; the floor stands in \
             countersign.yaml, or is 1h where it says nothing",
        ),
    ] {
        assert_eq!(told(&spoilt(path, old, new)), [want], "{new}");
    }
}
