//! The rotation of a domain's keys: each step makes what it needs, replaces one file, and is in force from there on.

use std::sync::Arc;

use api::admin::{Keys, RotationPhase};
use api::keys::{KeyState, KeyStep, Succession};
use api::protocol::SUCCESSION_CONTEXT;
use identity::sign::sha256;
use types::{Label, Timestamp, limits};
use zeroize::Zeroizing;

use crate::authority::{Authority, certificate};
use crate::domain::{Domain, KEYS, files_of, key_file};
use crate::error::{OpenError, RotateError};
use crate::issuer::{Issuer, State};
use crate::jwt::hex;
use crate::key::FileKey;
use crate::keyring::{Entry, Keyring, Moment, Vouched};
use crate::store::{Files, Folder};

/// A key that was made for a step.
struct Made {
    entry: Entry,
    files: Files,
    /// PEM; of a JWT key none.
    root: Option<String>,
}

impl Issuer {
    /// How far the keys of every domain have come: all of them, rotated or not, by domain, roots before JWT keys. The
    /// system's are not rotated and not among them.
    pub fn key_states(&self) -> Vec<KeyState> {
        let state = self.snapshot();
        state.domains.values().flat_map(|domain| [Keys::X509, Keys::Jwt].map(|keys| domain.key_state(keys))).collect()
    }

    /// One step of a rotation: taken whole, or not at all, also when the process dies in the middle of it. What signed
    /// before goes on signing until the step is on the disk.
    ///
    /// # Errors
    /// [`RotateError::Refused`] where the step cannot be taken from where the keys are, or the domain is unknown;
    /// [`RotateError::NotYet`] where credentials that are good would be dropped; [`RotateError::Files`] and
    /// [`RotateError::CannotMake`] where the new state could not be made or written.
    pub fn rotate(&self, domain: &Label, keys: Keys, step: KeyStep) -> Result<KeyState, RotateError> {
        let _steps = self.one_step();
        if *domain == self.system.label {
            return Err(RotateError::Refused(
                "the keys of the system are not rotated: peers hold control to its root, and must join again to learn \
                 another one"
                    .to_owned(),
            ));
        }
        let state = self.snapshot();
        let Some(held) = state.domains.get(domain) else {
            return Err(RotateError::Refused(format!("there is no domain `{domain}`")));
        };
        let now = self.clock().now();
        let made = self.make_for(&state, held, keys, step, now)?;
        let mut keyring = after(held, keys, step, made.as_ref(), now)?;
        let current = &mut keyring.ring_mut(keys).current;
        current.longest = current.longest.max(state.longest_life(domain, keys));
        let folder = self.store.folder(domain);
        let in_use = |name: &String| held.keyring.names().any(|used| used == name);
        keyring
            .gone
            .retain(|name| in_use(name) || files_of(core::slice::from_ref(name)).iter().any(|file| folder.has(file)));
        let next = self.write(held, keyring, made.map(|made| made.files).unwrap_or_default())?;
        next.allow_what_is_written();
        let told = next.key_state(keys);
        let gone = files_of(&next.keyring.gone);
        self.change(|state| {
            state.domains.insert(domain.clone(), Arc::new(next));
            true
        });
        folder.remove(gone.iter().map(String::as_str));
        tracing::info!(%domain, ?keys, ?step, phase = ?told.phase, current = %told.current, other = %told.other, "keys");
        Ok(told)
    }

    /// Who vouches for the roots that were not always there, the oldest first: also for those that have gone since, so
    /// that whoever slept through two rotations can follow. Nothing of a root that is not published yet.
    pub fn successions(&self) -> Vec<Succession> {
        let state = self.snapshot();
        state.domains.values().flat_map(|domain| domain.successions()).collect()
    }

