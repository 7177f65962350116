//! What lies on the disk, verified as if control had sent it.

use api::{issuance::Bundles, wire};
use identity::BundleSet;
use prost::Message;
use types::Timestamp;

use super::{
    assembly::{self, Assembly},
    beat::{Beat, Beats},
    bundles::{self, Taken},
    held::{Belief, Held, Refused, Signals},
    pins::Pins,
    shelf::Shelf,
};

/// The names of files.
pub(super) const SIGNALS: &str = "signals";
pub(super) const BUNDLES: &str = "bundles";

/// What was found.
#[derive(Default)]
pub(super) struct Restored {
    pub(super) held: Held,
    pub(super) signals: Option<signal::State>,
    pub(super) bundles: Option<(Bundles, BundleSet)>,
    pub(super) beats: Option<Beats>,
    pub(super) beat: Beat,
}

/// Reads everything. Blocks. What cannot be believed is set aside with words.
pub(super) fn restore(shelf: &Shelf, belief: &Belief, now: Timestamp) -> Restored {
    let mut restored = Restored::default();
    match Beats::open(shelf) {
        Ok((beats, beat)) => {
            // the floors were in force once: what is below them came back from an older copy of the folder
            restored.held.floors = beat.floors;
            (restored.beats, restored.beat) = (Some(beats), beat);
        }
        Err(error) => tracing::error!(%error, "when control was last heard cannot be kept"),
    }
    // what lies below the floor is used as what it is: the last good state, but never the latest
    let below = Held::default();
    // what was held to a root stays so, also while the list itself is not valid by this clock
    restored.held.pins = read(shelf, BUNDLES, now, pins).unwrap_or_default();
    let pinned = Held { pins: restored.held.pins.clone(), ..Held::default() };
    if let Some(taken) = read(shelf, BUNDLES, now, |bytes| bundles(belief, &pinned, bytes, now)) {
        let Taken { list, pins, bundles, set } = taken;
        (restored.held.bundles, restored.held.pins, restored.bundles) = (Some(list), pins, Some((bundles, set)));
    }
    if let Some((list, state)) = read(shelf, SIGNALS, now, |bytes| signals(belief, &below, bytes, now)) {
        (restored.held.signals, restored.signals) = (Some(list), Some(state));
    }
    let compiled = read(shelf, assembly::NAME, now, |bytes| gather(shelf, belief, &below, bytes, now));
    restored.held.publication = compiled;
    restored.held.raise_floors();
    restored
}

/// Reads one file and believes it, or sets it aside.
fn read<T>(shelf: &Shelf, name: &str, now: Timestamp, believe: impl FnOnce(&[u8]) -> Result<T, Refused>) -> Option<T> {
    let content = shelf.read(name)?;
    match believe(&content) {
        Ok(believed) => Some(believed),
        Err(refused) if refused.is_of_another_time => {
            // the clock may be the one that is wrong: the file stays for the next start
            tracing::error!(part = name, now = %now, why = %refused.why, "a part of the last good state is not valid by this machine's clock");
            None
        }
        Err(refused) => {
            shelf.set_aside(name, &refused.why);
            None
        }
    }
}

fn unreadable() -> Refused {
    Refused::new(api::protocol::refusals::CONTENT, "it cannot be read")
}

fn pins(bytes: &[u8]) -> Result<Pins, Refused> {
    let kept = bundles::OnDisk::decode(bytes).map_err(|_| unreadable())?;
    Ok(Pins::decode(kept.pins)?)
}

fn bundles(belief: &Belief, pinned: &Held, bytes: &[u8], now: Timestamp) -> Result<Taken, Refused> {
    let bundles::OnDisk { signed, items, .. } = bundles::OnDisk::decode(bytes).map_err(|_| unreadable())?;
    belief.bundles(pinned, &wire::Bundles { signed, items }, now)?.ok_or_else(unreadable)
}

fn signals(belief: &Belief, below: &Held, bytes: &[u8], now: Timestamp) -> Result<(Signals, signal::State), Refused> {
    let kept = wire::Signals::decode(bytes).map_err(|_| unreadable())?;
    belief.signals(below, &kept, now)?.ok_or_else(unreadable)
}

fn gather(
    shelf: &Shelf,
    belief: &Belief,
    below: &Held,
    bytes: &[u8],
    now: Timestamp,
) -> Result<super::held::Publication, Refused> {
    let (manifest, served) = assembly::decode(bytes).ok_or_else(unreadable)?;
    let (fact, files) = belief.manifest(below, &manifest, &served, &[], now)?.ok_or_else(unreadable)?;
    let signed = manifest.publication.unwrap_or_default();
    let assembly = Assembly::new(fact, signed, files, served, now, &shelf.blobs(), None);
    if !assembly.is_complete() {
        return Err(Refused::new(api::protocol::refusals::CONTENT, "files of it are not there"));
    }
    assembly.restore(shelf)
}
