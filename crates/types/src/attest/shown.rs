//! A rule in one line, in the words of the selectors that it is compared with.

use core::fmt;

use super::{AttestRule, CgroupRule, K8sRule, ServiceAccount, UnixRule};

/// As listings and records show it: `uid:1001 path:/opt/payments/bin unit:payments.service`.
impl fmt::Display for AttestRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        let mut words: Vec<String> = parts.unix.as_ref().map(unix).unwrap_or_default();
        words.extend(parts.systemd.as_ref().map(|rule| format!("unit:{}", rule.unit())));
        words.extend(parts.cgroup.as_ref().map(cgroup).unwrap_or_default());
        words.extend(parts.k8s.as_ref().map(k8s));
        f.write_str(&words.join(" "))
    }
}

fn unix(rule: &UnixRule) -> Vec<String> {
    let parts = rule.parts();
    let mut words: Vec<String> = parts.uid.iter().map(|uid| format!("uid:{uid}")).collect();
    words.extend(parts.gid.iter().map(|gid| format!("gid:{gid}")));
    words.extend(parts.groups.iter().map(|group| format!("group:{group}")));
    words.extend(parts.path.iter().map(|path| format!("path:{}", path.to_string().escape_debug())));
    words.extend(parts.sha256.iter().map(|digest| {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }));
    words
}

fn cgroup(rule: &CgroupRule) -> Vec<String> {
    let container = match (rule.runtime(), rule.container()) {
        (Some(runtime), Some(id)) => Some(format!("{}:{id}", runtime.as_str())),
        (Some(runtime), None) => Some(format!("{}:any", runtime.as_str())),
        (None, Some(id)) => Some(format!("container:{id}")),
        (None, None) => None,
    };
    container.into_iter().chain(rule.pod().map(|pod| format!("pod:{pod}"))).collect()
}

fn k8s(rule: &K8sRule) -> String {
    let ServiceAccount { cluster, namespace, name } = rule.account();
    format!("k8s:{cluster}/{namespace}/{name}")
}
