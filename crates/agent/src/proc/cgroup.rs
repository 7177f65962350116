//! Where a process is: its unit, container and pod, by `/proc/PID/cgroup`.
//!
//! INVARIANT: a path is read from its left end, and reading stops at the first unit or container. Everything to the left
//! of that was made by root; below it a process may own a part of the tree (`Delegate=`, a user's own service manager, a
//! container's root) and name it as it likes: `…/user@1000.service/docker-<id>.scope`, `…/web.service/kubepods/…`. For the
//! same reason nothing below `user.slice` gives a fact.

use types::attest::{Container, Runtime, SystemdRule, is_container_id, is_pod_uid};
use types::limits;

/// Below it users make what they like.
const USERS: &str = "/user.slice";

/// Where a process was shown to be. What is not shown is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The system unit, such as `payments.service`.
    pub unit: Option<String>,
    /// The container.
    pub container: Option<Container>,
    /// The uid of the Kubernetes pod.
    pub pod: Option<String>,
}

/// Reads `/proc/PID/cgroup`: lines of `number:controllers:path`.
///
/// systemd's own hierarchy counts where it says something. Else (one hierarchy, or several without systemd) all that say
/// something must say the same, and none may be below `user.slice`.
pub fn cgroup(text: &str) -> Place {
    if text.len() > limits::PROC_BYTES.default_usize() {
        return Place::default();
    }
    let (mut places, mut is_user) = (Vec::new(), false);
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Place::default();
        };
        is_user |= path == USERS || path.strip_prefix(USERS).is_some_and(|rest| rest.starts_with('/'));
        let place = place(path);
        if place == Place::default() {
            continue;
        }
        if controllers == "name=systemd" {
            return place;
        }
        places.push(place);
    }
    let Some((first, others)) = places.split_first() else { return Place::default() };
    let agree = !is_user && others.iter().all(|other| other == first);
    if agree { first.clone() } else { Place::default() }
}

/// Reads one path.
fn place(path: &str) -> Place {
    // A control group that is gone, `…/name (deleted)`, holds nobody who asks.
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    let is_whole = !parts.iter().any(|part| matches!(*part, "" | "." | "..")) && !path.ends_with(" (deleted)");
    if !is_whole || parts.first() == Some(&"user.slice") {
        return Place::default();
    }
    let mut slice: Option<&str> = None;
    for part in &parts {
        let Some(name) = part.strip_suffix(".slice") else {
            return slice.map_or_else(|| without_slice(&parts), |slice| in_slice(slice, part));
        };
        if !is_slice_below(slice, name) {
            return Place::default();
        }
        slice = Some(name);
    }
    Place::default()
}

/// systemd names a slice by its whole way from the top: `a-b-c.slice` lies in `a-b.slice`, which lies in `a.slice`.
fn is_slice_below(parent: Option<&str>, name: &str) -> bool {
    let own = match parent {
        None => Some(name),
        Some(parent) => name.strip_prefix(parent).and_then(|rest| rest.strip_prefix('-')),
    };
    own.is_some_and(|own| !own.is_empty() && !own.contains('-'))
}

/// The layout that systemd makes, for itself and for runtimes that ask it (the `systemd` cgroup driver).
fn in_slice(slice: &str, part: &str) -> Place {
    let container = part.strip_suffix(".scope").and_then(container_of_scope);
    let pod = container.as_ref().and_then(|_| pod_of_slice(slice));
    Place { unit: unit(part), container, pod }
}

/// The name of a unit whose control group is this. A name that the kernel would take for a file of its own has one `_`
/// more in front (systemd, `cg_escape`).
fn unit(part: &str) -> Option<String> {
    let name = part.strip_prefix('_').unwrap_or(part);
    SystemdRule::new(name).is_ok().then(|| name.to_owned())
}

/// `docker-ID`, `cri-containerd-ID`, `nerdctl-ID`, `crio-ID`, `libpod-ID`. Helpers such as `crio-conmon-ID` are outside.
fn container_of_scope(name: &str) -> Option<Container> {
    let (prefix, id) = name.rsplit_once('-')?;
    let runtime = match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        "libpod" => Runtime::Podman,
        _ => return None,
    };
    is_container_id(id).then(|| Container { runtime, id: id.to_owned() })
}

/// `kubepods[-besteffort|-burstable]-podUID`, the uid with `_` for `-`. A kubelet that runs in a container itself has
/// `kubelet-` in front.
fn pod_of_slice(slice: &str) -> Option<String> {
    let rest = slice.strip_prefix("kubelet-").unwrap_or(slice).strip_prefix("kubepods-")?;
    let rest = rest.strip_prefix("besteffort-").or_else(|| rest.strip_prefix("burstable-")).unwrap_or(rest);
    let uid = rest.strip_prefix("pod")?.replace('_', "-");
    is_pod_uid(&uid).then_some(uid)
}

/// The layouts of runtimes that make control groups themselves (the `cgroupfs` driver), and units at the top.
fn without_slice(parts: &[&str]) -> Place {
    let of = |runtime, id: &str| Container { runtime, id: id.to_owned() };
    match parts {
        ["docker", id, ..] if is_container_id(id) => {
            Place { container: Some(of(Runtime::Docker, id)), ..Place::default() }
        }
        ["libpod_parent", name, ..] => match name.strip_prefix("libpod-") {
            Some(id) if is_container_id(id) => Place { container: Some(of(Runtime::Podman, id)), ..Place::default() },
            _ => Place::default(),
        },
        ["kubelet", "kubepods", rest @ ..] | ["kubepods", rest @ ..] => in_kubepods(rest),
        [top, ..] => Place { unit: unit(top), ..Place::default() },
        [] => Place::default(),
    }
}

/// `[besteffort|burstable/]podUID/ID`. Which runtime made the container does not show, unless it is CRI-O.
fn in_kubepods(parts: &[&str]) -> Place {
    let rest = match parts {
        ["besteffort" | "burstable", rest @ ..] => rest,
        _ => parts,
    };
    let [pod, container, ..] = rest else { return Place::default() };
    let Some(uid) = pod.strip_prefix("pod").filter(|uid| is_pod_uid(uid)) else { return Place::default() };
    let by_crio = container.strip_prefix("crio-").filter(|id| is_container_id(id));
    if by_crio.is_none() && !is_container_id(container) {
        return Place::default();
    }
    let container = by_crio.map(|id| Container { runtime: Runtime::CriO, id: id.to_owned() });
    Place { unit: None, container, pod: Some(uid.to_owned()) }
}

#[cfg(test)]
mod tests;
