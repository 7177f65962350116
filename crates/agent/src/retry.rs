//! When to come again: at half of a life, or after a pause that grows, each with some jitter.

use core::time::Duration;

use types::Timestamp;

/// The first pause after a failed renewal; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500); // tidy: a pause, not a limit
const LONGEST_PAUSE: Duration = Duration::from_secs(30); // tidy: a pause, not a limit

/// The least between two renewals, in microseconds. Where a clock is ahead by nearly a whole life, next to nothing is left of
/// each certificate, and half of that would be asked for without end.
const SHORTEST: u64 = 1_000_000; // tidy: a pause, not a limit

/// A moment between two fifths and half of a life that starts now, so that agents started together do not ask together.
///
/// `lifetime` is that of the credential, in microseconds. Where the clock here is behind the issuer's, more seems left than
/// that, and where it is ahead, less: the shorter one counts, so that a wrong clock makes renewals earlier and not late.
pub(crate) fn half_life(now: Timestamp, not_after: Timestamp, lifetime: u64) -> Timestamp {
    let half = not_after.micros_since(now).min(lifetime) / 2;
    let after = half.saturating_sub(jitter(half / 5)).max(SHORTEST);
    Timestamp::from_micros(now.micros().saturating_add(after))
}

/// The pause after so many failures in a row, with up to a fifth less.
pub(crate) fn pause(failures: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_sub(jitter(micros / 5)))
}

pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

/// Evenly from 0 to `most`; 0 without random numbers, which only costs the spread.
fn jitter(most: u64) -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % most.saturating_add(1),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn a_life_is_halved_with_jitter_and_a_wrong_clock_only_shortens_it() {
        let now = Timestamp::from_seconds(1_000_000);
        let after = |seconds: u64, lifetime| half_life(now, now.plus_seconds(seconds), lifetime).micros_since(now);
        let moments: Vec<u64> = (0..200).map(|_| after(3600, HOUR)).collect();
        assert!(moments.iter().all(|moment| (HOUR * 2 / 5..=HOUR / 2).contains(moment)), "{moments:?}");
        assert!(moments.iter().any(|moment| *moment < HOUR * 9 / 20), "no jitter");
        // an hour behind: two hours seem left
        assert!(after(7200, HOUR) <= HOUR / 2);
        // half an hour ahead
        assert!(after(1800, HOUR) <= HOUR / 4);
        // next to nothing is left: not at once again
        assert_eq!((after(1, HOUR), after(0, HOUR)), (SHORTEST, SHORTEST));
    }

    #[test]
    fn pauses_double_and_end_at_half_a_minute() {
        let seconds = |failures| pause(failures).as_secs_f64();
        assert!((0.4..=0.5).contains(&seconds(0)));
        assert!((1.6..=2.0).contains(&seconds(2)));
        assert!((24.0..=30.0).contains(&seconds(9)));
        assert!((24.0..=30.0).contains(&seconds(u32::MAX)));
    }
}
