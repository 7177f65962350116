//! `demo`, as somebody meets it who has just built the program.

use std::process::{Command, Output};
use std::time::Instant;

use crate::running::{Place, Up, eventually};

/// What it says when it is up.
const UP: &str = "Ctrl-C stops and removes all.";

fn start(place: &Place) -> Up {
    Up::start(&mut place.command(&["demo"]), UP)
}

/// Runs a line as it was printed.
fn paste(place: &Place, line: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(place.path("")).env("XDG_STATE_HOME", place.path("state"));
    shell.env_remove("COUNTERSIGN_DATA");
    shell.output().unwrap()
}

/// The lines that are there to be pasted, in their order.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("  ")).collect()
}

/// Processes that run a program below a directory.
fn processes_below(place: &Place) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let programs = entries.filter_map(|entry| std::fs::read_link(entry.path().join("exe")).ok());
    programs.filter(|program| program.starts_with(place.path(""))).count()
}

fn nothing_is_left(place: &Place) {
    assert!(!place.path("state/countersign/demo").exists());
    eventually("its processes have ended", || processes_below(place) == 0);
}

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn the_three_calls_work_as_printed_and_nothing_stays_behind() {
    let place = Place::new();
    let begun = Instant::now();
    let mut demo = start(&place);
    eventually("a first decision", || demo.output().contains("  allow  "));
    let first = begun.elapsed();
    assert!(first.as_secs() < 20, "the first decision took {first:?}; on an idle machine it is 2 s");
    let printed = lines(&demo.said);
    assert_eq!(printed.len(), 4, "the console and three calls: {}", demo.said);
    assert!(printed[0].starts_with("http://127.0.0.1:") && printed[0].contains("/login"), "{}", printed[0]);
    let allowed = paste(&place, printed[1]);
    assert!(allowed.status.success(), "{}: {allowed:?}", printed[1]);
    assert!(String::from_utf8_lossy(&allowed.stdout).starts_with("201 Created\n"), "{allowed:?}");
    let refused = paste(&place, printed[2]);
    assert_eq!(refused.status.code(), Some(1), "{}: {refused:?}", printed[2]);
    let unidentified = paste(&place, printed[3]);
    assert!(!unidentified.status.success() && unidentified.stdout.is_empty(), "{}: {unidentified:?}", printed[3]);
    // before anybody is taken over, these two are the only refusals there are
    let denied = place.run(&["decisions", "--outcome", "deny", "--json"]).json();
    let reasons = denied.iter().map(|line| line["reason"].as_str().unwrap());
    // a machine that is busy with other tests may be slow at handshakes
    let reasons: Vec<&str> = reasons.filter(|reason| *reason != "accept.timeout").collect();
    assert_eq!(reasons, ["policy.forbidden", "identity.missing"]);
    let second = place.run(&["demo"]);
    assert_eq!(second.code, 2);
    assert!(second.err.contains("a demo is running already"), "{}", second.err);
    assert!(processes_below(&place) > 20, "services and callers are processes of their own");
    demo.signal("INT");
    assert_eq!(demo.ended().code(), Some(0));
    nothing_is_left(&place);
}

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn the_intruder_is_refused_explained_revoked_and_restored_by_pasting() {
    let place = Place::new();
    let mut demo = start(&place);
    eventually("a would-deny", || demo.output().contains("  would-deny  "));
    eventually("the takeover", || demo.output().contains("── platform/ci is taken over"));
    eventually("advice", || demo.output().contains("── what now"));
    let said = demo.output();
    let (_, taken_over) = said.split_once("── platform/ci is taken over").unwrap();
    let (attempts, advice) = taken_over.split_once("── what now").unwrap();
    let refused: Vec<&str> = attempts.lines().filter(|line| line.contains("  DENY  ")).collect();
    assert!(refused.len() >= 16, "{attempts}");
    for reason in ["consent.", "policy.no-permit", "route.unlisted", "parse.", "identity.", "accept.server-name"] {
        assert!(refused.iter().any(|line| line.contains(reason)), "{reason}: {attempts}");
    }
    let printed = lines(advice);
    assert_eq!(printed.len(), 5, "{advice}");
    let explained = String::from_utf8(paste(&place, printed[0]).stdout).unwrap();
    assert!(explained.contains("platform/ci") && explained.contains("GET /salaries/{id}"), "{explained}");
    assert!(paste(&place, printed[1]).status.success(), "{}", printed[1]);
    eventually("it is revoked", || demo.output().contains("── platform/ci is revoked"));
    let after = demo.output().split_once("── platform/ci is revoked").unwrap().1.to_owned();
    assert!(after.contains("  403  signals.revoked "), "{after}");
    assert!(paste(&place, printed[2]).status.success(), "{}", printed[2]);
    eventually("it is trusted again", || demo.output().contains("── platform/ci is trusted again"));
    let would = String::from_utf8(paste(&place, printed[3]).stdout).unwrap();
    assert!(would.lines().all(|line| line.contains("would-deny")) && !would.is_empty(), "{would}");
    let link = String::from_utf8(paste(&place, printed[4]).stdout).unwrap();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    // whoever closes the terminal stops it, too
    demo.signal("HUP");
    assert_eq!(demo.ended().code(), Some(0));
    nothing_is_left(&place);
}

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn a_killed_demo_leaves_no_process_and_does_not_keep_the_next_from_starting() {
    let place = Place::new();
    let mut demo = start(&place);
    demo.signal("KILL");
    assert_eq!(demo.ended().code(), None);
    assert!(place.path("state/countersign/demo").exists(), "nobody was left to remove it");
    eventually("its processes have ended", || processes_below(&place) == 0);
    let mut demo = start(&place);
    demo.signal("TERM");
    assert_eq!(demo.ended().code(), Some(0));
    nothing_is_left(&place);
}

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn two_demos_that_start_together_run_side_by_side() {
    let places = [Place::new(), Place::new()];
    let demos: Vec<Up> = std::thread::scope(|scope| {
        let starting: Vec<_> = places.iter().map(|place| scope.spawn(|| start(place))).collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for demo in &demos {
        eventually("a decision", || demo.output().contains("  allow  "));
    }
    for (mut demo, place) in demos.into_iter().zip(&places) {
        demo.signal("INT");
        assert_eq!(demo.ended().code(), Some(0));
        nothing_is_left(place);
    }
}

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn without_a_home_it_runs_among_the_temporary_files_and_names_its_data() {
    let place = Place::new();
    std::fs::create_dir(place.path("tmp")).unwrap();
    let mut command = place.command(&["demo"]);
    command.env_remove("XDG_STATE_HOME").env("HOME", place.path("nonexistent")).env("TMPDIR", place.path("tmp"));
    let mut demo = Up::start(&mut command, UP);
    let allowed = paste(&place, lines(&demo.said)[1]);
    assert!(allowed.status.success(), "{}: {allowed:?}", demo.said);
    demo.signal("INT");
    assert_eq!(demo.ended().code(), Some(0));
    assert_eq!(std::fs::read_dir(place.path("tmp")).unwrap().count(), 0, "nothing stays");
    nothing_is_left(&place);
}
