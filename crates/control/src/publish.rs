//! Publications: from files, or from a revision that was current before, to what decides.
//!
//! The order is what makes a crash harmless (docs/decisions, "The record before the store"): everything that can be
//! refused is; the act is written into the store and not yet kept; it is recorded; it is kept; only then does it decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use api::admin::{Failure, FailureCode, Publication, PublicationKind, Publish, Published, Rollback};
use policy::Act;
use trustdir::{Loaded, MemoryFiles, Problem, Revision, Severity, TestResult, approval};
use types::facts::{Administration, Lifecycle, Outcome};
use types::{Clock, RevisionId, limits};

use crate::acts::{self, LOCAL, bounded, count};
use crate::approvals::Done;
use crate::changes::changes;
use crate::ledger::Ledger;
use crate::service::{Control, Parts, has_users};
use crate::store::{NewPublication, NotDone, Store};

/// The fewest digits that name a revision.
const FEWEST_DIGITS: usize = 4;

/// What is to be published, by whom and why.
pub(crate) struct Candidate<'a> {
    pub revision: Arc<Revision>,
    /// Its files; absent where they are kept already.
    pub sources: Option<&'a BTreeMap<String, String>>,
    pub kind: PublicationKind,
    pub operator: &'a str,
    pub why: &'a str,
    /// Where it was a proposal: who approved it.
    pub approved: Option<Approved<'a>>,
}

/// The approvals of what was a proposal.
pub(crate) struct Approved<'a> {
    /// The proposal.
    pub proposal: u64,
    /// Who approved it earlier.
    pub before: Vec<String>,
    /// Who approves it now, as the last one that it needs.
    pub last: &'a str,
    /// Why, in the words of the last one.
    pub why: &'a str,
}

impl Approved<'_> {
    fn all(&self) -> Vec<String> {
        self.before.iter().map(String::as_str).chain([self.last]).map(ToOwned::to_owned).collect()
    }
}

/// Makes files current in an empty store, for the start of a process. What an operator would be refused is refused here.
///
/// # Errors
/// [`Failure`] when a test fails, nobody could roll back, or the store or the record does not take it.
pub fn first(
    store: &Store,
    ledger: &Ledger,
    clock: &dyn Clock,
    revision: &Arc<Revision>,
    sources: &BTreeMap<String, String>,
) -> Result<Publication, Failure> {
    passes_its_tests(revision)?;
    leaves_a_way_back(revision)?;
    let candidate = Candidate {
        revision: Arc::clone(revision),
        sources: Some(sources),
        kind: PublicationKind::First,
        operator: LOCAL,
        why: "",
        approved: None,
    };
    keep(store, ledger, clock, &candidate, Vec::new())
}

impl Control {
    /// See [`api::admin::Admin::publish`].
    pub(crate) fn publish_files(&self, operator: &str, request: &Publish) -> Result<Published, Failure> {
        let why = acts::words(&request.why)?;
        acts::judge(&self.parts.ledger, &self.parts.revision.load(), operator, Act::Publish, "", why)?;
        // compiled before its turn: what does not validate keeps nobody waiting
        let (revision, sources) = compile(&request.files)?;
        let turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        let done = if revision.id() == current.id() && self.is_behind_fleet().is_none() {
            self.current_publication().map(Done::Current)
        } else if request.after.as_ref().is_some_and(|after| *after != current.id().to_string()) {
            Err(overtaken(&current))
        } else {
            // judged again: another revision may be current than the one that let the operator in
            acts::judge(&self.parts.ledger, &current, operator, Act::Publish, "", why)?;
            let (kind, sources) = (PublicationKind::Publish, Some(&sources));
            self.publish_or_propose(&current, Candidate { revision, sources, kind, operator, why, approved: None })
        };
        drop(turn);
        Ok(self.told(done?))
    }

    /// See [`api::admin::Admin::rollback`].
    pub(crate) fn roll_back(&self, operator: &str, request: &Rollback) -> Result<Published, Failure> {
        let why = acts::words(&request.why)?;
        acts::judge(&self.parts.ledger, &self.parts.revision.load(), operator, Act::Rollback, "", why)?;
        let id = self.published(&request.revision)?;
        let turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        let done = if id == current.id() && self.is_behind_fleet().is_none() {
            self.current_publication().map(Done::Current)
        } else {
            acts::judge(&self.parts.ledger, &current, operator, Act::Rollback, "", why)?;
            let revision = self.parts.store.load(id).map_err(|error| acts::unavailable(&error))?;
            let kind = PublicationKind::Rollback;
            self.publish_or_propose(
                &current,
                Candidate { revision, sources: None, kind, operator, why, approved: None },
            )
        };
        drop(turn);
        Ok(self.told(done?))
    }

