//! Chance, so that traffic looks like traffic. Nothing depends on it being good.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// A source of numbers that nobody needs to repeat.
pub(super) struct Dice {
    state: RandomState,
    thrown: u64,
}

impl Dice {
    pub(super) fn new() -> Self {
        Self { state: RandomState::new(), thrown: 0 }
    }

    /// From 0 up to and without `end`; 0 where there is nothing below it.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.thrown = self.thrown.wrapping_add(1);
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(self.thrown);
        let number = usize::try_from(hasher.finish() >> 32).unwrap_or_default();
        number.checked_rem(end).unwrap_or_default()
    }

    /// One of several.
    pub(super) fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len())).copied().unwrap_or_default()
    }

    /// Any part of a time.
    pub(super) fn part_of(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.hundredths(0, 100))
    }

    /// A time give or take four tenths.
    pub(super) fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.hundredths(60, 140))
    }

    fn hundredths(&mut self, least: u32, end: u32) -> f64 {
        let width = usize::try_from(end.saturating_sub(least)).unwrap_or_default();
        let number = u32::try_from(self.below(width)).unwrap_or_default();
        f64::from(least.saturating_add(number)) / 100.0
    }
}
