//! Which keys of a domain count, and the steps of a rotation: what `keys.json` holds. Pure; the files are in `domain`.
//!
//! ```text
//!             Prepare            Publish             Sign              Retire
//!     idle ───────────▶ prepared ───────▶ published ───────▶ signing ─────────▶ idle
//!          ◀───────────          ◀───────           ◀───────
//!             Back               Back                Back
//! ```
//!
//! The bundle holds the key that signs and, from `published` on, the other one too. An emergency leads from anywhere to
//! `idle` with a key that is new.

use api::admin::{Keys, RotationPhase};
use api::keys::KeyStep;
use serde::{Deserialize, Serialize};
use types::{KeyKind, Timestamp, limits};

use crate::error::RotateError;

/// The form of the file.
const VERSION: u32 = 1;

/// The keys of one domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyring {
    version: u32,
    /// How many keys were made: names are never used again.
    pub made: u32,
    /// Those whose certificates are roots.
    pub x509: Ring,
    /// Those that sign JWT-SVIDs.
    pub jwt: Ring,
    /// Which root vouches for which, the oldest first.
    pub successions: Vec<Vouched>,
    /// Keys that are out of use and whose files may still have to be removed.
    pub gone: Vec<String>,
}

/// The keys of one kind of use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ring {
    pub phase: RotationPhase,
    /// Seconds since 1970; absent where no rotation was ever made.
    pub since: Option<u64>,
    pub held: bool,
    /// The one that signs.
    pub current: Entry,
    /// The one that follows, or, in `signing`, the one that goes.
    pub other: Option<Entry>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Of its files: `ca-2` for `ca-2.key` and `ca-2.pem`.
    pub name: String,
    pub kind: KeyKind,
    /// The longest life, in seconds, that it may give to what it signs. It is written before it is used.
    pub longest: u64,
    /// For one that signed and signs no more: the second in which the last thing that it signed has run out.
    pub ends: Option<u64>,
}

/// One root's signature over the next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vouched {
    /// SHA-256 of the root that signs, lower-case hexadecimal.
    pub by: String,
    /// The root that follows, PEM.
    pub root: String,
    /// The same as `by` of the root that follows.
    pub root_sha256: String,
    /// Lower-case hexadecimal.
    pub signature: String,
}

/// What a step is taken with.
pub(crate) struct Moment {
    pub now: Timestamp,
    /// In which second the last thing that the key of the moment signed has run out.
    pub ends: u64,
}

impl Keyring {
    /// That of a new domain.
    pub fn new(kind: KeyKind) -> Self {
        let ring = |name: &str| Ring {
            phase: RotationPhase::Idle,
            since: None,
            held: false,
            current: Entry::new(name.to_owned(), kind),
            other: None,
        };
        Self {
            version: VERSION,
            made: 1,
            x509: ring("ca"),
            jwt: ring("jwt"),
            successions: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keyring: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if keyring.version != VERSION {
            return Err(format!("it has the form {} and this program knows {VERSION}", keyring.version));
        }
        if let Some(bad) = keyring.names().chain(&keyring.gone).find(|name| !is_name(name)) {
            return Err(format!("`{}` is no name of a key", bad.escape_debug()));
        }
        for ring in [&keyring.x509, &keyring.jwt] {
            if !ring.is_sound() {
                return Err(format!("its keys do not fit the phase `{}`", word(ring.phase)));
            }
        }
        Ok(keyring)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The keys of one kind of use.
    pub const fn ring(&self, keys: Keys) -> &Ring {
        match keys {
            Keys::X509 => &self.x509,
            Keys::Jwt => &self.jwt,
        }
    }

    pub const fn ring_mut(&mut self, keys: Keys) -> &mut Ring {
        match keys {
            Keys::X509 => &mut self.x509,
            Keys::Jwt => &mut self.jwt,
        }
    }

    /// Adds who vouches for a root; the oldest are forgotten.
    pub fn vouch(&mut self, more: Vec<Vouched>) {
        self.successions.extend(more);
        let most = limits::KEY_SUCCESSIONS.default_usize();
        let surplus = self.successions.len().saturating_sub(most);
        self.successions.drain(..surplus);
    }

    /// Notes which keys a step put out of use, compared with how it was before.
    pub fn retire(&mut self, before: &Self) {
        let dropped = before.names().filter(|name| !self.names().any(|kept| kept == *name));
        let dropped: Vec<String> = dropped.cloned().collect();
        self.gone.extend(dropped);
    }

    /// Of all keys that count.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.x509.entries().chain(self.jwt.entries()).map(|entry| &entry.name)
    }
}

impl Entry {
    pub const fn new(name: String, kind: KeyKind) -> Self {
        Self { name, kind, longest: 0, ends: None }
    }

    /// Whether things that it signed are still good.
    fn is_owed(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends.filter(|ends| *ends >= now.seconds()).map(Timestamp::from_seconds)
    }
}

impl Ring {
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        core::iter::once(&self.current).chain(&self.other)
    }

