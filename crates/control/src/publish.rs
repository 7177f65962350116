//! Publications: from files, or from a revision that was current before, to what decides.
//!
//! The order is what makes a crash harmless (docs/decisions, "The record before the store"): everything that can be
//! refused is; the act is written into the store and not yet kept; it is recorded; it is kept; only then does it decide.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use api::admin::{Failure, FailureCode, Publication, PublicationKind, Publish, Rollback};
use policy::Act;
use trustdir::{Loaded, MemoryFiles, Problem, Revision, Severity, TestResult};
use types::facts::{Administration, Lifecycle, Outcome};
use types::{Clock, RevisionId, limits};

use crate::acts::{self, LOCAL, bounded, count};
use crate::changes::changes;
use crate::ledger::Ledger;
use crate::service::{Control, Parts};
use crate::store::{NewPublication, Store};

/// The fewest digits that name a revision.
const FEWEST_DIGITS: usize = 4;

/// What is to be published, by whom and why.
struct Candidate<'a> {
    revision: Arc<Revision>,
    sources: Option<&'a BTreeMap<String, String>>,
    kind: PublicationKind,
    operator: &'a str,
    why: &'a str,
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
    };
    keep(store, ledger, clock, &candidate, Vec::new())
}

impl Control {
    /// See [`api::admin::Admin::publish`].
    pub(crate) fn publish_files(&self, operator: &str, request: &Publish) -> Result<Publication, Failure> {
        let why = acts::words(&request.why)?;
        // compiled before its turn: what does not validate keeps nobody waiting
        let (revision, sources) = compile(&request.files)?;
        let _turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        if revision.id() == current.id() {
            return self.current_publication();
        }
        if request.after.as_ref().is_some_and(|after| *after != current.id().to_string()) {
            return Err(overtaken(&current));
        }
        acts::judge(&self.parts.ledger, &current, operator, Act::Publish, "", why)?;
        passes_its_tests(&revision)?;
        let kind = PublicationKind::Publish;
        self.make_current(&current, &Candidate { revision, sources: Some(&sources), kind, operator, why })
    }

    /// See [`api::admin::Admin::rollback`].
    pub(crate) fn roll_back(&self, operator: &str, request: &Rollback) -> Result<Publication, Failure> {
        let why = acts::words(&request.why)?;
        let id = self.published(&request.revision)?;
        let _turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.parts.revision.load_full();
        if id == current.id() {
            return self.current_publication();
        }
        acts::judge(&self.parts.ledger, &current, operator, Act::Rollback, "", why)?;
        let revision = self.parts.store.load(id).map_err(|error| acts::unavailable(&error))?;
        let kind = PublicationKind::Rollback;
        self.make_current(&current, &Candidate { revision, sources: None, kind, operator, why })
    }

    fn make_current(&self, current: &Revision, candidate: &Candidate<'_>) -> Result<Publication, Failure> {
        let Candidate { revision, .. } = candidate;
        same_organisation(current, revision)?;
        leaves_a_way_back(revision)?;
        self.parts
            .roles
            .prepare(revision)
            .map_err(|error| Failure::new(FailureCode::Unavailable, error.message, error.hint))?;
        let mut said = changes(current, revision);
        if said.is_empty() {
            said.extend(self.changed_files(current.id(), candidate));
        }
        let Parts { store, ledger, clock, .. } = &self.parts;
        let publication = keep(store, ledger, clock.as_ref(), candidate, said)?;
        self.put_in_force(revision);
        Ok(publication)
    }

    /// From here on the revision decides: new requests at once, open exchanges as soon as they were judged again.
    fn put_in_force(&self, revision: &Arc<Revision>) {
        self.parts.revision.store(Arc::clone(revision));
        self.parts.roles.apply(revision);
        self.changed();
        let facts = Lifecycle { event: "revision", version: self.parts.version, revision: Some(revision.id()) };
        if let Err(error) = self.parts.ledger.lifecycle(&facts) {
            tracing::error!(%error, revision = %revision.id().short(), "the revision in force is not on record");
        }
    }

    fn current_publication(&self) -> Result<Publication, Failure> {
        let current = self.parts.store.current().map_err(|error| acts::unavailable(&error))?;
        current.ok_or_else(|| Failure::new(FailureCode::Unavailable, "the store holds no publication any more", ""))
    }

    /// The revision that a name means.
    fn published(&self, name: &str) -> Result<RevisionId, Failure> {
        let shown: String = name.chars().take(80).collect();
        let digits = name.to_ascii_lowercase();
        if !(FEWEST_DIGITS..=64).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let hint = "paste a revision as `countersign revisions` prints it";
            return Err(Failure::new(FailureCode::BadRequest, format!("`{shown}` is not a revision"), hint));
        }
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

    /// Where nothing that decides was changed: the files that were.
    fn changed_files(&self, current: RevisionId, candidate: &Candidate<'_>) -> Vec<String> {
        let kept = |id| self.parts.store.files(id).unwrap_or_default();
        let (old, kept_new) = (kept(current), candidate.sources.is_none().then(|| kept(candidate.revision.id())));
        let empty = BTreeMap::new();
        let new = candidate.sources.or(kept_new.as_ref()).unwrap_or(&empty);
        let paths = old.keys().chain(new.keys()).filter(|path| old.get(*path) != new.get(*path));
        let mut paths: Vec<&str> = paths.map(String::as_str).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().map(|path| format!("`{path}` changed; nothing that decides did")).collect()
    }
}

/// Written, recorded, kept.
fn keep(
    store: &Store,
    ledger: &Ledger,
    clock: &dyn Clock,
    candidate: &Candidate<'_>,
    changes: Vec<String>,
) -> Result<Publication, Failure> {
    let Candidate { revision, sources, kind, operator, why } = candidate;
    let act = Administration {
        act: if *kind == PublicationKind::Rollback { "rollback" } else { "publish" },
        outcome: Outcome::Allow,
        operator,
        subject: "",
        why,
        note: "",
        revision: Some(revision.id()),
        until: None,
    };
    let new = NewPublication {
        revision: revision.id(),
        sources: *sources,
        kind: *kind,
        at: clock.now(),
        operator,
        why,
        changes,
    };
    let record = |publication: &Publication| {
        let note = format!("publication {}: {}", publication.number, publication.changes.join("; "));
        let note = bounded(note.trim_end_matches([' ', ':']), &limits::NOTE_BYTES);
        ledger.administration(&Administration { note: &note, ..act.clone() })
    };
    store.publish(&new, record).map_err(|failure| acts::not_done(ledger, &act, failure))
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
    for act in [Act::Rollback, Act::Publish] {
        let verdict = candidate.policies().may(LOCAL, act);
        if verdict.outcome != Outcome::Allow {
            let message = format!("after it nobody could {}: {}", act.as_str(), verdict.note);
            let hint = "let admin.cedar permit it to Operator::\"local\", whoever owns the data directory";
            return Err(Failure::new(FailureCode::BadRequest, message, hint));
        }
    }
    Ok(())
}

fn overtaken(current: &Revision) -> Failure {
    let message = format!("revision {} is current, and not the one that this was to follow", current.id().short());
    let hint = "see what changed with `countersign revisions`, then publish again";
    Failure::new(FailureCode::Conflict, message, hint)
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
