//! Small time series: allowed, would-be refused and refused calls under one axis, each from zero, with publications as
//! thin verticals, so that cause and effect meet.

use std::fmt::Write as _;

use api::admin::{Minute, Publication};
use types::Timestamp;

use crate::show::{When, count, grouped, number, short_revision};

/// The width of the drawing, in its own units.
pub(crate) const WIDTH: u64 = 960;
/// Where the bars begin: before it stand the names.
pub(crate) const LEFT: u64 = 128;
/// Where they end: after it stand the greatest values.
pub(crate) const RIGHT: u64 = 916;
/// The height of one series.
const ROW: u64 = 36;
/// Between two series.
const GAP: u64 = 14;
/// Above the first: the names of publications.
const TOP: u64 = 22;
/// At most so many bars; minutes beyond are joined.
const BARS: u64 = 96;

/// The drawing.
#[derive(Debug)]
pub(crate) struct Chart {
    /// One for each answer.
    pub series: Vec<Series>,
    /// What each place in time holds, for a pointer.
    pub slots: Vec<Slot>,
    /// The publications of the time.
    pub marks: Vec<Vertical>,
    /// Moments under the axis.
    pub ticks: Vec<Tick>,
    /// The height of the drawing.
    pub height: u64,
    /// The lowest line of the lowest series.
    pub floor: u64,
    /// What a screen reader says.
    pub summary: String,
}

/// The bars of one answer.
#[derive(Debug)]
pub(crate) struct Series {
    pub name: &'static str,
    pub class: &'static str,
    pub shape: &'static str,
    /// The line at zero.
    pub base: u64,
    /// Half way up, for the name.
    pub middle: u64,
    /// All bars as one path.
    pub path: String,
    /// The greatest value, `""` for none.
    pub greatest: String,
}

/// One bar's place, through all series.
#[derive(Debug)]
pub(crate) struct Slot {
    pub x: u64,
    pub width: u64,
    pub title: String,
}

/// A publication.
#[derive(Debug)]
pub(crate) struct Vertical {
    pub x: u64,
    pub name: String,
    pub title: String,
    pub anchor: &'static str,
}

/// A moment under the axis.
#[derive(Debug)]
pub(crate) struct Tick {
    pub x: u64,
    pub when: When,
    pub anchor: &'static str,
}

/// Some minutes together.
#[derive(Clone, Copy)]
struct Bucket {
    at: Timestamp,
    values: [u64; 3],
}

const ANSWERS: [(&str, &str, &str); 3] =
    [("allowed", "allow", "●"), ("would refuse", "would", "◐"), ("refused", "deny", "■")];

impl Chart {
    /// Draws the minutes of a time, and the publications within it.
    pub fn of(minutes: &[Minute], publications: &[Publication]) -> Self {
        let joined = number(minutes.len()).div_ceil(BARS).max(1);
        let buckets = buckets(minutes, usize::try_from(joined).unwrap_or(1));
        let bars = number(buckets.len()).max(1);
        let x_of = |index: u64| LEFT + (RIGHT - LEFT) * index / bars;
        let series: Vec<Series> = (0..ANSWERS.len()).filter_map(|place| series(place, &buckets, &x_of)).collect();
        let floor = TOP + number(ANSWERS.len()) * (ROW + GAP) - GAP;
        Self {
            slots: slots(&buckets, &x_of, joined),
            marks: verticals(minutes, publications),
            ticks: ticks(minutes),
            height: floor + 24,
            floor,
            summary: summary(minutes),
            series,
        }
    }
}

fn buckets(minutes: &[Minute], joined: usize) -> Vec<Bucket> {
    let join = |chunk: &[Minute]| {
        let at = chunk.first().map(|minute| minute.at).unwrap_or_default();
        let sum = |value: fn(&Minute) -> u64| chunk.iter().map(value).sum();
        Bucket { at, values: [sum(|m| m.allow), sum(|m| m.would_deny), sum(|m| m.deny)] }
    };
    minutes.chunks(joined).map(join).collect()
}

fn series(place: usize, buckets: &[Bucket], x_of: &impl Fn(u64) -> u64) -> Option<Series> {
    let (name, class, shape) = *ANSWERS.get(place)?;
    let value = |bucket: &Bucket| bucket.values.get(place).copied().unwrap_or_default();
    let greatest = buckets.iter().map(value).max().unwrap_or_default();
    let base = TOP + number(place) * (ROW + GAP) + ROW;
    let mut path = String::new();
    for (index, bucket) in (0..).zip(buckets) {
        // what happened at all can be seen
        let height = (value(bucket) * ROW).div_ceil(greatest.max(1));
        if height == 0 {
            continue;
        }
        let (x, next) = (x_of(index), x_of(index + 1));
        // few bars are slim, many leave a hair between them
        let slot = next - x;
        let width = if slot > 24 { slot * 3 / 5 } else { slot.saturating_sub(2).max(1) };
        let x = x + (slot - width) / 2;
        let _ = write!(path, "M{x} {base}v-{height}h{width}v{height}z");
    }
    let greatest = if greatest == 0 { String::new() } else { grouped(greatest) };
    Some(Series { name, class, shape, base, middle: base - ROW / 2 + 4, path, greatest })
}