    /// The answer to whoever asked for a publication. Waiting for enforcers keeps nobody else waiting.
    pub(crate) fn told(&self, done: Done) -> Published {
        match done {
            Done::Current(publication) => {
                let reach = self.reach_publication(publication.number);
                Published::Current { publication, reach }
            }
            Done::Proposed(proposal) => Published::Proposed { proposal },
        }
    }

    /// Makes a candidate current whose approvals are all there. The caller holds the turn.
    pub(crate) fn make_current(&self, current: &Revision, candidate: &Candidate<'_>) -> Result<Publication, Failure> {
        let Candidate { revision, .. } = candidate;
        is_fit(current, revision)?;
        self.parts
            .roles
            .prepare(revision)
            .map_err(|error| Failure::new(FailureCode::Unavailable, error.message, error.hint))?;
        let said = self.said(current, candidate)?;
        let Parts { store, ledger, clock, .. } = &self.parts;
        let publication = keep(store, ledger, clock.as_ref(), candidate, said)?;
        self.put_in_force(&publication, revision);
        Ok(publication)
    }

    /// From here on the revision decides: new requests at once, open exchanges as soon as they were judged again.
    fn put_in_force(&self, publication: &Publication, revision: &Arc<Revision>) {
        self.parts.revision.store(Arc::clone(revision));
        self.parts.roles.apply(revision);
        self.settle_federation();
        self.changed();
        self.users.send_replace(has_users(revision));
        self.end_sessions_of_the_gone(revision);
        let facts = Lifecycle { event: "revision", version: self.parts.version, revision: Some(revision.id()) };
        if let Err(error) = self.parts.ledger.lifecycle(&facts) {
            let number = publication.number;
            tracing::error!(%error, number, revision = %revision.id().short(), "the revision in force is not on record");
        }
    }

    fn current_publication(&self) -> Result<Publication, Failure> {
        let current = self.parts.store.current().map_err(|error| acts::unavailable(&error))?;
        current.ok_or_else(|| Failure::new(FailureCode::Unavailable, "the store holds no publication any more", ""))
    }

    /// The revision that a name means.
    fn published(&self, name: &str) -> Result<RevisionId, Failure> {
        is_a_revision(name)?;
        let (shown, digits) = (name, name.to_ascii_lowercase());
        let found = self.parts.store.revisions_named(&digits).map_err(|error| acts::unavailable(&error))?;
        match found.as_slice() {
            [id] => Ok(*id),
            [] => {
                let hint = "`countersign revisions` lists those that were current";
                Err(Failure::new(FailureCode::NotFound, format!("revision `{shown}` was never current here"), hint))
            }
            many => {
                let list: Vec<String> = many.iter().map(ToString::to_string).collect();
                let message = format!("`{shown}` is the beginning of more than one revision");
                Err(Failure::new(FailureCode::Ambiguous, message, format!("one of\n{}", list.join("\n"))))
            }
        }
    }

    /// What a candidate changes, as sentences; where nothing that decides was changed, the files that were.
    pub(crate) fn said(&self, current: &Revision, candidate: &Candidate<'_>) -> Result<Vec<String>, Failure> {
        let said = changes(current, &candidate.revision);
        if !said.is_empty() {
            return Ok(said);
        }
        let paths = self.changed_paths(current.id(), candidate.revision.id(), candidate.sources)?;
        Ok(paths.into_iter().map(|path| format!("`{path}` changed; nothing that decides did")).collect())
    }

    /// The paths at which two revisions differ, each once and in order; `sources` are the files of one that is not kept.
    pub(crate) fn changed_paths(
        &self,
        current: RevisionId,
        candidate: RevisionId,
        sources: Option<&BTreeMap<String, String>>,
    ) -> Result<Vec<String>, Failure> {
        let kept = |id| self.parts.store.files(id).map_err(|error| acts::unavailable(&error));
        let old = kept(current)?;
        let kept_new = if sources.is_none() { kept(candidate)? } else { BTreeMap::new() };
        let new = sources.unwrap_or(&kept_new);
        let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        Ok(paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).cloned().collect())
    }
}

