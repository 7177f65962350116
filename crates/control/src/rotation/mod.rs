//! The rotation of keys: it goes on by itself from the first key to the last, waits for everybody, and stays where it is
//! while anything is missing.
//!
//! How far a rotation has come is in the issuer's files alone, and who has which bundle in what peers say; nothing is kept
//! here that a restart loses, but what was put on record already, why the last attempt failed, and since when everybody
//! has the bundle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::admin::{Keys, RotationPhase};
use api::issuance::IssueError;
use api::keys::{KeyState, KeyStep};
use policy::Act;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use types::facts::{Administration, Outcome};
use types::{Label, Timestamp, limits};

use self::next::{Next, Sight, next};
pub(crate) use self::shown::Standing;
use self::waiting::Awaited;
use crate::acts::bounded;
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
    memory: Mutex<Memory>,
    /// Told when an operator acted.
    poked: Notify,
}

#[derive(Default)]
struct Memory {
    /// The last attempts that failed.
    tried: BTreeMap<(Label, Keys), Tried>,
    /// The bundles that nobody is waited for to take, by their number, and since when.
    taken: Option<(u64, Timestamp)>,
}

/// An attempt at a step of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Tried {
    step: KeyStep,
    /// From which state.
    from: (RotationPhase, Option<Timestamp>),
    /// Whether it is on record, so that it is not put there again.
    recorded: bool,
    /// Why it was not taken.
    trouble: String,
}

impl Rotating {
    fn turn(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Since when nobody is waited for, in a view of this moment.
    fn taken_since(&self, view: &View) -> Option<Timestamp> {
        let number = view.number.filter(|_| view.awaited.waiting.is_empty())?;
        self.taken.filter(|(taken, _)| *taken == number).map(|(_, since)| since)
    }

    /// Looks at who has taken the bundles of this moment.
    fn look(&mut self, view: &mut View) {
        let number = view.number.filter(|_| view.awaited.waiting.is_empty());
        self.taken = number.map(|number| (number, self.taken_since(view).unwrap_or(view.now)));
        view.taken_since = self.taken_since(view);
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
        let mut memory = self.rotating.turn();
        self.take_on(&mut memory);
    }

    fn take_on(&self, memory: &mut Memory) {
        let states = self.parts.roles.key_states();
        if states.iter().all(|state| state.phase == RotationPhase::Idle) {
            memory.taken = None;
            return;
        }
        let mut view = self.rotation_view();
        memory.look(&mut view);
        for state in &states {
            if let Next::Step(step) = next(state, &view.sight()) {
                self.take_step(&mut memory.tried, state, step, &view.awaited);
            }
        }
    }

    /// Takes a step of its own. What it is about to do is on record before it is done, once: attempts that fail are in the
    /// log of the process, once for each cause, and shown.
    fn take_step(
        &self,
        tried: &mut BTreeMap<(Label, Keys), Tried>,
        state: &KeyState,
        step: KeyStep,
        awaited: &Awaited,
    ) {
        let name = (state.domain.clone(), state.keys);
        let from = (state.phase, state.since);
        let before = tried.remove(&name).filter(|before| before.step == step && before.from == from);
        let mut recorded = before.as_ref().is_some_and(|before| before.recorded);
        let domain = state.domain.as_str();
        match self.try_step(&mut recorded, state, step, awaited) {
            Ok(after) => {
                tracing::info!(domain, keys = word(state.keys), phase = ?after.phase, "a rotation of keys went on");
                self.changed();
            }
            Err(trouble) => {
                if before.is_none_or(|before| before.trouble != trouble) {
                    tracing::error!(domain, keys = word(state.keys), why = trouble, "a rotation of keys cannot go on");
                }
                tried.insert(name, Tried { step, from, recorded, trouble });
            }
        }
    }

    /// Gives why it was not taken, where it was not.
    fn try_step(
        &self,
        recorded: &mut bool,
        state: &KeyState,
        step: KeyStep,
        awaited: &Awaited,
    ) -> Result<KeyState, String> {
        if !*recorded {
            self.record_step(state, step, awaited)?;
            *recorded = true;
        }
        let taken = self.parts.roles.rotate_keys(&state.domain, state.keys, step);
        taken.map_err(|error| format!("the issuer: {}", told(&error)))
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

    /// What rotations depend on at this moment, without what only the driver remembers. What is in force here is told before
    /// anybody is asked whether they have it.
    fn rotation_view(&self) -> View {
        let now = self.parts.clock.now();
        let told = self.bundles_told();
        View {
            now,
            started: self.started(),
            awaited: told.as_ref().map(|number| self.awaited_for(*number, now)).unwrap_or_default(),
            number: told.as_ref().ok().copied(),
            untold: told.err(),
            taken_since: None,
            refresh_hint: self.bundle_refresh_hint(),
            longest_life: self.longest_life(),
        }
    }
}

/// As [`Sight`], owned.
struct View {
    now: Timestamp,
    started: Timestamp,
    /// Of the bundles that were told; `None` where they could not be.
    number: Option<u64>,
    untold: Option<String>,
    awaited: Awaited,
    taken_since: Option<Timestamp>,
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
            taken_since: self.taken_since,
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
