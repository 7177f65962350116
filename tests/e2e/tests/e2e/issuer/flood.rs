//! More than anybody needs at once: a storm of workloads, a flood of one, ten thousand streams of one caller, a disk that is
//! full.

use super::*;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_e2e::Ended;

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

/// The user whom every system has for those who may nothing.
const NOBODY: u32 = 65534;

/// Programs of a flood, and how many of them run at a time.
const FLOOD: usize = 1500;
const AT_A_TIME: usize = 20;

#[test]
fn an_issuance_flood_is_held_to_what_one_workload_may_have_and_costs_nobody_else_anything() {
    let upstream = Upstream::start(echo);
    // whatever has this content is the workload `many`, and each program that has it wants a certificate of its own
    let content = [std::fs::read(workload()).unwrap(), b"flood".to_vec()].concat();
    let digest = digest(&SHA256, &content);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut fleet = Fleet::start_with(&upstream, |dir| {
        placed(dir, "1h");
        let many =
            format!("  many: {{ runs_on: [pool-b], attest: {{ any: [{{ unix: {{ sha256: {digest} }} }}] }} }}\n");
        edit(dir, "domains/alpha/domain.yaml", "workloads:\n", &format!("workloads:\n{many}"));
    });
    fleet.invite_agent(NODE, "pool-b");
    fleet.start_peer("agent", NODE);
    wait_for("an identity", || fetched(&fleet, "first"));
    let first = fleet.root().join("program");
    std::fs::write(&first, content).unwrap();
    std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o700)).unwrap();
    // all at once: another link is a change of the file, which is then hashed anew
    for number in 0..FLOOD {
        std::fs::hard_link(&first, fleet.root().join(format!("flood-{number}"))).unwrap();
    }
    let begun = std::time::Instant::now();
    let (mut issued, mut refused) = (0, None);
    for batch in 0..FLOOD / AT_A_TIME {
        let ended = flood(&fleet, batch);
        issued += ended.iter().filter(|ended| ended.code == Some(0)).count();
        // the agent's own bound on calls of one user is another matter
        refused = ended.into_iter().find(|ended| ended.code != Some(0) && !ended.stderr.contains("ResourceExhausted"));
        if refused.is_some() {
            break;
        }
    }
    let (refused, took) = (refused.expect("an end of it"), begun.elapsed());
    assert!(refused.stderr.contains("Unavailable") && refused.stderr.contains("too many"), "{refused:#?}");
    let most = 600 + 10 * (usize::try_from(took.as_secs()).unwrap() + 1);
    assert!((600..=most).contains(&issued), "`issuance_workload` in a minute and what came back meanwhile: {issued}");
    assert!(fetched(&fleet, "beside").is_some(), "another workload of the same node");
    say(&format!("{issued} certificates in {took:?}, and no more"));
    let log = countersign_e2e::read_log(&fleet.data("control"));
    let of_many = |record: &&countersign_e2e::Logged| record.kind == 4 && record.text(9).ends_with("/many");
    let (good, bad): (Vec<_>, Vec<_>) = log.iter().filter(of_many).partition(|record| record.bytes(2) == [1]);
    assert_eq!(good.len(), issued, "each is on record");
    assert!(bad.iter().any(|record| record.text(4).contains("issuance_workload")), "and why no more were: {bad:#?}");
}

/// So many programs of one content, each at a path of its own.
fn flood(fleet: &Fleet, batch: usize) -> Vec<Ended> {
    let start = |number: usize| {
        let mut command = Command::new(fleet.root().join(format!("flood-{number}")));
        command.args(["1", &fleet.root().display().to_string()]);
        command.env("SPIFFE_ENDPOINT_SOCKET", socket(&fleet.data(NODE)));
        Process::start(command, fleet.root(), &format!("flood-{number}"))
    };
    let started: Vec<Process> = (batch * AT_A_TIME..(batch + 1) * AT_A_TIME).map(start).collect();
    started.into_iter().map(Process::wait).collect()
}

/// The tests' own workload as the user whom every system has, who may not reach every folder that the tests are built in.
fn as_nobody(fleet: &Fleet, arguments: &[&str]) -> Command {
    let program = fleet.root().join("another");
    std::fs::copy(workload(), &program).unwrap();
    for (path, mode) in [(program.as_path(), 0o755), (fleet.root(), 0o711)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(program);
    command.args(arguments).env("SPIFFE_ENDPOINT_SOCKET", socket(&fleet.data(NODE))).current_dir(fleet.root());
    command.uid(NOBODY);
    command
}

#[test]
fn ten_thousand_streams_of_one_caller_are_bounded_and_cost_nobody_else_anything() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start_with(&upstream, |dir| {
        placed(dir, "1h");
        let another =
            format!("  another: {{ runs_on: [pool-b], attest: {{ any: [{{ unix: {{ uid: {NOBODY} }} }}] }} }}\n");
        edit(dir, "domains/alpha/domain.yaml", "workloads:\n", &format!("workloads:\n{another}"));
    });
    fleet.invite_agent(NODE, "pool-b");
    fleet.start_peer("agent", NODE);
    wait_for("an identity", || fetched(&fleet, "before"));
    let before = fleet.resident(NODE);
    // calls are counted by user: another one than that of the workloads beside, where the tests may
    let is_another = rustix::process::getuid().is_root();
    let command = if is_another {
        as_nobody(&fleet, &["flood", "10000"])
    } else {
        say("the caller is the same user as everybody else, for nobody else may be played here");
        on_node(&fleet, &["flood", "10000"])
    };
    let flood = Process::start(command, fleet.root(), "flood");
    let mut beside = 0;
    let told = wait_within(Duration::from_secs(120), "the flood to be over", || {
        let is_served = fetched(&fleet, "beside").is_some();
        assert!(is_served || !is_another, "a workload beside the flood gets its identity");
        beside += usize::from(is_served);
        serde_json::from_str::<Value>(flood.stdout().trim()).ok()
    });
    let opened = told["opened"].as_u64().unwrap();
    assert!((1..=64).contains(&opened), "`workload_streams` of one process: {told}");
    assert_eq!(told["refused"], serde_json::json!({ "Unavailable": 10_000 - opened }), "each with a status: {told}");
    let grown = fleet.resident(NODE).saturating_sub(before);
    assert!(grown < 32 << 10, "the agent grew by {grown} KiB: {told}");
    say(&format!("of 10000 streams: {told}; {beside} others were served beside; the agent grew by {grown} KiB"));
    drop(flood);
    wait_until("room again", || fetched(&fleet, "after").is_some());
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
    assert!(refused.stderr.contains("No space left on device"), "it says why: {refused:#?}");
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