    /// The key that a step begins with; most need none.
    fn make_for(
        &self,
        state: &State,
        held: &Domain,
        keys: Keys,
        step: KeyStep,
        now: Timestamp,
    ) -> Result<Option<Made>, RotateError> {
        let begins = step == KeyStep::Prepare && held.keyring.ring(keys).phase == RotationPhase::Idle;
        if !begins && step != KeyStep::Emergency {
            return Ok(None);
        }
        let kind = state.registrations.domains.get(&held.label).map(|registration| registration.key);
        let kind = kind.unwrap_or(held.keyring.ring(keys).current.kind);
        let cannot = |detail| RotateError::CannotMake { domain: held.label.clone(), detail };
        let folder = self.store.folder(&held.label);
        let name = free_name(&folder, &held.keyring, keys);
        let entry = Entry::new(name.clone(), kind);
        let made = match keys {
            Keys::Jwt => FileKey::generate(kind)
                .and_then(|pkcs8| key_file(&self.store, &name, &pkcs8))
                .map(|file| Made { entry, files: vec![file], root: None }),
            Keys::X509 => Authority::generate(&held.trust_domain, kind, now).and_then(|made| {
                let root = (format!("{name}.pem"), Zeroizing::new(made.root.clone()));
                let files = vec![root, key_file(&self.store, &name, &made.pkcs8)?];
                Ok(Made { entry, files, root: Some(made.root) })
            }),
        };
        made.map(Some).map_err(cannot)
    }

    /// Writes the files of a new key, then the one that counts. Where that fails, everything is as it was.
    fn write(&self, held: &Domain, keyring: Keyring, files: Files) -> Result<Domain, RotateError> {
        let folder = self.store.folder(&held.label);
        let failed = |source: OpenError| RotateError::Files { domain: held.label.clone(), source };
        folder.add(&files).map_err(failed)?;
        let text = keyring.to_text();
        // loaded before it counts: what cannot be read must not be what counts
        let next = held.with(&folder, keyring).and_then(|next| folder.replace(KEYS, &text).map(|()| next));
        next.map_err(|error| {
            // INVARIANT: a key is removed only where the file that counts does not name it
            if folder.read(KEYS).is_ok_and(|now| now != text) {
                folder.remove(files.iter().map(|(name, _)| name.as_str()));
            }
            failed(error)
        })
    }
}

impl State {
    /// The longest life, in seconds, that is registered for what a domain's keys sign.
    fn longest_life(&self, domain: &Label, keys: Keys) -> u64 {
        let workloads = self.registrations.workloads.iter().filter(|(workload, _)| workload.domain() == domain);
        let lives = workloads.map(|(_, registration)| match keys {
            Keys::X509 => registration.ttl.as_secs(),
            Keys::Jwt => registration.jwt_ttl.as_secs(),
        });
        let gateways = self.registrations.domains.get(domain).filter(|_| keys == Keys::X509);
        lives.chain(gateways.map(|registration| registration.ttl.as_secs())).max().unwrap_or_default()
    }
}

impl Domain {
    fn key_state(&self, keys: Keys) -> KeyState {
        let ring = self.keyring.ring(keys);
        let (current, other, not_after) = match keys {
            Keys::X509 => {
                let digest = |key: &Authority| hex(key.root_sha256());
                let current = &self.x509.current.key;
                let other = self.x509.other.as_ref().map(|held| digest(&held.key));
                (digest(current), other, Some(current.not_after()))
            }
            Keys::Jwt => {
                let other = self.jwt.other.as_ref().map(|held| held.key.kid().to_owned());
                (self.jwt.current.key.kid().to_owned(), other, None)
            }
        };
        let follows = ring.other.as_ref().filter(|_| ring.phase != RotationPhase::Signing);
        KeyState {
            domain: self.label.clone(),
            keys,
            phase: ring.phase,
            since: ring.since.map(Timestamp::from_seconds),
            held: ring.held,
            current,
            other: other.unwrap_or_default(),
            key: follows.unwrap_or(&ring.current).kind,
            old_ends: ring.other.as_ref().and_then(|other| other.ends).map(Timestamp::from_seconds),
            not_after,
        }
    }

