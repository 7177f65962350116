//! What was current when, who made it so and why; what waits to be; and the way back.

use api::admin::{Failure, FailureCode, Publication, PublicationKind, Rollback};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::Console;
use crate::answer::{self, Ask};
use crate::pages::proposals::{self, Waits};
use crate::session::{Act, Frame, Visitor};
use crate::show::{When, short_revision, span};

/// Publications of the page.
const LISTED: usize = 200;

#[derive(Template)]
#[template(path = "revisions.html")]
struct RevisionsPage {
    frame: Frame,
    sentence: String,
    waiting: Vec<Waits>,
    running: String,
    publications: Vec<Line>,
}

struct Line {
    number: u64,
    revision: String,
    short: String,
    kind: &'static str,
    at: When,
    operator: String,
    why: String,
    changes: Vec<String>,
    approvals: String,
    current: bool,
    /// Whether going back to it would change anything.
    is_past: bool,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>) -> Response {
    console.show(visitor.at("revisions"), page).await
}

fn page(ask: &Ask<'_>, frame: Frame) -> Result<RevisionsPage, Failure> {
    let publications = ask.admin.publications(LISTED)?;
    let current = publications.iter().find(|publication| publication.current);
    let running = current.map(|publication| publication.revision.clone()).unwrap_or_default();
    let waiting: Vec<Waits> = ask.admin.proposals()?.iter().map(|proposal| Waits::of(proposal, &running)).collect();
    let head = current.map_or_else(
        || "Nothing is published".to_owned(),
        |publication| {
            let ago = span(ask.now.micros_since(publication.at) / 1_000_000);
            format!("{} runs for {ago}, published by {}", short_revision(&publication.revision), publication.operator)
        },
    );
    let sentence = format!("{head}{}.", proposals::clause(&waiting));
    let publications = publications.iter().map(|publication| line(publication, &running)).collect();
    Ok(RevisionsPage { frame, sentence, waiting, running: short_revision(&running), publications })
}

fn line(publication: &Publication, running: &str) -> Line {
    Line {
        number: publication.number,
        short: short_revision(&publication.revision),
        kind: match publication.kind {
            PublicationKind::First => "first",
            PublicationKind::Publish => "published",
            PublicationKind::Rollback => "rolled back",
        },
        at: When::full(publication.at),
        operator: publication.operator.clone(),
        why: publication.why.clone(),
        changes: publication.changes.clone(),
        approvals: publication.approvals.join(", "),
        current: publication.current,
        is_past: publication.revision != running,
        revision: publication.revision.clone(),
    }
}

pub(crate) async fn roll_back(State(console): State<Console>, act: Act) -> Response {
    let request = Rollback { revision: act.field("revision"), why: act.field("why") };
    let (frame, operator) = (act.visitor.at("revisions"), act.visitor.operator());
    if request.why.is_empty() {
        return answer::failed(frame, &Failure::new(FailureCode::BadRequest, "say why", "the record keeps the reason"));
    }
    console.act(frame, "/revisions", move |admin| admin.rollback(&operator, &request).map(drop)).await
}
