//! The context of one request: the values of the schema's `Call`.

use cedar_policy::{Context, RestrictedExpression};
use jiff::tz::TimeZone;

use crate::judge::Question;

/// Builds the context.
///
/// # Errors
/// Words for the operator where a value is not one that Cedar knows, such as a year beyond 9999.
pub(crate) fn build(question: &Question<'_>, timezone: &TimeZone) -> Result<Context, String> {
    let micros = i64::try_from(question.at.micros()).map_err(|_| "the time is out of range".to_owned())?;
    let at = jiff::Timestamp::from_microsecond(micros).map_err(|error| format!("the time is out of range: {error}"))?;
    let local = timezone.to_datetime(at);
    let weekday = local.weekday().to_monday_one_offset();
    let minute_of_day = i64::from(local.hour()) * 60 + i64::from(local.minute());
    // Cedar's datetime has milliseconds: `2026-03-02T09:00:00.000Z`.
    let text = question.at.to_string();
    let now = text.get(..23).map(|text| format!("{text}Z")).ok_or("the time is out of range")?;
    let pair = |key: &str, value| (key.to_owned(), value);
    let ip = question.source.map(|source| pair("ip", RestrictedExpression::new_ip(source.to_canonical().to_string())));
    let pairs = [
        pair("risk", RestrictedExpression::new_long(i64::from(question.risk))),
        pair("now", RestrictedExpression::new_datetime(now)),
        pair("weekday", RestrictedExpression::new_long(i64::from(weekday))),
        pair("minute_of_day", RestrictedExpression::new_long(minute_of_day)),
    ];
    Context::from_pairs(pairs.into_iter().chain(ip)).map_err(|error| format!("the context: {error}"))
}
