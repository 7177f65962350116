//! This node's own log and those that were shipped, as one, in the order of time. No order is claimed between two
//! enforcers: their clocks differ.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Cursor, Item, ReadError};
use types::Timestamp;

use crate::intake::Intake;

/// The logs that there are.
#[derive(Clone)]
pub struct Logs {
    /// The directory of this node's own.
    pub own: PathBuf,
    /// Those of others.
    pub intake: Arc<Intake>,
}

/// A reader of all of them.
pub struct Merged {
    logs: Logs,
    since: Timestamp,
    sources: Vec<Source>,
    /// Sources that have something to say, by the time of it.
    queue: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

/// Something that was found, and whose log it stands in.
pub struct Found {
    /// The number of the log: one enforcer's ends belong to its own decisions.
    pub log: usize,
    /// What it is.
    pub item: Item,
}

struct Source {
    /// `None` for this node's own.
    enforcer: Option<String>,
    cursor: Cursor,
    /// As the intake said when it was looked at.
    changes: u64,
    head: Option<Item>,
    time: Timestamp,
}

impl Merged {
    /// Everything from a moment on, as [`Cursor::open_since`].
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn open_since(logs: &Logs, since: Timestamp) -> Result<Self, ReadError> {
        let (sources, queue) = (Vec::new(), BinaryHeap::new());
        let mut merged = Self { logs: logs.clone(), since, sources, queue };
        merged.add(None, &logs.own, 0)?;
        merged.poll()?;
        Ok(merged)
    }

    /// Whose log it is; `None` for this node's own.
    pub fn enforcer(&self, log: usize) -> Option<&str> {
        self.sources.get(log)?.enforcer.as_deref()
    }

    /// Looks again at what has grown, and at logs that are new.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn poll(&mut self) -> Result<(), ReadError> {
        self.look(0)?;
        for (enforcer, dir, changes) in self.logs.intake.logs() {
            let known = self.sources.iter().position(|source| source.enforcer.as_deref() == Some(enforcer.as_str()));
            match known {
                Some(log) if self.sources.get(log).is_some_and(|source| source.changes != changes) => {
                    self.look(log)?;
                    if let Some(source) = self.sources.get_mut(log) {
                        source.changes = changes;
                    }
                }
                Some(_) => {}
                // nothing was kept yet
                None if !dir.exists() => {}
                None => self.add(Some(enforcer.to_string()), &dir, changes)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, enforcer: Option<String>, dir: &Path, changes: u64) -> Result<(), ReadError> {
        let cursor = Cursor::open_since(dir, self.since)?;
        let log = self.sources.len();
        self.sources.push(Source { enforcer, cursor, changes, head: None, time: Timestamp::default() });
        self.refill(log)
    }

    fn look(&mut self, log: usize) -> Result<(), ReadError> {
        let Some(source) = self.sources.get_mut(log) else { return Ok(()) };
        source.cursor.poll()?;
        if source.head.is_none() { self.refill(log) } else { Ok(()) }
    }

    /// The next item of a log becomes its head.
    fn refill(&mut self, log: usize) -> Result<(), ReadError> {
        let Some(source) = self.sources.get_mut(log) else { return Ok(()) };
        source.head = source.cursor.next().transpose()?;
        if let Some(Item::Record(record)) = &source.head {
            source.time = record.view().at;
        }
        if source.head.is_some() {
            self.queue.push(Reverse((source.time, log)));
        }
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = Result<Found, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(Reverse((_, log))) = self.queue.pop() {
            let item = self.sources.get_mut(log).and_then(|source| source.head.take());
            if let Err(error) = self.refill(log) {
                return Some(Err(error));
            }
            if let Some(item) = item {
                return Some(Ok(Found { log, item }));
            }
        }
        None
    }
}
