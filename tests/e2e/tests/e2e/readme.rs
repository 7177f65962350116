//! The documents' commands do what the documents say.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use countersign_e2e::{Process, Reader, alone, blocks, countersign, matches, transcripts, wait_until, wait_within};
use tempfile::TempDir;

/// The root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What the machinery is tried on.
const FIXTURE: &str = include_str!("../../fixtures/document.md");
/// How the block begins that runs all tests, these among them.
const ALL_TESTS: &str = "cargo xtask ci";
/// The command that builds the program before it runs it.
const FROM_SOURCE: &str = "cargo run --release -- demo";
/// The program as documents name it, once it is built.
pub(super) const BUILT: &str = "target/release/countersign";

/// A cold build on a small machine.
const BUILDING: Duration = Duration::from_secs(45 * 60);
/// Any other command.
pub(super) const RUNNING: Duration = Duration::from_secs(60);

/// Waits until a demo has printed its calls and answers.
pub(super) fn is_up(demo: &mut Process, state: &Path) {
    let socket = state.join("countersign/demo/admin.sock");
    wait_within(BUILDING, "the demo to be up", || {
        assert!(demo.ended().is_none(), "the demo ended:\n{}{}", demo.stdout(), demo.stderr());
        (UnixStream::connect(&socket).is_ok() && demo.stdout().contains("Ctrl-C")).then_some(())
    });
}

/// Runs every block of a document in order. `from_source` stands for the command that builds and runs the demo.
fn run(document: &str, folder: &Path, from_source: &str) {
    // two demos that start together may choose the same ports for their services
    let _alone = alone("demo");
    let state = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
    let mut reader = Reader::new(folder, state.path());
    let mut demo: Option<Process> = None;
    for block in blocks(document) {
        let place = format!("the block in line {}", block.line);
        match block.language.as_str() {
            "sh" if block.text.starts_with(ALL_TESTS) => {}
            "sh" if block.text.trim_end().ends_with(" demo") => {
                let text = block.text.replace(FROM_SOURCE, from_source);
                is_up(demo.insert(reader.start(&text)), state.path());
            }
            "sh" => {
                let ended = reader.run(&block.text, RUNNING);
                assert_eq!(ended.code, Some(0), "{place}: {ended:#?}");
            }
            "console" => {
                for told in transcripts(&block.text) {
                    let printed = reader.run(&told.command, RUNNING).stdout;
                    assert!(
                        matches(&told.output, &printed),
                        "{place}: `{}` prints\n{printed}\nand not\n{}",
                        told.command,
                        told.output
                    );
                }
            }
            _ => {}
        }
    }
    let mut demo = demo.expect("a document with a demo");
    demo.interrupt();
    let ended = wait_within(RUNNING, "the demo to end", || demo.ended());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!state.path().join("countersign/demo").exists(), "Ctrl-C leaves nothing behind");
}

/// A folder in which the program under test is found where documents name it.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
    fs::create_dir_all(folder.path().join("target/release")).unwrap();
    symlink(countersign(), folder.path().join(BUILT)).unwrap();
    symlink(Path::new(ROOT).join("examples"), folder.path().join("examples")).unwrap();
    folder
}

#[test]
fn the_machinery_runs_a_small_document() {
    run(FIXTURE, folder().path(), FROM_SOURCE);
}

#[test]
#[should_panic = "and not"]
fn the_machinery_sees_a_transcript_that_does_not_hold() {
    run(&FIXTURE.replace("200 OK", "201 Created"), folder().path(), FROM_SOURCE);
}

#[test]
fn the_readmes_commands_hold_for_the_program_under_test() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    run(&readme, folder().path(), &format!("{BUILT} demo"));
}

#[test]
fn the_readmes_commands_run_exactly_as_printed() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(readme.contains(FROM_SOURCE), "the first command is the one that needs nothing else");
    run(&readme, Path::new(ROOT), FROM_SOURCE);
}

#[test]
fn the_demos_three_calls_end_as_it_says() {
    let _alone = alone("demo");
    let folder = folder();
    let state = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
    let mut reader = Reader::new(folder.path(), state.path());
    let mut demo = reader.start(&format!("{BUILT} demo"));
    is_up(&mut demo, state.path());
    let said = demo.stdout();
    let after = |title: &str| {
        let line = said.lines().skip_while(|line| !line.starts_with(title)).nth(1);
        line.unwrap_or_else(|| panic!("no `{title}` in\n{said}")).trim().to_owned()
    };
    let allowed = reader.run(&after("allowed:"), RUNNING);
    assert!(allowed.code == Some(0) && allowed.stdout.starts_with("201 Created"), "{allowed:#?}");
    let refused = reader.run(&after("refused by policy:"), RUNNING);
    assert!(refused.code == Some(1) && refused.stdout.starts_with("403 Forbidden"), "{refused:#?}");
    let nobody = reader.run(&after("refused for want of identity:"), RUNNING);
    assert!(nobody.code != Some(0) && nobody.stdout.contains("alert"), "{nobody:#?}");
    // each of them is shown as it happens
    for shown in ["policy.forbidden", "identity.missing", "finance/payments"] {
        wait_until(&format!("`{shown}` to be shown"), || {
            demo.stdout().split_once("Ctrl-C").is_some_and(|(_, after)| after.contains(shown))
        });
    }
    demo.interrupt();
    let ended = wait_within(RUNNING, "the demo to end", || demo.ended());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(fs::read_dir(state.path().join("countersign")).unwrap().count(), 0, "nothing is left behind");
}
