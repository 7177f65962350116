//! Decision ids without a system call: UUIDv7 whose random part comes from a generator seeded once per worker.

use aws_lc_rs::{error::Unspecified, rand};
use types::{DecisionId, Timestamp};

/// Makes the ids of one worker. They need to be unique, not unpredictable: an id gives no right to anything.
#[derive(Debug)]
pub struct IdSource {
    high: u64,
    low: u64,
}

impl IdSource {
    /// Seeds from the system's random source.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, Unspecified> {
        let mut seed = [[0u8; 8]; 2];
        seed.iter_mut().try_for_each(|half| rand::fill(half))?;
        let [high, low] = seed.map(u64::from_le_bytes);
        Ok(Self { high, low })
    }

    /// The next id.
    pub fn next(&mut self, at: Timestamp) -> DecisionId {
        self.high = self.high.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.low = self.low.wrapping_add(1);
        let mut random = [0u8; 10];
        let mixed = mix(self.high).to_le_bytes().into_iter().chain(mix(self.low ^ self.high).to_le_bytes());
        random.iter_mut().zip(mixed).for_each(|(to, from)| *to = from);
        DecisionId::new(at.micros() / 1000, random)
    }
}

/// The finalizer of SplitMix64, a bijection: distinct counters give distinct values.
const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_distinct_within_a_millisecond() {
        let mut source = IdSource::new().expect("random bytes");
        let ids: BTreeSet<_> = (0..10_000).map(|_| source.next(Timestamp::from_seconds(1))).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