/// Written, recorded, kept. The last approval is recorded with the publication that it makes, and kept with it.
fn keep(
    store: &Store,
    ledger: &Ledger,
    clock: &dyn Clock,
    candidate: &Candidate<'_>,
    changes: Vec<String>,
) -> Result<Publication, Failure> {
    let Candidate { revision, sources, kind, operator, why, approved } = candidate;
    let act = |act, operator, why| Administration {
        act,
        outcome: Outcome::Allow,
        operator,
        subject: "",
        why,
        note: "",
        revision: Some(revision.id()),
        until: None,
    };
    let publishing = act(if *kind == PublicationKind::Rollback { "rollback" } else { "publish" }, *operator, *why);
    let approving = approved.as_ref().map(|approved| act("approve", approved.last, approved.why));
    let new = NewPublication {
        revision: revision.id(),
        sources: *sources,
        kind: *kind,
        at: clock.now(),
        operator,
        why,
        changes,
        approved: approved.as_ref().map(|approved| (approved.proposal, approved.all())),
    };
    let record = |publication: &Publication| {
        let mut number = format!("publication {}", publication.number);
        if let Some((act, approved)) = approving.as_ref().zip(approved.as_ref()) {
            let proposal = approved.proposal;
            let note = format!("proposal {proposal} has every approval: {number}");
            ledger.administration(&Administration { note: &note, ..act.clone() })?;
            number = format!("{number} of proposal {proposal}, approved by {}", publication.approvals.join(", "));
        }
        let note = format!("{number}: {}", publication.changes.join("; "));
        let note = bounded(note.trim_end_matches([' ', ':']), &limits::NOTE_BYTES);
        ledger.administration(&Administration { note: &note, ..publishing.clone() })
    };
    store.publish(&new, record).map_err(|failure| {
        if let (Some(act), NotDone::NotKept(error)) = (&approving, &failure) {
            acts::taken_back(ledger, act, error);
        }
        acts::not_done(ledger, &publishing, failure)
    })
}

/// A revision of files, with their texts as they were read.
fn compile(files: &BTreeMap<String, String>) -> Result<(Arc<Revision>, BTreeMap<String, String>), Failure> {
    let files = MemoryFiles::new(files.iter().map(|(path, text)| (path.clone(), text.clone())));
    let Loaded { revision, problems, sources } = trustdir::load(&files);
    revision.ok_or_else(|| does_not_validate(&problems, &sources)).map(|revision| (revision, sources))
}

fn does_not_validate(problems: &[Problem], sources: &BTreeMap<String, String>) -> Failure {
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let line = |problem: &&Problem| {
        let text = sources.get(&problem.path);
        let at = text.zip(problem.span.as_ref()).map(|(text, span)| trustdir::line_column(text, span.start));
        let place =
            at.map_or_else(|| problem.path.clone(), |(line, column)| format!("{}:{line}:{column}", problem.path));
        if place.is_empty() { problem.message.clone() } else { format!("{place}: {}", problem.message) }
    };
    let message = format!("the files do not validate: {}", count(errors.len(), "error", "errors"));
    Failure::new(FailureCode::BadRequest, message, listed(errors.iter().map(line), errors.len(), "`countersign check`"))
}

/// The first few, and where the others are to be seen.
fn listed(lines: impl Iterator<Item = String>, all: usize, command: &str) -> String {
    let most = limits::TOLD_PROBLEMS.default_usize();
    let mut told: Vec<String> = lines.take(most).collect();
    if all > most {
        told.push(format!("{} more: {command} shows all", all.saturating_sub(most)));
    }
    told.join("\n")
}

fn passes_its_tests(revision: &Revision) -> Result<(), Failure> {
    let failed: Vec<TestResult> = trustdir::run_tests(revision).into_iter().filter(|test| !test.passed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let line = |test: &TestResult| format!("{}:{}: {}: {}", test.file, test.line, test.name, test.note);
    let all = revision.tests().len();
    let message = format!("{} of {all} failed", count(failed.len(), "test", "tests"));
    let hint = listed(failed.iter().map(line), failed.len(), "`countersign test`");
    Err(Failure::new(FailureCode::BadRequest, message, hint))
}

/// Whether a text is a revision, or enough of its beginning to name one.
pub(crate) fn is_a_revision(text: &str) -> Result<(), Failure> {
    if (FEWEST_DIGITS..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    let hint = "paste a revision as `countersign revisions` or `countersign proposals` prints it";
    Err(Failure::new(FailureCode::BadRequest, format!("`{shown}` is not a revision"), hint))
}

/// Whether a candidate may become current at all, whoever publishes or approves it.
pub(crate) fn is_fit(current: &Revision, candidate: &Revision) -> Result<(), Failure> {
    passes_its_tests(candidate)?;
    same_organisation(current, candidate)?;
    leaves_a_way_back(candidate)
}

/// Trust domains are named after the organisation: another one is another installation.
fn same_organisation(current: &Revision, candidate: &Revision) -> Result<(), Failure> {
    let (old, new) = (&current.model().organisation, &candidate.model().organisation);
    if old == new {
        return Ok(());
    }
    let message = format!("the files are of the organisation `{new}`, and `{old}` runs here");
    let hint = "its keys and log belong to another data directory; start it with `countersign up DIR`";
    Err(Failure::new(FailureCode::BadRequest, message, hint))
}

fn leaves_a_way_back(candidate: &Revision) -> Result<(), Failure> {
    approval::leaves_a_way_back(candidate)
        .map_err(|error| Failure::new(FailureCode::BadRequest, error.message, error.hint))
}

fn overtaken(current: &Revision) -> Failure {
    let message = format!("revision {} is current, and not the one that this was to follow", current.id().short());
    let hint = "see what changed with `countersign revisions`, then publish again";
    Failure::new(FailureCode::Conflict, message, hint)
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
