//! What an operator should look at: everything that can be found out from inside, the worst first.

use std::collections::BTreeMap;
use std::time::Duration;

use api::admin::{Answer, Finding, Health, Severity};
use types::{Timestamp, limits};

use crate::acts::{self, count};
use crate::counting::minute_of;
use crate::probe;
use crate::service::Control;

/// What one decision takes of the log, measured (see `segment_bytes` in docs/limits.md).
const DECISION_BYTES: u64 = 316;
/// Below this share of free room the log is told of, in percent.
const LITTLE_ROOM: u64 = 20;
/// A root that ends within so long is told of: a rotation takes planning.
const ROOT_ENDS_MICROS: u64 = 90 * DAY_MICROS;
/// A gateway's certificate that ends within so long was not renewed when it should have been.
const LEAF_ENDS_MICROS: u64 = 300_000_000;
/// A revocation that ends within so long is told of.
const REVOCATION_ENDS_MICROS: u64 = HOUR_MICROS;
const HOUR_MICROS: u64 = 3_600_000_000;
const DAY_MICROS: u64 = 24 * HOUR_MICROS;

fn finding(severity: Severity, subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.to_owned(), message: message.into(), hint: hint.into() }
}

fn good(subject: &str, message: impl Into<String>) -> Finding {
    finding(Severity::Good, subject, message, "")
}

fn warning(subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(Severity::Warning, subject, message, hint)
}

fn problem(subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(Severity::Problem, subject, message, hint)
}

impl Control {
    /// See [`api::admin::Admin::health`].
    pub(crate) fn how_it_is(&self) -> Health {
        let mut problems = Vec::new();
        if self.is_draining() {
            problems.push("it is stopping and takes no more calls".to_owned());
        }
        let log = self.parts.log.health();
        problems.extend(log.troubles.iter().map(|trouble| format!("calls may be refused: {}", trouble.cause)));
        let now = self.parts.clock.now();
        let over = self.parts.roles.certificates().into_iter().filter(|certificate| certificate.not_after <= now);
        problems.extend(over.map(|certificate| format!("{} ended on {}", certificate.name, certificate.not_after)));
        Health { ready: problems.is_empty(), problems }
    }

