//! Whom a rotation waits for: everybody who joined and does not have the bundle of the moment. Who was not heard for longer
//! than anything in their hands is good is given up, and named.

use std::time::Duration;

use types::{Timestamp, limits};

use crate::identities::moment;
use crate::peers::title;
use crate::service::Control;
use crate::wire::Behind;

/// Who does not have the bundle of the moment, one sentence each.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Awaited {
    /// Who is waited for.
    pub waiting: Vec<String>,
    /// Who is not, and why.
    pub given_up: Vec<String>,
}

/// Somebody without the bundle of the moment.
#[derive(Clone, Debug)]
pub(crate) struct Laggard {
    /// `proxy/edge-1`.
    pub title: String,
    pub connected: bool,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// Why it does not take it; `""` where that is not known.
    pub problem: String,
    /// Why its trust is gone; `None` where it is trusted.
    pub untrusted: Option<String>,
}

/// Who is waited for at a moment, and who is not.
pub(crate) fn awaited(laggards: &[Laggard], now: Timestamp, dead_after: Duration) -> Awaited {
    let mut awaited = Awaited::default();
    for laggard in laggards {
        match why_given_up(laggard, now, dead_after) {
            Some(why) => awaited.given_up.push(format!("{}: {why}", laggard.title)),
            None => awaited.waiting.push(format!("{}: {}", laggard.title, why_waited_for(laggard, now, dead_after))),
        }
    }
    bound(&mut awaited.waiting);
    bound(&mut awaited.given_up);
    awaited
}

fn why_given_up(laggard: &Laggard, now: Timestamp, dead_after: Duration) -> Option<String> {
    if let Some(why) = &laggard.untrusted {
        return Some(why.clone());
    }
    if laggard.connected {
        return None;
    }
    match laggard.heard {
        None => Some("it joined and was never heard, so it holds nothing".to_owned()),
        Some(heard) if now >= heard.plus_seconds(dead_after.as_secs()) => {
            Some(format!("it was last heard at {}, and nothing in its hands is good any more", moment(heard, now)))
        }
        Some(_) => None,
    }
}

fn why_waited_for(laggard: &Laggard, now: Timestamp, dead_after: Duration) -> String {
    match (laggard.connected, laggard.heard) {
        (true, _) if !laggard.problem.is_empty() => laggard.problem.clone(),
        (false, Some(heard)) => {
            let end = moment(heard.plus_seconds(dead_after.as_secs()), now);
            let heard = moment(heard, now);
            format!("it is not connected and was last heard at {heard}; it is waited for until {end}")
        }
        (true, _) | (false, None) => "it has not confirmed the bundle yet".to_owned(),
    }
}

/// As many as are read; the last line counts the rest.
fn bound(lines: &mut Vec<String>) {
    let (count, most) = (lines.len(), limits::REACH_NAMED.default_usize());
    if count > most {
        lines.truncate(most);
        lines.push(format!("{} more", count.saturating_sub(most)));
    }
}

impl Control {
    /// Who does not have the bundles of a number.
    pub(crate) fn awaited_for(&self, number: u64, now: Timestamp) -> Awaited {
        let behind = self.behind_on_bundles(number);
        let laggards: Vec<Laggard> = behind.into_iter().map(|behind| self.laggard(behind, now)).collect();
        awaited(&laggards, now, self.dead_after())
    }

    fn laggard(&self, behind: Behind, now: Timestamp) -> Laggard {
        let Behind { role, name, connected, heard, problem, .. } = behind;
        let seen = self.hub.peers.get(&(role, name.clone()));
        let untrusted = seen.and_then(|seen| self.distrusted(&seen, None, now));
        Laggard { title: title(role, &name), connected, heard, problem, untrusted }
    }

    /// After how long without a word nothing that somebody holds is good.
    pub(crate) fn dead_after(&self) -> Duration {
        self.longest_life().max(Duration::from_millis(limits::ROTATION_DEAD_TIME.default))
    }

    /// The longest life of an identity under the running revision.
    pub(crate) fn longest_life(&self) -> Duration {
        let revision = self.parts.revision.load();
        let workloads = revision.workloads().values().map(|workload| workload.svid_ttl);
        let domains = revision.domains().values().map(|domain| domain.svid_ttl);
        workloads.chain(domains).max().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
