//! Trust taken away, and the ways to take and to give it back.

use api::admin::{Failure, FailureCode, Restore, Revocation, Revoke};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::Console;
use crate::answer::{self, Ask};
use crate::session::{Act, Frame, Visitor};
use crate::show::{When, count, link, number, span};

/// For how long trust can be taken away: seconds, words; 0 is for good.
pub(crate) const TIMES: &[(u64, &str)] = &[
    (900, "15 minutes"),
    (3600, "1 hour"),
    (28_800, "8 hours"),
    (86_400, "1 day"),
    (604_800, "7 days"),
    (0, "until it is restored"),
];

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Asked {
    subject: String,
}

#[derive(Template)]
#[template(path = "trust.html")]
struct TrustPage {
    frame: Frame,
    sentence: String,
    revocations: Vec<Line>,
    subject: String,
}

struct Line {
    subject: String,
    reason: String,
    operator: String,
    at: When,
    until: Option<When>,
    left: String,
    note: String,
    calls: String,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    console.show(visitor.at("trust"), move |ask, frame| page(ask, frame, asked.subject)).await
}

fn page(ask: &Ask<'_>, frame: Frame, subject: String) -> Result<TrustPage, Failure> {
    let revocations = ask.admin.revocations()?;
    let sentence = match number(revocations.len()) {
        0 => "Nobody's trust is taken away.".to_owned(),
        many => format!("{} revoked: every call of theirs is refused.", count(many, "subject is", "subjects are")),
    };
    let revocations = revocations.iter().map(|revocation| line(ask, revocation)).collect();
    Ok(TrustPage { frame, sentence, revocations, subject })
}

fn line(ask: &Ask<'_>, revocation: &Revocation) -> Line {
    let left = revocation.until.map(|until| format!("{} left", span(until.micros_since(ask.now) / 1_000_000)));
    let is_id = revocation.subject.starts_with("spiffe://");
    Line {
        subject: revocation.subject.clone(),
        reason: revocation.reason.clone(),
        operator: revocation.operator.clone(),
        at: When::full(revocation.at),
        until: revocation.until.map(When::full),
        left: left.unwrap_or_else(|| "until it is restored".to_owned()),
        note: revocation.note.clone(),
        calls: if is_id { link("/decisions", &[("caller", &revocation.subject)]) } else { String::new() },
    }
}

pub(crate) async fn revoke(State(console): State<Console>, act: Act) -> Response {
    let (frame, operator) = (act.visitor.at("trust"), act.visitor.operator());
    let refused = |message: &str, hint: &str| {
        answer::failed(act.visitor.at("trust"), &Failure::new(FailureCode::BadRequest, message, hint))
    };
    // a form without a time, or with one that is none, must not become a revocation for good
    let Ok(seconds) = act.field("seconds").parse::<u64>() else {
        return refused("say for how long", "choose one of the times");
    };
    let request = Revoke {
        subject: act.field("subject"),
        reason: act.field("reason"),
        seconds: Some(seconds).filter(|seconds| *seconds > 0),
    };
    if request.reason.is_empty() {
        return refused("say why", "the record keeps the reason");
    }
    console.act(frame, "/trust", move |admin| admin.revoke(&operator, &request).map(drop)).await
}

pub(crate) async fn restore(State(console): State<Console>, act: Act) -> Response {
    let request = Restore { subject: act.field("subject"), reason: act.field("reason") };
    let (frame, operator) = (act.visitor.at("trust"), act.visitor.operator());
    console.act(frame, "/trust", move |admin| admin.restore(&operator, &request).map(drop)).await
}
