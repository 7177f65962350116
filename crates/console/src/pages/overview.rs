//! The first page: how many calls there were, what was refused or would have been, and what happens right now.

use std::collections::BTreeMap;

use api::admin::{Answer, Count, CountQuery, DecisionQuery, Failure, Minute};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::Console;
use crate::answer::Ask;
use crate::chart::Chart;
use crate::rows::{Row, read, rows};
use crate::session::{Frame, Visitor};
use crate::show::{count, grouped, link};

/// Lines of the live list.
const LIVE: usize = 12;
/// Lines of each list of refusals.
const LISTED: usize = 8;
/// Publications that are looked at for the verticals.
const PUBLICATIONS: usize = 100;

/// The times that can be looked at: name in the address, minutes, words.
const SPANS: &[(&str, u64, &str)] =
    &[("15m", 15, "the last 15 minutes"), ("1h", 60, "the last hour"), ("24h", 1440, "the last 24 hours")];

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    span: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    figures: Figures,
    live: Vec<Row>,
}

#[derive(Template)]
#[template(path = "figures.html")]
struct FiguresPart {
    figures: Figures,
}

/// Everything of a time.
struct Figures {
    sentence: String,
    is_empty: bool,
    spans: Vec<Span>,
    chart: Chart,
    stages: Vec<Stage>,
    refused: List,
    would: List,
    /// Where a script asks for them again.
    again: String,
}

struct Span {
    href: String,
    name: &'static str,
    is_here: bool,
}

/// The refusals of one step of a request's life.
struct Stage {
    name: String,
    deny: u64,
    would: u64,
    deny_width: u64,
    would_width: u64,
}

/// The most frequent of some refusals.
struct List {
    items: Vec<Item>,
    /// How many kinds are not shown.
    more: usize,
    all: String,
}

struct Item {
    count: String,
    caller: String,
    service: String,
    route: String,
    why: String,
    href: String,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    let page = move |ask: &Ask<'_>, frame| {
        Ok(OverviewPage { frame, figures: figures_of(ask, &asked.span)?, live: latest(ask)? })
    };
    console.show(visitor.at("overview"), page).await
}

/// The figures alone, for the script that asks again and again.
pub(crate) async fn figures(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    let part = move |ask: &Ask<'_>, _| Ok(FiguresPart { figures: figures_of(ask, &asked.span)? });
    console.show(visitor.at("overview"), part).await
}

fn figures_of(ask: &Ask<'_>, span: &str) -> Result<Figures, Failure> {
    let here = SPANS.iter().find(|(name, _, _)| *name == span).or(SPANS.first());
    let (name, length, words) = here.copied().unwrap_or(("15m", 15, "the last 15 minutes"));
    let minute = ask.now.seconds() / 60;
    let moment = |minute: u64| Some(minute * 60 * 1_000_000);
    let query = CountQuery { since: moment((minute + 1).saturating_sub(length)), until: moment(minute + 1) };
    let minutes = ask.admin.minutes(&query)?;
    let counts = ask.admin.counts(&query)?;
    let (sentence, is_empty) = sentence(&minutes, words);
    let spans =
        SPANS.iter().map(|(key, _, _)| Span { href: link("/", &[("span", key)]), name: key, is_here: *key == name });
    Ok(Figures {
        sentence,
        is_empty,
        spans: spans.collect(),
        chart: Chart::of(&minutes, &ask.admin.publications(PUBLICATIONS)?),
        stages: stages(&counts),
        refused: list(&counts, Answer::Deny),
        would: list(&counts, Answer::WouldDeny),
        again: link("/figures", &[("span", name)]),
    })
}

/// The sentence that answers first, and whether there was nothing.
fn sentence(minutes: &[Minute], words: &str) -> (String, bool) {
    let sum = |value: fn(&Minute) -> u64| minutes.iter().map(value).sum::<u64>();
    let (allow, would, deny) = (sum(|m| m.allow), sum(|m| m.would_deny), sum(|m| m.deny));
    let all = allow + would + deny;
    if all == 0 {
        return (format!("No calls in {words}."), true);
    }
    let head = format!("{} in {words}", count(all, "call", "calls"));
    let text = match (would, deny) {
        (0, 0) => format!("{head}: all allowed."),
        (0, deny) => format!("{head}: {} allowed, {} refused.", grouped(allow), grouped(deny)),
        (would, deny) => format!(
            "{head}: {} allowed, {} would be refused, {} refused.",
            grouped(allow),
            grouped(would),
            grouped(deny)
        ),
    };
    (text, false)
}

