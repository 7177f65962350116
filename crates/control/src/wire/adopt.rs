//! Control that was restored from an older copy: what peers hold of the time that was lost is verified and taken over, so
//! that what was revoked stays revoked and numbers never go back (docs/decisions, "Control restored from a backup").

use std::sync::PoisonError;

use ::wire::fact::{self, Fact};
use ::wire::{content, system};
use api::wire::{Ask, Have, Kind, Offer, Signals};
use identity::{Bundle, BundleSet};
use types::facts::{Administration, Outcome};
use types::{RevisionId, limits};

use crate::NotWritten;
use crate::acts::{bounded, with_causes};
use crate::service::Control;
use crate::store::{Adopted, Floor, NotDone, Numbered, Taken};

/// The act under which a take-over is recorded.
const ACT: &str = "adopt";

impl Control {
    /// Whether a peer holds exactly what is current, which needs no look into the store.
    pub(crate) fn is_level(&self, have: &Have) -> bool {
        let snapshot = self.hub.snapshot();
        let signals =
            snapshot.signals.as_ref().is_some_and(|it| it.epoch == have.epoch && it.digest == *have.signals_digest);
        let (number, bundles) = snapshot.bundles_are;
        signals
            && have.publication <= snapshot.truth.publication
            && have.bundles == number
            && bundles == *have.bundles_digest
    }

    /// What a peer holds that this store does not know, in words; `None` where it holds nothing of the kind.
    pub(crate) fn is_ahead(&self, have: &Have) -> Option<(Ask, String)> {
        let snapshot = self.hub.snapshot();
        let mut words = Vec::new();
        let publication = have.publication > snapshot.truth.publication;
        if publication {
            let revision = digest(&have.revision).map(|it| RevisionId::from_digest(it).short()).unwrap_or_default();
            words.push(format!("publication {} of revision {revision}", have.publication));
        }
        let level = |digest: &[u8; 32]| {
            snapshot.signals.as_ref().is_some_and(|it| (it.epoch, it.digest) == (have.epoch, *digest))
        };
        let held = digest(&have.signals_digest).filter(|digest| !level(digest)).filter(|digest| {
            let ours = self.parts.signals.load();
            let known = self.parts.store.knows_epoch(&ours, have.epoch, digest);
            // a store that cannot be read says nothing about the peer
            !known.unwrap_or(true)
        });
        if held.is_some() {
            words.push(format!("signals of epoch {}", have.epoch));
        }
        let (number, ours) = snapshot.bundles_are;
        let bundles = have.bundles > number || (have.bundles == number && digest(&have.bundles_digest) != Some(ours));
        let bundles = bundles && have.bundles != 0 && snapshot.bundles.is_some();
        if bundles {
            words.push(format!("bundles {}", have.bundles));
        }
        let ask = Ask { publication, signals: held.is_some(), bundles };
        (!words.is_empty()).then(|| (ask, format!("it holds {} that this store does not know", words.join(", "))))
    }

    /// Takes over what is signed by our own publisher and later than what is known here.
    pub(crate) fn consider(&self, from: &str, offer: &Offer) {
        let considered = [
            offer.signals.as_ref().map(|signals| self.adopt_signals(from, signals)),
            offer
                .publication
                .as_ref()
                .map(|signed| self.adopt_number(from, Floor::Publication, self.open(signed, Kind::Publication))),
            offer
                .bundles
                .as_ref()
                .map(|signed| self.adopt_number(from, Floor::Bundles, self.open(signed, Kind::Bundles))),
        ];
        for why in considered.into_iter().flatten().filter_map(Result::err) {
            self.refuse(ACT, from, &why);
        }
        self.tell_peers();
    }

    fn adopt_signals(&self, from: &str, signals: &Signals) -> Result<(), String> {
        let signed = signals.signed.as_ref().ok_or("the signals are not signed")?;
        let fact = self.open(signed, Kind::Signals)?;
        if signals.base != 0 || !signals.removed.is_empty() {
            return Err("the signals are not whole".to_owned());
        }
        let items = signals.added.iter().map(Vec::as_slice);
        if content::digest(items.clone()) != *fact.digest() {
            return Err("the signals are not those that were signed".to_owned());
        }
        let organisation = self.organisation();
        let read = content::read_revocations(items, &organisation).map_err(|error| with_causes(&error))?;
        if read.unknown > 0 {
            let count = read.unknown;
            return Err(format!("{count} of its revocations are not understood: bring this control up to date"));
        }
        let offered = signal::State::new(fact.number(), read.known);
        let _turn = self.signalling.lock().unwrap_or_else(PoisonError::into_inner);
        let adopted = self.adopted(from, format!("revocations up to epoch {}", fact.number()));
        let record = |taken: &Taken| {
            let Taken { revocations, state } = taken;
            let more = format!("{}, {revocations} new; the epoch is {} now", adopted.what, state.epoch());
            self.record_adoption(from, &more, None)
        };
        let taken = self.parts.store.adopt(&offered, &organisation, &adopted, record);
        if let Some(taken) = taken.map_err(|failure| self.not_adopted(failure))? {
            self.put_signals_in_force(taken.state);
        }
        Ok(())
    }

    fn adopt_number(&self, from: &str, of: Floor, fact: Result<Fact, String>) -> Result<(), String> {
        let fact = fact?;
        let revision = RevisionId::from_digest(*fact.digest());
        let (what, revision) = match of {
            Floor::Publication => {
                (format!("publication {} of revision {}", fact.number(), revision.short()), Some(revision))
            }
            Floor::Bundles | Floor::Registrations => (format!("bundles up to number {}", fact.number()), None),
        };
        let adopted = self.adopted(from, what);
        let to = Numbered { number: fact.number(), digest: *fact.digest() };
        let _turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = || self.record_adoption(from, &adopted.what, revision);
        let raised = self.parts.store.raise_floor(of, to, &adopted, record);
        raised.map(drop).map_err(|failure| self.not_adopted(failure))
    }

    fn adopted(&self, from: &str, what: String) -> Adopted {
        Adopted { at: self.parts.clock.now(), peer: from.to_owned(), what }
    }

    fn record_adoption(&self, from: &str, what: &str, revision: Option<RevisionId>) -> Result<(), NotWritten> {
        let note = bounded(&format!("taken over from {from}: {what}"), &limits::NOTE_BYTES);
        self.parts.ledger.administration(&Administration {
            act: ACT,
            outcome: Outcome::Allow,
            operator: "",
            subject: from,
            why: "the store was restored from an older copy",
            note: &note,
            revision,
            until: None,
        })
    }

    fn not_adopted(&self, failure: NotDone<NotWritten>) -> String {
        match failure {
            NotDone::Store(error) | NotDone::NotKept(error) => with_causes(&error),
            NotDone::Record(error) => with_causes(&error),
        }
    }

    fn open(&self, signed: &api::wire::Signed, kind: Kind) -> Result<Fact, String> {
        let organisation = self.organisation();
        let domain = system::domain(&organisation).ok_or("the organisation's name is too long")?;
        let root = Bundle::from_der(domain, vec![self.parts.roles.system_root()]);
        let bundles: BundleSet = [root.map_err(|error| with_causes(&error))?].into_iter().collect();
        fact::open(signed, kind, &organisation, &bundles, self.parts.clock.now()).map_err(|error| with_causes(&error))
    }
}

fn digest(bytes: &[u8]) -> Option<[u8; 32]> {
    <[u8; 32]>::try_from(bytes).ok()
}
