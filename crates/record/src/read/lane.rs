//! One lane from its first segment to its last: records in sequence, and whatever stands in their way.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use types::Timestamp;

use super::{
    Damage, DamageKind, Item, OwnedRecord,
    record::Origin,
    segment::{SegmentFile, Stop, Tail},
};
use crate::{
    ReadError, codec,
    format::{HEADER_BYTES, Header, HeaderState, LaneKey, SegmentName},
    released,
};

/// The reader of a lane.
pub(crate) struct LaneReader {
    dir: PathBuf,
    key: Arc<LaneKey>,
    /// Numbers of the segments that were seen in the directory.
    numbers: BTreeSet<u32>,
    since: Timestamp,
    /// Records before this sequence are not handed out.
    from: u64,
    open: Option<Open>,
    next_number: u32,
    /// The sequence that the next record should have; `None` where earlier segments were skipped.
    expected: Option<u64>,
    /// Time of the last record read.
    time: Timestamp,
    /// Found and not handed out, with the time that it is sorted under.
    found: VecDeque<(Timestamp, Item)>,
    finished: bool,
    /// The directory holds copies: of many enforcers, so that no file stays open for one that says nothing.
    copy: bool,
}

struct Open {
    number: u32,
    path: PathBuf,
    /// Closed between two looks at a copy.
    file: Option<SegmentFile>,
    offset: u64,
    origin: Arc<Origin>,
}

/// Records of a copy that are read before its file is closed again.
const READ_AT_ONCE: usize = 32;

/// A place in the lane.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    offset: u64,
}

impl Place {
    const fn start_of(number: u32) -> Self {
        Self { number, offset: 0 }
    }
}

enum Progress {
    /// Something was done.
    More,
    /// There is nothing yet.
    Wait,
    /// The segment has ended.
    Leave,
}

