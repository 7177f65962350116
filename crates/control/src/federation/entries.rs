//! What is in force of every federated trust domain, and how fetching it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::admin::{Failure, Federated};
use identity::{Bundle, BundleSet};
use tokio::sync::Notify;
use tokio::time::Instant;
use trustdir::{Federation, Profile};
use types::facts::{Administration, Outcome};
use types::{Timestamp, TrustDomain, limits};

use super::fetch::FetchError;
use super::standing::{Change, Standing, source};
use crate::acts::{bounded, with_causes};
use crate::service::Control;
use crate::store::KeptBundle;

/// Who is named in records of what nobody asked for.
const CONTROL: &str = "control";

/// All federated trust domains of the running revision.
#[derive(Default)]
pub(crate) struct Federations {
    entries: Mutex<BTreeMap<TrustDomain, Entry>>,
    /// Something is due that was not.
    pub(super) wake: Notify,
    /// Whether others can fetch our bundles.
    pub(super) serves: AtomicBool,
}

/// One of them.
struct Entry {
    federation: Federation,
    /// Of `federation`: where the bundle comes from.
    source: [u8; 32],
    standing: Standing,
    /// Why the last attempt failed; `""` where it did not.
    problem: String,
    /// When it is fetched next; absent while that is under way.
    due: Option<Instant>,
    /// The same moment by the clock on the wall.
    next: Timestamp,
}

/// A bundle that is to be fetched.
pub(super) struct Due {
    pub federation: Federation,
    pub source: [u8; 32],
    /// What an endpoint with a SPIFFE ID is held against.
    pub bundles: BundleSet,
}

impl Federations {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<TrustDomain, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt came to nothing, not even to a failure that could be told: the next one comes at its interval.
    pub(super) fn again(&self, name: &TrustDomain) {
        if let Some(entry) = self.entries().get_mut(name).filter(|entry| entry.due.is_none()) {
            entry.due = Some(Instant::now() + entry.standing.interval);
        }
        self.wake.notify_one();
    }

    /// What is due by now, each once until it is [`Control::fetched`]; and when the next will be.
    pub(super) fn due(&self, now: Instant) -> (Vec<Due>, Option<Instant>) {
        let mut entries = self.entries();
        let bundles: BTreeMap<TrustDomain, Bundle> =
            entries.iter().map(|(name, entry)| (name.clone(), entry.standing.bundle.clone())).collect();
        let mut due = Vec::new();
        for entry in entries.values_mut().filter(|entry| entry.due.is_some_and(|due| due <= now)) {
            entry.due = None;
            // of the endpoint's own trust domain, whose newest bundle proves it (BU-7); no other is any proof
            let proves = match &entry.federation.profile {
                Profile::HttpsSpiffe { endpoint_id } => bundles.get(endpoint_id.trust_domain()).cloned(),
                Profile::HttpsWeb { .. } => None,
            };
            let (federation, source) = (entry.federation.clone(), entry.source);
            due.push(Due { federation, source, bundles: proves.into_iter().collect() });
        }
        (due, entries.values().filter_map(|entry| entry.due).min())
    }
}

impl Control {
    /// Takes over what the running revision says of federated trust domains. What it does not name any more is forgotten
    /// at once; of what is new, or comes from elsewhere now, the first bundle holds until it was fetched.
    pub(crate) fn settle_federation(&self) {
        let revision = self.parts.revision.load_full();
        let wanted = revision.federation();
        let mut kept = self.kept_bundles(wanted.keys().collect());
        let mut entries = self.federation.entries();
        entries.retain(|name, _| wanted.contains_key(name));
        for (name, federation) in wanted {
            let source = source(federation);
            match entries.get_mut(name).filter(|entry| entry.source == source) {
                Some(entry) => entry.federation = federation.clone(),
                None => {
                    let kept = kept.remove(name).filter(|kept| kept.source == source);
                    let begun = self.begin(federation, source, kept);
                    entries.extend(begun.map(|entry| (name.clone(), entry)));
                }
            }
        }
        self.put_federated(&entries);
        drop(entries);
        self.federation.wake.notify_one();
    }

    /// What the store kept; it forgets what nobody wants any more. Where it cannot be read the first bundles hold.
    fn kept_bundles(&self, wanted: BTreeSet<&TrustDomain>) -> BTreeMap<TrustDomain, KeptBundle> {
        let store = &self.parts.store;
        let kept = store.forget_bundles_but(&wanted).and_then(|()| store.kept_bundles());
        kept.unwrap_or_else(|error| {
            let error = with_causes(&error);
            tracing::error!(error, "the bundles of federated trust domains that were kept cannot be read");
            BTreeMap::new()
        })
    }

