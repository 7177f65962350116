//! A disk that is full.

use std::path::Path;
use std::process::Command;

use super::*;

/// A small file system at a folder, for as long as this lives. `None` where only root may make one.
pub struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    pub fn mount(at: &'a Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0711");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_proxy_whose_disk_is_full_refuses_what_it_cannot_keep_and_goes_on() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start(&upstream);
    fleet.invite_proxy("edge-1");
    let data = fleet.data("edge-1");
    let Some(_disk) = SmallDisk::mount(&data, "320m") else {
        countersign_e2e::say("skipped: a full disk, for no file system may be mounted here");
        return;
    };
    fleet.start_peer("proxy", "edge-1");
    fleet.until_current("edge-1");
    let identity = fleet.identity(CALLER);
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 200);
    let filler = data.join("filler");
    let _ =
        Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display())).output().unwrap();
    edit(&fleet.dir(), "countersign.yaml", "risk_unknown: 20", "risk_unknown: 24");
    let before = fleet.peer("edge-1").unwrap();
    fleet.run(["publish", "dir"]);
    wait_until("control to hear that it cannot be kept", || {
        fleet.peer("edge-1").is_some_and(|peer| !peer["problem"].as_str().unwrap_or_default().is_empty())
    });
    assert_eq!(fleet.peer("edge-1").unwrap()["revision"], before["revision"], "what ran goes on");
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 200, "calls go on while the log has room");
    std::fs::remove_file(filler).unwrap();
    wait_within(Duration::from_secs(60), "it to run what is current", || {
        fleet.peer("edge-1").is_some_and(|peer| peer["publications_behind"] == 0).then_some(())
    });
    fleet.kill_peer("edge-1");
}
