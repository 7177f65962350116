//! Counts and minutes, as they are asked for.

use api::admin::{Count, CountQuery, Failure, FailureCode, Minute};
use types::{Timestamp, limits};

use crate::acts;
use crate::counting::minute_of;
use crate::service::Control;

impl Control {
    /// See [`api::admin::Admin::counts`].
    pub(crate) fn counted(&self, query: &CountQuery) -> Result<Vec<Count>, Failure> {
        let (first, end) = self.span(query);
        self.parts.store.counts(first, end).map_err(|error| acts::unavailable(&error))
    }

    /// See [`api::admin::Admin::minutes`].
    pub(crate) fn minute_by_minute(&self, query: &CountQuery) -> Result<Vec<Minute>, Failure> {
        let (first, end) = self.span(query);
        let most = limits::MINUTES_TIME.default / 60_000;
        // the minute that runs comes on top of a day
        if end.saturating_sub(first) > most.saturating_add(1) {
            let message = format!("minutes are told for at most {} hours at once", most / 60);
            return Err(Failure::new(FailureCode::BadRequest, message, "say since when, and until when"));
        }
        let counted = self.parts.store.minutes(first, end).map_err(|error| acts::unavailable(&error))?;
        let minute = |minute: u64| {
            let totals = counted.get(&minute).copied().unwrap_or_default();
            let at = Timestamp::from_seconds(minute.saturating_mul(60));
            Minute { at, allow: totals.allow, would_deny: totals.would_deny, deny: totals.deny }
        };
        Ok((first..end).map(minute).collect())
    }

    /// The first minute, and the one after the last. The minute that runs is the last where nothing else is asked for.
    fn span(&self, query: &CountQuery) -> (u64, u64) {
        let minute = |micros: u64| minute_of(Timestamp::from_micros(micros));
        let first = query.since.map_or(0, minute);
        let end = query.until.map_or_else(|| minute_of(self.parts.clock.now()).saturating_add(1), minute);
        (first, end.max(first))
    }
}
