//! `attest` of a workload: the rules by which its processes are recognised, one reader for each attestor.

use std::collections::BTreeSet;

use types::attest::{
    AttestParts, AttestRule, CgroupRule, K8sRule, PathRule, RuleError, Runtime, ServiceAccount, SystemdRule, UnixParts,
    UnixRule, is_container_id, is_k8s_name, is_pod_uid,
};

use crate::{
    decode::{Fields, Spanned, bad_value, items, one_of, text, whole, wrong_type},
    problem::{File, quote},
    yaml::{Node, Value},
};

/// Reads `attest`: any of its rules makes a process the workload. Empty only where that is reported.
pub(crate) fn read(node: &Node, file: &File<'_>) -> Vec<Spanned<AttestRule>> {
    let Some(mut fields) = Fields::open(node, file, "`attest`") else { return Vec::new() };
    let any = fields.required("any", "any: [ { unix: { uid: 1001 } } ]");
    fields.finish();
    if let Some(node) = any.filter(|node| node.value == Value::List(Vec::new())) {
        let hint = Some("add a rule such as `{ unix: { uid: 1001 } }`".to_owned());
        file.error("attest.empty", node.point(), "no rule: nothing would ever be this workload".to_owned(), hint);
        return Vec::new();
    }
    any.map(|node| items(node, file, "a list of rules", read_rule)).unwrap_or_default()
}

/// One rule: every attestor that it names must agree. A part that is there but does not fit is reported, and so the rule
/// is none: without that part it would be a weaker one.
fn read_rule(node: &Node, file: &File<'_>) -> Option<AttestRule> {
    let mut fields = Fields::open(node, file, "a rule")?;
    let named = is_named(node);
    let unix = fields.optional("unix").map(|node| read_unix(node, file));
    let systemd = fields.optional("systemd").map(|node| read_systemd(node, file));
    let cgroup = fields.optional("cgroup").map(|node| read_cgroup(node, file));
    let k8s = fields.optional("k8s").map(|node| read_k8s(node, file));
    fields.finish();
    let parts =
        AttestParts { unix: all_fit(unix)?, systemd: all_fit(systemd)?, cgroup: all_fit(cgroup)?, k8s: all_fit(k8s)? };
    let rule = fitting(AttestRule::new(parts), named, node, file)?;
    warn_of_path_alone(&rule, node, file);
    Some(rule)
}

/// A path tells programs apart, not people. What lies in the node's data directory is not started by others.
fn warn_of_path_alone(rule: &AttestRule, node: &Node, file: &File<'_>) {
    let AttestParts { unix, systemd, cgroup, k8s } = rule.parts();
    let Some(unix) = unix.as_ref().filter(|_| systemd.is_none() && cgroup.is_none() && k8s.is_none()) else { return };
    let UnixParts { uid, gid, groups, path, sha256: _ } = unix.parts();
    let Some(path @ PathRule::Absolute(_)) = path else { return };
    if uid.is_none() && gid.is_none() && groups.is_empty() {
        let message = format!("whoever on the node starts {} is this workload", quote(&path.to_string()));
        let hint = "name a `uid` beside `path`, unless the file can be started by nobody else".to_owned();
        file.warn("attest.path-alone", node.point(), message, Some(hint));
    }
}

fn read_unix(node: &Node, file: &File<'_>) -> Option<UnixRule> {
    let mut fields = Fields::open(node, file, "a unix rule")?;
    let named = is_named(node);
    let uid = fields.optional("uid").map(|node| id(node, file, "id -u"));
    let gid = fields.optional("gid").map(|node| id(node, file, "getent group"));
    let groups = fields.optional("groups").map(|node| read_groups(node, file));
    let path = fields.optional("path").map(|node| read_path(node, file));
    let sha256 = fields.optional("sha256").map(|node| read_sha256(node, file));
    fields.finish();
    let parts = UnixParts {
        uid: all_fit(uid)?,
        gid: all_fit(gid)?,
        groups: all_fit(groups)?.unwrap_or_default(),
        path: all_fit(path)?,
        sha256: all_fit(sha256)?,
    };
    fitting(UnixRule::new(parts), named, node, file)
}

fn read_systemd(node: &Node, file: &File<'_>) -> Option<SystemdRule> {
    let mut fields = Fields::open(node, file, "a systemd rule")?;
    let unit = fields.required("unit", "unit: payments.service");
    fields.finish();
    let unit = unit?;
    let written = text(unit, file, "the name of a unit such as `payments.service`")?;
    let rule = SystemdRule::new(written);
    if let Err(error) = &rule {
        let hint = if SystemdRule::new(&format!("{written}.service")).is_ok() && !written.contains('.') {
            format!("write the whole name: `{written}.service`")
        } else {
            "only services and scopes have processes; `systemctl status PID` names the unit of one".to_owned()
        };
        bad_value(unit, file, error.to_string(), &hint);
    }
    rule.ok()
}

