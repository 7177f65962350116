//! Who asks: the operator behind a user id or a certificate, as long as the current revision names them and nobody took
//! their trust away; and certificates for operators.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::admin::{Certified, Certify, Failure, FailureCode};
use identity::VerifiedPeer;
use policy::Act;
use signal::Subject;
use types::facts::{Administration, Outcome};
use types::{Label, SpiffeId, TrustDomain, limits};

use crate::acts::{self, LOCAL, bounded};
use crate::pem;
use crate::service::{Control, not_issued};

/// The trust domain of the system's own identities, before the organisation's suffix.
const SYSTEM: &str = "system";
/// The first part of the path of an operator's identity.
const OPERATOR: &str = "operator";
/// The shortest life of an operator's certificate: a minute, since clocks differ by seconds.
const FEWEST_SECONDS: u64 = 60;

/// Somebody whose word does not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stranger {
    /// The operator that they were or would be, `""` for none.
    pub claimed: String,
    /// Why not: lower case, no period.
    pub words: String,
    /// What to do.
    pub hint: &'static str,
}

impl Stranger {
    fn new(claimed: impl Into<String>, words: impl Into<String>, hint: &'static str) -> Self {
        Self { claimed: claimed.into(), words: words.into(), hint }
    }

    /// Nobody who says who they are.
    pub fn without_certificate() -> Self {
        let hint =
            "ask with an operator's certificate: `countersign operator certificate` on control's machine makes one";
        Self::new("", "the admin API answers operators, and nobody's certificate was shown", hint)
    }

    /// The answer.
    pub fn failure(&self) -> Failure {
        Failure::new(FailureCode::Unidentified, self.words.clone(), self.hint)
    }
}

/// How many refusals of strangers got a record of their own in this second, and how many were only counted since.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    second: u64,
    recorded: u64,
    skipped: u64,
}

impl Strangers {
    /// Whether one in this second gets a record, with the number of those that did not.
    fn admit(&self, second: u64) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.second != second {
            counted.second = second;
            counted.recorded = 0;
        }
        if counted.recorded >= limits::ADMIN_REFUSALS.default {
            counted.skipped = counted.skipped.saturating_add(1);
            return None;
        }
        counted.recorded = counted.recorded.saturating_add(1);
        Some(core::mem::take(&mut counted.skipped))
    }
}

impl Control {
    /// Whether an operator's word counts at this moment.
    ///
    /// # Errors
    /// [`Stranger`] where the current revision names no such operator, or their trust was taken away.
    pub(crate) fn stands(&self, operator: &str) -> Result<(), Stranger> {
        if operator == LOCAL {
            return Ok(());
        }
        let revision = self.parts.revision.load();
        let model = revision.model();
        let named = Label::parse(operator).ok().filter(|name| model.operators.contains_key(name));
        let Some(id) = named.and_then(|name| operator_id(&model.organisation, &name)) else {
            let hint = "the key `operators` of countersign.yaml names the operators there are";
            return Err(Stranger::new(operator, format!("there is no operator `{operator}`"), hint));
        };
        match self.parts.signals.load().revoked_id(&id, self.parts.clock.now()) {
            Some(_) => Err(revoked(operator)),
            None => Ok(()),
        }
    }

    /// The operator of a process of this machine; `owner` is the user who owns the data directory.
    ///
    /// # Errors
    /// [`Stranger`].
    pub(crate) fn operator_of_user(&self, uid: u32, owner: u32) -> Result<String, Stranger> {
        if uid == owner {
            return Ok(LOCAL.to_owned());
        }
        let revision = self.parts.revision.load();
        let Some(name) = revision.operator_of_uid(uid) else {
            let hint =
                "`operators` in countersign.yaml gives user ids to operators; whoever owns the data directory is one";
            return Err(Stranger::new("", format!("user id {uid} is not an operator's"), hint));
        };
        self.stands(name.as_str()).map(|()| name.to_string())
    }

    /// The operator of a verified certificate, at this moment.
    ///
    /// # Errors
    /// [`Stranger`].
    pub(crate) fn operator_of_peer(&self, peer: &VerifiedPeer) -> Result<String, Stranger> {
        let now = self.parts.clock.now();
        let revision = self.parts.revision.load();
        let name = name_of(peer.spiffe_id(), &revision.model().organisation).ok_or_else(|| {
            let words = format!("`{}` is not an operator's identity", peer.spiffe_id());
            Stranger::new("", words, Stranger::without_certificate().hint)
        })?;
        if now > peer.not_after() {
            let hint = "`countersign operator certificate` makes a new one";
            return Err(Stranger::new(name, format!("the certificate ended at {}", peer.not_after()), hint));
        }
        if self.parts.signals.load().clear(peer, now).is_err() {
            return Err(revoked(&name));
        }
        self.stands(&name).map(|()| name)
    }

