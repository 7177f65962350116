//! Texts that name things.

use types::attest::{CgroupRule, K8sRule, PathRule, ServiceAccount, SystemdRule};
use types::{Host, SpiffeId, Template, TrustDomain};

use crate::text;

fn lines(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

/// What is accepted is written back byte for byte, lies within its bounds and holds no byte that another reader could take
/// for something else (ID-1 to ID-6).
pub fn spiffe_id(data: &[u8]) {
    let text = text(data);
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(text.len() <= 2048 && text.starts_with("spiffe://"));
        assert!(
            !text.bytes().any(|byte| byte <= b' ' || b"%?#@\\:;".contains(&byte) && !text.starts_with("spiffe://"))
        );
        assert!(!text.ends_with('/') && !id.path().contains("//") && !id.path().contains("/./"));
        assert!(TrustDomain::parse(id.trust_domain().as_str()).is_ok());
    }
    if let Ok(domain) = TrustDomain::parse(text) {
        assert_eq!(domain.as_str(), text);
    }
}

pub fn spiffe_id_seeds() -> Vec<Vec<u8>> {
    lines(&["spiffe://finance.acme.internal/payments", "spiffe://a/b/c.d/e_f-g", "finance.acme.internal", "spiffe://x"])
}

/// What is accepted is accepted again as it is written back.
pub fn host_and_template(data: &[u8]) {
    let text = text(data);
    if let Ok(host) = Host::parse(text) {
        assert!(Host::parse(host.as_str()).is_ok_and(|again| again == host));
    }
    if let Ok(template) = Template::parse(text) {
        assert!(Template::parse(&template.to_string()).is_ok_and(|again| again == template));
    }
}

pub fn host_and_template_seeds() -> Vec<Vec<u8>> {
    lines(&["ledger.acme.internal", "LEDGER.acme.internal:443", "/entries/{id}/lines/{line}", "/"])
}

/// What is accepted is in normal form.
pub fn attest_rule(data: &[u8]) {
    let text = text(data);
    if let Ok(path) = PathRule::parse(text) {
        assert_eq!(path.to_string(), text);
        assert!(!text.contains("//") && !text.contains("/../") && !text.chars().any(char::is_control));
    }
    if let Ok(rule) = SystemdRule::new(text) {
        assert!(rule.unit() == text && !text.contains('/'));
    }
    if let Ok(rule) = CgroupRule::new(None, Some(text), None) {
        assert!(rule.container().is_some_and(|id| id.len() == 64));
    }
    let _ = CgroupRule::new(None, None, Some(text));
    let names: Vec<&str> = text.splitn(3, '/').collect();
    if let [cluster, namespace, name] = names.as_slice() {
        let account =
            ServiceAccount { cluster: (*cluster).into(), namespace: (*namespace).into(), name: (*name).into() };
        if K8sRule::new(account).is_ok() {
            assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || b"-./0123456789".contains(&byte)));
        }
    }
}

pub fn attest_rule_seeds() -> Vec<Vec<u8>> {
    let id = "0f".repeat(32);
    lines(&["/opt/payments/bin", "$DATA/demo/payments", "payments.service", &id, "prod/pay/payments"])
}

/// `SPIFFE_ENDPOINT_SOCKET`: an absolute path without an authority, or an address and a port, and nothing else (WA-6).
pub fn endpoint(data: &[u8]) {
    let text = text(data);
    match identity::endpoint::parse(text) {
        Ok(identity::endpoint::Endpoint::Unix(path)) => assert!(path.is_absolute() && text.starts_with("unix:")),
        Ok(identity::endpoint::Endpoint::Tcp(address)) => assert!(address.port() != 0 && text.starts_with("tcp:")),
        Err(_) => {}
    }
}

pub fn endpoint_seeds() -> Vec<Vec<u8>> {
    lines(&["unix:///run/workload.sock", "unix:/run/workload.sock", "tcp://127.0.0.1:8000", "tcp://[::1]:8000"])
}
