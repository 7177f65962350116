//! The console of a real demo in a real browser: its attack is found, explained and stopped, and every page is looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_e2e::{Process, Reader, alone, wait_within};
use tempfile::TempDir;

use crate::readme::{BUILT, RUNNING, folder, is_up};

const CHROMIUM: &str = "/usr/bin/chromium";
/// The attack begins within half a minute of the start.
const ATTACK: Duration = Duration::from_secs(90);
/// All pages, in light and dark, with axe on each.
const LOOKING: Duration = Duration::from_secs(240);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser")
}

/// A demo whose workload is taken over.
struct Attacked {
    demo: Process,
    reader: Reader,
    state: TempDir,
    _folder: TempDir,
}

impl Attacked {
    /// `None` where there is no browser to look with.
    fn start() -> Option<Self> {
        if !Path::new(CHROMIUM).exists() || !scripts().join("node_modules/playwright-core").exists() {
            println!(
                "left out: chromium or the packages of tests/browser are missing; `cargo xtask ci --install` brings them"
            );
            return None;
        }
        let (folder, state) = (folder(), tempfile::Builder::new().prefix("cs-").tempdir().unwrap());
        let mut reader = Reader::new(folder.path(), state.path());
        let mut demo = reader.start(&format!("{BUILT} demo"));
        is_up(&mut demo, state.path());
        wait_within(ATTACK, "the attack", || demo.stdout().contains("platform/ci is taken over").then_some(()));
        let refused = |demo: &Process| {
            let said = demo.stdout();
            let after = said.split_once("is taken over").map(|(_, after)| after.matches("DENY").count());
            after.unwrap_or_default()
        };
        wait_within(ATTACK, "refusals of the attack", || (refused(&demo) >= 5).then_some(()));
        Some(Self { demo, reader, state, _folder: folder })
    }

    /// Runs a script of tests/browser, logged in by a new link. Its pictures stay where the project keeps them.
    fn look(&mut self, script: &str) -> String {
        let script = scripts().join(script);
        let command = format!(
            "COUNTERSIGN_LOGIN=$({BUILT} login --json | sed 's/.*\"url\":\"\\([^\"]*\\)\".*/\\1/') \\\n\
             COUNTERSIGN_ATTACKER=platform/ci node {}",
            script.display()
        );
        let ended = self.reader.run(&command, LOOKING);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended.stdout
    }

    fn end(mut self) {
        self.demo.interrupt();
        let ended = wait_within(RUNNING, "the demo to end", || self.demo.ended());
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(!self.state.path().join("countersign/demo").exists(), "Ctrl-C leaves nothing behind");
    }
}

#[test]
fn the_demos_attack_is_found_explained_and_stopped_in_the_browser() {
    let _alone = alone("demo");
    let Some(mut attacked) = Attacked::start() else { return };
    // the script itself fails where it takes longer than a minute
    let said = attacked.look("stop.js");
    assert!(said.contains("found, explained and stopped"), "{said}");
    println!("{said}");
    let shown = attacked.demo.stdout();
    assert!(shown.contains("signals.revoked"), "{shown}");
    let pages = attacked.look("visit.js");
    println!("{pages}");
    attacked.end();
}