    /// Records that somebody whose word does not count asked for an act. A flood of them is counted, so that it does not
    /// fill the log. A refusal stands whether or not it could be recorded.
    pub(crate) fn record_stranger(&self, stranger: &Stranger, act: &str) {
        let Some(skipped) = self.strangers.admit(self.parts.clock.now().seconds()) else { return };
        let more = if skipped == 0 { String::new() } else { format!("; {skipped} before it were only counted") };
        let note = bounded(&format!("{}{more}", stranger.words), &limits::NOTE_BYTES);
        let facts = Administration {
            act,
            outcome: Outcome::Deny,
            operator: &stranger.claimed,
            subject: "",
            why: "",
            note: &note,
            revision: None,
            until: None,
        };
        if let Err(error) = self.parts.ledger.administration(&facts) {
            tracing::error!(%error, act, "the refusal of an act is not on record");
        }
    }

    /// See [`api::admin::Admin::certify`].
    pub(crate) fn certify_operator(&self, operator: &str, request: &Certify) -> Result<Certified, Failure> {
        let csr = pem::read_request(&request.csr).ok_or_else(|| {
            let hint = "send a PKCS #10 CERTIFICATE REQUEST";
            Failure::new(FailureCode::BadRequest, "the certificate request is not PEM", hint)
        })?;
        let seconds = life(request.seconds)?;
        let revision = self.parts.revision.load_full();
        let shown: String = request.name.chars().take(limits::LABEL_BYTES.default_usize()).collect();
        let subject = format!("{OPERATOR}:{shown}");
        acts::judge(&self.parts.ledger, &revision, operator, Act::Certify, &subject, "")?;
        let name = self.certifiable(&request.name)?;
        let until = self.parts.clock.now().plus_seconds(seconds);
        let act = Administration {
            act: Act::Certify.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &subject,
            why: "",
            note: "",
            revision: None,
            until: Some(until),
        };
        self.parts.ledger.administration(&act).map_err(|error| acts::not_recorded(&error))?;
        let svid = self
            .parts
            .roles
            .mint_operator(&name, &csr, Duration::from_secs(seconds))
            .map_err(|error| not_issued(&error))?;
        Ok(Certified {
            chain: pem::certificates(&svid.chain_der),
            root: pem::certificates(&[self.parts.roles.system_root()]),
            serial: svid.serial,
            not_after: svid.not_after,
        })
    }

    /// Whoever owns the data directory is no name that a certificate gives to anybody.
    fn certifiable(&self, name: &str) -> Result<Label, Failure> {
        self.stands(name).map_err(|stranger| Failure::new(FailureCode::NotFound, stranger.words, stranger.hint))?;
        Label::parse(name).ok().filter(|name| name.as_str() != LOCAL).ok_or_else(|| {
            let hint = "whoever owns the data directory asks over its socket; name a key of `operators`";
            Failure::new(FailureCode::BadRequest, format!("`{name}` gets no certificate"), hint)
        })
    }
}

fn revoked(operator: &str) -> Stranger {
    Stranger::new(
        operator,
        format!("the trust in operator `{operator}` was taken away"),
        "`countersign subjects` says why",
    )
}

/// `spiffe://system.<organisation>/operator/NAME`.
fn operator_id(organisation: &TrustDomain, name: &Label) -> Option<SpiffeId> {
    let domain = TrustDomain::parse(&format!("{SYSTEM}.{organisation}")).ok()?;
    SpiffeId::from_segments(&domain, &[OPERATOR, name.as_str()]).ok()
}

fn name_of(id: &SpiffeId, organisation: &TrustDomain) -> Option<String> {
    let mut segments = id.segments();
    let (first, name, rest) = (segments.next()?, segments.next()?, segments.next());
    let is_ours = operator_id(organisation, &Label::parse(name).ok()?).is_some_and(|ours| ours == *id);
    (first == OPERATOR && rest.is_none() && is_ours && name != LOCAL).then(|| name.to_owned())
}

/// The operator whose trust this subject is.
pub(crate) fn named_by(subject: &Subject, organisation: &TrustDomain) -> Option<String> {
    match subject {
        Subject::Spiffe(id) => name_of(id, organisation),
        _ => None,
    }
}

fn life(seconds: Option<u64>) -> Result<u64, Failure> {
    let most = limits::OPERATOR_CERTIFICATE_MOST_TIME.default / 1_000;
    match seconds {
        None => Ok(limits::OPERATOR_CERTIFICATE_TIME.default / 1_000),
        Some(seconds) if (FEWEST_SECONDS..=most).contains(&seconds) => Ok(seconds),
        Some(_) => {
            let (minutes, hours) = (FEWEST_SECONDS / 60, most / 3_600);
            let message = format!("an operator's certificate is good for {minutes} minute to {hours} hours");
            Err(Failure::new(FailureCode::BadRequest, message, "ask for a new one when it is over"))
        }
    }
}

#[cfg(test)]
#[path = "operators_tests.rs"]
mod tests;
