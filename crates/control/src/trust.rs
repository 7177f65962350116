//! Trust taken away and given back.

use std::sync::{Arc, PoisonError};

use api::admin::{Failure, FailureCode, Restore, Revocation, Revoke};
use policy::Act;
use record::{Cursor, Item};
use signal::{Subject, SubjectError};
use trustdir::Revision;
use types::facts::{self, Administration, Caller, Facts, Outcome};
use types::{SpiffeId, Timestamp, WorkloadId, limits};
use wire::system;

use crate::acts::{self, bounded};
use crate::history::unreadable;
use crate::names;
use crate::operators;
use crate::service::Control;
use crate::store::{Change, Held};

/// Records may be a little older than the moment up to which was counted.
const SLACK_MICROS: u64 = 1_000_000;

impl Control {
    /// See [`api::admin::Admin::revoke`].
    pub(crate) fn take_trust(&self, operator: &str, request: &Revoke) -> Result<Revocation, Failure> {
        let why = acts::words(&request.reason)?;
        if why.is_empty() {
            let hint = "say why with --reason; it stands in the record and in every refusal's story";
            return Err(Failure::new(FailureCode::BadRequest, "a revocation needs a reason", hint));
        }
        let now = self.parts.clock.now();
        let until = end(now, request.seconds)?;
        let revision = self.parts.revision.load_full();
        let (parsed, text) = parse(&request.subject, &revision);
        let workload = parsed.as_ref().ok().and_then(|subject| workload_of(subject, &revision));
        let doing = Act::Revoke(workload.as_ref());
        // before anything is said about what there is
        acts::judge(&self.parts.ledger, &revision, operator, doing, &text, why)?;
        let subject = self.known_subject(parsed.map_err(|error| not_a_subject(&error))?, &revision)?;
        let note = self.what_is_known(&subject, &revision)?;
        let turn = self.signalling.lock().unwrap_or_else(PoisonError::into_inner);
        let revocation = signal::Revocation {
            subject,
            reason: why.to_owned(),
            operator: operator.to_owned(),
            at: now,
            until,
            epoch: 0,
        };
        let act = Administration {
            act: doing.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &text,
            why,
            note: "",
            revision: None,
            until,
        };
        self.may_shorten(operator, &revocation, &revision, why)?;
        let organisation = &revision.model().organisation;
        // before it: a session that somebody stole must not wake up when the trust is given back
        if let Some(name) = operators::named_by(&revocation.subject, organisation) {
            self.parts.store.end_sessions_of(&name).map_err(|error| acts::unavailable(&error))?;
        }
        let change = self.parts.store.revoke(&revocation, &note, organisation, |change| self.record(&act, change));
        let change = change.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))?;
        self.put_signals_in_force(change.state);
        drop(turn);
        Ok(self.with_reach(change.revocation, change.note))
    }

    /// Whoever replaces a revocation by one that ends earlier gives trust back, and is judged for that too.
    fn may_shorten(
        &self,
        operator: &str,
        new: &signal::Revocation,
        revision: &Revision,
        why: &str,
    ) -> Result<(), Failure> {
        let old = self.parts.store.revocation(&new.subject, &revision.model().organisation, new.at);
        match old.map_err(|error| acts::unavailable(&error))? {
            Some(old) if !new.outlasts(&old) => {
                let workload = workload_of(&new.subject, revision);
                let doing = Act::Restore(workload.as_ref());
                acts::judge(&self.parts.ledger, revision, operator, doing, &new.subject.to_string(), why)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// See [`api::admin::Admin::restore`].
    pub(crate) fn give_trust_back(&self, operator: &str, request: &Restore) -> Result<Revocation, Failure> {
        let why = acts::words(&request.reason)?;
        let revision = self.parts.revision.load_full();
        let organisation = &revision.model().organisation;
        let (parsed, text) = parse(&request.subject, &revision);
        let workload = parsed.as_ref().ok().and_then(|subject| workload_of(subject, &revision));
        let doing = Act::Restore(workload.as_ref());
        acts::judge(&self.parts.ledger, &revision, operator, doing, &text, why)?;
        let subject = parsed.map_err(|error| not_a_subject(&error))?;
        let turn = self.signalling.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.parts.clock.now();
        let act = Administration {
            act: doing.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &text,
            why,
            note: "",
            revision: None,
            until: None,
        };
        let lifted = self.parts.store.restore(&subject, organisation, now, |change| self.record(&act, change));
        let lifted = lifted.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))?;
        let Some(change) = lifted else {
            let hint = "`countersign subjects` lists what is revoked";
            return Err(Failure::new(FailureCode::NotFound, format!("`{text}` is not revoked"), hint));
        };
        self.put_signals_in_force(change.state);
        drop(turn);
        Ok(self.with_reach(change.revocation, change.note))
    }

    /// How far a change has come, after a moment in which enforcers that are connected take it.
    fn with_reach(&self, revocation: signal::Revocation, note: String) -> Revocation {
        let reach = self.reach_epoch(revocation.epoch);
        Revocation { reach: Some(reach), ..shown(Held { revocation, note }) }
    }

    /// See [`api::admin::Admin::revocations`].
    pub(crate) fn held_against(&self) -> Result<Vec<Revocation>, Failure> {
        let revision = self.parts.revision.load();
        let found = self.parts.store.revocations(&revision.model().organisation, self.parts.clock.now());
        Ok(found.map_err(|error| acts::unavailable(&error))?.into_iter().map(shown).collect())
    }

    fn record(&self, act: &Administration<'_>, change: &Change) -> Result<(), crate::NotWritten> {
        let epoch = format!("epoch {}", change.revocation.epoch);
        let note = if change.note.is_empty() { epoch } else { format!("{epoch}: {}", change.note) };
        let note = bounded(&note, &limits::NOTE_BYTES);
        self.parts.ledger.administration(&Administration { note: &note, ..act.clone() })
    }

    /// From here on it holds here, and is told to everybody. Nothing can fail: the state was made where it was kept.
    pub(crate) fn put_signals_in_force(&self, state: signal::State) {
        self.parts.signals.store(Arc::new(state));
        self.parts.roles.signals_changed();
        self.changed();
    }

    /// What the operator means, where it is there: a workload, a peer or an operator of ours, or one that was seen before
    /// it went.
    fn known_subject(&self, subject: Subject, revision: &Revision) -> Result<Subject, Failure> {
        let organisation = &revision.model().organisation;
        let Subject::Spiffe(id) = &subject else { return Ok(subject) };
        if let Some(name) = gateway_of(id) {
            let message = format!("`{name}` is a gateway and calls nobody: revoking it would change nothing");
            let hint = format!("revoke the proxy's own identity: countersign revoke node:proxy/{name}");
            return Err(Failure::new(FailureCode::BadRequest, message, hint));
        }
        let ours =
            id.trust_domain().as_str().strip_suffix(organisation.as_str()).is_some_and(|rest| rest.ends_with('.'));
        let known = workload_of(&subject, revision).is_some() || self.runs_countersign(id, revision);
        if !ours || known || self.was_seen(&subject)? {
            return Ok(subject);
        }
        Err(no_such_subject(id, revision))
    }

    /// Whether it is a peer that joined or an operator of the running revision.
    fn runs_countersign(&self, id: &SpiffeId, revision: &Revision) -> bool {
        let ours = system::organisation(id.trust_domain()).as_ref() == Some(&revision.model().organisation);
        let operator = |name: &str| revision.operators().keys().any(|known| known.as_str() == name);
        ours && match system::peer_of(id) {
            Some(name) => self.hub.peers.get(&name).is_some(),
            None => id.path().strip_prefix("/operator/").is_some_and(operator),
        }
    }

    /// What the operator should know about a subject that is about to be revoked.
    fn what_is_known(&self, subject: &Subject, revision: &Revision) -> Result<String, Failure> {
        let what = match subject {
            Subject::Spiffe(id) if self.runs_countersign(id, revision) => return Ok(String::new()),
            Subject::Spiffe(_) if workload_of(subject, revision).is_some() => return Ok(String::new()),
            Subject::Spiffe(_) => "the running revision has no such workload",
            // records name certificates, not their keys
            Subject::Key(_) => return Ok("no record names a key, so nobody can say whether it was seen".to_owned()),
            Subject::Serial(_) => "no certificate with this serial number was issued or seen here",
        };
        Ok(if self.was_seen(subject)? { String::new() } else { what.to_owned() })
    }

    /// Whether a live certificate of a subject was issued or seen. What was counted knows most; the latest moments are
    /// read from the log.
    fn was_seen(&self, subject: &Subject) -> Result<bool, Failure> {
        let text = match subject {
            Subject::Spiffe(id) => id.as_str(),
            Subject::Serial(serial) => serial,
            Subject::Key(_) => return Ok(false),
        };
        if self.parts.store.knows_certificate(text).map_err(|error| acts::unavailable(&error))? {
            return Ok(true);
        }
        let counted = self.counter.progress().until().micros().saturating_sub(SLACK_MICROS);
        for item in Cursor::open_since(self.parts.log.dir(), Timestamp::from_micros(counted)).map_err(unreadable)? {
            let Item::Record(record) = item.map_err(unreadable)? else { continue };
            let (id, serial) = match &record.view().facts {
                Facts::Decision(facts::Decision { caller: Caller::Verified(peer), .. }) => {
                    (peer.spiffe_id, peer.serial)
                }
                Facts::Issuance(issuance) if issuance.outcome == Outcome::Allow => {
                    (issuance.spiffe_id, issuance.serial)
                }
                _ => continue,
            };
            if id == text || serial == text {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is meant, and its text for the record, also where it is none.
fn parse(text: &str, revision: &Revision) -> (Result<Subject, SubjectError>, String) {
    let parsed = Subject::parse(text.trim(), &revision.model().organisation).map(|subject| match subject {
        Subject::Spiffe(id) => Subject::Spiffe(names::identity_of(id, revision)),
        other @ (Subject::Serial(_) | Subject::Key(_)) => other,
    });
    let text = parsed.as_ref().map_or_else(|_| bounded(text, &limits::NOTE_BYTES), ToString::to_string);
    (parsed, text)
}

fn no_such_subject(id: &SpiffeId, revision: &Revision) -> Failure {
    let organisation = &revision.model().organisation;
    if system::organisation(id.trust_domain()).as_ref() == Some(organisation) {
        let message = format!("nobody is called `{}`", id.path().trim_start_matches('/'));
        let hint = "`countersign fleet` names the peers, and `operators` in countersign.yaml the operators";
        return Failure::new(FailureCode::NotFound, message, hint);
    }
    let name = names::caller(id.as_str(), organisation);
    let known: Vec<String> = revision.workloads().keys().map(ToString::to_string).collect();
    let hint = match trustdir::nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`countersign what-can` and the map name the workloads there are".to_owned(),
    };
    Failure::new(FailureCode::NotFound, format!("there is no workload `{name}`"), hint)
}

/// The workload of the running revision that a subject is.
fn workload_of(subject: &Subject, revision: &Revision) -> Option<WorkloadId> {
    let Subject::Spiffe(id) = subject else { return None };
    revision.workloads().values().find(|workload| workload.spiffe_id == *id).map(|workload| workload.id.clone())
}

/// The name of a gateway; `None` for other identities.
fn gateway_of(id: &SpiffeId) -> Option<&str> {
    id.path().strip_prefix("/_gateway/")
}

fn end(now: Timestamp, seconds: Option<u64>) -> Result<Option<Timestamp>, Failure> {
    let Some(seconds) = seconds else { return Ok(None) };
    let most = limits::REVOCATION_TIME.default / 1_000;
    if (1..=most).contains(&seconds) {
        return Ok(Some(now.plus_seconds(seconds)));
    }
    let hint = format!("from a second up to {} days; leave it out to revoke for good", most / 86_400);
    Err(Failure::new(FailureCode::BadRequest, format!("a revocation does not last {seconds} seconds"), hint))
}

fn not_a_subject(error: &SubjectError) -> Failure {
    let code = match error {
        SubjectError::Protected(_) => FailureCode::NotAllowed,
        _ => FailureCode::BadRequest,
    };
    Failure::new(code, acts::with_causes(error), error.hint())
}

fn shown(held: Held) -> Revocation {
    let Held { revocation, note } = held;
    Revocation {
        subject: revocation.subject.to_string(),
        reason: revocation.reason,
        operator: revocation.operator,
        at: revocation.at,
        until: revocation.until,
        epoch: revocation.epoch,
        note,
        reach: None,
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
