//! What peers and control say to each other, and the files that people write.

use api::wire::{BundleItem, Holdings, Kind, Selectors, Signed};
use identity::BundleSet;
use prost::Message;
use trustdir::MemoryFiles;
use types::{Timestamp, TrustDomain};
use wire::{content, fact};

/// What an agent may be registered for. What is understood is written again as it came.
pub fn registrations(data: &[u8]) {
    let Ok(read) = content::read_registrations(&[data.to_vec()]) else { return };
    for (workload, rules) in &read.known {
        let again = content::read_registrations(&[content::registration(workload, rules)]);
        assert!(again.is_ok_and(|again| again.known.first() == Some(&(workload.clone(), rules.clone()))));
    }
}

pub fn registrations_seeds() -> Vec<Vec<u8>> {
    use api::issuance::Entitled;
    use types::attest::{AttestParts, CgroupRule, K8sRule, Runtime, ServiceAccount, SystemdRule, UnixParts, UnixRule};
    let account = ServiceAccount { cluster: "prod".into(), namespace: "pay".into(), name: "payments".into() };
    let parts = AttestParts {
        unix: UnixRule::new(UnixParts { uid: Some(1001), groups: [27].into(), ..UnixParts::default() }).ok(),
        systemd: SystemdRule::new("payments.service").ok(),
        cgroup: CgroupRule::new(Some(Runtime::Docker), Some(&"0f".repeat(32)), None).ok(),
        k8s: K8sRule::new(account).ok(),
    };
    let rules: Vec<_> = types::AttestRule::new(parts).into_iter().collect();
    let id = types::SpiffeId::parse("spiffe://finance.acme.internal/payments");
    let workloads = id.into_iter().map(|id| Entitled { id, key: types::KeyKind::P256 });
    workloads.map(|workload| content::registration(&workload, &rules)).collect()
}

/// What roots and keys a peer is told.
pub fn bundles(data: &[u8]) {
    let _ = content::read_bundles(&[data.to_vec()]);
}

pub fn bundles_seeds() -> Vec<Vec<u8>> {
    let roots = crate::x509::bundle_pem_seeds();
    let item = BundleItem { trust_domain: "finance.acme.internal".into(), roots, ..Default::default() };
    vec![item.encode_to_vec()]
}

/// What an agent says that it proved.
pub fn selectors(data: &[u8]) {
    let Ok(message) = Selectors::decode(data) else { return };
    if let Ok(read) = content::read_selectors(&message) {
        let again = content::read_selectors(&content::selectors_message(&read));
        assert_eq!(again.ok().as_ref(), Some(&read), "what was read is not what is sent on");
        assert_eq!(read.to_string().lines().count().max(1), 1, "a selector forged a second line");
    }
}

pub fn selectors_seeds() -> Vec<Vec<u8>> {
    let message = Selectors {
        pid: 7,
        uid: 1001,
        gid: 100,
        path: "/opt/payments/bin".into(),
        sha256: vec![7; 32],
        groups: vec![27],
        unit: "payments.service".into(),
        ..Default::default()
    };
    vec![message.encode_to_vec()]
}

/// What an agent says that it holds.
pub fn holdings(data: &[u8]) {
    if let Ok(message) = Holdings::decode(data) {
        let _ = content::read_holdings(&message);
    }
}

pub fn holdings_seeds() -> Vec<Vec<u8>> {
    let held = api::wire::Holding {
        spiffe_id: "spiffe://finance.acme.internal/payments".into(),
        serial: "0f".into(),
        not_after: 1_795_425_242_000_000,
        failures: 1,
    };
    vec![Holdings { held: vec![held], more: 0 }.encode_to_vec()]
}

/// Nothing is believed that no publisher signed.
pub fn fact(data: &[u8]) {
    let Ok(signed) = Signed::decode(data) else { return };
    let Ok(organisation) = TrustDomain::parse("acme.internal") else { return };
    let now = Timestamp::from_seconds(1_795_425_242);
    let opened = fact::open(&signed, Kind::Publication, &organisation, &BundleSet::default(), now);
    assert!(opened.is_err(), "a fact was believed without a root");
}

pub fn fact_seeds() -> Vec<Vec<u8>> {
    let signed =
        Signed { fact: vec![8, 1], signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1], chain: crate::x509::svid_seeds() };
    vec![signed.encode_to_vec()]
}

/// A trust directory with one file of anything: problems have their place in it, and nothing becomes a revision that has
/// an error.
pub fn trust_directory(data: &[u8]) {
    for path in ["countersign.yaml", "domains/finance/domain.yaml", "domains/finance/policies/a.cedar"] {
        let mut files = MemoryFiles::default();
        for (name, content) in GOOD {
            files.insert(*name, if *name == path { data.to_vec() } else { content.as_bytes().to_vec() });
        }
        let loaded = trustdir::load(&files);
        let has_errors = loaded.problems.iter().any(|problem| problem.severity == trustdir::Severity::Error);
        assert_eq!(loaded.revision.is_none(), has_errors);
    }
}

const GOOD: &[(&str, &str)] = &[
    ("countersign.yaml", "organisation: acme.internal\ntimezone: Europe/Berlin\n"),
    (
        "domains/finance/domain.yaml",
        "domain: finance\nmode: enforce\nservices:\n  ledger:\n    hosts: [ledger.acme.internal]\n    upstream: { urls: \
         [http://127.0.0.1:7101] }\n    sensitivity: confidential\n    routes: { \"POST /entries\": {} }\nworkloads:\n  \
         payments: { attest: { any: [ { unix: { uid: 1001, path: /opt/payments/bin } } ] } }\n",
    ),
    (
        "domains/finance/policies/a.cedar",
        "@id(\"a\")\n@reason(\"It must.\")\npermit (principal == Workload::\"finance/payments\", action == Action::\"POST\", \
         resource == Route::\"finance/ledger POST /entries\");\n",
    ),
];

pub fn trust_directory_seeds() -> Vec<Vec<u8>> {
    GOOD.iter().map(|(_, content)| content.as_bytes().to_vec()).collect()
}
