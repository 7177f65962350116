//! What the agent proves about a local process, and the rules by which a workload recognises its own (DESIGN section 6).

mod node;
mod shown;
mod unix;

use core::fmt;

use serde::Serialize;
use thiserror::Error;

pub use node::{
    CgroupRule, Container, K8sRule, Runtime, ServiceAccount, SystemdRule, is_container_id, is_k8s_name, is_pod_uid,
};
pub use unix::{PathRule, UnixParts, UnixRule};

/// What was proven about a process. Every part is a fact that the agent read after it had pinned the process (WA-7);
/// a part that could not be read is absent and matches no rule.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Selectors {
    /// The process id in the agent's own namespace.
    pub pid: u32,
    /// The user id at the moment the process connected.
    pub uid: u32,
    /// The group id at that moment.
    pub gid: u32,
    /// Its supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// The absolute path of the executable, where that path still leads to the file that runs.
    pub path: Option<String>,
    /// The same path relative to the agent's data directory, where it lies inside.
    pub path_in_data: Option<String>,
    /// SHA-256 of the executable that runs.
    pub sha256: Option<[u8; 32]>,
    /// The system unit that it belongs to, such as `payments.service`.
    pub unit: Option<String>,
    /// The container that it is in.
    pub container: Option<Container>,
    /// The uid of the Kubernetes pod that it is in.
    pub pod: Option<String>,
    /// The Kubernetes service account whose token it holds.
    pub service_account: Option<ServiceAccount>,
}

/// Supplementary groups that are shown; the rest is counted.
const GROUPS_SHOWN: usize = 16;

/// As records show it: `uid:1001 gid:1001 group:27 path:/opt/payments/bin sha256:9f86…`. Control characters of a path
/// are escaped, so that a file name cannot forge a second selector line.
impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid:{} gid:{}", self.uid, self.gid)?;
        self.groups.iter().take(GROUPS_SHOWN).try_for_each(|group| write!(f, " group:{group}"))?;
        if let Some(more @ 1..) = self.groups.len().checked_sub(GROUPS_SHOWN) {
            write!(f, " and {more} groups more")?;
        }
        if let Some(path) = &self.path {
            write!(f, " path:{}", path.escape_debug())?;
        }
        if let Some(digest) = &self.sha256 {
            f.write_str(" sha256:")?;
            digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        if let Some(unit) = &self.unit {
            write!(f, " unit:{}", unit.escape_debug())?;
        }
        if let Some(container) = &self.container {
            write!(f, " {}:{}", container.runtime.as_str(), container.id.escape_debug())?;
        }
        if let Some(pod) = &self.pod {
            write!(f, " pod:{}", pod.escape_debug())?;
        }
        if let Some(ServiceAccount { cluster, namespace, name }) = &self.service_account {
            let name = format!("{cluster}/{namespace}/{name}");
            write!(f, " k8s:{}", name.escape_debug())?;
        }
        Ok(())
    }
}

/// One attestation rule: every attestor that it names must agree. It names at least one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct AttestRule(AttestParts);

/// The parts of an [`AttestRule`]; an attestor that is left out is not asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct AttestParts {
    /// The user and the executable.
    pub unix: Option<UnixRule>,
    /// The system unit.
    pub systemd: Option<SystemdRule>,
    /// The container or pod.
    pub cgroup: Option<CgroupRule>,
    /// The Kubernetes service account.
    pub k8s: Option<K8sRule>,
}

impl AttestRule {
    /// Joins the parts of a rule.
    ///
    /// # Errors
    /// [`RuleError::Empty`] when it names nothing: such a rule would match every local process.
    pub fn new(parts: AttestParts) -> Result<Self, RuleError> {
        if parts == AttestParts::default() { Err(RuleError::Empty) } else { Ok(Self(parts)) }
    }

    /// Whether everything that the rule names was proven.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        let AttestParts { unix, systemd, cgroup, k8s } = &self.0;
        unix.as_ref().is_none_or(|rule| rule.matches(selectors))
            && systemd.as_ref().is_none_or(|rule| rule.matches(selectors))
            && cgroup.as_ref().is_none_or(|rule| rule.matches(selectors))
            && k8s.as_ref().is_none_or(|rule| rule.matches(selectors))
    }

    /// What it asks for.
    pub const fn parts(&self) -> &AttestParts {
        &self.0
    }
}

impl From<UnixRule> for AttestRule {
    fn from(unix: UnixRule) -> Self {
        Self(AttestParts { unix: Some(unix), ..AttestParts::default() })
    }
}

/// Why something is not an attestation rule.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RuleError {
    /// Names no attestor.
    #[error("a rule names at least one of unix, systemd, cgroup and k8s")]
    Empty,
    /// A unix rule that names nothing.
    #[error("a unix rule names at least one of path, uid, gid, groups and sha256")]
    EmptyUnix,
    /// A cgroup rule that names nothing.
    #[error("a cgroup rule names at least one of runtime, container and pod")]
    EmptyCgroup,
    /// Not a path in normal form.
    #[error("`{0}` is not an absolute path in normal form, nor one that starts with `$DATA/`")]
    Path(String),
    /// Not the name of a unit.
    #[error("`{0}` is not the name of a service or scope, such as `payments.service`")]
    Unit(String),
    /// Not a container's id.
    #[error("`{0}` is not the whole id of a container: 64 lower-case hexadecimal digits")]
    Container(String),
    /// Not a pod's uid.
    #[error("`{0}` is not the uid of a pod, such as `0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11`")]
    Pod(String),
    /// Not a name of Kubernetes.
    #[error("`{0}` is not a name of Kubernetes: lower-case letters, digits, `-` and `.`")]
    K8s(String),
}

#[cfg(test)]
mod tests;
