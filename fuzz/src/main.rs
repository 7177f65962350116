//! libFuzzer around one target, chosen by `COUNTERSIGN_FUZZ=NAME`; `list` prints the names. `cargo xtask fuzz` builds it
//! with coverage counters and runs it. What it finds starts with the seeds of the target: they are put into the corpus.

#![no_main]

use std::sync::OnceLock;

use countersign_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: choose(),
    |data: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            (target.run)(data);
        }
    }
);

#[expect(clippy::disallowed_methods, reason = "libFuzzer owns the arguments; the environment chooses the target")]
fn choose() {
    let name = std::env::var("COUNTERSIGN_FUZZ").unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => {
            for (number, seed) in (target.seeds)().iter().enumerate() {
                keep(number, seed);
            }
            CHOSEN.get_or_init(|| target);
        }
        None => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        }
    }
}

/// The corpus is the first argument that is no option.
fn keep(number: usize, seed: &[u8]) {
    let corpus = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if let Some(corpus) = corpus {
        let path = std::path::Path::new(&corpus).join(format!("seed-{number}"));
        if let Err(error) = std::fs::write(&path, seed) {
            eprintln!("{}: {error}", path.display());
        }
    }
}
