//! What an operator should look at in the fleet: who is away, behind, or refuses; whose clock is apart; what a restored
//! store lost; and how long a revocation may take at worst.

use api::admin::{Finding, Role, Severity};
use trustdir::{Domain, Then};
use types::{RevisionId, Timestamp};

use crate::acts::{self, count};
use crate::identities::moment;
use crate::peers::Seen;
use crate::service::Control;

/// Clocks that are further apart are told of: certificates are made 90 minutes earlier, records are compared by time.
const APART_MICROS: u64 = 5_000_000;
/// Findings of this many peers are told one by one.
const NAMED: usize = 20; // tidy: more is not read
/// A peer whose connection was replaced so often within an hour has an identity that two processes use.
const REPLACED: usize = 5; // tidy: a link that breaks all the time looks alike, and somebody should look at it too
/// What was taken over is told of for so long.
const ADOPTED_MICROS: u64 = 7 * 86_400_000_000;

fn finding(severity: Severity, subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.to_owned(), message: message.into(), hint: hint.into() }
}

impl Control {
    /// The fleet's part of `doctor`.
    pub(crate) fn examine_fleet(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "fleet";
        if let Some(why) = self.hub.trouble() {
            let message = format!("peers are not told what is current: {why}");
            findings.push(finding(Severity::Problem, SUBJECT, message, "it is tried again each second"));
        }
        self.examine_backup(now, findings);
        self.examine_intake(findings);
        let all = self.hub.peers.all();
        let mut told: Vec<Finding> = all.iter().filter_map(|seen| self.examine_peer(seen, now)).collect();
        let (wrong, most) = (told.len(), NAMED);
        told.sort_by_key(|one| one.severity);
        told.truncate(most);
        findings.extend(told);
        if wrong > most {
            let more = count(wrong.saturating_sub(most), "other peer", "other peers");
            findings.push(finding(Severity::Warning, SUBJECT, format!("{more} need a look"), "countersign fleet"));
        }
        if wrong == 0 && !all.is_empty() {
            let peers = count(all.len(), "peer is connected and runs", "peers are connected and run");
            findings.push(finding(Severity::Good, SUBJECT, format!("{peers} what is current"), ""));
        }
        let revision = self.parts.revision.load();
        let enforcers: Vec<&Seen> = all.iter().filter(|seen| seen.place.role == Role::Proxy).collect();
        findings.extend(revision.domains().values().filter_map(|domain| self.worst(domain, &enforcers)));
    }

    fn examine_backup(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "backup";
        if let Some(ahead) = self.is_behind_fleet() {
            let revision = RevisionId::from_digest(ahead.digest).short();
            let message = format!(
                "this store is an older copy of itself: the fleet runs publication {} of revision {revision}, which is not \
                 known here",
                ahead.number
            );
            let hint = "publish the trust directory that is meant to be current: countersign publish DIR; enforcers go on \
                        with what they have, within `when_stale` of each domain";
            findings.push(finding(Severity::Problem, SUBJECT, message, hint));
        }
        let since = Timestamp::from_micros(now.micros().saturating_sub(ADOPTED_MICROS));
        match self.parts.store.adopted(since) {
            Ok(adopted) => findings.extend(adopted.into_iter().take(NAMED).map(|one| {
                let message = format!("{} was taken over from {} at {}", one.what, one.peer, moment(one.at, now));
                let hint = "compare with what you meant to be revoked: countersign subjects";
                finding(Severity::Warning, SUBJECT, message, hint)
            })),
            Err(error) => findings.push(finding(Severity::Problem, SUBJECT, acts::with_causes(&error), error.hint())),
        }
    }

    /// The logs of enforcers elsewhere, where there are any.
    fn examine_intake(&self, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "shipped logs";
        let state = self.parts.intake.state();
        let most = state.largest.map(|(name, bytes)| format!("; {name} takes the most, {} MiB", bytes >> 20));
        let Some(most) = most else { return };
        let room = format!("{} of {} MiB are used{most}", state.used_bytes >> 20, state.max_bytes >> 20);
        let hint =
            "raise `intake.max_size` in node.yaml, or move old logs to an archive; enforcers keep what is not taken";
        findings.push(match state.full {
            Some(why) => finding(Severity::Problem, SUBJECT, format!("no more is taken: {why}; {room}"), hint),
            None if state.used_bytes > state.max_bytes / 5 * 4 => finding(Severity::Warning, SUBJECT, room, hint),
            None => finding(Severity::Good, SUBJECT, room, ""),
        });
    }

