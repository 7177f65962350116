//! Units, containers and pods, in control groups of the kernel. Needs root, and a machine that systemd does not manage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::RealClock;
use types::attest::{AttestParts, CgroupRule, Runtime, SystemdRule};

use super::fake::{Fake, ID, Running, own_uid, rule};
use super::process::{DENIED, Helper};

const POD: &str = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";

/// A control group that is removed in the end, with those that were made for it.
struct Group {
    root: PathBuf,
    path: PathBuf,
}

impl Group {
    fn make(below: &str) -> Option<Self> {
        let init = fs::read_to_string("/proc/1/comm").unwrap_or_default();
        if own_uid() != 0 || init.trim() == "systemd" {
            return None;
        }
        let roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists())?;
        let group = Self { path: root.join(below), root };
        fs::create_dir_all(&group.path).ok()?;
        Some(group)
    }

    fn take(&self, helper: &Helper) {
        fs::write(self.path.join("cgroup.procs"), helper.0.id().to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut path: &Path = &self.path;
        while path != self.root && fs::remove_dir(path).is_ok() {
            let Some(parent) = path.parent() else { return };
            path = parent;
        }
    }
}

/// What a process in a control group gets by a rule.
async fn outcome(below: &str, parts: AttestParts) -> Option<String> {
    let group = Group::make(below)?;
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fake.recognise(rule(parts));
    let helper = Helper::program(&std::env::current_exe().unwrap(), &agent.socket);
    group.take(&helper);
    let outcome = helper.finish().await;
    agent.stop().await;
    Some(outcome)
}

fn unit(name: &str) -> AttestParts {
    AttestParts { systemd: Some(SystemdRule::new(name).unwrap()), ..AttestParts::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_process_is_known_by_its_unit_and_not_by_a_name_below_it() {
    let web = "countersigntest.slice/countersigntest-web.service";
    let Some(known) = outcome(web, unit("countersigntest-web.service")).await else {
        eprintln!(
            "skipped: wa_7_a_process_is_known_by_its_unit_and_not_by_a_name_below_it (no control groups to be had)"
        );
        return;
    };
    assert_eq!(known, format!("got {ID}"));
    let forged = format!("{web}/payments.service");
    assert_eq!(outcome(&forged, unit("payments.service")).await.unwrap(), DENIED);
    assert_eq!(outcome(&forged, unit("countersigntest-web.service")).await.unwrap(), format!("got {ID}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_process_is_known_by_its_container_and_pod_and_not_by_those_of_others() {
    let id = "ab12".repeat(16);
    let slice = format!("kubepods.slice/kubepods-pod{}.slice", POD.replace('-', "_"));
    let path = format!("{slice}/cri-containerd-{id}.scope");
    let rule = |runtime, container, pod| AttestParts {
        cgroup: Some(CgroupRule::new(runtime, container, pod).unwrap()),
        ..AttestParts::default()
    };
    let whole = rule(Some(Runtime::Containerd), Some(id.as_str()), Some(POD));
    let Some(known) = outcome(&path, whole).await else {
        eprintln!("skipped: wa_7_a_process_is_known_by_its_container_and_pod_and_not_by_those_of_others (as above)");
        return;
    };
    assert_eq!(known, format!("got {ID}"));
    assert_eq!(outcome(&path, rule(Some(Runtime::Docker), None, None)).await.unwrap(), DENIED);
    let forged = format!("countersigntest.slice/countersigntest-web.service/{path}");
    assert_eq!(outcome(&forged, rule(None, None, Some(POD))).await.unwrap(), DENIED);
}
