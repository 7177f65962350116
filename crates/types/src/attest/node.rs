//! The rules about what runs a process: the `systemd` unit, the container, the Kubernetes service account.

use serde::Serialize;

use super::{RuleError, Selectors};

/// The longest name of a unit, a namespace or a service account, in bytes (systemd's `UNIT_NAME_MAX`; RFC 1123 names of
/// Kubernetes are shorter).
const NAME_BYTES: usize = 255;

/// A `systemd` rule: the system unit that the process belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct SystemdRule {
    unit: String,
}

impl SystemdRule {
    /// `unit` is the whole name, such as `payments.service`.
    ///
    /// # Errors
    /// [`RuleError::Unit`] for what is not the name of a service or scope.
    pub fn new(unit: &str) -> Result<Self, RuleError> {
        let known =
            [".service", ".scope"].iter().any(|kind| unit.strip_suffix(kind).is_some_and(|name| !name.is_empty()));
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if known && unit.len() <= NAME_BYTES && unit.bytes().all(clean) {
            Ok(Self { unit: unit.to_owned() })
        } else {
            Err(RuleError::Unit(unit.chars().take(160).collect()))
        }
    }

    /// Whether the process was proven to belong to the unit.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        selectors.unit.as_deref() == Some(self.unit.as_str())
    }

    /// The unit.
    pub fn unit(&self) -> &str {
        &self.unit
    }
}

/// What runs containers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, also below Kubernetes.
    Containerd,
    /// Podman, by root.
    Podman,
    /// CRI-O, below Kubernetes.
    CriO,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Containerd, Self::Podman, Self::CriO];

    /// The word in rules and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
            Self::CriO => "cri-o",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == text)
    }
}

/// The container that a process was proven to be in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Its id, 64 lower-case hexadecimal digits.
    pub id: String,
}

/// A `cgroup` rule: the container or the Kubernetes pod that the process is in. It names at least one thing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct CgroupRule {
    runtime: Option<Runtime>,
    container: Option<String>,
    pod: Option<String>,
}

impl CgroupRule {
    /// `container` is a whole id of 64 lower-case hexadecimal digits, `pod` the uid of a pod (a UUID, lower case, or the
    /// 32 hexadecimal digits of a static pod).
    ///
    /// # Errors
    /// [`RuleError::EmptyCgroup`] when it names nothing, [`RuleError::Container`] and [`RuleError::Pod`].
    pub fn new(runtime: Option<Runtime>, container: Option<&str>, pod: Option<&str>) -> Result<Self, RuleError> {
        if let Some(id) = container.filter(|id| !is_container_id(id)) {
            return Err(RuleError::Container(id.chars().take(160).collect()));
        }
        if let Some(uid) = pod.filter(|uid| !is_pod_uid(uid)) {
            return Err(RuleError::Pod(uid.chars().take(160).collect()));
        }
        if runtime.is_none() && container.is_none() && pod.is_none() {
            return Err(RuleError::EmptyCgroup);
        }
        Ok(Self { runtime, container: container.map(str::to_owned), pod: pod.map(str::to_owned) })
    }

    /// Whether everything that the rule names was proven.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        let container = selectors.container.as_ref();
        self.runtime.is_none_or(|runtime| container.is_some_and(|container| container.runtime == runtime))
            && self.container.as_ref().is_none_or(|id| container.is_some_and(|container| container.id == *id))
            && self.pod.as_ref().is_none_or(|pod| selectors.pod.as_ref() == Some(pod))
    }

    /// What runs the container.
    pub const fn runtime(&self) -> Option<Runtime> {
        self.runtime
    }

    /// The container's id.
    pub fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// The pod's uid.
    pub fn pod(&self) -> Option<&str> {
        self.pod.as_deref()
    }
}

/// Whether a text is a container's whole id.
pub fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

/// Whether a text is the uid of a pod: a UUID in lower case, or the 32 digits of a static pod.
pub fn is_pod_uid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let shaped = groups == [8, 4, 4, 4, 12] || groups == [32];
    shaped && text.bytes().all(|byte| byte == b'-' || is_lower_hex(byte))
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The Kubernetes service account whose token a process holds, as the cluster signed it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct ServiceAccount {
    /// The cluster, as the agent's configuration names it.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The service account's name.
    pub name: String,
}

/// A `k8s` rule: the service account, in one cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct K8sRule(ServiceAccount);

impl K8sRule {
    /// All three names are required: a service account's name alone is no identity.
    ///
    /// # Errors
    /// [`RuleError::K8s`] for a name that Kubernetes would not take (RFC 1123: lower-case letters, digits, `-` and `.`).
    pub fn new(account: ServiceAccount) -> Result<Self, RuleError> {
        let names = [&account.cluster, &account.namespace, &account.name];
        let bad = names.into_iter().find(|name| !is_k8s_name(name)).map(|bad| bad.chars().take(160).collect());
        bad.map_or(Ok(Self(account)), |bad| Err(RuleError::K8s(bad)))
    }

    /// Whether the process was proven to hold a token of this account.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        selectors.service_account.as_ref() == Some(&self.0)
    }

    /// The account.
    pub const fn account(&self) -> &ServiceAccount {
        &self.0
    }
}

/// Whether a text is a name of Kubernetes: a DNS subdomain in lower case (RFC 1123).
pub fn is_k8s_name(text: &str) -> bool {
    let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(clean) && !label.starts_with('-') && !label.ends_with('-');
    text.len() <= NAME_BYTES && text.split('.').all(label)
}
