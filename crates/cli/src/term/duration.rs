//! Lengths of time, as people write and read them.

use std::time::Duration;

use crate::exit::Failed;

/// Reads `90s`, `15m`, `1h`, `2d`, `500ms`. One number, one unit.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn parse(text: &str) -> Result<Duration, String> {
    let fail = || format!("`{text}` is not a length of time: write a number and ms, s, m, h or d, such as `15m`");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(fail)?;
    let number: u64 = number.parse().map_err(|_| fail())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(fail()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(fail)
}

/// A time that is no whole number of seconds would be cut short, and nothing is not a time.
///
/// # Errors
/// Wrong usage of `--for`.
pub fn whole_seconds(time: Duration) -> Result<u64, Failed> {
    if time.subsec_nanos() == 0 && time.as_secs() > 0 {
        return Ok(time.as_secs());
    }
    Err(Failed::usage("--for takes whole seconds, at least one").hint("write it like `15m` or `1h`"))
}

/// `740 µs`, `3.1 ms`, `1.20 s`, `2 min 5 s`.
pub fn precise(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        100_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
        _ => format!("{} min {} s", micros / 60_000_000, micros / 1_000_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("1h").unwrap(), Duration::from_secs(3600));
        assert_eq!(parse("500ms").unwrap(), Duration::from_millis(500));
        for wrong in ["", "1", "h", "1 h", "1h30m", "-1s", "1.5h", "99999999999999999999d", "9999999999999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_shown_with_units() {
        assert_eq!(precise(740), "740 µs");
        assert_eq!(precise(3_149), "3.1 ms");
        assert_eq!(precise(120_000), "120 ms");
        assert_eq!(precise(1_204_000), "1.20 s");
        assert_eq!(precise(125_000_000), "2 min 5 s");
    }

    #[test]
    fn a_time_is_whole_seconds() {
        assert_eq!(whole_seconds(Duration::from_secs(90)).unwrap(), 90);
        assert!(whole_seconds(Duration::from_millis(1_500)).is_err());
        assert!(whole_seconds(Duration::ZERO).is_err());
    }
}
