//! Approvals: a publication that touches what others own waits for them.
//!
//! What waits is kept with its files and is nobody's revision: it decides nothing, and no rollback finds it. The last
//! approval that it needs makes it current on the same way as any publication. What is needed follows from what is current
//! ([`trustdir::approval::needs`]), so a proposal ends with the revision that it was made for.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use api::admin::{Approve, Failure, FailureCode, Need, Proposal, Publication, Published, Withdraw};
use policy::Act;
use trustdir::{Revision, approval};
use types::facts::{Administration, Outcome};
use types::{RevisionId, limits};

use crate::acts::{self, bounded};
use crate::ledger::NotWritten;
use crate::publish::{self, Approved, Candidate};
use crate::service::Control;
use crate::store::{NewProposal, Waiting};

/// What came of a publication.
pub(crate) enum Done {
    /// It is current.
    Current(Publication),
    /// It waits.
    Proposed(Proposal),
}

impl Control {
    /// See [`api::admin::Admin::proposals`].
    pub(crate) fn what_waits(&self) -> Result<Vec<Proposal>, Failure> {
        self.parts.store.proposals().map_err(|error| acts::unavailable(&error))
    }

    /// Makes a candidate current where its operator owns all that it touches, and proposes it otherwise. The caller holds
    /// the turn and has judged the act.
    pub(crate) fn publish_or_propose(&self, current: &Revision, candidate: Candidate<'_>) -> Result<Done, Failure> {
        let operator = candidate.operator.to_owned();
        let needs = self.needs(current, &candidate.revision, candidate.sources, &[operator])?;
        if needs.iter().all(|need| !need.approved_by.is_empty()) {
            return self.make_current(current, &candidate).map(Done::Current);
        }
        publish::is_fit(current, &candidate.revision)?;
        self.propose(current, &candidate, &needs).map(Done::Proposed)
    }

