//! Making room: segments that are kept elsewhere go, the oldest first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use types::Timestamp;

use super::prepare::{Shared, held};
use crate::{
    SegmentState,
    directory::Listing,
    format::{HeaderState, LaneKey, SegmentName, StartId},
    read::SegmentFile,
    released,
};

/// A segment that may go.
struct Spare {
    name: SegmentName,
    created: Timestamp,
    bytes: u64,
}

impl Shared {
    /// See [`crate::Log::release`].
    pub(crate) fn release(&self, start: StartId, kept: &[SegmentState]) -> io::Result<u64> {
        // nobody takes the room of a segment meanwhile
        let mut used = held(&self.space);
        let listing = Listing::of(&self.dir)?;
        *used = listing.bytes;
        let over = listing.bytes.saturating_sub(self.max_bytes / 2);
        if over == 0 || kept.is_empty() {
            return Ok(0);
        }
        let going = choose(self.spares(start, kept, &listing)?, &listing, over);
        if going.is_empty() {
            return Ok(0);
        }
        self.put_on_record(&going, &listing)?;
        let mut freed = 0_u64;
        for spare in going {
            fs::remove_file(self.dir.join(spare.name.to_string()))?;
            freed = freed.saturating_add(spare.bytes);
        }
        *used = used.saturating_sub(freed);
        Ok(freed)
    }

    /// Those of `kept` that are whole here and there, the oldest first.
    fn spares(&self, start: StartId, kept: &[SegmentState], listing: &Listing) -> io::Result<Vec<Spare>> {
        let mut spares = Vec::new();
        for state in kept.iter().filter(|state| state.finished) {
            let Some(name) = SegmentName::parse(&state.name) else { continue };
            if listing.segments.binary_search(&name).is_err() || !self.is_left(start, &name, listing) {
                continue;
            }
            let (file, header) = SegmentFile::open(&self.dir.join(&state.name))?;
            let bytes = file.len()?;
            match header {
                HeaderState::Valid(header) if bytes == state.bytes => {
                    spares.push(Spare { name, created: header.created, bytes });
                }
                HeaderState::Valid(_) | HeaderState::Unused | HeaderState::Newer(_) | HeaderState::Bad(_) => {}
            }
        }
        spares.sort_by(|a, b| {
            let order = |spare: &Spare| (spare.name.key.start, spare.created, spare.name.number);
            order(a).cmp(&order(b))
        });
        Ok(spares)
    }

    /// Whether its writer has gone on: an earlier start's, or a later segment of the lane is in use.
    fn is_left(&self, start: StartId, name: &SegmentName, listing: &Listing) -> bool {
        let later = listing.segments.iter().filter(|other| other.key == name.key && other.number > name.number);
        let in_use = |other: &SegmentName| {
            SegmentFile::open(&self.dir.join(other.to_string())).is_ok_and(|(_, state)| state != HeaderState::Unused)
        };
        name.key.start < start || later.into_iter().any(in_use)
    }

    /// Before they go, so that readers know that nothing was lost.
    fn put_on_record(&self, going: &[Spare], listing: &Listing) -> io::Result<()> {
        let mut lanes = released::read(&self.dir)?;
        let present: BTreeSet<&LaneKey> = listing.segments.iter().map(|name| &name.key).collect();
        lanes.retain(|lane, _| present.contains(lane));
        for spare in going {
            let before = lanes.entry(spare.name.key.clone()).or_default();
            *before = (*before).max(spare.name.number.saturating_add(1));
        }
        released::write(&self.dir, &lanes)
    }
}

/// As many as it takes, and of each lane none before an older one.
fn choose(spares: Vec<Spare>, listing: &Listing, over: u64) -> Vec<Spare> {
    let mut left: BTreeMap<&LaneKey, BTreeSet<u32>> = BTreeMap::new();
    for name in &listing.segments {
        left.entry(&name.key).or_default().insert(name.number);
    }
    let mut freed = 0_u64;
    let mut going = Vec::new();
    for spare in spares {
        let Some(lane) = left.get_mut(&spare.name.key) else { continue };
        if freed >= over || lane.first() != Some(&spare.name.number) {
            continue;
        }
        lane.pop_first();
        freed = freed.saturating_add(spare.bytes);
        going.push(spare);
    }
    going
}
