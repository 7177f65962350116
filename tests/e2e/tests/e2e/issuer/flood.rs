//! More than anybody needs at once: a storm of workloads, ten thousand streams of one caller, a disk that is full.

use super::*;

/// How many programs start at the same time; `COUNTERSIGN_STORM` overrides it.
const STORM: u32 = 60;

#[test]
fn a_storm_of_workloads_is_served_and_each_gets_its_own() {
    let count = crate::setting("COUNTERSIGN_STORM", STORM) as usize;
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    let lines: String = (0..count)
        .map(|number| {
            format!("  storm-{number}: {{ attest: {{ any: [{{ unix: {{ path: $DATA/bin/storm-{number} }} }}] }} }}\n")
        })
        .collect();
    site.edit("domains/alpha/domain.yaml", "workloads:\n", &format!("workloads:\n{lines}"));
    site.start();
    let started = std::time::Instant::now();
    let processes: Vec<(usize, Process)> = (0..count)
        .map(|number| {
            let program = crate::identity::install(&site, &format!("storm-{number}"));
            let folder = site.root().join(format!("storm-{number}"));
            std::fs::create_dir_all(&folder).unwrap();
            let mut command = Command::new(program);
            command.args(["1", &folder.display().to_string()]).env("SPIFFE_ENDPOINT_SOCKET", socket(&site.data()));
            (number, Process::start(command, site.root(), &format!("storm-{number}")))
        })
        .collect();
    for (number, process) in processes {
        let ended = process.wait();
        assert_eq!(ended.code, Some(0), "{number}: {ended:#?}");
        assert!(ended.stdout.contains(&format!("alpha.e2e.internal/storm-{number}\"")), "{number}: {ended:#?}");
    }
    say(&format!("{count} workloads had their identities after {:?}", started.elapsed()));
    // every one is on record: who, why, what was attested, its number and its end
    let log = countersign_e2e::read_log(&site.data());
    let issued: Vec<_> = log.iter().filter(|record| record.kind == 4 && record.bytes(2) == [1]).collect();
    for number in 0..count {
        let id = format!("spiffe://alpha.e2e.internal/storm-{number}");
        let record = issued.iter().find(|record| record.text(9) == id).expect("a record");
        assert!(record.text(27).contains(&format!("bin/storm-{number}")), "{record:?}");
        assert!(!record.text(10).is_empty() && record.bytes(13).len() == 8, "{record:?}");
    }
}

#[test]
fn ten_thousand_streams_of_one_caller_are_bounded_and_cost_nobody_else_anything() {
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1h");
    assert!(fetched(&fleet, "before").is_some());
    let agent = || memory(&fleet);
    let before = agent();
    let flood = Process::start(on_node(&fleet, &["flood", "10000"]), fleet.root(), "flood");
    let told = wait_within(Duration::from_secs(120), "the flood to be over", || {
        // everybody else is served meanwhile
        let beside = fetched(&fleet, "beside");
        assert!(beside.is_some(), "a workload beside the flood gets its identity");
        serde_json::from_str::<Value>(flood.stdout().trim()).ok()
    });
    let opened = told["opened"].as_u64().unwrap();
    let exhausted = told["refused"]["ResourceExhausted"].as_u64().unwrap_or(0);
    assert!((1..=64).contains(&opened), "`workload_streams` of one process: {told}");
    assert!(exhausted > 0 && told["refused"]["PermissionDenied"].is_null(), "{told}");
    let grown = agent().saturating_sub(before);
    assert!(grown < 64 << 10, "the agent grew by {grown} KiB: {told}");
    say(&format!("of 10000 streams: {told}; the agent grew by {grown} KiB"));
}

/// What the agent of the node holds in memory, in KiB.
fn memory(fleet: &Fleet) -> u64 {
    let listed = Command::new("pgrep").args(["-f", &format!("agent -c {NODE}.yaml")]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let root = fleet.root().canonicalize().unwrap();
    let is_ours = |pid: &&str| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == root);
    let pid = text.lines().find(is_ours).expect("the agent runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_issuer_whose_disk_is_full_takes_no_step_that_it_cannot_keep_and_goes_on_when_there_is_room() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    let data = site.data();
    let Some(disk) = crate::roles::SmallDisk::mount(&data, "420m") else {
        say("skipped: a full disk, for no file system may be mounted here");
        return;
    };
    site.edit("node.yaml", "max_size: 1GiB", "max_size: 256MiB");
    site.start();
    let program = crate::identity::install(&site, "e2e-workload");
    assert_eq!(crate::identity::run(&site, &program, 1).wait().code, Some(0));
    let filler = site.data().join("filler");
    let full = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())).output();
    assert!(!full.unwrap().status.success(), "the disk is full");
    let before = site.run(["identity", "bundle", "alpha", "--pem"]).stdout;
    let refused = site.run(["identity", "rotate-root", "alpha", "--no-wait"]);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(!refused.stderr.is_empty(), "it says why");
    assert_eq!(site.run(["identity", "bundle", "alpha", "--pem"]).stdout, before, "nothing has changed");
    let ended = crate::identity::run(&site, &program, 1).wait();
    let told = ended.code == Some(0) || ended.stderr.contains("Unavailable");
    assert!(told, "recorded and issued, or refused with a status: {ended:#?}");
    std::fs::remove_file(filler).unwrap();
    wait_until("the rotation to begin", || site.run(["identity", "rotate-root", "alpha", "--no-wait"]).code == Some(0));
    wait_until("another root in the bundle", || site.run(["identity", "bundle", "alpha", "--pem"]).stdout != before);
    site.kill();
    drop(disk);
}
