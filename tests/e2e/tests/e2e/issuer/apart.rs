//! Clocks and absences: control gone for longer than a certificate lives, a fleet that slept three days, a clock that is an
//! hour off. Time is moved by libfaketime.

use super::*;

/// A clock of some processes that a test moves; `None` where libfaketime is not installed.
struct Moved {
    file: PathBuf,
    library: &'static str,
}

impl Moved {
    fn new(folder: &Path) -> Option<Self> {
        let this = Self { file: folder.join("clock"), library: crate::roles::faketime()? };
        this.to("+0");
        Some(this)
    }

    /// Moves it, in libfaketime's words.
    fn to(&self, offset: &str) {
        std::fs::write(&self.file, offset).unwrap();
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // a machine that slept: the time of day has moved, and nothing else
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// A fleet of which every process has the moved clock. Its proxies go on for hours without control, so that it is
/// certificates that end first.
fn moved(upstream: &Upstream) -> Option<(Fleet, Moved)> {
    let mut fleet = Fleet::begin(upstream, |dir| {
        placed(dir, "1h");
        let patient = "when_stale: { after: 9h, then: deny }\n  signals_stale: { after: 9h, then: deny }";
        edit(dir, "countersign.yaml", "defaults:\n", &format!("defaults:\n  {patient}\n"));
    });
    let clock = Moved::new(fleet.root())?;
    for name in ["control", "edge-1", NODE] {
        fleet.set_environment(name, clock.environment());
    }
    fleet.start_control();
    fleet.join_proxy("edge-1");
    fleet.invite_agent(NODE, "pool-b");
    fleet.start_peer("agent", NODE);
    wait_for("an identity", || fetched_at(&fleet, &clock, "first"));
    Some((fleet, clock))
}

#[test]
fn control_gone_for_longer_than_a_certificate_lives_is_told_and_recovered_from() {
    let upstream = Upstream::start(echo);
    let Some((mut fleet, clock)) = moved(&upstream) else { return };
    let calling = Calling::start(&fleet, "edge-1", &clock.environment());
    let budget = fleet.json(&["identity", "budget", "--json"]);
    assert!(!budget.is_empty(), "{budget:#?}");
    fleet.kill_control();
    clock.to("+40m");
    calling.until_it_goes_well(40);
    assert!(calling.of("failed").is_empty(), "past its half-life it is still good: {:#?}", calling.of("failed"));
    clock.to("+65m");
    wait_within(Duration::from_secs(60), "the caller to be told", || {
        (!calling.of("lost").is_empty() || !calling.of("failed").is_empty()).then_some(())
    });
    wait_until("nothing to be issued", || fetched_at(&fleet, &clock, "gone").is_none());
    fleet.start_control();
    fleet.until_current("edge-1");
    wait_within(Duration::from_secs(90), "an identity again", || fetched_at(&fleet, &clock, "back"));
    calling.until_it_goes_well(40);
}

#[test]
fn a_fleet_that_slept_three_days_recovers_by_being_started_and_by_waking_up() {
    let upstream = Upstream::start(echo);
    let Some((mut fleet, clock)) = moved(&upstream) else { return };
    let calling = Calling::start(&fleet, "edge-1", &clock.environment());
    drop(calling);
    fleet.stop_peer(NODE);
    fleet.stop_peer("edge-1");
    fleet.stop_control();
    clock.to("+3d");
    // in the order in which machines come up: control last
    fleet.spawn_peer("proxy", "edge-1");
    fleet.spawn_peer("agent", NODE);
    fleet.start_control();
    fleet.until_current("edge-1");
    let calling = Calling::start(&fleet, "edge-1", &clock.environment());
    calling.until_it_goes_well(40);
    // once more, of machines that are suspended and go on as if nothing had been: no timer of theirs has heard of it
    clock.to("+6d");
    calling.until_it_goes_well(40);
}

#[test]
fn an_agent_whose_clock_is_an_hour_off_goes_on_and_is_reported() {
    let upstream = Upstream::start(echo);
    for offset in ["+1h", "-1h"] {
        let mut fleet = Fleet::start_with(&upstream, |dir| placed(dir, "3h"));
        let Some(clock) = Moved::new(fleet.root()) else { return };
        clock.to(offset);
        fleet.invite_agent(NODE, "pool-b");
        fleet.set_environment(NODE, clock.environment());
        fleet.start_peer("agent", NODE);
        let identity = wait_for("an identity", || fetched(&fleet, "apart"));
        fleet.join_proxy("edge-1");
        assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 200, "{offset}: by the clocks of the others");
        let told = fleet.run(["doctor"]);
        assert!(told.stdout.contains("clock") && told.stdout.contains(NODE), "{offset}: {}", told.stdout);
    }
}

/// As [`fetched`], by a workload with the moved clock.
fn fetched_at(fleet: &Fleet, clock: &Moved, name: &str) -> Option<()> {
    let folder = fleet.root().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = on_node(fleet, &["1", &folder.display().to_string()]);
    let output = command.envs(clock.environment()).output().unwrap();
    output.status.success().then_some(())
}