fn slots(buckets: &[Bucket], x_of: &impl Fn(u64) -> u64, joined: u64) -> Vec<Slot> {
    let title = |bucket: &Bucket| {
        let [allow, would, deny] = bucket.values.map(grouped);
        let from = When::minute(bucket.at).text;
        let time = if joined == 1 { from } else { format!("{joined} minutes from {from}") };
        format!("{time} UTC: {allow} allowed, {would} would be refused, {deny} refused")
    };
    let slot = |(index, bucket): (u64, &Bucket)| {
        let x = x_of(index);
        Slot { x, width: x_of(index + 1) - x, title: title(bucket) }
    };
    (0..).zip(buckets).map(slot).collect()
}

/// Where a moment is, between the beginning and the end of the minutes.
fn place(minutes: &[Minute], at: Timestamp) -> Option<u64> {
    let (first, last) = (minutes.first()?.at, minutes.last()?.at.plus_seconds(60));
    let whole = last.micros_since(first);
    (first <= at && at < last && whole > 0)
        .then(|| LEFT + (RIGHT - LEFT) * (at.micros_since(first) / 1_000_000) / (whole / 1_000_000).max(1))
}

fn verticals(minutes: &[Minute], publications: &[Publication]) -> Vec<Vertical> {
    let mut free_from = 0;
    let vertical = |publication: &Publication| {
        let x = place(minutes, publication.at)?;
        // a name needs room; the line stands without it
        let is_free = x >= free_from;
        free_from = if is_free { x + 64 } else { free_from };
        let revision = short_revision(&publication.revision);
        let title = format!("revision {revision}, published by {}: {}", publication.operator, publication.why);
        let anchor = if x + 64 > RIGHT { "end" } else { "start" };
        Some(Vertical { x, name: if is_free { revision } else { String::new() }, title, anchor })
    };
    // the latest comes first in a listing; here time runs to the right
    publications.iter().rev().filter_map(vertical).collect()
}

fn ticks(minutes: &[Minute]) -> Vec<Tick> {
    let Some((first, last)) = minutes.first().zip(minutes.last()) else { return Vec::new() };
    let whole = last.at.plus_seconds(60).seconds().saturating_sub(first.at.seconds());
    let tick = |part: u64| {
        let at = first.at.plus_seconds(whole * part / 3);
        let anchor = ["start", "middle", "middle", "end"].get(usize::try_from(part).unwrap_or(0)).copied();
        Tick { x: LEFT + (RIGHT - LEFT) * part / 3, when: When::minute(at), anchor: anchor.unwrap_or("middle") }
    };
    (0..=3).map(tick).collect()
}

fn summary(minutes: &[Minute]) -> String {
    let sum = |value: fn(&Minute) -> u64| minutes.iter().map(value).sum::<u64>();
    format!(
        "{} by minute: {} allowed, {} would be refused, {} refused",
        count(sum(|m| m.allow + m.would_deny + m.deny), "call", "calls"),
        grouped(sum(|m| m.allow)),
        grouped(sum(|m| m.would_deny)),
        grouped(sum(|m| m.deny))
    )
}

#[cfg(test)]
mod tests {
    use api::admin::PublicationKind;

    use super::*;

    fn minutes(length: u64) -> Vec<Minute> {
        (0..length)
            .map(|index| Minute {
                at: Timestamp::from_seconds(index * 60),
                allow: index,
                would_deny: 0,
                deny: u64::from(index == 3),
            })
            .collect()
    }

    fn published(at: u64) -> Publication {
        Publication {
            number: 1,
            revision: "3f9c21e0".repeat(8),
            kind: PublicationKind::Publish,
            at: Timestamp::from_seconds(at),
            operator: "local".into(),
            why: "why".into(),
            changes: Vec::new(),
            approvals: Vec::new(),
            current: true,
        }
    }

    #[test]
    fn bars_stand_on_zero_and_the_greatest_fills_its_row() {
        let chart = Chart::of(&minutes(15), &[]);
        let allowed = chart.series.first().unwrap();
        assert_eq!(allowed.path.matches('M').count(), 14);
        assert!(allowed.path.contains(&format!("v-{ROW}h")) && allowed.greatest == "14");
        assert_eq!(chart.series.get(1).unwrap().path, "");
        assert_eq!(chart.series.get(2).unwrap().path.matches('M').count(), 1);
        assert!(chart.slots.iter().all(|slot| slot.x >= LEFT && slot.x + slot.width <= RIGHT));
    }

    #[test]
    fn a_day_is_drawn_in_quarters_of_an_hour_and_an_empty_time_at_all() {
        let chart = Chart::of(&minutes(1440), &[]);
        assert_eq!(chart.slots.len(), 96);
        assert!(chart.slots.last().unwrap().title.starts_with("15 minutes from 23:45"));
        assert_eq!(Chart::of(&[], &[published(0)]).marks.len(), 0);
    }

    #[test]
    fn publications_stand_where_they_happened_and_their_names_do_not_overlap() {
        let chart = Chart::of(&minutes(10), &[published(700), published(310), published(300)]);
        let marks: Vec<(u64, &str)> = chart.marks.iter().map(|mark| (mark.x, mark.name.as_str())).collect();
        assert_eq!(marks, [(LEFT + (RIGHT - LEFT) / 2, "3f9c21e"), (LEFT + (RIGHT - LEFT) * 31 / 60, "")]);
    }
}
