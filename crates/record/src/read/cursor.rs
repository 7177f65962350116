//! All lanes of a directory, merged by time.

use core::cmp::Reverse;
use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use types::Timestamp;

use super::{Damage, DamageKind, Item, lane::LaneReader};
use crate::{
    ReadError,
    directory::Listing,
    format::{LaneKey, SegmentName, StartId},
    lock,
};

/// Reads the records of all lanes, in the order of (time, lane, sequence). Each lane keeps its own order also where the
/// enforcer's clock was set back. Damage stands where the records would.
///
/// The iterator ends where the log ends at present; [`Cursor::poll`] looks again. While a log is being followed, a
/// record may come out after a later one of another lane: no order is claimed across lanes.
pub struct Cursor {
    dir: PathBuf,
    since: Timestamp,
    /// Where lanes go on that were read before: the sequence that comes next, by the number of the start and the lane.
    after: BTreeMap<(u64, String), u64>,
    /// Starts from this one on are being written.
    live: Option<StartId>,
    /// Where the directory holds copies: the segments that are whole, with their bytes.
    received: Option<BTreeMap<SegmentName, u64>>,
    lanes: BTreeMap<Arc<LaneKey>, LaneReader>,
    /// Lanes that have something to say, by the time of it.
    queue: BinaryHeap<Reverse<(Timestamp, Arc<LaneKey>)>>,
    odd: VecDeque<Damage>,
    odd_seen: Vec<String>,
}

impl Cursor {
    /// Opens a directory for reading, from its first record on.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        Self::open_since(dir, Timestamp::default())
    }

    /// Opens a directory for reading, from the first record of `since` or later on. Segments that hold only earlier
    /// ones are not read, so damage in them is not told.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open_since(dir: &Path, since: Timestamp) -> Result<Self, ReadError> {
        Self::open_with(dir, since, BTreeMap::new())
    }

    /// Opens a directory for reading where an earlier reader stopped: of each lane that it knew, by the number of the
    /// start and the lane's name, the sequence that comes next. Other lanes are read from their first record on. Whatever
    /// the enforcer's clock did, each record is handed out once.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open_after(dir: &Path, positions: BTreeMap<(u64, String), u64>) -> Result<Self, ReadError> {
        Self::open_with(dir, Timestamp::default(), positions)
    }

    fn open_with(dir: &Path, since: Timestamp, after: BTreeMap<(u64, String), u64>) -> Result<Self, ReadError> {
        let mut cursor = Self {
            dir: dir.to_owned(),
            since,
            after,
            live: None,
            received: None,
            lanes: BTreeMap::new(),
            queue: BinaryHeap::new(),
            odd: VecDeque::new(),
            odd_seen: Vec::new(),
        };
        cursor.poll()?;
        Ok(cursor)
    }

    /// Looks again: new lanes, segments and records. After it the iterator may go on.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn poll(&mut self) -> Result<(), ReadError> {
        let failed = |source| ReadError::new(&self.dir, source);
        // a writer may come or go while the directory is listed; only one that is away before and after is gone
        let before = lock::live_start(&self.dir).map_err(failed)?;
        let listing = Listing::of(&self.dir).map_err(failed)?;
        let after = lock::live_start(&self.dir).map_err(failed)?;
        self.live = before.into_iter().chain(after).min();
        self.received = listing.received;
        for segments in listing.segments.chunk_by(|a, b| a.key == b.key) {
            self.tell_segments(segments);
        }
        self.queue.clear();
        let waiting = self.lanes.iter().filter(|(_, lane)| !lane.is_finished());
        self.queue.extend(waiting.map(|(key, lane)| Reverse((lane.time(), Arc::clone(key)))));
        self.tell_odd(listing.odd);
        Ok(())
    }

    /// Tells a lane of its segments in the directory.
    fn tell_segments(&mut self, segments: &[SegmentName]) {
        let Some(first) = segments.first() else { return };
        let numbers = segments.iter().map(|name| name.number);
        match self.lanes.get_mut(&first.key) {
            Some(lane) => lane.saw(numbers),
            None => {
                let key = Arc::new(first.key.clone());
                let mut lane = LaneReader::new(&self.dir, Arc::clone(&key), self.since, self.received.is_some());
                lane.saw(numbers);
                match self.after.get(&(key.start.value(), key.lane.to_string())) {
                    Some(sequence) => lane.skip_to(*sequence),
                    None => lane.skip(),
                }
                self.lanes.insert(key, lane);
            }
        }
    }

    fn tell_odd(&mut self, names: Vec<String>) {
        for name in names {
            if !self.odd_seen.contains(&name) {
                let what = DamageKind::Header { why: "it is not named like a segment" };
                self.odd.push_back(Damage { file: self.dir.join(&name), offset: 0, what });
                self.odd_seen.push(name);
            }
        }
    }

    /// The next item of the lane whose turn it is.
    fn turn(&mut self, key: &Arc<LaneKey>) -> Result<Option<Item>, ReadError> {
        let Some(lane) = self.lanes.get_mut(key) else { return Ok(None) };
        let live = match &self.received {
            Some(whole) => lane.last().is_some_and(|last| !whole.contains_key(&last)),
            None => self.live.is_some_and(|start| key.start >= start),
        };
        // an item that was ready was sorted by its own time; one that is found now must be sorted first
        let item = lane.take();
        if item.is_none() {
            lane.fill(live)?;
        }
        if item.is_some() || lane.is_ready() {
            self.queue.push(Reverse((lane.time(), Arc::clone(key))));
        }
        Ok(item)
    }
}

impl Iterator for Cursor {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(damage) = self.odd.pop_front() {
            return Some(Ok(Item::Damage(damage)));
        }
        while let Some(Reverse((_, key))) = self.queue.pop() {
            match self.turn(&key) {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Ok(item)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
