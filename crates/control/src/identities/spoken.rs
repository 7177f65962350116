//! Spans and moments of time in words.

use types::Timestamp;

/// `40 s`, `31 min`, `7 h`, `12 days`: in the largest unit of which there are two.
pub(crate) fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `05:15:28 UTC`, with the date where it is not that of the present day.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    let day = |moment: Timestamp| moment.seconds() / 86_400;
    let (date, time) = date_and_time(at);
    if day(at) == day(now) { format!("{time} UTC") } else { format!("{date} {time} UTC") }
}

/// To the second.
fn date_and_time(at: Timestamp) -> (String, String) {
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or(("", &text));
    let (time, _) = time.split_once('.').unwrap_or((time, ""));
    (date.to_owned(), time.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_another_day_are_told_with_their_date() {
        let at = |seconds: u64| Timestamp::from_micros(1_795_425_242_131_004 + seconds * 1_000_000);
        assert_eq!(moment(at(0), at(0)), "09:14:02 UTC");
        assert_eq!(moment(at(0), at(53_157)), "09:14:02 UTC", "the last second of the day");
        assert_eq!(moment(at(0), at(53_158)), "2026-11-23 09:14:02 UTC");
        assert_eq!(moment(at(86_400), at(0)), "2026-11-24 09:14:02 UTC");
    }

    #[test]
    fn spans_are_told_in_the_largest_unit_of_which_there_are_two() {
        let told = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(spoken);
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
