//! What waits for the owners of what it touches: a part of the page of revisions, and the forms to approve it and to take
//! it back.

use api::admin::{Approve, Failure, FailureCode, Need, Proposal, PublicationKind, Withdraw};
use axum::extract::State;
use axum::response::Response;

use crate::Console;
use crate::answer;
use crate::rows::Mark;
use crate::session::Act;
use crate::show::{When, count, number, short_revision};

/// One proposal.
pub(crate) struct Waits {
    /// Its number.
    pub number: u64,
    /// The revision that it would make current, whole: what is approved is what was looked at.
    pub revision: String,
    /// The same, shortened.
    pub short: String,
    /// `publish` or `roll back to`.
    pub kind: &'static str,
    /// When.
    pub at: When,
    /// By whom.
    pub operator: String,
    /// Why; `""` for nothing.
    pub why: String,
    /// What it would change.
    pub changes: Vec<String>,
    /// Who has to say yes.
    pub needs: Vec<Asked>,
    /// The revision that it was made for, where another one runs now; `""` where it can be approved.
    pub overtaken: String,
}

/// One approval that it needs.
pub(crate) struct Asked {
    /// Whether it is there.
    pub mark: Mark,
    /// What has owners.
    pub folder: String,
    /// Who approved, or whoever may.
    pub who: String,
    /// What asks for it.
    pub because: Vec<String>,
}

impl Waits {
    /// As the page shows it, while a revision runs.
    pub fn of(proposal: &Proposal, running: &str) -> Self {
        let is_overtaken = proposal.base != running;
        Self {
            number: proposal.number,
            revision: proposal.revision.clone(),
            short: short_revision(&proposal.revision),
            kind: match proposal.kind {
                PublicationKind::Rollback => "roll back to",
                PublicationKind::First | PublicationKind::Publish => "publish",
            },
            at: When::full(proposal.at),
            operator: proposal.operator.clone(),
            why: proposal.why.clone(),
            changes: proposal.changes.clone(),
            needs: proposal.needs.iter().map(asked).collect(),
            overtaken: if is_overtaken { short_revision(&proposal.base) } else { String::new() },
        }
    }
}

fn asked(need: &Need) -> Asked {
    let folder = if need.folder == "." { "the organisation".to_owned() } else { need.folder.clone() };
    let because = need.because.clone();
    if need.approved_by.is_empty() {
        let who = if need.owners.len() == 1 { String::new() } else { "one of ".to_owned() };
        let mark = Mark { shape: "◐", word: "missing", class: "would" };
        return Asked { mark, folder, who: format!("{who}{}", need.owners.join(", ")), because };
    }
    let mark = Mark { shape: "●", word: "approved", class: "allow" };
    Asked { mark, folder, who: format!("by {}", need.approved_by), because }
}

/// `; 2 publications wait for approval`; `""` for none.
pub(crate) fn clause(waiting: &[Waits]) -> String {
    match number(waiting.len()) {
        0 => String::new(),
        many => format!("; {} for approval", count(many, "publication waits", "publications wait")),
    }
}

pub(crate) async fn approve(State(console): State<Console>, act: Act) -> Response {
    let (frame, operator) = (act.visitor.at("revisions"), act.visitor.operator());
    let Ok(number) = act.field("number").parse() else { return answer::failed(frame, &unnamed()) };
    let request = Approve { number, revision: act.field("revision"), why: act.field("why") };
    if request.revision.is_empty() {
        let hint = "nobody approves what they have not seen";
        return answer::failed(frame, &Failure::new(FailureCode::BadRequest, "say which revision", hint));
    }
    console.act(frame, "/revisions", move |admin| admin.approve(&operator, &request).map(drop)).await
}

pub(crate) async fn withdraw(State(console): State<Console>, act: Act) -> Response {
    let (frame, operator) = (act.visitor.at("revisions"), act.visitor.operator());
    let Ok(number) = act.field("number").parse() else { return answer::failed(frame, &unnamed()) };
    let request = Withdraw { number, why: act.field("why") };
    if request.why.is_empty() {
        return answer::failed(frame, &Failure::new(FailureCode::BadRequest, "say why", "the record keeps the reason"));
    }
    console.act(frame, "/revisions", move |admin| admin.withdraw(&operator, &request).map(drop)).await
}

fn unnamed() -> Failure {
    Failure::new(FailureCode::BadRequest, "say which proposal", "a proposal has a number")
}
