//! The rotation of keys: it goes on by itself from the first key to the last, waits for everybody, and stays where it is
//! while anything is missing.
//!
//! How far a rotation has come is in the issuer's files alone, and who has which bundle in what peers say; nothing is kept
//! here that a restart loses, but what was put on record already and why the last attempt failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::admin::{Keys, RotationPhase};
use api::issuance::IssueError;
use policy::Act;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use types::facts::{Administration, Outcome};
use types::{Label, Timestamp, limits};

use self::next::{Next, Sight, next};
use self::waiting::Awaited;
pub(crate) use self::shown::Standing;
use crate::acts::bounded;
use crate::roles::{KeyState, KeyStep};
use crate::service::Control;

mod act;
mod next;
mod shown;
mod waiting;

/// Between looks at rotations that are under way.
const LOOK: Duration = Duration::from_secs(1); // tidy: as peers are looked after

/// What the driver remembers between two looks.
#[derive(Default)]
pub(crate) struct Rotating {
    /// Held while a step is taken: one after the other.
    steps: Mutex<BTreeMap<(Label, Keys), Tried>>,
    /// Told when an operator acted.
    poked: Notify,
}

/// An attempt at a step of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Tried {
    step: KeyStep,
    /// From which state.
    from: (RotationPhase, Option<Timestamp>),
    /// Why it was not taken.
    trouble: String,
}

impl Rotating {
    fn turn(&self) -> MutexGuard<'_, BTreeMap<(Label, Keys), Tried>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes rotations on, a step at a time, until `finishing` becomes true or its sender is gone. What cannot be done now is
/// tried again each second.
pub async fn keep_rotating(control: Arc<Control>, mut finishing: watch::Receiver<bool>) {
    let mut seconds = interval(LOOK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = finishing.wait_for(|finish| *finish) => return,
            _ = seconds.tick() => {}
            () = control.rotating.poked.notified() => {}
        }
        let rotated = Arc::clone(&control);
        let looked = tokio::task::spawn_blocking(move || rotated.take_rotations_on());
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking after rotations failed");
        }
    }
}

impl Control {
    /// Takes every rotation one step on, where everything that the step needs is there.
    pub(crate) fn take_rotations_on(&self) {
        let mut tried = self.rotating.turn();
        self.take_on(&mut tried);
    }

    fn take_on(&self, tried: &mut BTreeMap<(Label, Keys), Tried>) {
        let states = self.parts.roles.key_states();
        let under_way = |state: &&KeyState| state.phase != RotationPhase::Idle && !state.held;
        if !states.iter().any(|state| under_way(&state)) {
            return;
        }
        let view = self.rotation_view();
        for state in states.iter().filter(under_way) {
            if let Next::Step(step) = next(state, &view.sight()) {
                self.take_step(tried, state, step, &view.awaited);
            }
        }
    }

    /// Takes a step of its own. What it is about to do is on record before it is done, once: attempts that fail are in the
    /// log of the process, and shown.
    fn take_step(
        &self,
        tried: &mut BTreeMap<(Label, Keys), Tried>,
        state: &KeyState,
        step: KeyStep,
        awaited: &Awaited,
    ) {
        let name = (state.domain.clone(), state.keys);
        let from = (state.phase, state.since);
        let before = tried.get(&name).filter(|before| before.step == step && before.from == from);
        let known = before.map(|before| before.trouble.clone());
        let recorded = if known.is_some() { Ok(()) } else { self.record_step(state, step, awaited) };
        let taken = recorded.map_err(|why| (false, why)).and_then(|()| {
            let taken = self.parts.roles.rotate_keys(&state.domain, state.keys, step);
            taken.map_err(|error| (true, error.to_string()))
        });
        let domain = state.domain.as_str();
        match taken {
            Ok(after) => {
                tracing::info!(domain, keys = word(state.keys), phase = ?after.phase, "a rotation of keys went on");
                tried.remove(&name);
                self.changed();
            }
            Err((is_recorded, trouble)) => {
                if known.as_ref() != Some(&trouble) {
                    tracing::error!(domain, keys = word(state.keys), why = trouble, "a rotation of keys cannot go on");
                }
                if is_recorded {
                    tried.insert(name, Tried { step, from, trouble });
                }
            }
        }
    }

    fn record_step(&self, state: &KeyState, step: KeyStep, awaited: &Awaited) -> Result<(), String> {
        let mut note = format!("{}: {}", word(state.keys), what(step));
        if step == KeyStep::Sign && !awaited.given_up.is_empty() {
            note.push_str("; not waited for: ");
            note.push_str(&awaited.given_up.join("; "));
        }
        let recorded = self.parts.ledger.administration(&Administration {
            act: Act::Rotate.as_str(),
            outcome: Outcome::Allow,
            operator: "",
            subject: &subject(state.domain.as_str()),
            why: "",
            note: &bounded(&note, &limits::NOTE_BYTES),
            revision: None,
            until: None,
        });
        recorded.map_err(|error| error.to_string())
    }

    /// What rotations depend on at this moment. What is in force here is told before anybody is asked whether they have it.
    fn rotation_view(&self) -> View {
        let now = self.parts.clock.now();
        let told = self.bundles_told();
        View {
            now,
            started: self.started(),
            awaited: told.as_ref().map(|number| self.awaited_for(*number, now)).unwrap_or_default(),
            untold: told.err(),
            refresh_hint: self.bundle_refresh_hint(),
            longest_life: self.longest_life(),
        }
    }
}

/// As [`Sight`], owned.
struct View {
    now: Timestamp,
    started: Timestamp,
    untold: Option<String>,
    awaited: Awaited,
    refresh_hint: Option<Duration>,
    longest_life: Duration,
}

impl View {
    fn sight(&self) -> Sight<'_> {
        Sight {
            now: self.now,
            started: self.started,
            untold: self.untold.as_deref(),
            awaited: &self.awaited,
            refresh_hint: self.refresh_hint,
            longest_life: self.longest_life,
        }
    }
}

/// `domain:finance`, as far as a record takes it.
fn subject(domain: &str) -> String {
    bounded(&format!("domain:{domain}"), &limits::NOTE_BYTES)
}

/// The word in records and messages.
const fn word(keys: Keys) -> &'static str {
    match keys {
        Keys::X509 => "root",
        Keys::Jwt => "JWT key",
    }
}

/// What a step does, for the record.
const fn what(step: KeyStep) -> &'static str {
    match step {
        KeyStep::Prepare => "the next one is made",
        KeyStep::Publish => "the next one goes into the bundle",
        KeyStep::Sign => "the next one signs from here on",
        KeyStep::Retire => "the old one leaves the bundle",
        KeyStep::Back => "one step back, and held there",
        KeyStep::Hold(true) => "held",
        KeyStep::Hold(false) => "goes on",
        KeyStep::Emergency => "a new one signs at once, and nothing that the old one signed is good",
    }
}

/// The issuer's words, for an operator.
fn told(error: &IssueError) -> &str {
    match error {
        IssueError::NotEntitled(why)
        | IssueError::Unavailable(why)
        | IssueError::Limited(why)
        | IssueError::BadRequest(why) => why,
    }
}

#[cfg(test)]
mod tests;