fn read_cgroup(node: &Node, file: &File<'_>) -> Option<CgroupRule> {
    let mut fields = Fields::open(node, file, "a cgroup rule")?;
    let named = is_named(node);
    let runtimes = Runtime::ALL.map(|runtime| (runtime.as_str(), runtime));
    let runtime = fields.optional("runtime").map(|node| one_of(node, file, "a container runtime", &runtimes));
    let container = fields.optional("container").map(|node| read_container(node, file));
    let pod = fields.optional("pod").map(|node| read_pod(node, file));
    fields.finish();
    let (runtime, container, pod) = (all_fit(runtime)?, all_fit(container)?, all_fit(pod)?);
    fitting(CgroupRule::new(runtime, container.as_deref(), pod.as_deref()), named, node, file)
}

fn read_container(node: &Node, file: &File<'_>) -> Option<String> {
    let written = digits(node, file, "the id of a container")?;
    if is_container_id(written) {
        return Some(written.to_owned());
    }
    let message = RuleError::Container(written.chars().take(80).collect()).to_string();
    bad_value(node, file, message, "`docker inspect --format '{{.Id}}' NAME` prints it; `docker ps` shortens it");
    None
}

fn read_pod(node: &Node, file: &File<'_>) -> Option<String> {
    let written = digits(node, file, "the uid of a pod")?;
    if is_pod_uid(written) {
        return Some(written.to_owned());
    }
    let message = RuleError::Pod(written.chars().take(80).collect()).to_string();
    let hint = "`kubectl get pod NAME -o jsonpath='{.metadata.uid}'` prints it; where pods come and go, name their \
                service account with `k8s`";
    bad_value(node, file, message, hint);
    None
}

fn read_k8s(node: &Node, file: &File<'_>) -> Option<K8sRule> {
    let mut fields = Fields::open(node, file, "a k8s rule")?;
    let cluster = fields.required("cluster", "cluster: prod").map(|node| k8s_name(node, file));
    let namespace = fields.required("namespace", "namespace: payments").map(|node| k8s_name(node, file));
    let name = fields.required("service_account", "service_account: web").map(|node| k8s_name(node, file));
    fields.finish();
    let account = ServiceAccount { cluster: cluster??, namespace: namespace??, name: name?? };
    K8sRule::new(account).ok()
}

fn k8s_name(node: &Node, file: &File<'_>) -> Option<String> {
    let written = text(node, file, "a name of Kubernetes")?;
    if is_k8s_name(written) {
        return Some(written.to_owned());
    }
    let message = format!("{} is not a name of Kubernetes", quote(written));
    let hint = if written.starts_with("system:serviceaccount:") {
        "write the three parts apart: `{ cluster: prod, namespace: payments, service_account: web }`"
    } else {
        "lower-case letters, digits, `-` and `.`, as `kubectl get serviceaccounts -A` lists them"
    };
    bad_value(node, file, message, hint);
    None
}

/// Whether a mapping holds anything: what it holds and does not fit is reported then, and it is not told to be empty.
fn is_named(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if !entries.is_empty())
}

fn fitting<T>(rule: Result<T, RuleError>, named: bool, node: &Node, file: &File<'_>) -> Option<T> {
    if let (Err(error), false) = (&rule, named) {
        let hint = Some("without one of them every local process would be this workload".to_owned());
        file.error("attest.empty", node.point(), error.to_string(), hint);
    }
    rule.ok()
}

/// Left out, or there and fitting; `None` for there and not fitting.
fn all_fit<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    part.map_or(Some(None), |read| read.map(Some))
}

/// A user or group id. The highest means "no change" to the system calls that take one.
fn id(node: &Node, file: &File<'_>, command: &str) -> Option<u32> {
    if let Value::Text(name) = &node.value {
        let hint = format!("`{command} {}` prints the id on the node", name.chars().take(32).collect::<String>());
        wrong_type(node, file, "an id, a whole number", Some(hint));
        return None;
    }
    whole(node, file, u64::from(u32::MAX - 1)).and_then(|id| u32::try_from(id).ok())
}

fn read_groups(node: &Node, file: &File<'_>) -> Option<BTreeSet<u32>> {
    let (groups, whole) =
        file.watch(|| items(node, file, "a list of group ids", |node, file| id(node, file, "getent group")));
    whole.then(|| groups.into_iter().map(|group| group.value).collect())
}

fn read_path(node: &Node, file: &File<'_>) -> Option<PathRule> {
    let written = text(node, file, "a path such as `/opt/payments/bin`")?;
    let rule = PathRule::parse(written).ok();
    if rule.is_none() {
        let hint = "an absolute path such as `/opt/payments/bin`, or `$DATA/…` below the agent's data directory; without \
                    `.`, `..`, `//` or a slash at the end";
        bad_value(node, file, format!("{} is not the path of an executable", quote(written)), hint);
    }
    rule
}

fn read_sha256(node: &Node, file: &File<'_>) -> Option<[u8; 32]> {
    let written = digits(node, file, "64 hexadecimal digits")?;
    let digest = written.parse::<types::RevisionId>().ok().map(|parsed| *parsed.digest());
    if digest.is_none() {
        let message = format!("{} is not a SHA-256", quote(written));
        bad_value(node, file, message, "64 hexadecimal digits, as `sha256sum` prints them");
    }
    digest
}

/// Hexadecimal digits: those of digits alone, or with an `e` in between, are a number to YAML.
fn digits<'n>(node: &'n Node, file: &File<'_>, want: &str) -> Option<&'n str> {
    match &node.value {
        Value::Number(text) => Some(text),
        _ => text(node, file, want),
    }
}
