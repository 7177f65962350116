//! `demo`, as somebody meets it who has just built the program.

use std::process::Command;

use crate::running::{Place, Up};

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the binary is built without the demo")]
fn the_three_calls_work_as_printed_and_nothing_stays_behind() {
    let place = Place::new();
    let mut demo = Up::start(&mut place.command(&["demo"]), "Ctrl-C stops and removes all.");
    let lines: Vec<&str> = demo.said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(lines.len(), 3, "{}", demo.said);
    let paste = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(place.path("")).env("XDG_STATE_HOME", place.path("state"));
        shell.env_remove("COUNTERSIGN_DATA");
        shell.output().unwrap()
    };
    let allowed = paste(lines[0]);
    assert!(allowed.status.success(), "{}: {allowed:?}", lines[0]);
    assert!(String::from_utf8_lossy(&allowed.stdout).starts_with("201 Created\n"), "{allowed:?}");
    let refused = paste(lines[1]);
    assert_eq!(refused.status.code(), Some(1), "{}: {refused:?}", lines[1]);
    let unidentified = paste(lines[2]);
    assert!(!unidentified.status.success() && unidentified.stdout.is_empty(), "{}: {unidentified:?}", lines[2]);
    let listed = place.run(&["decisions", "--json"]).json();
    let reasons: Vec<&str> = listed.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["", "policy.forbidden", "identity.missing"]);
    let second = place.run(&["demo"]);
    assert_eq!(second.code, 2);
    assert!(second.err.contains("a demo is running already"), "{}", second.err);
    demo.signal("INT");
    assert_eq!(demo.ended().code(), Some(0));
    assert!(!place.path("state/countersign/demo").exists());
}
