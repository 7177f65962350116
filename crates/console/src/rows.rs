//! Decisions as lines of a listing.

use api::admin::{Answer, Decision, Decisions, Entry, Identity, Refusals};
use types::facts::{Outcome, Protocol};
use types::{Mode, Reason};

use crate::show::{When, cut, duration, grouped, link, short_decision};

/// An answer as shape, word and class: never by colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// `●`, `■`, `◐` or `○`.
    pub shape: &'static str,
    /// The word.
    pub word: &'static str,
    /// The class of the stylesheet.
    pub class: &'static str,
}

impl Mark {
    /// Refused, for good or not.
    pub const DENY: Self = Self { shape: "■", word: "deny", class: "deny" };

    /// Of an answer.
    pub const fn of(answer: Answer) -> Self {
        match answer {
            Answer::Allow => Self { shape: "●", word: "allow", class: "allow" },
            Answer::WouldDeny => Self { shape: "◐", word: "would-deny", class: "would" },
            Answer::Deny => Self::DENY,
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Unlike that of any other line.
    pub key: String,
    /// When.
    pub when: When,
    /// The answer.
    pub mark: Mark,
    /// Who called.
    pub caller: String,
    /// The listing of that caller's decisions, `""` where nobody was identified.
    pub caller_link: String,
    /// The service or host, `–` where neither is known.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path template, or what stands for it.
    pub template: String,
    /// The status that the caller got, or `TLS`.
    pub status: String,
    /// Why, or how long it took.
    pub why: String,
    /// The page of the decision, `""` where there is none.
    pub href: String,
    /// Its id, shortened.
    pub id: String,
}

/// All that a listing without end holds, read to its end.
pub(crate) fn read(mut decisions: Decisions) -> Vec<Entry> {
    std::iter::from_fn(|| decisions.blocking_recv()).collect()
}

/// The lines of entries, the latest first.
pub(crate) fn rows(entries: &[Entry]) -> Vec<Row> {
    entries.iter().rev().enumerate().filter_map(|(place, entry)| row(entry, place)).collect()
}

/// What is wrong with the log, one sentence each.
pub(crate) fn damages(entries: &[Entry]) -> Vec<String> {
    let damages = entries.iter().filter_map(|entry| match entry {
        Entry::Damage(damage) => Some(damage.message.clone()),
        Entry::Decision(_) | Entry::Refusals(_) => None,
    });
    damages.collect()
}

fn row(entry: &Entry, place: usize) -> Option<Row> {
    match entry {
        Entry::Decision(decision) => Some(of_decision(decision)),
        Entry::Refusals(refusals) => Some(of_refusals(refusals, place)),
        Entry::Damage(_) => None,
    }
}

fn of_decision(decision: &Decision) -> Row {
    let (status, why) = ended(decision);
    let service = if decision.service.is_empty() { &decision.host } else { &decision.service };
    Row {
        key: format!("d{}", decision.id),
        when: When::clock(decision.at),
        mark: Mark::of(decision.answer()),
        caller: caller(decision),
        caller_link: link("/decisions", &[("caller", &decision.caller)]),
        service: or_dash(service),
        method: decision.method.clone(),
        template: or_dash(&decision.template),
        status,
        why,
        href: format!("/decisions/{}", decision.id),
        id: short_decision(&decision.id),
    }
}

fn of_refusals(refusals: &Refusals, place: usize) -> Row {
    Row {
        key: format!("r{}-{place}", refusals.at.micros()),
        when: When::clock(refusals.at),
        mark: Mark::DENY,
        caller: "(no identity)".to_owned(),
        caller_link: String::new(),
        service: "–".to_owned(),
        method: String::new(),
        template: format!("{} more, counted together", grouped(refusals.count)),
        status: status_of(&refusals.reason),
        why: refusals.reason.clone(),
        href: String::new(),
        id: String::new(),
    }
}

/// Who called, as far as it is known.
pub(crate) fn caller(decision: &Decision) -> String {
    match (&decision.identity, decision.caller.as_str()) {
        (Identity::Unidentified { claimed }, "") if !claimed.is_empty() => format!("claims {}", cut(claimed, 44)),
        (_, "") => "(no identity)".to_owned(),
        (_, caller) => caller.to_owned(),
    }
}

/// The status, and why it was so or how long it took.
fn ended(decision: &Decision) -> (String, String) {
    if decision.outcome == Outcome::Deny {
        // in a handshake nobody is answered, whatever the reason is answered with later
        let in_handshake = decision.protocol == Protocol::Tls;
        let status = if in_handshake { "TLS".to_owned() } else { status_of(&decision.reason) };
        return (status, decision.reason.clone());
    }
    let shadowed = decision.noted.iter().find(|noted| noted.mode == Mode::Shadow);
    match (&decision.completion, shadowed) {
        (None, _) => ("–".to_owned(), "open".to_owned()),
        (Some(end), None) if end.reason.is_empty() => (status_text(end.status), duration(end.duration_micros)),
        (Some(end), None) => (status_text(end.status), end.reason.clone()),
        (Some(end), Some(noted)) => (status_text(end.status), noted.check.clone()),
    }
}

fn status_text(status: Option<u16>) -> String {
    status.map_or_else(|| "–".to_owned(), |status| status.to_string())
}

/// The status of a refusal; `TLS` where the handshake failed instead.
fn status_of(reason: &str) -> String {
    match Reason::from_code(reason).map(Reason::status) {
        Some(0) => "TLS".to_owned(),
        Some(status) => status.to_string(),
        None => "–".to_owned(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { text.to_owned() }
}
