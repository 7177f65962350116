//! How old rules and signals may be: each domain says so for the calls to its services (`when_stale`, `signals_stale`).
//!
//! Two loads of atomics and two comparisons for a call. What is open is not cut for age alone (docs/decisions/0011): it was
//! let in while both were fresh enough, and is judged again as soon as there is something new to judge it by.

use runtime::freshness::Freshness;
use trustdir::{Domain, Stale, Then};
use types::{Reason, Timestamp};

/// Whether a call to a service of this domain may be decided by what is known at this moment. A domain that the revision
/// does not know has no patience.
///
/// # Errors
/// `route.stale-revision`, `signals.stale`, with words for the operator.
pub fn check(domain: Option<&Domain>, freshness: &Freshness, now: Timestamp) -> Result<(), (Reason, String)> {
    let Some(domain) = domain else {
        return Err((Reason::RouteStaleRevision, "the revision does not know the domain".to_owned()));
    };
    let (rules, signals) = (freshness.revision_age(now), freshness.signals_age(now));
    if refuses(&domain.when_stale, rules) {
        let note = words("the revision was last confirmed", rules, "when_stale", &domain.when_stale);
        return Err((Reason::RouteStaleRevision, note));
    }
    if refuses(&domain.signals_stale, signals) {
        let note = words("the signals were last heard", signals, "signals_stale", &domain.signals_stale);
        return Err((Reason::SignalsStale, note));
    }
    Ok(())
}

/// Whether something of this age, in microseconds, refuses.
fn refuses(stale: &Stale, age: u64) -> bool {
    matches!(stale.then, Then::Deny) && u128::from(age) > stale.after.as_micros()
}

fn words(what: &str, age: u64, key: &str, stale: &Stale) -> String {
    let after = stale.after.as_secs();
    match age {
        u64::MAX => format!("{what} never, or in the future of this clock; `{key}` allows {after} s"),
        age => format!("{what} {} s ago; `{key}` allows {after} s", age / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_is_as_old_as_allowed_is_not_too_old() {
        let stale = |then| Stale { after: Duration::from_secs(5), then };
        for (age, refused) in [(0, false), (5 * SECOND, false), (5 * SECOND + 1, true), (u64::MAX, true)] {
            assert_eq!(refuses(&stale(Then::Deny), age), refused, "{age}");
            assert!(!refuses(&stale(Then::Serve), age), "{age}");
        }
    }

    #[test]
    fn a_domain_that_nobody_knows_is_not_decided_for() {
        let freshness = Freshness::new();
        let now = Timestamp::from_seconds(100);
        freshness.hear(now);
        freshness.confirm(now);
        assert_eq!(check(None, &freshness, now).unwrap_err().0, Reason::RouteStaleRevision);
    }

    #[test]
    fn the_operator_is_told_which_key_and_how_old() {
        let stale = Stale { after: Duration::from_secs(30), then: Then::Deny };
        let told = words("the signals were last heard", 42 * SECOND, "signals_stale", &stale);
        assert_eq!(told, "the signals were last heard 42 s ago; `signals_stale` allows 30 s");
        assert!(words("x", u64::MAX, "y", &stale).contains("never"));
    }
}