    /// Keeps a candidate until its owners approved. One that waits already is given as it is.
    fn propose(&self, current: &Revision, candidate: &Candidate<'_>, needs: &[Need]) -> Result<Proposal, Failure> {
        let Candidate { revision, sources, kind, operator, why, .. } = candidate;
        let (id, base) = (revision.id(), current.id());
        let waiting = self.what_waits()?;
        let same = |one: &&Proposal| {
            one.revision == id.to_string() && one.base == base.to_string() && one.operator == *operator
        };
        if let Some(known) = waiting.iter().find(same) {
            return Ok(known.clone());
        }
        has_room(waiting.len())?;
        let changes = self.said(current, candidate)?;
        let new = NewProposal {
            revision: id,
            sources: *sources,
            base,
            kind: *kind,
            at: self.parts.clock.now(),
            operator,
            why,
            changes,
            needs,
        };
        let act = act("propose", operator, why, Some(id));
        let record = |proposal: &Proposal| {
            let changes = proposal.changes.join("; ");
            let note = format!("proposal {} needs {}: {changes}", proposal.number, missing(&proposal.needs));
            self.record_as(&act, &note)
        };
        let kept = self.parts.store.propose(&new, record);
        kept.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))
    }

    /// See [`api::admin::Admin::approve`].
    pub(crate) fn approve_proposal(&self, operator: &str, request: &Approve) -> Result<Published, Failure> {
        let why = acts::words(&request.why)?;
        let turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        let subject = named(request.number);
        acts::judge(&self.parts.ledger, &current, operator, Act::Approve, &subject, why)?;
        let waiting = self.waiting(request.number)?;
        is_the_one(&waiting.proposal, &request.revision)?;
        let done = self.approve_waiting(&current, waiting, operator, why);
        drop(turn);
        Ok(self.told(done?))
    }

    fn approve_waiting(
        &self,
        current: &Revision,
        waiting: Waiting,
        operator: &str,
        why: &str,
    ) -> Result<Done, Failure> {
        let Waiting { proposal, approvers } = waiting;
        if proposal.base != current.id().to_string() {
            return Err(overtaken(&proposal, current));
        }
        let id = parsed(&proposal)?;
        let revision = self.parts.store.load(id).map_err(|error| acts::unavailable(&error))?;
        let has_approved = approvers.iter().any(|one| one == operator);
        let approvers: Vec<String> = approvers.into_iter().filter(|one| one != operator).collect();
        let mut by: Vec<String> = [&proposal.operator].into_iter().chain(&approvers).cloned().collect();
        let before = self.needs(current, &revision, None, &by)?;
        by.push(operator.to_owned());
        let needs = self.needs(current, &revision, None, &by)?;
        if needs == before {
            return Err(self.owns_nothing(&proposal, &needs, operator, Act::Approve, why));
        }
        if needs.iter().all(|need| !need.approved_by.is_empty()) {
            let approved = Approved { proposal: proposal.number, before: approvers, last: operator, why };
            let Proposal { kind, operator, why, .. } = &proposal;
            let approved = Some(approved);
            let candidate = Candidate { revision, sources: None, kind: *kind, operator, why, approved };
            return self.make_current(current, &candidate).map(Done::Current);
        }
        if has_approved && needs == proposal.needs {
            return Ok(Done::Proposed(proposal));
        }
        let act = act("approve", operator, why, Some(id));
        let now = self.parts.clock.now();
        let record = |proposal: &Proposal| {
            self.record_as(&act, &format!("proposal {} still needs {}", proposal.number, missing(&proposal.needs)))
        };
        let kept = self.parts.store.approve(proposal.number, operator, now, &needs, record);
        kept.map(Done::Proposed).map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))
    }

    /// See [`api::admin::Admin::withdraw`].
    pub(crate) fn withdraw_proposal(&self, operator: &str, request: &Withdraw) -> Result<Proposal, Failure> {
        let why = acts::words(&request.why)?;
        let _turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        let waiting = self.waiting(request.number);
        let is_own = waiting.as_ref().is_ok_and(|waiting| waiting.proposal.operator == operator);
        if !is_own {
            acts::judge(&self.parts.ledger, &current, operator, Act::Approve, &named(request.number), why)?;
        }
        let Waiting { proposal, .. } = waiting?;
        let id = parsed(&proposal)?;
        // whoever may approve takes back what is over, and what does not validate any more: nobody can say what it touches
        let is_over = proposal.base != current.id().to_string();
        let candidate = if is_own || is_over { None } else { self.parts.store.load(id).ok() };
        if let Some(candidate) = candidate {
            let needs = self.needs(&current, &candidate, None, &[operator.to_owned()])?;
            if needs.iter().all(|need| need.approved_by.is_empty()) {
                return Err(self.owns_nothing(&proposal, &needs, operator, Act::Approve, why));
            }
        }
        let act = act("withdraw", operator, why, Some(id));
        let record = |proposal: &Proposal| self.record_as(&act, &format!("proposal {}", proposal.number));
        let gone = self.parts.store.withdraw(proposal.number, record);
        gone.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))
    }

    fn waiting(&self, number: u64) -> Result<Waiting, Failure> {
        let found = self.parts.store.proposal(number).map_err(|error| acts::unavailable(&error))?;
        found.ok_or_else(|| {
            let hint = "`countersign proposals` lists what waits; what was approved stands among the revisions";
            Failure::new(FailureCode::NotFound, format!("no proposal {number} waits for approval"), hint)
        })
    }

    /// Whose approval a candidate needs under what is current, and who of these operators gave it. Whoever is no operator
    /// any more, or whose trust was taken away, gave none.
    fn needs(
        &self,
        current: &Revision,
        candidate: &Revision,
        sources: Option<&BTreeMap<String, String>>,
        by: &[String],
    ) -> Result<Vec<Need>, Failure> {
        let changed = self.changed_paths(current.id(), candidate.id(), sources)?;
        let standing: Vec<&String> = by.iter().filter(|name| self.stands(name).is_ok()).collect();
        let shown = |need: approval::Need| Need {
            approved_by: standing
                .iter()
                .find(|name| need.satisfied_by(name))
                .map(|name| (*name).clone())
                .unwrap_or_default(),
            folder: need.folder.to_string(),
            owners: need.owners.iter().map(ToString::to_string).collect(),
            because: shorten(need.because),
        };
        Ok(approval::needs(current, candidate, &changed).into_iter().map(shown).collect())
    }

    /// The refusal of an operator who owns nothing of what a proposal touches, on record before it is told.
    fn owns_nothing(&self, proposal: &Proposal, needs: &[Need], operator: &str, doing: Act<'_>, why: &str) -> Failure {
        let note = format!("operator `{operator}` owns nothing that proposal {} still needs", proposal.number);
        let refused = Administration { outcome: Outcome::Deny, ..act(doing.as_str(), operator, why, None) };
        if let Err(error) = self.record_as(&refused, &note) {
            return acts::not_recorded(&error);
        }
        Failure::new(FailureCode::NotAllowed, note, format!("it needs {}", missing(needs)))
    }

    fn record_as(&self, act: &Administration<'_>, note: &str) -> Result<(), NotWritten> {
        let note = bounded(note, &limits::NOTE_BYTES);
        self.parts.ledger.administration(&Administration { note: &note, ..act.clone() })
    }
}

