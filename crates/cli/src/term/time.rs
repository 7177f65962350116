//! Moments, in the reader's time zone.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use types::Timestamp;

/// Shows moments in one time zone.
#[derive(Clone, Debug)]
pub struct Times {
    zone: TimeZone,
}

impl Times {
    /// In the zone of this machine.
    pub fn local() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// In UTC.
    #[cfg(test)]
    pub const fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// `09:14:02.131`.
    pub fn clock(&self, moment: Timestamp) -> String {
        self.zoned(moment).strftime("%H:%M:%S.%3f").to_string()
    }

    /// `2026-11-23 09:14:02.131 CET`.
    pub fn full(&self, moment: Timestamp) -> String {
        self.zoned(moment).strftime("%Y-%m-%d %H:%M:%S.%3f %Z").to_string()
    }

    /// `2026-11-23 09:14:02 CET`: of what people plan by, such as ends.
    pub fn second(&self, moment: Timestamp) -> String {
        self.zoned(moment).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// `09:14`, or `2026-11-22 09:14` where the day is not that of `beside`.
    pub fn minute(&self, moment: Timestamp, beside: Timestamp) -> String {
        let (moment, beside) = (self.zoned(moment), self.zoned(beside));
        let format = if moment.date() == beside.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        moment.strftime(format).to_string()
    }

    /// Moments beyond what the calendar library holds (the year 9999) are shown as the epoch.
    fn zoned(&self, moment: Timestamp) -> ZonedDateTime {
        let micros = i64::try_from(moment.micros()).unwrap_or_default();
        jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_zoned_datetime(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_to_the_millisecond_with_their_zone() {
        let moment = Timestamp::from_micros(1_795_425_242_131_904);
        assert_eq!(Times::utc().clock(moment), "09:14:02.131");
        assert_eq!(Times::utc().full(moment), "2026-11-23 09:14:02.131 UTC");
        assert_eq!(Times::utc().second(moment), "2026-11-23 09:14:02 UTC");
        let berlin = Times { zone: TimeZone::get("Europe/Berlin").unwrap() };
        assert_eq!(berlin.full(moment), "2026-11-23 10:14:02.131 CET");
    }

    #[test]
    fn another_day_is_named() {
        let moment = Timestamp::from_seconds(1_795_425_242);
        assert_eq!(Times::utc().minute(moment, moment), "09:14");
        assert_eq!(Times::utc().minute(moment, moment.plus_seconds(86_400)), "2026-11-23 09:14");
        assert!(!Times::utc().full(Timestamp::from_micros(u64::MAX)).is_empty());
    }
}
