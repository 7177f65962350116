//! Paths as runtimes make them, and as those who would like to be somebody else make them.

use proptest::prelude::*;

use super::*;

const POD: &str = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";
const STATIC_POD: &str = "d6a8f0c2b6f14c8a9f3f0a1b2c3d4e5f";

fn id() -> String {
    "ab12".repeat(16)
}

/// `text` with `ID` and `POD` filled in, as the one line of a machine with one hierarchy.
fn at(text: &str) -> Place {
    let text = text.replace("ID", &id()).replace("POD_", &POD.replace('-', "_")).replace("POD", POD);
    cgroup(&format!("0::{text}\n"))
}

fn unit_of(name: &str) -> Place {
    Place { unit: Some(name.replace("ID", &id())), ..Place::default() }
}

fn container(runtime: Runtime) -> Option<Container> {
    Some(Container { runtime, id: id() })
}

#[test]
fn services_and_scopes_of_the_system_are_units() {
    assert_eq!(at("/system.slice/payments.service"), unit_of("payments.service"));
    assert_eq!(at("/system.slice/system-getty.slice/getty@tty1.service"), unit_of("getty@tty1.service"));
    assert_eq!(at("/acme.slice/acme-pay.slice/acme-pay-eu.slice/web.service"), unit_of("web.service"));
    assert_eq!(at("/init.scope"), unit_of("init.scope"));
    assert_eq!(at("/system.slice/_memory.service"), unit_of("memory.service"));
    assert_eq!(at(r"/system.slice/systemd\x2dfoo.service"), unit_of(r"systemd\x2dfoo.service"));
}

#[test]
fn nothing_below_a_unit_counts() {
    let web = unit_of("web.service");
    for below in ["other.service", "docker-ID.scope", "system.slice/payments.service", "kubepods/podPOD/ID", "a/b/c"] {
        assert_eq!(at(&format!("/system.slice/web.service/{below}")), web, "{below}");
    }
    // podman's `--cgroups=split`: the container belongs to whoever has the unit
    assert_eq!(at("/system.slice/web.service/libpod-payload-ID"), web);
    let nested = at("/system.slice/docker-ID.scope/user.slice/user-0.slice/payments.service");
    assert_eq!(nested.unit, unit_of("docker-ID.scope").unit);
}

#[test]
fn a_user_s_own_tree_gives_nothing() {
    for path in [
        "/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service",
        "/user.slice/user-1000.slice/user@1000.service/system.slice/payments.service",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/docker-ID.scope",
        "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope",
    ] {
        assert_eq!(at(path), Place::default(), "{path}");
    }
}

#[test]
fn containers_by_systemd_s_layout() {
    for (path, runtime) in [
        ("/system.slice/docker-ID.scope", Runtime::Docker),
        ("/acme.slice/docker-ID.scope", Runtime::Docker),
        ("/system.slice/nerdctl-ID.scope", Runtime::Containerd),
        ("/machine.slice/libpod-ID.scope/container", Runtime::Podman),
        ("/system.slice/docker-ID.scope/docker/ID", Runtime::Docker),
    ] {
        let found = at(path);
        assert_eq!((found.container, found.pod), (container(runtime), None), "{path}");
    }
    for path in ["/system.slice/docker-ab12.scope", "/system.slice/docker-ID.service", "/system.slice/dock-ID.scope"] {
        assert_eq!(at(path).container, None, "{path}");
    }
}

#[test]
fn containers_by_their_own_layout() {
    for (path, runtime) in [
        ("/docker/ID", Runtime::Docker),
        ("/docker/ID/kubepods/podPOD/ID", Runtime::Docker),
        ("/libpod_parent/libpod-ID", Runtime::Podman),
    ] {
        assert_eq!(at(path), Place { container: container(runtime), ..Place::default() }, "{path}");
    }
    for path in [
        "/lxc/ID",
        "/docker",
        "/docker/ab12",
        "/libpod_parent/ID",
        "/web/docker/ID",
        "/lxc.payload.x/system.slice/a.service",
    ] {
        assert_eq!(at(path), Place::default(), "{path}");
    }
}

#[test]
fn pods_by_systemd_s_layout() {
    for path in [
        "/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope/child",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
    ] {
        let found = at(path);
        assert_eq!((found.container, found.pod.as_deref()), (container(Runtime::Containerd), Some(POD)), "{path}");
    }
    let crio = at("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope/container");
    assert_eq!((crio.container, crio.pod.as_deref()), (container(Runtime::CriO), Some(POD)));
    let fixed = cgroup(&format!("0::/kubepods.slice/kubepods-pod{STATIC_POD}.slice/crio-{}.scope", id()));
    assert_eq!(fixed.pod.as_deref(), Some(STATIC_POD));
    for path in [
        // a helper of the runtime, outside the container
        "/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
        "/kubepods.slice/kubepods-podPOD_.slice",
        "/kubepods.slice/kubepods-podPOD.slice/cri-containerd-ID.scope",
        // slices that do not lie in each other
        "/system.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope",
        "/kubepods-podPOD_.slice/cri-containerd-ID.scope",
        "/acme.slice/acme-kubepods.slice/acme-kubepods-podPOD_.slice/cri-containerd-ID.scope",
    ] {
        assert_eq!(at(path).pod, None, "{path}");
    }
}