impl LaneReader {
    /// A reader that hands out records of `since` and later.
    pub(crate) fn new(dir: &Path, key: Arc<LaneKey>, since: Timestamp, copy: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            key,
            numbers: BTreeSet::new(),
            since,
            from: 0,
            open: None,
            next_number: 0,
            expected: Some(0),
            time: Timestamp::default(),
            found: VecDeque::new(),
            finished: false,
            copy,
        }
    }

    /// Tells of segments seen in the directory.
    pub(crate) fn saw(&mut self, numbers: impl Iterator<Item = u32>) {
        self.numbers.extend(numbers);
        // a copy may stand still between two segments
        self.finished &= self.numbers.range(self.next_number..).next().is_none();
    }

    /// The last segment that was seen.
    pub(crate) fn last(&self) -> Option<SegmentName> {
        self.numbers.last().map(|number| self.name(*number))
    }

    /// Goes to the last segment before which everything is older than `since`, by the headers alone.
    pub(crate) fn skip(&mut self) {
        if self.since == Timestamp::default() {
            return;
        }
        let all_older_before = |number: &&u32| {
            self.header(**number).is_some_and(|header| header.latest < self.since && header.name.number == **number)
        };
        let start = self.numbers.iter().rev().find(all_older_before).copied();
        self.next_number = start.unwrap_or(0);
        self.expected = (self.next_number == 0).then_some(0);
        self.time = self.header(self.next_number).map_or(self.time, |header| header.created.max(self.since));
    }

    /// Goes on at a sequence: from the last segment that begins at it or before, by the headers alone. Segments of before
    /// it are not read and not missed.
    pub(crate) fn skip_to(&mut self, sequence: u64) {
        self.from = sequence;
        let begins_before = |number: &&u32| self.header(**number).is_some_and(|found| found.first_sequence <= sequence);
        let start = self.numbers.iter().rev().find(begins_before).or(self.numbers.first()).copied();
        self.next_number = start.unwrap_or(0);
        self.expected = None;
        self.time = self.header(self.next_number).map_or(self.time, |header| header.created);
    }

    /// A lower bound for the time of the next item, as good as it is known without reading.
    pub(crate) fn time(&self) -> Timestamp {
        self.found.front().map_or(self.time, |(time, _)| *time)
    }

    /// Nothing will come any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished && self.found.is_empty()
    }

    /// Whether an item is ready.
    pub(crate) fn is_ready(&self) -> bool {
        !self.found.is_empty()
    }

    /// Hands out the next item found.
    pub(crate) fn take(&mut self) -> Option<Item> {
        self.found.pop_front().map(|(_, item)| item)
    }

    /// Reads on until an item is ready, or there is none yet. `live`: its writer may still be writing; found out
    /// before.
    pub(crate) fn fill(&mut self, live: bool) -> Result<(), ReadError> {
        let most = if self.copy { READ_AT_ONCE } else { 1 };
        while self.found.len() < most && !self.finished {
            let progress = self.step(live).inspect_err(|_| self.finished = true)?;
            match progress {
                Progress::More | Progress::Leave => {}
                Progress::Wait => break,
            }
        }
        if self.finished {
            self.open = None;
        }
        if let Some(open) = self.open.as_mut().filter(|_| self.copy) {
            open.file = None;
        }
        Ok(())
    }

    fn step(&mut self, live: bool) -> Result<Progress, ReadError> {
        let Some(mut open) = self.open.take() else {
            return self.open_next(live);
        };
        let progress = self.advance(&mut open, live);
        if !matches!(progress, Ok(Progress::Leave)) {
            self.open = Some(open);
        }
        progress
    }

    fn advance(&mut self, open: &mut Open, live: bool) -> Result<Progress, ReadError> {
        let failed = |source| ReadError::new(&open.path, source);
        let at = Place { number: open.number, offset: open.offset };
        let file = match &mut open.file {
            Some(file) => file,
            closed => match SegmentFile::open(&open.path) {
                Ok((file, _)) => closed.insert(file),
                // a copy that is whole may be moved away at any moment
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Progress::Leave),
                Err(error) => return Err(failed(error)),
            },
        };
        if let Some((payload, next)) = file.record(open.offset).map_err(failed)? {
            self.accept(&open.origin, at, payload);
            open.offset = next;
            return Ok(Progress::More);
        }
        let tail = self.tail(open.number, live);
        match file.judge(open.offset, tail).map_err(failed)? {
            Stop::Readable => return Ok(Progress::More),
            Stop::NotYet => return Ok(Progress::Wait),
            Stop::Corrupt(until) => {
                self.damage(at, DamageKind::Corrupt { bytes: until.saturating_sub(open.offset) });
                open.offset = until;
                return Ok(Progress::More);
            }
            Stop::Torn(bytes) => self.damage(at, DamageKind::TornTail { bytes }),
            Stop::End => {}
        }
        Ok(Progress::Leave)
    }

    /// What may follow the records of a segment.
    fn tail(&mut self, number: u32, live: bool) -> Tail {
        let next = number.saturating_add(1);
        // the directory may not have been listed since the writer went on
        if self.path(next).exists() {
            self.numbers.insert(next);
        }
        let next = self.numbers.range(next..).next();
        match next.and_then(|next| self.state(*next)) {
            Some(HeaderState::Valid(_) | HeaderState::Newer(_) | HeaderState::Bad(_)) => Tail::Closed,
            Some(HeaderState::Unused) | None if live => Tail::Open,
            Some(HeaderState::Unused) | None => Tail::Last,
        }
    }

    fn open_next(&mut self, live: bool) -> Result<Progress, ReadError> {
        let Some(number) = self.numbers.range(self.next_number..).next().copied() else {
            self.finished = !live;
            return Ok(Progress::Wait);
        };
        let path = self.path(number);
        let (mut file, state) = match SegmentFile::open(&path) {
            Ok(opened) => opened,
            // prepared and not needed, or removed: if later ones stand there, it will be missed
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.numbers.remove(&number);
                return Ok(Progress::More);
            }
            Err(error) => return Err(ReadError::new(&path, error)),
        };
        if state == HeaderState::Unused && self.numbers.range(number.saturating_add(1)..).next().is_none() {
            if live {
                return Ok(Progress::Wait);
            }
            if file.is_blank().map_err(|source| ReadError::new(&path, source))? {
                self.finished = true;
                return Ok(Progress::More);
            }
        }
        // the header of a copy may still be on its way
        let is_last = self.numbers.range(number.saturating_add(1)..).next().is_none();
        if live && is_last && file.len().map_err(|source| ReadError::new(&path, source))? < HEADER_BYTES as u64 {
            return Ok(Progress::Wait);
        }
        self.count_missing(number);
        self.next_number = number.saturating_add(1);
        self.enter(number, file, state);
        Ok(Progress::More)
    }

    fn count_missing(&mut self, found: u32) {
        let gone = self.next_number..found;
        if gone.is_empty() {
            return;
        }
        let known = released::Known::of(&self.dir, &self.key);
        let mut missing = gone.filter(|number| !known.covers(*number));
        let first = missing.next();
        let count = missing.count();
        // what was let go on purpose is neither read nor missed
        self.expected = self.expected.filter(|_| first == Some(self.next_number));
        if let Some(first) = first {
            let count = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
            self.damage(Place::start_of(first), DamageKind::MissingSegments { count });
        }
    }

    fn enter(&mut self, number: u32, file: SegmentFile, state: HeaderState) {
        let at = Place::start_of(number);
        let header = match state {
            HeaderState::Valid(header) => header,
            HeaderState::Unused => return self.damage(at, DamageKind::Header { why: "its header was wiped" }),
            HeaderState::Newer(version) => return self.damage(at, DamageKind::NewerFormat { version }),
            HeaderState::Bad(why) => return self.damage(at, DamageKind::Header { why }),
        };
        if header.name != self.name(number) {
            return self.damage(at, DamageKind::Header { why: "its header names another segment" });
        }
        self.check_sequence(at, header.first_sequence);
        self.expected = Some(header.first_sequence);
        let key = &self.key;
        let origin = Origin { enforcer: header.enforcer.to_string(), lane: key.lane.to_string(), start: key.start };
        self.open = Some(Open {
            number,
            path: self.path(number),
            file: Some(file),
            offset: HEADER_BYTES as u64,
            origin: Arc::new(origin),
        });
    }

    fn accept(&mut self, origin: &Arc<Origin>, at: Place, payload: &[u8]) {
        let stamp = codec::prefix(payload).ok().map(|(prefix, _)| prefix.stamp);
        if let Some(stamp) = stamp {
            self.check_sequence(at, stamp.sequence);
            self.time = stamp.at;
        }
        let sequence = stamp.map(|stamp| stamp.sequence);
        self.expected = sequence.or(self.expected).map(|sequence| sequence.saturating_add(1));
        if self.time < self.since || sequence.is_some_and(|sequence| sequence < self.from) {
            return;
        }
        match OwnedRecord::new(Arc::clone(origin), payload) {
            Ok(record) => self.found.push_back((self.time, Item::Record(record))),
            Err(why) => self.damage(at, DamageKind::Unreadable { sequence, why: why.to_string() }),
        }
    }

    fn check_sequence(&mut self, at: Place, found: u64) {
        if let Some(expected) = self.expected.filter(|expected| *expected != found) {
            self.damage(at, DamageKind::Sequence { expected, found });
        }
    }

    fn damage(&mut self, at: Place, what: DamageKind) {
        let damage = Damage { file: self.path(at.number), offset: at.offset, what };
        self.found.push_back((self.time, Item::Damage(damage)));
    }

    fn header(&self, number: u32) -> Option<Box<Header>> {
        match self.state(number)? {
            HeaderState::Valid(header) => Some(header),
            HeaderState::Unused | HeaderState::Newer(_) | HeaderState::Bad(_) => None,
        }
    }

    fn state(&self, number: u32) -> Option<HeaderState> {
        SegmentFile::open(&self.path(number)).ok().map(|(_, state)| state)
    }

    fn name(&self, number: u32) -> SegmentName {
        SegmentName { key: LaneKey::clone(&self.key), number }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(self.name(number).to_string())
    }
}