/// Refusals by the step that gave them, in the order of a request's life as the counts name them.
fn stages(counts: &[Count]) -> Vec<Stage> {
    const BAR: u64 = 160;
    let mut sums: BTreeMap<usize, (String, u64, u64)> = BTreeMap::new();
    for line in counts.iter().filter(|line| line.answer != Answer::Allow) {
        let name = line.reason.split('.').next().unwrap_or_default();
        let order = ORDER.iter().position(|stage| *stage == name).unwrap_or(ORDER.len());
        let entry = sums.entry(order).or_insert_with(|| (name.to_owned(), 0, 0));
        match line.answer {
            Answer::Deny => entry.1 += line.count,
            Answer::WouldDeny => entry.2 += line.count,
            Answer::Allow => {}
        }
    }
    let greatest = sums.values().map(|(_, deny, would)| deny + would).max().unwrap_or_default().max(1);
    let width = |value: u64| (value * BAR).div_ceil(greatest);
    let stage = |(name, deny, would): (String, u64, u64)| Stage {
        name,
        deny_width: width(deny),
        would_width: width(would),
        deny,
        would,
    };
    sums.into_values().map(stage).collect()
}

/// The steps of a request's life.
const ORDER: &[&str] = &[
    "accept", "identity", "parse", "route", "signals", "limits", "consent", "requires", "policy", "record", "upstream",
];

fn list(counts: &[Count], answer: Answer) -> List {
    let lines: Vec<&Count> = counts.iter().filter(|line| line.answer == answer).collect();
    let item = |line: &&Count| Item {
        count: grouped(line.count),
        caller: if line.caller.is_empty() { "(no identity)".to_owned() } else { line.caller.clone() },
        service: line.service.clone(),
        route: format!("{} {}", line.method, line.template).trim().to_owned(),
        why: if answer == Answer::WouldDeny { line.check.clone() } else { line.reason.clone() },
        href: link(
            "/decisions",
            &[
                ("outcome", answer.as_str()),
                ("caller", &line.caller),
                ("service", &line.service),
                ("reason", &line.reason),
            ],
        ),
    };
    List {
        items: lines.iter().take(LISTED).map(item).collect(),
        more: lines.len().saturating_sub(LISTED),
        all: link("/decisions", &[("outcome", answer.as_str())]),
    }
}

#[derive(Template)]
#[template(path = "live.html")]
struct LivePart {
    live: Vec<Row>,
}

/// The live list alone, for the script that asks again and again.
pub(crate) async fn live(visitor: Visitor, State(console): State<Console>) -> Response {
    console.show(visitor.at("overview"), |ask, _| Ok(LivePart { live: latest(ask)? })).await
}

fn latest(ask: &Ask<'_>) -> Result<Vec<Row>, Failure> {
    let query = DecisionQuery { limit: Some(LIVE), ..DecisionQuery::default() };
    Ok(rows(&read(ask.admin.decisions(&query)?)))
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    fn minute(allow: u64, would_deny: u64, deny: u64) -> Minute {
        Minute { at: Timestamp::default(), allow, would_deny, deny }
    }

    #[test]
    fn the_sentence_answers_first() {
        let told = |minutes: &[Minute]| sentence(minutes, "the last hour").0;
        assert_eq!(told(&[]), "No calls in the last hour.");
        assert_eq!(told(&[minute(1, 0, 0)]), "1 call in the last hour: all allowed.");
        assert_eq!(told(&[minute(1398, 0, 5)]), "1,403 calls in the last hour: 1,398 allowed, 5 refused.");
        assert_eq!(
            told(&[minute(300, 4, 5), minute(98, 5, 0)]),
            "412 calls in the last hour: 398 allowed, 9 would be refused, 5 refused."
        );
    }

    #[test]
    fn the_steps_are_those_of_the_table_of_reasons() {
        for reason in types::Reason::ALL {
            assert!(ORDER.contains(&reason.stage().as_str()), "{}", reason.code());
        }
    }
}