    fn begin(&self, federation: &Federation, source: [u8; 32], kept: Option<KeptBundle>) -> Option<Entry> {
        let name = &federation.trust_domain;
        let standing = match kept.map(|kept| Standing::kept(name, &kept)) {
            Some(Ok(standing)) => Ok(standing),
            Some(Err(error)) => {
                tracing::error!(%error, trust_domain = %name, "a kept bundle cannot be read; the first one holds");
                Standing::first(federation)
            }
            None => Standing::first(federation),
        };
        // INVARIANT: the trust directory's bundle was read when it was checked; without it nobody is known.
        let standing = standing.inspect_err(|error| tracing::error!(%error, trust_domain = %name, "no bundle")).ok()?;
        let (due, next) = (Some(Instant::now()), self.parts.clock.now());
        Some(Entry { federation: federation.clone(), source, standing, problem: String::new(), due, next })
    }

    /// The caller holds the entries, so that the issuer hears of changes in their order.
    fn put_federated(&self, entries: &BTreeMap<TrustDomain, Entry>) {
        let foreign = entries.iter().map(|(name, entry)| (name.clone(), entry.standing.foreign()));
        self.parts.roles.set_federated(foreign.collect());
    }

    /// Takes what came of a fetch. What is new is on record and on the disk before it is in force; what takes trust away is
    /// in force whatever happens.
    pub(super) fn fetched(&self, due: &Due, came: Result<String, FetchError>) {
        let name = &due.federation.trust_domain;
        let now = self.parts.clock.now();
        let mut entries = self.federation.entries();
        let Some(entry) = entries.get_mut(name).filter(|entry| entry.source == due.source) else { return };
        let followed = came
            .map_err(|error| error.to_string())
            .and_then(|document| entry.standing.follow(&document, Some(now)).map_err(|error| with_causes(&error)));
        let taken = followed.and_then(|next| self.take_bundle(entry, next));
        entry.problem = bounded(&taken.as_ref().err().cloned().unwrap_or_default(), &limits::NOTE_BYTES);
        entry.due = Some(Instant::now() + entry.standing.interval);
        entry.next = now.plus_seconds(entry.standing.interval.as_secs());
        let (url, next) = (&entry.federation.url, entry.next);
        match &taken {
            Ok(Change::Nothing) => tracing::debug!(trust_domain = %name, %url, %next, "the bundle is the same"),
            Ok(Change::Less | Change::New) => {
                let holds = entry.standing.words();
                tracing::info!(trust_domain = %name, %url, holds, %next, "the bundle of a federated trust domain changed");
            }
            Err(problem) => {
                tracing::warn!(trust_domain = %name, %url, problem, %next, "the bundle was not taken; the last one holds");
            }
        }
        if !matches!(taken, Ok(Change::Nothing)) {
            self.put_federated(&entries);
        }
        drop(entries);
        self.federation.wake.notify_one();
    }

    fn take_bundle(&self, entry: &mut Entry, next: Standing) -> Result<Change, String> {
        let change = entry.standing.change(&next);
        let recorded = if change == Change::Nothing { Ok(()) } else { self.record_bundle(entry, &next) };
        if change != Change::New || recorded.is_ok() {
            let kept = KeptBundle {
                source: entry.source,
                document: next.document.clone(),
                sequence: next.sequence,
                fetched: next.fetched,
            };
            entry.standing = next;
            let kept = self.parts.store.keep_bundle(&entry.federation.trust_domain, &kept);
            kept.map_err(|error| format!("it is in force and not kept: {}", with_causes(&error)))?;
        }
        recorded.map(|()| change)
    }

    fn record_bundle(&self, entry: &Entry, next: &Standing) -> Result<(), String> {
        let subject = entry.federation.trust_domain.id().to_string();
        let note = bounded(&next.words(), &limits::NOTE_BYTES);
        let facts = Administration {
            act: "federate",
            outcome: Outcome::Allow,
            operator: CONTROL,
            subject: &subject,
            why: "",
            note: &note,
            revision: None,
            until: None,
        };
        self.parts.ledger.administration(&facts).map_err(|error| error.to_string())
    }

    /// See [`api::admin::Admin::federated`].
    #[expect(clippy::unnecessary_wraps, reason = "as every question of the admin API")]
    pub(crate) fn federated_domains(&self) -> Result<Vec<Federated>, Failure> {
        let entries = self.federation.entries();
        let listed = entries.iter().map(|(name, entry)| Federated {
            trust_domain: name.to_string(),
            url: entry.federation.url.to_string(),
            profile: entry.federation.profile.as_str().to_owned(),
            roots: u64::try_from(entry.standing.bundle.roots().count()).unwrap_or(u64::MAX),
            sequence: entry.standing.sequence,
            fetched: entry.standing.fetched,
            next: Some(entry.next),
            problem: entry.problem.clone(),
        });
        Ok(listed.collect())
    }

    /// How often those who fetch our bundles are asked to; `None` where nothing serves them.
    pub(crate) fn bundle_refresh_hint(&self) -> Option<Duration> {
        let serves = self.federation.serves.load(Ordering::Acquire);
        serves.then_some(Duration::from_millis(limits::BUNDLE_HINT_TIME.default))
    }
}
