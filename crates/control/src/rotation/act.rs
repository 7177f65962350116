//! What operators do with rotations: begin one, take it back a step, force it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use api::admin::{Failure, FailureCode, Keys, Reach, Role, Rotate, Rotation, RotationAct, RotationPhase};
use api::issuance::IssueError;
use api::keys::{KeyState, KeyStep};
use policy::Act;
use types::facts::{Administration, Outcome};
use types::{Label, Timestamp, limits};

use super::next::is_over;
use super::waiting::Awaited;
use super::{subject, told, what, word};
use crate::acts::{self, bounded};
use crate::identities::moment;
use crate::service::Control;
use crate::wire::Behind;

/// Between looks at who has confirmed what an operator did.
const AGAIN: Duration = Duration::from_millis(10); // tidy: for `reach_time` at most
/// The domain whose keys hold everything else, and are not rotated.
const SYSTEM: &str = "system";

impl Control {
    /// See [`api::admin::Admin::rotate`].
    pub(crate) fn rotate_keys_of(&self, operator: &str, request: &Rotate) -> Result<Rotation, Failure> {
        let why = acts::words(&request.reason)?;
        let subject = subject(&request.domain);
        let revision = self.parts.revision.load_full();
        // before anything is said about what there is
        acts::judge(&self.parts.ledger, &revision, operator, Act::Rotate, &subject, why)?;
        if request.act == RotationAct::Emergency && why.is_empty() {
            let hint = "say why with --reason; everything that the old key signed is refused from then on";
            return Err(Failure::new(FailureCode::BadRequest, "an emergency needs a reason", hint));
        }
        let mut memory = self.rotating.turn();
        let state = self.state_of(&request.domain, request.keys)?;
        if let Some(step) = step_of(request.act, &state, self.parts.clock.now())? {
            self.take(operator, why, &state, step)?;
            memory.tried.remove(&(state.domain.clone(), state.keys));
            self.changed();
            self.take_on(&mut memory);
        }
        drop(memory);
        self.rotating.poked.notify_one();
        let reach = self.reach_bundles();
        let rotation = self.rotation_of(&state.domain, state.keys)?;
        Ok(Rotation { reach: Some(reach), ..rotation })
    }

    /// On record before it is done; and what could not be done stands there too.
    fn take(&self, operator: &str, why: &str, state: &KeyState, step: KeyStep) -> Result<(), Failure> {
        let note = format!("{}: {}", word(state.keys), what(step));
        let subject = subject(state.domain.as_str());
        let act = Administration {
            act: Act::Rotate.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &subject,
            why,
            note: &note,
            revision: None,
            until: None,
        };
        self.parts.ledger.administration(&act).map_err(|error| acts::not_recorded(&error))?;
        let taken = self.parts.roles.rotate_keys(&state.domain, state.keys, step);
        taken.map(drop).map_err(|error| {
            acts::taken_back(&self.parts.ledger, &act, &error);
            not_taken(&error)
        })
    }

    fn state_of(&self, domain: &str, keys: Keys) -> Result<KeyState, Failure> {
        if domain == SYSTEM {
            let hint = "rotate the domains; peers whose key was stolen are retired and join anew: countersign retire";
            let message = "the root of `system` is not rotated: every peer is bound to it since it joined";
            return Err(Failure::new(FailureCode::BadRequest, message, hint));
        }
        let states = self.parts.roles.key_states();
        let found = states.iter().find(|state| state.domain.as_str() == domain && state.keys == keys);
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = states.iter().map(|state| state.domain.as_str()).collect();
            let hint = match trustdir::nearest(domain, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "without a domain it lists the keys of all of them: countersign identity rotate-root".to_owned()
                }
            };
            Failure::new(
                FailureCode::NotFound,
                format!("there is no domain `{}`", bounded(domain, &limits::LABEL_BYTES)),
                hint,
            )
        })
    }

    fn rotation_of(&self, domain: &Label, keys: Keys) -> Result<Rotation, Failure> {
        let found = self.rotations_now().into_iter().find(|one| one.domain == domain.as_str() && one.keys == keys);
        found.ok_or_else(|| Failure::new(FailureCode::NotFound, format!("the domain `{domain}` is gone"), ""))
    }

    /// How far the bundles of this moment have come among enforcers, after a moment in which those that are connected take
    /// them.
    pub(crate) fn reach_bundles(&self) -> Reach {
        let all = self.hub.peers.all();
        let enforcers = all.iter().filter(|seen| seen.place.role == Role::Proxy).count();
        let number = match self.bundles_told() {
            Ok(number) => number,
            Err(why) => return Reach { in_force: 0, enforcers, waiting: vec![format!("control: {why}")] },
        };
        let deadline = Instant::now() + Duration::from_millis(limits::REACH_TIME.default);
        let may_follow = |behind: &Behind| behind.connected && behind.problem.is_empty();
        while self.behind_on_bundles(number).iter().any(may_follow) && Instant::now() < deadline {
            sleep(AGAIN);
        }
        let late = self.behind_on_bundles(number).iter().filter(|one| one.role == Role::Proxy).count();
        let Awaited { waiting, given_up } = self.awaited_for(number, self.parts.clock.now());
        let waiting = waiting.into_iter().chain(given_up).collect();
        Reach { in_force: enforcers.saturating_sub(late), enforcers, waiting }
    }
}

/// The step that an act means; `None` where there is nothing to do.
fn step_of(act: RotationAct, state: &KeyState, now: Timestamp) -> Result<Option<KeyStep>, Failure> {
    match (act, state.phase) {
        (RotationAct::Emergency, _) => Ok(Some(KeyStep::Emergency)),
        (RotationAct::Start, RotationPhase::Idle) => Ok(Some(KeyStep::Prepare)),
        (RotationAct::Start, _) => Ok(state.held.then_some(KeyStep::Hold(false))),
        (RotationAct::Back, RotationPhase::Idle) => {
            let message = format!("no rotation of the {} of {} is under way", word(state.keys), state.domain);
            Err(Failure::new(FailureCode::Conflict, message, "there is nothing to take back"))
        }
        (RotationAct::Back, RotationPhase::Published | RotationPhase::Acknowledged) => match state.old_ends {
            Some(ends) if !is_over(ends, now) => {
                let ends = moment(ends, now);
                let message = format!("what the next {} has signed is good until {ends}", word(state.keys));
                let hint = "it leaves the bundle after that; until then this would cut off whoever holds it";
                Err(Failure::new(FailureCode::Conflict, message, hint))
            }
            Some(_) | None => Ok(Some(KeyStep::Back)),
        },
        (RotationAct::Back, RotationPhase::Prepared | RotationPhase::Signing) => Ok(Some(KeyStep::Back)),
    }
}

/// Why the keys are where they were.
fn not_taken(error: &IssueError) -> Failure {
    let code = match error {
        IssueError::NotEntitled(_) | IssueError::BadRequest(_) => FailureCode::Conflict,
        IssueError::Unavailable(_) | IssueError::Limited(_) => FailureCode::Unavailable,
    };
    Failure::new(code, told(error), "what signed before goes on signing; see `countersign doctor`")
}
