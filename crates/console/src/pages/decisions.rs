//! The listing of decisions: filtered, in pages, the latest first.

use api::admin::{Answer, Decision, DecisionQuery, Entry, Failure};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use types::{Mode, limits};

use crate::Console;
use crate::answer::Ask;
use crate::rows::{Row, damages, read, rows};
use crate::session::{Frame, Visitor};
use crate::show::{count, link, number};

/// Lines of a page.
const PAGE: usize = 50;

/// What was asked for, each `""` for anything.
#[derive(Deserialize, Clone, Default)]
#[serde(default)]
pub(crate) struct Asked {
    outcome: String,
    caller: String,
    service: String,
    reason: String,
    /// Only what happened before, in microseconds since 1970.
    before: String,
}

#[derive(Template)]
#[template(path = "decisions.html")]
struct DecisionsPage {
    frame: Frame,
    sentence: String,
    asked: Asked,
    outcomes: Vec<Choice>,
    rows: Vec<Row>,
    damages: Vec<String>,
    older: String,
    newest: String,
    is_filtered: bool,
}

struct Choice {
    value: &'static str,
    word: &'static str,
    is_chosen: bool,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    console.show(visitor.at("decisions"), move |ask, frame| page(ask, frame, asked)).await
}

fn page(ask: &Ask<'_>, frame: Frame, asked: Asked) -> Result<DecisionsPage, Failure> {
    let answer = answer(&asked.outcome);
    let asked = Asked {
        outcome: answer.map(Answer::as_str).unwrap_or_default().to_owned(),
        caller: asked.caller.trim().to_owned(),
        service: asked.service.trim().to_owned(),
        reason: asked.reason.trim().to_owned(),
        ..asked
    };
    let before = asked.before.parse().unwrap_or(u64::MAX);
    // what the admin service does not filter by is looked for in the latest that a listing holds
    let is_plain = before == u64::MAX && asked.service.is_empty() && asked.reason.is_empty();
    let limit = if is_plain { PAGE + 1 } else { limits::LISTED_DECISIONS.default_usize() };
    let caller = Some(asked.caller.clone()).filter(|caller| !caller.is_empty());
    let query = DecisionQuery { caller, outcome: answer, limit: Some(limit), ..DecisionQuery::default() };
    let mut entries = read(ask.admin.decisions(&query)?);
    let damages = damages(&entries);
    entries.retain(|entry| is_meant(entry, &asked, before));
    let more = entries.len() > PAGE;
    let shown = entries.split_off(entries.len().saturating_sub(PAGE));
    let rows = rows(&shown);
    Ok(DecisionsPage {
        frame,
        sentence: sentence(&rows, &asked, more),
        outcomes: choices(answer),
        older: older(&asked, &shown, more),
        newest: if asked.before.is_empty() {
            String::new()
        } else {
            address(&Asked { before: String::new(), ..asked.clone() })
        },
        is_filtered: answer.is_some()
            || !(asked.caller.is_empty() && asked.service.is_empty() && asked.reason.is_empty()),
        asked,
        rows,
        damages,
    })
}

fn answer(word: &str) -> Option<Answer> {
    [Answer::Allow, Answer::WouldDeny, Answer::Deny].into_iter().find(|answer| answer.as_str() == word)
}

fn choices(chosen: Option<Answer>) -> Vec<Choice> {
    let choice =
        |value, word| Choice { value, word, is_chosen: chosen.map(Answer::as_str).unwrap_or_default() == value };
    vec![
        choice("", "every answer"),
        choice("allow", "● allow"),
        choice("would-deny", "◐ would-deny"),
        choice("deny", "■ deny"),
    ]
}

fn is_meant(entry: &Entry, asked: &Asked, before: u64) -> bool {
    let fits = |wanted: &str, text: &str| wanted.is_empty() || wanted == text;
    match entry {
        Entry::Decision(decision) => {
            decision.at.micros() < before
                && fits(&asked.service, &decision.service)
                && (asked.reason.is_empty() || has_reason(decision, &asked.reason))
        }
        Entry::Refusals(refusals) => {
            refusals.at.micros() < before && asked.service.is_empty() && fits(&asked.reason, &refusals.reason)
        }
        Entry::Damage(_) => false,
    }
}

/// Whether it was refused for it, or would have been.
fn has_reason(decision: &Decision, reason: &str) -> bool {
    let noted = |noted: &api::admin::Noted| noted.mode == Mode::Shadow && noted.reason == reason;
    decision.reason == reason || decision.noted.iter().any(noted)
}

fn sentence(rows: &[Row], asked: &Asked, more: bool) -> String {
    let what = match asked.outcome.as_str() {
        "allow" => ("allowed call", "allowed calls"),
        "would-deny" => ("call that would be refused", "calls that would be refused"),
        "deny" => ("refusal", "refusals"),
        _ => ("decision", "decisions"),
    };
    let mut text = match rows.len() {
        0 => format!("No {}", what.1),
        _ if more => format!("The latest {}", count(number(rows.len()), what.0, what.1)),
        1 => format!("1 {}", what.0),
        many => format!("All {}", count(number(many), what.0, what.1)),
    };
    for (word, value) in [("of", &asked.caller), ("to", &asked.service), ("for", &asked.reason)] {
        if !value.is_empty() {
            text.push_str(&format!(" {word} {value}"));
        }
    }
    if !asked.before.is_empty() {
        text.push_str(" before that");
    }
    text + "."
}

/// The page with what came before the oldest line shown.
fn older(asked: &Asked, shown: &[Entry], more: bool) -> String {
    let oldest = shown.iter().find_map(|entry| match entry {
        Entry::Decision(decision) => Some(decision.at.micros()),
        Entry::Refusals(refusals) => Some(refusals.at.micros()),
        Entry::Damage(_) => None,
    });
    match oldest.filter(|_| more) {
        Some(micros) => address(&Asked { before: micros.to_string(), ..asked.clone() }),
        None => String::new(),
    }
}

fn address(asked: &Asked) -> String {
    let Asked { outcome, caller, service, reason, before } = asked;
    let query =
        [("outcome", outcome), ("caller", caller), ("service", service), ("reason", reason), ("before", before)];
    link("/decisions", &query.map(|(name, value)| (name, value.as_str())))
}