    /// What is wrong with a peer, the worst of it.
    fn examine_peer(&self, seen: &Seen, now: Timestamp) -> Option<Finding> {
        let title = seen.title();
        let problem = self.problem_of(seen, now);
        let told = |severity, message: String, hint: &str| Some(finding(severity, "fleet", message, hint));
        if !seen.is_connected() {
            let since = match seen.last.heard {
                Some(heard) => format!("was last heard at {}", moment(heard, now)),
                None => "was never heard".to_owned(),
            };
            let why = if problem.is_empty() { String::new() } else { format!(": {problem}") };
            let hint = format!("see the log of {title}; if it will not come back: countersign retire {title}");
            return told(Severity::Warning, format!("{title} is not connected, and {since}{why}"), &hint);
        }
        if !problem.is_empty() {
            let hint = format!("see the log of {title}; what it ran before goes on there");
            return told(Severity::Problem, format!("{title}: {problem}"), &hint);
        }
        let replaced = seen.replaced.iter().filter(|at| now.micros_since(**at) < 3_600_000_000).count();
        if replaced >= REPLACED {
            let message = format!("{title} connected anew {replaced} times within an hour while it was connected");
            let hint =
                format!("if two processes use its identity, one may have stolen it: countersign revoke node:{title}");
            return told(Severity::Problem, message, &hint);
        }
        if seen.clock_ahead.unsigned_abs() > APART_MICROS {
            let way = if seen.clock_ahead > 0 { "ahead of" } else { "behind" };
            let seconds = seen.clock_ahead.unsigned_abs() / 1_000_000;
            let hint = "set the clocks by one source; certificates and revocations with an end count by each clock";
            return told(Severity::Warning, format!("the clock of {title} is {seconds} s {way} control's"), hint);
        }
        None
    }

    /// How long a revocation may take at worst in a domain; `None` where nobody enforces it.
    fn worst(&self, domain: &Domain, enforcers: &[&Seen]) -> Option<Finding> {
        let serves = |seen: &&&Seen| seen.place.domains.as_ref().is_none_or(|domains| domains.contains(&domain.name));
        let enforcers: Vec<&&Seen> = enforcers.iter().filter(serves).collect();
        if enforcers.is_empty() {
            return None;
        }
        let epoch = self.hub.snapshot().truth.epoch;
        let late: Vec<&str> = enforcers
            .iter()
            .filter(|seen| !seen.is_connected() || seen.last.epoch.is_none_or(|held| held < epoch))
            .map(|seen| seen.place.name.as_str())
            .collect();
        let took = enforcers.iter().filter_map(|seen| seen.took).max();
        let took = match took {
            Some(micros) => format!("the last change was in force after {} ms", micros.div_ceil(1_000)),
            None => "no change was measured yet".to_owned(),
        };
        let stale = domain.signals_stale;
        let after = format!("{} s", stale.after.as_secs());
        let subject = format!("revocation in {}", domain.name);
        let reached = count(enforcers.len().saturating_sub(late.len()), "enforcer", "enforcers");
        let names = late.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        Some(match (late.is_empty(), stale.then) {
            (true, Then::Deny) => {
                let message =
                    format!("{reached} connected: {took}; at worst {after}: one that is cut off refuses then");
                finding(Severity::Good, &subject, message, "")
            }
            (true, Then::Serve) => {
                let message = format!("{reached} connected: {took}; one that is cut off goes on without end");
                finding(Severity::Warning, &subject, message, "`signals_stale: { then: deny }` bounds it")
            }
            (false, Then::Deny) => {
                let message = format!("{names} cannot be told now; at worst {after}: calls there are refused then");
                finding(Severity::Warning, &subject, message, "countersign fleet")
            }
            (false, Then::Serve) => {
                let message = format!("{names} cannot be told now, and what is revoked is served there without end");
                finding(Severity::Problem, &subject, message, "stop it, or bring it back: countersign fleet")
            }
        })
    }
}