/// An accepted act about a revision.
const fn act<'a>(act: &'a str, operator: &'a str, why: &'a str, revision: Option<RevisionId>) -> Administration<'a> {
    Administration { act, outcome: Outcome::Allow, operator, subject: "", why, note: "", revision, until: None }
}

fn named(number: u64) -> String {
    format!("proposal {number}")
}

/// Whose approval is missing: `domains/finance (operator:alice or operator:bob) and organisation (operator:carol)`.
fn missing(needs: &[Need]) -> String {
    let open = needs.iter().filter(|need| need.approved_by.is_empty());
    let words = open.map(|need| {
        let folder = if need.folder == "." { "organisation" } else { &need.folder };
        format!("{folder} ({})", need.owners.join(" or "))
    });
    words.collect::<Vec<_>>().join(" and ")
}

fn shorten(mut because: Vec<String>) -> Vec<String> {
    let most = limits::CHANGES.default_usize();
    if because.len() > most {
        let rest = because.len().saturating_sub(most);
        because.truncate(most);
        because.push(format!("and {rest} more"));
    }
    because
}

fn has_room(waiting: usize) -> Result<(), Failure> {
    let most = limits::PROPOSALS.default_usize();
    if waiting < most {
        return Ok(());
    }
    let hint = "take back what is not wanted any more with `countersign withdraw`";
    Err(Failure::new(FailureCode::Conflict, format!("{most} proposals wait already"), hint))
}

/// Nobody approves what they have not seen.
fn is_the_one(proposal: &Proposal, digits: &str) -> Result<(), Failure> {
    publish::is_a_revision(digits)?;
    if proposal.revision.starts_with(&digits.to_ascii_lowercase()) {
        return Ok(());
    }
    let message = format!("proposal {} is of another revision: {}", proposal.number, proposal.revision);
    Err(Failure::new(FailureCode::Conflict, message, "look at what it changes with `countersign proposals` first"))
}

fn parsed(proposal: &Proposal) -> Result<RevisionId, Failure> {
    let broken = |_| Failure::new(FailureCode::Unavailable, "the store holds a proposal without a revision", "");
    proposal.revision.parse().map_err(broken)
}

fn overtaken(proposal: &Proposal, current: &Revision) -> Failure {
    let number = proposal.number;
    let message = format!("proposal {number} was made before revision {} became current", current.id().short());
    let hint =
        format!("publish the files again, on what is current now; `countersign withdraw {number}` takes it back");
    Failure::new(FailureCode::Conflict, message, hint)
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
