//! Whether this machine's clock is that of the issuer.

use std::sync::atomic::{AtomicBool, Ordering};

use types::Timestamp;

/// What is issued begins a little before the moment of issuance. More than this is another clock.
const BEGINS_BEFORE_SECONDS: u64 = 300;

/// Told once when clocks are found to be apart, and once when they are not any more.
#[derive(Default)]
pub(crate) struct Skew(AtomicBool);

/// How a clock stands to the issuer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Apart {
    Not,
    /// By so many seconds at least.
    Behind(u64),
    /// By about so many seconds.
    Ahead(u64),
}

impl Skew {
    /// Compares the clock with a certificate that was issued this moment.
    pub fn look(&self, not_before: Timestamp, now: Timestamp) {
        let apart = apart(not_before, now);
        if self.0.swap(apart != Apart::Not, Ordering::Relaxed) == (apart != Apart::Not) {
            return;
        }
        match apart {
            Apart::Not => tracing::info!("this machine's clock agrees with the issuer's again"),
            Apart::Behind(seconds) => {
                tracing::warn!(
                    seconds,
                    "this machine's clock is behind the issuer's: set it; renewals are made earlier meanwhile"
                );
            }
            Apart::Ahead(seconds) => {
                tracing::warn!(
                    seconds,
                    "this machine's clock is ahead of the issuer's: set it; identities end earlier here"
                );
            }
        }
    }
}

fn apart(not_before: Timestamp, now: Timestamp) -> Apart {
    let (behind, since) = (not_before.micros_since(now) / 1_000_000, now.micros_since(not_before) / 1_000_000);
    match () {
        () if now < not_before => Apart::Behind(behind),
        () if since > BEGINS_BEFORE_SECONDS => Apart::Ahead(since),
        () => Apart::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_an_hour_off_is_seen_either_way() {
        let issued = Timestamp::from_seconds(1_000_000);
        let begins = Timestamp::from_seconds(1_000_000 - 60);
        assert_eq!(apart(begins, issued), Apart::Not);
        assert_eq!(apart(begins, issued.plus_seconds(3600)), Apart::Ahead(3660));
        assert_eq!(apart(begins, Timestamp::from_seconds(1_000_000 - 3600)), Apart::Behind(3540));
    }
}