    /// Whether the other key is in the bundle.
    pub const fn shows_other(&self) -> bool {
        matches!(self.phase, RotationPhase::Published | RotationPhase::Acknowledged | RotationPhase::Signing)
    }

    const fn is_sound(&self) -> bool {
        match self.phase {
            RotationPhase::Idle => self.other.is_none(),
            RotationPhase::Prepared | RotationPhase::Published | RotationPhase::Signing => self.other.is_some(),
            // the issuer cannot know who has what
            RotationPhase::Acknowledged => false,
        }
    }

    /// The ring after a step. `next` is the key that was made for it: for `Prepare` and `Emergency` alone.
    ///
    /// # Errors
    /// [`RotateError::Refused`] and [`RotateError::NotYet`].
    pub fn step(&self, step: KeyStep, next: Option<Entry>, moment: &Moment) -> Result<Self, RotateError> {
        use RotationPhase::{Idle, Prepared, Published, Signing};
        if self.held && matches!(step, KeyStep::Publish | KeyStep::Sign | KeyStep::Retire) {
            return Err(RotateError::Refused(
                "the rotation was taken back and waits for an operator to start it again".into(),
            ));
        }
        match (step, self.phase) {
            (KeyStep::Emergency, _) => next
                .map(|next| self.at(Idle, moment, next, None))
                .ok_or_else(|| RotateError::Refused(wrong(step, self.phase))),
            (KeyStep::Prepare, Idle) => Ok(self.at(Prepared, moment, self.current.clone(), next)),
            (KeyStep::Publish, Prepared) => Ok(self.at(Published, moment, self.current.clone(), self.other.clone())),
            (KeyStep::Sign, Published) => self.swapped(Signing, moment),
            (KeyStep::Retire, Signing) => self.without_other(moment),
            (KeyStep::Back, Signing) => self.swapped(Published, moment).map(|ring| Self { held: true, ..ring }),
            (KeyStep::Back, Published) => self.hidden(moment),
            (KeyStep::Back, Prepared) => Ok(self.at(Idle, moment, self.current.clone(), None)),
            (KeyStep::Hold(held), Prepared | Published | Signing) => Ok(Self { held, ..self.clone() }),
            (KeyStep::Hold(false), _) => Ok(self.clone()),
            (step, phase) => Err(RotateError::Refused(wrong(step, phase))),
        }
    }

    fn at(&self, phase: RotationPhase, moment: &Moment, current: Entry, other: Option<Entry>) -> Self {
        Self { phase, since: Some(moment.now.seconds()), held: false, current, other }
    }

    /// The other one signs.
    fn swapped(&self, phase: RotationPhase, moment: &Moment) -> Result<Self, RotateError> {
        let Some(other) = self.other.clone() else {
            return Err(RotateError::Refused(wrong(KeyStep::Sign, self.phase)));
        };
        let was = Entry { ends: Some(moment.ends), ..self.current.clone() };
        Ok(self.at(phase, moment, Entry { ends: None, ..other }, Some(was)))
    }

    fn without_other(&self, moment: &Moment) -> Result<Self, RotateError> {
        match self.other.as_ref().and_then(|other| other.is_owed(moment.now)) {
            None => Ok(self.at(RotationPhase::Idle, moment, self.current.clone(), None)),
            Some(until) => Err(RotateError::NotYet { why: "what the old key signed is good", until }),
        }
    }

    fn hidden(&self, moment: &Moment) -> Result<Self, RotateError> {
        match self.other.as_ref().and_then(|other| other.is_owed(moment.now)) {
            None => {
                let ring = self.at(RotationPhase::Prepared, moment, self.current.clone(), self.other.clone());
                Ok(Self { held: true, ..ring })
            }
            Some(until) => Err(RotateError::NotYet { why: "what the next key signed while it did is good", until }),
        }
    }
}

fn wrong(step: KeyStep, phase: RotationPhase) -> String {
    let step = match step {
        KeyStep::Prepare => "another rotation cannot begin",
        KeyStep::Publish => "the next key cannot be published",
        KeyStep::Sign => "the next key cannot sign",
        KeyStep::Retire => "the old key cannot be retired",
        KeyStep::Back => "there is nothing to take back",
        KeyStep::Hold(_) => "there is nothing to hold",
        KeyStep::Emergency => "no new key can be made",
    };
    format!("{step}: the rotation is at `{}`", word(phase))
}

const fn word(phase: RotationPhase) -> &'static str {
    match phase {
        RotationPhase::Idle => "idle",
        RotationPhase::Prepared => "prepared",
        RotationPhase::Published => "published",
        RotationPhase::Acknowledged => "acknowledged",
        RotationPhase::Signing => "signing",
    }
}

/// `ca`, `jwt`, `ca-2`, `jwt-17`: nothing that leads out of the folder.
fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix("ca").or_else(|| name.strip_prefix("jwt"));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok_and(|n| n.to_string() == number))
    })
}
