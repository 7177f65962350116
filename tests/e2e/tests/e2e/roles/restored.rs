//! Control that was restored from yesterday's copy of its data.

use super::*;

#[test]
fn control_from_yesterdays_backup_forgets_no_revocation_and_publishes_above_its_fleet() {
    let upstream = Upstream::start(echo);
    let (mut fleet, identity) = one_proxy(&upstream);
    fleet.stop_control();
    let (data, backup) = (fleet.data("control"), fleet.root().join("backup"));
    let copied = std::process::Command::new("cp").arg("-a").args([&data, &backup]).status().unwrap();
    assert!(copied.success());
    fleet.start_control();
    fleet.until_current("edge-1");
    edit(&fleet.dir(), "countersign.yaml", "risk_unknown: 20", "risk_unknown: 23");
    fleet.done(["publish", "dir"]);
    fleet.done(["revoke", CALLER, "--reason", "taken over"]);
    fleet.until_current("edge-1");
    let before = fleet.peer("edge-1").unwrap();
    fleet.kill_control();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();
    fleet.start_control();
    wait_until("control to have learnt of the revocation", || {
        fleet.run(["subjects"]).stdout.contains("spiffe://alpha.e2e.internal/caller")
    });
    let after = fleet.peer("edge-1").unwrap();
    assert_eq!(after["revision"], before["revision"], "nothing older became current");
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1"), (403, "signals.revoked".to_owned()));
    let told = fleet.run(["doctor"]);
    assert!(told.stdout.contains("older"), "{}", told.stdout);
    fleet.done(["publish", "dir", "--why", "after the restore"]);
    wait_until("the fleet to run it", || {
        fleet.peer("edge-1").is_some_and(|peer| {
            peer["publications_behind"] == 0 && peer["publication"].as_u64() > before["publication"].as_u64()
        })
    });
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 403);
    fleet.done(["restore", CALLER]);
    wait_until("it to be allowed again", || fleet.ask("edge-1", &identity, API, "/items/1").0 == 200);
}

#[test]
fn clocks_an_hour_apart_are_told_and_nothing_that_was_revoked_comes_back() {
    let Some(library) = faketime() else { return };
    let upstream = Upstream::start(echo);
    for offset in ["+1h", "-1h"] {
        let mut fleet = Fleet::start(&upstream);
        fleet.invite_proxy("edge-1");
        fleet.set_environment("edge-1", [("LD_PRELOAD", library), ("FAKETIME", offset)]);
        fleet.start_peer("proxy", "edge-1");
        fleet.until_current("edge-1");
        let ahead = fleet.peer("edge-1").unwrap()["clock_ahead_millis"].as_i64().unwrap();
        assert!((3_500_000..3_700_000).contains(&ahead.abs()) && (ahead > 0) == (offset == "+1h"), "{offset}: {ahead}");
        assert!(fleet.run(["doctor"]).stdout.contains("clock"), "doctor says it");
        let revoked = fleet.done(["revoke", CALLER, "--reason", "taken over"]);
        assert!(revoked.contains("in force at the one enforcer"), "{revoked}");
        let identity = fleet.identity_around(CALLER, now(), Duration::from_secs(7_200));
        assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1"), (403, "signals.revoked".to_owned()), "{offset}");
        fleet.kill_peer("edge-1");
        fleet.start_peer("proxy", "edge-1");
        wait_until("it to answer", || fleet.ask("edge-1", &identity, API, "/items/1").0 != 0);
        assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 403, "{offset}");
    }
}

/// libfaketime of Debian, where it is installed.
pub fn faketime() -> Option<&'static str> {
    const PLACES: [&str; 2] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let found = PLACES.into_iter().find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        countersign_e2e::say("skipped: clocks an hour apart, for libfaketime is not installed");
    }
    found
}