#[test]
fn pods_by_their_own_layout() {
    for path in ["/kubepods/podPOD/ID", "/kubepods/burstable/podPOD/ID/x", "/kubelet/kubepods/besteffort/podPOD/ID"] {
        assert_eq!(at(path), Place { pod: Some(POD.into()), ..Place::default() }, "{path}");
    }
    let crio = at("/kubepods/podPOD/crio-ID");
    assert_eq!((crio.container, crio.pod.as_deref()), (container(Runtime::CriO), Some(POD)));
    for path in [
        "/kubepods/podPOD",
        "/kubepods/podX/ID",
        "/kubepods/other/podPOD/ID",
        "/x/kubepods/podPOD/ID",
        "/kubepods/podPOD/x",
    ] {
        assert_eq!(at(path).pod, None, "{path}");
    }
}

#[test]
fn systemd_s_hierarchy_counts_before_others_and_others_must_agree() {
    let docker = Place { container: container(Runtime::Docker), ..Place::default() };
    let lines = |lines: &[&str]| cgroup(&lines.join("\n").replace("ID", &id()));
    let hybrid = ["12:pids:/docker/ID", "1:name=systemd:/docker/ID", "0::/system.slice/containerd.service"];
    assert_eq!(lines(&hybrid), docker);
    assert_eq!(lines(&["3:cpu,cpuacct:/docker/ID", "2:rdma:/", "1:cpuset:/docker/ID"]), docker);
    assert_eq!(lines(&["3:cpu:/docker/ID", "2:pids:/system.slice/a.service"]), Place::default());
    assert_eq!(lines(&["1:name=systemd:/", "0::/docker/ID"]), docker);
    // whoever is in a session of a user is there, whatever another hierarchy is called
    for session in ["0::/user.slice/user-7.slice/session-3.scope", "1:name=systemd:/user.slice"] {
        assert_eq!(lines(&["3:cpu:/docker/ID", session]), Place::default(), "{session}");
        assert_eq!(lines(&[session, "3:cpu:/system.slice/a.service"]), Place::default(), "{session}");
    }
    assert_eq!(lines(&["1:name=systemd:/docker/ID", "0::/user.slice/user-0.slice/session-1.scope"]), docker);
    assert_eq!(lines(&["12:pids:/system.slice", "1:name=systemd:/system.slice/a.service"]), unit_of("a.service"));
}

#[test]
fn what_is_no_path_from_the_top_gives_nothing() {
    for path in [
        "/",
        "",
        "x",
        "/../../system.slice/a.service",
        "/system.slice/../a.service",
        "//system.slice/a.service",
        "/system.slice/a.service (deleted)",
        "/system.slice/",
        "/.slice/a.service",
        "/-.slice/a.service",
        "/system.slice/a b.service",
        "/system.slice/.service",
        "/system.slice/a.socket",
    ] {
        assert_eq!(at(path), Place::default(), "{path}");
    }
    for text in ["", "0", "0:", "garbage\n0::/system.slice/a.service", "\u{0}"] {
        assert_eq!(cgroup(text), Place::default(), "{text:?}");
    }
    assert_eq!(cgroup(&format!("0::/system.slice/a.service/{}", "x/".repeat(600_000))), Place::default());
}

proptest! {
    /// Whoever owns the tree below a unit or a container is what that is, whatever it calls what it makes there.
    #[test]
    fn no_name_below_a_unit_or_container_changes_what_is_known(
        tail in "([a-zA-Z0-9@._:-]{1,80}(\\.slice|\\.service|\\.scope)?/?){0,6}",
    ) {
        for path in [
            "/system.slice/web.service",
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/kubepods/burstable/podPOD/ID",
            "/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope",
        ] {
            let (above, below) = (at(path), at(&format!("{path}/{tail}")));
            prop_assert!(below == above || below == Place::default(), "{path}/{tail}: {below:?}");
        }
        let user = at(&format!("/user.slice/{tail}"));
        prop_assert_eq!(user, Place::default());
    }

    /// Noise of any kind gives facts of the right shape or none.
    #[test]
    fn noise_gives_nothing_that_has_no_shape(text in "([0-9]{1,2}:[a-z=,]{0,8}:/)?[a-z0-9./:_\n-]{0,200}") {
        let Place { unit, container, pod } = cgroup(&text);
        prop_assert!(unit.is_none_or(|unit| SystemdRule::new(&unit).is_ok()));
        prop_assert!(container.is_none_or(|container| is_container_id(&container.id)));
        prop_assert!(pod.is_none_or(|pod| is_pod_uid(&pod)));
    }
}
