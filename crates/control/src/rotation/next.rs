//! What comes next in a rotation: a pure question of where the keys are, who knows them, and the time.

use std::time::Duration;

use api::admin::RotationPhase;
use api::keys::{KeyState, KeyStep};
use types::{Timestamp, limits};

use super::waiting::Awaited;
use crate::identities::moment;

/// What the next step of a rotation depends on, beside where its keys are.
pub(crate) struct Sight<'a> {
    pub now: Timestamp,
    /// When this process began: who is connected is known a moment after it.
    pub started: Timestamp,
    /// Why peers cannot be told what is in the bundle now; `None` where they are.
    pub untold: Option<&'a str>,
    /// Who does not have the bundle of this moment.
    pub awaited: &'a Awaited,
    /// Since when nobody is waited for; `None` where somebody is, or nobody looked yet.
    pub taken_since: Option<Timestamp>,
    /// How often those who fetch our bundle are asked to; `None` where it is not served.
    pub refresh_hint: Option<Duration>,
    /// The longest life of anything that a key of ours signs.
    pub longest_life: Duration,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Nothing: no rotation is under way, or an operator holds it.
    Rest,
    /// This, at once.
    Step(KeyStep),
    /// Nothing yet, for these reasons, one sentence each; none where it is only a matter of time that is shown otherwise.
    Wait(Vec<String>),
}

/// What comes next.
pub(crate) fn next(state: &KeyState, sight: &Sight<'_>) -> Next {
    if state.held {
        return Next::Rest;
    }
    match state.phase {
        RotationPhase::Idle => Next::Rest,
        RotationPhase::Prepared => Next::Step(KeyStep::Publish),
        RotationPhase::Published | RotationPhase::Acknowledged => {
            let reasons = missing(state, sight);
            if reasons.is_empty() { Next::Step(KeyStep::Sign) } else { Next::Wait(reasons) }
        }
        RotationPhase::Signing if retires_at(state, sight.longest_life).is_some_and(|at| is_over(at, sight.now)) => {
            Next::Step(KeyStep::Retire)
        }
        RotationPhase::Signing => Next::Wait(Vec::new()),
    }
}

/// Whether everybody has the next key, so far as that can be known.
pub(crate) fn is_acknowledged(state: &KeyState, sight: &Sight<'_>) -> bool {
    state.phase == RotationPhase::Published
        && sight.untold.is_none()
        && sight.awaited.waiting.is_empty()
        && sight.now >= settled_at(state, sight)
}

/// When the old key leaves the bundle: everything that it signed has run out then.
pub(crate) fn retires_at(state: &KeyState, longest_life: Duration) -> Option<Timestamp> {
    if state.phase != RotationPhase::Signing {
        return None;
    }
    // an issuer that does not know waits as long as anything can live
    state.old_ends.or_else(|| Some(state.since?.plus_seconds(longest_life.as_secs())))
}

/// Whether what is good until a moment is good no more: certificates end with the second that they name.
pub(crate) fn is_over(end: Timestamp, now: Timestamp) -> bool {
    now >= end.plus_seconds(1)
}

/// What keeps the next key from signing, one sentence each.
fn missing(state: &KeyState, sight: &Sight<'_>) -> Vec<String> {
    if let Some(why) = sight.untold {
        return vec![format!("control: peers cannot be told of the next key: {why}")];
    }
    if !sight.awaited.waiting.is_empty() {
        return sight.awaited.waiting.clone();
    }
    let settled = settled_at(state, sight);
    if sight.now < settled {
        let settled = moment(settled, sight.now);
        return vec![format!("workloads: they take the bundle from their agents until {settled}")];
    }
    let hints = sight.refresh_hint.map(|hint| hint.saturating_mul(hints()));
    match hints.map(|hints| since(state, sight).plus_seconds(hints.as_secs())) {
        Some(fetched) if sight.now < fetched => {
            vec![format!("whoever fetches the bundle from us: that takes until {}", moment(fetched, sight.now))]
        }
        Some(_) | None => Vec::new(),
    }
}

fn hints() -> u32 {
    u32::try_from(limits::ROTATION_HINTS.default).unwrap_or(u32::MAX)
}

/// Since when the next key is in the bundle. One that does not know began now.
fn since(state: &KeyState, sight: &Sight<'_>) -> Timestamp {
    state.since.unwrap_or(sight.now)
}

/// From when on everybody who is connected is known to be, and has handed the bundle on: who took it last has as long for
/// that as the first.
fn settled_at(state: &KeyState, sight: &Sight<'_>) -> Timestamp {
    let taken = sight.taken_since.unwrap_or(sight.now);
    let last = since(state, sight).max(sight.started).max(taken);
    last.plus_seconds(limits::ROTATION_SETTLE_TIME.default.div_ceil(1_000))
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