    /// In which second the last thing that the key of the moment signed has run out.
    fn ends(&self, keys: Keys, now: Timestamp) -> u64 {
        match keys {
            Keys::X509 => self.x509.current.ends(now, 0),
            Keys::Jwt => self.jwt.current.ends(now, limits::JWT_LEEWAY_TIME.default / 1000),
        }
    }

    fn successions(&self) -> Vec<Succession> {
        let unborn = self.unborn().unwrap_or_default();
        let told = self.keyring.successions.iter().filter(|vouched| vouched.root_sha256 != unborn);
        told.filter_map(|vouched| self.succession(vouched)).collect()
    }

    /// SHA-256 of a root that is made and that nobody knows.
    fn unborn(&self) -> Option<String> {
        let other = self.x509.other.as_ref().filter(|_| !self.keyring.x509.shows_other());
        other.map(|held| hex(held.key.root_sha256()))
    }

    fn succession(&self, vouched: &Vouched) -> Option<Succession> {
        Some(Succession {
            trust_domain: self.trust_domain.clone(),
            by: unhex(&vouched.by)?.try_into().ok()?,
            root_der: certificate(&vouched.root).ok()?,
            signature: unhex(&vouched.signature)?,
        })
    }

    /// The signatures of everybody's roots, as far as peers may hold them, over a new one.
    fn vouch(&self, root: &str) -> Result<Vec<Vouched>, String> {
        let root_sha256 = sha256(&certificate(root)?);
        let name = self.trust_domain.as_str().as_bytes();
        let message = [SUCCESSION_CONTEXT, name, b"\n", &root_sha256].concat();
        let other = self.x509.other.as_ref().filter(|_| self.keyring.x509.shows_other());
        let signers = core::iter::once(&self.x509.current).chain(other);
        let vouch = signers.map(|held| {
            Ok(Vouched {
                by: hex(held.key.root_sha256()),
                root: root.to_owned(),
                root_sha256: hex(&root_sha256),
                signature: hex(&held.key.vouch(&message)?),
            })
        });
        vouch.collect()
    }
}

/// The keyring after a step.
fn after(
    held: &Domain,
    keys: Keys,
    step: KeyStep,
    made: Option<&Made>,
    now: Timestamp,
) -> Result<Keyring, RotateError> {
    let before = &held.keyring;
    let moment = Moment { now, ends: held.ends(keys, now) };
    let ring = before.ring(keys).step(step, made.map(|made| made.entry.clone()), &moment)?;
    let mut keyring = before.clone();
    *keyring.ring_mut(keys) = ring;
    keyring.retire(before);
    if let Some(unborn) = held.unborn().filter(|_| keyring.x509.phase == RotationPhase::Idle) {
        keyring.successions.retain(|vouched| vouched.root_sha256 != unborn);
    }
    if let Some(made) = made {
        keyring.made = number_of(&made.entry.name).unwrap_or(before.made);
        if let Some(root) = &made.root {
            let cannot = |detail| RotateError::CannotMake { domain: held.label.clone(), detail };
            keyring.vouch(held.vouch(root).map_err(cannot)?);
        }
    }
    Ok(keyring)
}

/// A name that no key has or had.
fn free_name(folder: &Folder<'_>, keyring: &Keyring, keys: Keys) -> String {
    let prefix = match keys {
        Keys::X509 => "ca",
        Keys::Jwt => "jwt",
    };
    let names = (keyring.made.saturating_add(1)..).map(|number| format!("{prefix}-{number}"));
    // what a crash left behind was never in use, and is not written over
    let mut free = names.filter(|name| !files_of(core::slice::from_ref(name)).iter().any(|file| folder.has(file)));
    free.next().unwrap_or_default()
}

fn number_of(name: &str) -> Option<u32> {
    name.rsplit_once('-').and_then(|(_, number)| number.parse().ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect()
}