    /// See [`api::admin::Admin::doctor`].
    pub(crate) fn examine(&self) -> Vec<Finding> {
        let now = self.parts.clock.now();
        let mut findings = Vec::new();
        self.examine_log(now, &mut findings);
        self.examine_store(&mut findings);
        self.examine_counting(now, &mut findings);
        self.examine_directory(&mut findings);
        self.examine_certificates(now, &mut findings);
        self.examine_modes(now, &mut findings);
        self.examine_plaintext(now, &mut findings);
        self.examine_revocations(now, &mut findings);
        self.examine_identities(now, &mut findings);
        self.examine_fleet(now, &mut findings);
        findings.extend(probe::upstreams(&self.parts.revision.load()));
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    fn examine_log(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "decision log";
        let health = self.parts.log.health();
        let hint = "raise `max_size` in node.yaml, or move old segments to an archive";
        for trouble in &health.troubles {
            let message = format!("lane {} cannot go on since {}: {}", trouble.lane, trouble.since, trouble.cause);
            findings.push(problem(SUBJECT, message, hint));
        }
        if health.refused > 0 {
            let message = format!(
                "{} since the start: nothing was answered on their account",
                count(
                    usize::try_from(health.refused).unwrap_or(usize::MAX),
                    "record was refused",
                    "records were refused"
                )
            );
            findings.push(problem(SUBJECT, message, hint));
        }
        let free = health.max_bytes.saturating_sub(health.used_bytes);
        let room =
            format!("{} of {} MiB are free{}", free >> 20, health.max_bytes >> 20, self.time_until_full(now, free));
        if free < health.max_bytes / 100 * LITTLE_ROOM {
            findings.push(warning(SUBJECT, room, hint));
        } else {
            findings.push(good(SUBJECT, room));
        }
        let progress = self.counter.progress();
        let damages = usize::try_from(progress.damages()).unwrap_or(usize::MAX);
        if damages > 0 {
            let message = format!(
                "{}; {}",
                count(damages, "place is damaged", "places are damaged"),
                progress.damage_words().join("; ")
            );
            findings.push(problem(SUBJECT, message, "what is there cannot be trusted; compare with a backup"));
        }
    }

    /// At the rate of the last hour.
    fn time_until_full(&self, now: Timestamp, free: u64) -> String {
        let minute = minute_of(now);
        let calls = self.parts.store.minutes(minute.saturating_sub(60), minute).map_or(0, |minutes| {
            minutes
                .values()
                .map(|totals| totals.allow.saturating_add(totals.would_deny).saturating_add(totals.deny))
                .sum()
        });
        let per_hour = calls.saturating_mul(DECISION_BYTES);
        match free.checked_div(per_hour) {
            None => String::new(),
            Some(hours) if hours >= 48 => format!(", {} days at the rate of the last hour", hours / 24),
            Some(hours) => format!(", {hours} hours at the rate of the last hour"),
        }
    }

    fn examine_store(&self, findings: &mut Vec<Finding>) {
        match self.parts.store.try_write() {
            Ok(()) => findings.push(good("store", format!("{} takes changes", self.parts.store.path().display()))),
            Err(error) => findings.push(problem("store", acts::with_causes(&error), error.hint())),
        }
    }

    fn examine_counting(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "counting";
        let progress = self.counter.progress();
        if let Some(words) = progress.failure() {
            findings.push(problem(
                SUBJECT,
                words,
                "counts and minutes stand still until it is mended; nothing is lost",
            ));
            return;
        }
        let behind = now.micros_since(progress.until());
        if progress.until() == Timestamp::default() {
            findings.push(warning(
                SUBJECT,
                "it has not caught up since the start",
                "counts are not whole yet; ask again",
            ));
        } else if behind > limits::FOLD_LAG_TIME.default.saturating_mul(1_000) {
            let message = format!("it is {} s behind the decision log", behind / 1_000_000);
            findings.push(warning(SUBJECT, message, "counts are not whole yet; ask again"));
        } else {
            findings.push(good(SUBJECT, "every decision is counted"));
        }
    }

    /// The directory that the process was started with, beside what runs.
    fn examine_directory(&self, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "trust directory";
        let Some(dir) = &self.parts.source else { return };
        let current = self.parts.revision.load().id();
        let shown = dir.display();
        let loaded = trustdir::load(&crate::DirFiles::new(dir));
        let hint = format!("countersign publish {shown}");
        findings.push(match loaded.revision {
            Some(revision) if revision.id() == current => good(SUBJECT, format!("{shown} is what runs")),
            Some(revision) => {
                let message = format!(
                    "{shown} differs from what runs: it is {}, and {} runs",
                    revision.id().short(),
                    current.short()
                );
                warning(SUBJECT, message, hint)
            }
            None => {
                let message = format!("{shown} does not validate; revision {} runs on", current.short());
                warning(SUBJECT, message, format!("countersign check {shown}"))
            }
        });
    }

    fn examine_certificates(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "certificates";
        let mut all_good = true;
        for certificate in self.parts.roles.certificates() {
            let soon = if certificate.is_root { ROOT_ENDS_MICROS } else { LEAF_ENDS_MICROS };
            let left = certificate.not_after.micros_since(now);
            let name = &certificate.name;
            if left == 0 {
                let message = format!("{name} ended on {}", certificate.not_after);
                findings.push(problem(SUBJECT, message, "calls are refused; see the log of the process for why"));
            } else if left < soon {
                let hint = match (certificate.is_root, certificate.domain.as_str()) {
                    (true, "system") => "every peer is bound to it: plan to let all of them join anew".to_owned(),
                    (true, domain) => format!("replace it in time: countersign identity rotate-root {domain}"),
                    (false, _) => {
                        "it should have been renewed; see the log of the process for why it was not".to_owned()
                    }
                };
                findings.push(warning(SUBJECT, format!("{name} ends on {}", certificate.not_after), hint));
            } else {
                continue;
            }
            all_good = false;
        }
        if all_good {
            findings.push(good(SUBJECT, "of all gateways and domains they are good"));
        }
    }

    /// Each domain's relaxed checks, with the calls of the last day that they spared.
    fn examine_modes(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "modes";
        let revision = self.parts.revision.load();
        let day = minute_of(now).saturating_sub(24 * 60);
        let counts = self.parts.store.counts(day, u64::MAX).unwrap_or_default();
        let mut spared: BTreeMap<(String, String), u64> = BTreeMap::new();
        for counted in counts.into_iter().filter(|counted| counted.answer == Answer::WouldDeny) {
            let domain = counted.service.split('/').next().unwrap_or_default().to_owned();
            let sum = spared.entry((domain, counted.check)).or_default();
            *sum = sum.saturating_add(counted.count);
        }
        let mut any = false;
        for domain in revision.domains().keys() {
            let lines = revision.relaxed(domain);
            if lines.is_empty() {
                continue;
            }
            any = true;
            let would: Vec<String> = spared
                .iter()
                .filter(|((name, _), _)| name == domain.as_str())
                .map(|((_, check), count)| format!("{check} {count}"))
                .collect();
            let would = if would.is_empty() { "none".to_owned() } else { would.join(", ") };
            let message = format!("{domain} relaxes {}; would-denies of the last day: {would}", lines.join(", "));
            findings.push(warning(SUBJECT, message, "countersign decisions --outcome would-deny"));
        }
        if !any {
            findings.push(good(SUBJECT, "every check enforces"));
        }
    }

    fn examine_plaintext(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        for listener in self.parts.listeners.iter().filter(|listener| listener.plaintext) {
            let subject = format!("plaintext listener {}", listener.name);
            let since = |micros: u64| {
                let since = Timestamp::from_micros(now.micros().saturating_sub(micros));
                let found = self.parts.store.plaintext_callers(since).unwrap_or_default();
                found.into_iter().filter(|caller| caller.listener == listener.name).collect::<Vec<_>>()
            };
            let (day, hour) = (since(DAY_MICROS), since(HOUR_MICROS).len());
            if day.is_empty() {
                let message = "nobody called without TLS within a day";
                findings.push(warning(&subject, message, "remove the listener from node.yaml"));
                continue;
            }
            let mut sources: Vec<String> = day.iter().map(|caller| caller.source.to_string()).collect();
            sources.truncate(5);
            let message = format!(
                "{} called without TLS within a day, {hour} within the last hour: {}",
                count(day.len(), "address", "addresses"),
                sources.join(", ")
            );
            findings.push(warning(&subject, message, "give them SVIDs and TLS, then remove the listener"));
        }
    }

    fn examine_revocations(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        const SUBJECT: &str = "revocations";
        let held = match self.held_against() {
            Ok(held) => held,
            Err(failure) => return findings.push(problem(SUBJECT, failure.message, failure.hint)),
        };
        let all = held.len();
        for revocation in held {
            let Some(until) = revocation.until else { continue };
            if until.micros_since(now) <= REVOCATION_ENDS_MICROS {
                let message = format!("that of {} ends on {until}", revocation.subject);
                let hint = format!("to prolong it: countersign revoke {} --reason … --for 24h", revocation.subject);
                findings.push(warning(SUBJECT, message, hint));
            }
        }
        findings.push(good(SUBJECT, count(all, "subject is revoked", "subjects are revoked").to_string()));
    }
}

/// How long a probe may take.
pub const PROBE: Duration = Duration::from_millis(limits::PROBE_TIME.default);
