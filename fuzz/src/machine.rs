//! What a machine says about its processes, and what those hand in.

use std::sync::OnceLock;

use agent::k8s::Keys;
use agent::proc;
use rcgen::{CertificateParams, KeyPair};
use types::Timestamp;
use types::attest::{CgroupRule, SystemdRule, is_container_id, is_pod_uid};

use crate::{text, tokens};

/// What is read out of `/proc/PID/cgroup` is a unit, a container or a pod that a rule could name, and nothing is read out of
/// what a user's own service manager may call as it likes.
pub fn cgroup(data: &[u8]) {
    let place = proc::cgroup(text(data));
    assert!(place.unit.is_none_or(|unit| SystemdRule::new(&unit).is_ok() && text(data).contains(&unit)));
    assert!(place.pod.is_none_or(|pod| is_pod_uid(&pod) && CgroupRule::new(None, None, Some(&pod)).is_ok()));
    assert!(
        place.container.is_none_or(|container| is_container_id(&container.id) && text(data).contains(&container.id))
    );
}

pub fn cgroup_seeds() -> Vec<Vec<u8>> {
    let id = "0f".repeat(32);
    let pod = "0e7f1e7a_9d2c_4b1e_8a52_3f6f6f2f2b11";
    let lines = [
        "0::/system.slice/payments.service\n".to_owned(),
        format!("0::/system.slice/docker-{id}.scope\n"),
        format!("12:pids:/docker/{id}\n11:cpu:/docker/{id}\n1:name=systemd:/docker/{id}\n"),
        format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod}.slice/cri-containerd-{id}.scope\n"
        ),
        format!("0::/machine.slice/libpod-{id}.scope/container\n"),
        format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope\n"),
    ];
    lines.into_iter().map(String::into_bytes).collect()
}

/// Groups are sorted and each there once.
pub fn status(data: &[u8]) {
    if let Some(status) = proc::status(text(data)) {
        assert!(status.groups.is_sorted_by(|a, b| a < b));
    }
}

pub fn status_seeds() -> Vec<Vec<u8>> {
    vec![b"Name:\tsh\nUid:\t1000\t1001\t1001\t1001\nGid:\t100\t101\t101\t101\nGroups:\t200 27 \n".to_vec()]
}

/// No token that no cluster signed is believed.
pub fn projected_token(data: &[u8]) {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let jwks = String::from_utf8(tokens::jwks()).ok()?;
        let cluster = agent::Cluster {
            name: "prod".into(),
            issuer: "https://kubernetes.default.svc".into(),
            audience: "countersign".into(),
            jwks_json: jwks,
            token_path: "/var/run/secrets/countersign/token".into(),
        };
        Keys::new(cluster).ok()
    });
    if let Some(keys) = keys {
        assert!(keys.check(text(data), Timestamp::from_seconds(tokens::NOW)).is_err(), "a token was believed");
    }
}

/// A certificate request is taken only with the signature of the key that it holds.
pub fn request(data: &[u8]) {
    if issuer::check_request(data).is_ok() {
        assert!(request_seeds().iter().any(|seed| seed == data), "a request that nobody signed was taken");
    }
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    static REQUEST: OnceLock<Vec<u8>> = OnceLock::new();
    let made = REQUEST.get_or_init(|| {
        let key = KeyPair::generate().ok();
        let request = key.and_then(|key| CertificateParams::default().serialize_request(&key).ok());
        request.map(|request| request.der().to_vec()).unwrap_or_default()
    });
    vec![made.clone()]
}
