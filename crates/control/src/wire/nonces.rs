//! Numbers that a peer signs to come back: good once, for a short time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use types::{Timestamp, limits};

/// Bytes of a number.
const BYTES: usize = 32;

/// Those that were given out and not used yet, the oldest first. Where there are too many the oldest is forgotten: whoever
/// waits for it asks again.
#[derive(Default)]
pub(crate) struct Nonces(Mutex<VecDeque<(Timestamp, [u8; BYTES])>>);

impl Nonces {
    /// A new one; `None` where the system gives no random bytes.
    pub fn give(&self, now: Timestamp) -> Option<Vec<u8>> {
        let mut nonce = [0; BYTES];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= limits::REJOIN_NONCES.default_usize() {
            given.pop_front();
        }
        given.push_back((now, nonce));
        Some(nonce.to_vec())
    }

    /// Whether it was given a short time ago. It is used up by this.
    pub fn take(&self, nonce: &[u8], now: Timestamp) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let life = limits::REJOIN_NONCE_TIME.default.saturating_mul(1_000);
        given.retain(|(at, _)| now.micros_since(*at) <= life);
        let place = given.iter().position(|(_, known)| known.as_slice() == nonce);
        place.and_then(|place| given.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_good_once_and_for_a_short_time() {
        let (nonces, now) = (Nonces::default(), Timestamp::from_seconds(100));
        let [first, second] = [(); 2].map(|()| nonces.give(now).unwrap());
        assert_ne!(first, second);
        assert!(nonces.take(&first, now) && !nonces.take(&first, now));
        let late = now.plus_seconds(limits::REJOIN_NONCE_TIME.default / 1_000 + 1);
        assert!(!nonces.take(&second, late) && !nonces.take(&[], now));
    }

    #[test]
    fn those_that_are_never_used_take_bounded_room() {
        let (nonces, now) = (Nonces::default(), Timestamp::from_seconds(100));
        let first = nonces.give(now).unwrap();
        for _ in 0..limits::REJOIN_NONCES.default {
            nonces.give(now).unwrap();
        }
        assert!(!nonces.take(&first, now), "the oldest went");
        assert_eq!(nonces.0.lock().unwrap().len(), limits::REJOIN_NONCES.default_usize());
    }
}
