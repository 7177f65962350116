//! The trust bundles in force at this proxy: taken from the issuer whole, and counted, so that who was verified under
//! earlier ones is looked at again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use api::issuance::{Bundles, Issuance};
use arc_swap::ArcSwap;
use identity::{Bundle, BundleError, BundleSet};
use runtime::{shutdown::Shutdown, tls::Trust};
use tokio::sync::watch;
use types::{Clock, TrustDomain};

/// The DER of each root, by trust domain.
type Roots = BTreeMap<TrustDomain, Vec<Vec<u8>>>;

/// The bundles in force.
pub struct Trusted {
    trust: Arc<Trust>,
    bundles: ArcSwap<BundleSet>,
    /// What the bundles were made of. Whoever replaces them holds this lock from the question to the end, so that older
    /// ones never come after newer ones.
    roots: Mutex<Roots>,
    generation: AtomicU64,
    changes: watch::Sender<()>,
}

impl Trusted {
    /// Nobody is trusted yet.
    pub fn nobody(clock: Arc<dyn Clock>) -> Arc<Self> {
        let nothing = || BundleSet::from_iter([]);
        Arc::new(Self {
            trust: Arc::new(Trust::new(nothing(), clock)),
            bundles: ArcSwap::from_pointee(nothing()),
            roots: Mutex::default(),
            generation: AtomicU64::new(0),
            changes: watch::Sender::new(()),
        })
    }

    /// What handshakes verify against.
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The bundles of the moment.
    pub fn bundles(&self) -> Arc<BundleSet> {
        self.bundles.load_full()
    }

    /// How often the bundles were replaced by others. Read it before verifying: who was verified under this number is
    /// still good while it stays.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Tells of each replacement, after it is in force.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Takes the bundles that the issuer gives at the moment. The bundle of somebody else's trust domain that cannot be
    /// used is left out, so that nobody of it is trusted; that of an own domain leaves everything as it is.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn take(&self, issuance: &dyn Issuance) -> Result<(), BundleError> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let given = issuance.bundles();
        if given.roots == *roots {
            return Ok(());
        }
        let bundles = bundle_set(&given)?;
        self.trust.replace(bundles.clone());
        self.bundles.store(Arc::new(bundles));
        *roots = given.roots;
        self.generation.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
        Ok(())
    }

    /// Takes what the issuer gives whenever it says that something changed. This waits for nothing else: an issuer that
    /// is slow to mint must not delay that somebody is no longer trusted.
    pub async fn follow(
        self: Arc<Self>,
        issuance: Arc<dyn Issuance>,
        mut changes: watch::Receiver<u64>,
        mut shutdown: Shutdown,
    ) {
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            if let Err(error) = self.take(&*issuance) {
                let because = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, because, "trust bundles cannot be used; those from before stay in force");
            }
        }
    }
}

fn bundle_set(given: &Bundles) -> Result<BundleSet, BundleError> {
    let bundle = |(domain, roots): (&TrustDomain, &Vec<Vec<u8>>)| {
        let made = Bundle::from_der(domain.clone(), roots.clone());
        if !given.federated.contains(domain) {
            return Some(made);
        }
        let unusable = |error: &BundleError| {
            tracing::error!(trust_domain = %domain, %error, "the bundle of a federated trust domain cannot be used; nobody of it is trusted");
        };
        made.inspect_err(unusable).ok().map(|bundle| Ok(bundle.federated()))
    };
    given.roots.iter().filter_map(bundle).collect()
}
