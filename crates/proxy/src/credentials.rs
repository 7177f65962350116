//! The gateway's own certificates: one SVID per domain and node, with the domain's hosts, renewed before half of its
//! life is over and swapped whole. A valid one is kept whatever fails (promise 5).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use api::issuance::{Bundles, HeldSvid, Issuance, IssueError};
use arc_swap::ArcSwap;
use identity::BundleError;
use runtime::{
    shutdown::Shutdown,
    tls::{self, ServerConfigs, UnusableKey},
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use thiserror::Error;
use tokio::sync::watch;
use trustdir::{Asks, Revision};
use types::{Clock, Host, Label, Reason, SpiffeId, Timestamp, limits};

use crate::{stats::Stats, trusted::Trusted};

mod obtain;

/// The server names of a listener and the TLS configuration of each; swapped whole.
pub type ServerNames = ArcSwap<NameTable>;

/// One state of [`ServerNames`].
pub struct NameTable {
    hosts: HashMap<Host, Name>,
    refusing: Arc<ServerConfig>,
}

/// How a host answers.
#[derive(Clone)]
pub struct Name {
    /// With this configuration.
    pub config: Arc<ServerConfig>,
    /// Whether the peer must present a certificate.
    pub asks: Asks,
}

impl NameTable {
    /// How a served host answers.
    pub fn find(&self, host: &Host) -> Option<Name> {
        self.hosts.get(host).cloned()
    }

    /// The configuration that answers everybody else with an alert.
    pub fn refusing(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.refusing)
    }
}

/// Why a gateway has no certificate.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The key or the request could not be made.
    #[error("the gateway's key could not be made")]
    Key(#[from] rcgen::Error),
    /// The issuer refused or is away.
    #[error("the issuer gave no certificate for the gateway of {domain}")]
    Issuer {
        /// The domain.
        domain: Label,
        /// What it said.
        source: IssueError,
    },
    /// What came back cannot be used.
    #[error("the certificate for the gateway cannot be used")]
    Unusable(#[from] UnusableKey),
    /// The bundles that came back cannot be used.
    #[error("the trust bundles cannot be used")]
    Bundle(#[from] BundleError),
}

impl CredentialError {
    /// Whether asking again later may help.
    const fn is_away(&self) -> bool {
        matches!(self, Self::Issuer { source: IssueError::Unavailable(_), .. })
    }
}

/// Keeps the certificates of one node's gateway listeners.
pub struct Keeper {
    node: Label,
    issuance: Arc<dyn Issuance>,
    revision: Arc<ArcSwap<Revision>>,
    trusted: Arc<Trusted>,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    held: BTreeMap<Label, Held>,
    /// Domains for which the issuer gives nothing: asked again when something changed, not before.
    refused: BTreeSet<Label>,
}

/// One domain's certificate.
struct Held {
    /// Whose, and its serial number.
    name: (SpiffeId, String),
    /// Leaf first.
    chain: Vec<CertificateDer<'static>>,
    configs: ServerConfigs,
    not_after: Timestamp,
    renew_at: Timestamp,
    /// Attempts to get another one that failed.
    failures: u32,
    /// What it was issued for: another certificate is due when that is something else.
    basis: Basis,
    /// The roots of its trust domain when it was last looked at. Under others it may verify no more, and is then due: this
    /// is how a root that was given up in an emergency leaves the gateways.
    roots: Vec<Vec<u8>>,
}

impl Held {
    fn told(&self) -> HeldSvid {
        let (spiffe_id, serial) = self.name.clone();
        HeldSvid { spiffe_id, serial, not_after: self.not_after, failures: self.failures }
    }
}

/// What a certificate follows from.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Basis {
    hosts: Vec<Host>,
    ttl: Duration,
}

/// The listeners that a keeper serves: the domains of each and the table to fill.
pub struct Served {
    /// The domains whose hosts the listener serves; `None` for those of whatever revision is in force.
    pub domains: Option<Vec<Label>>,
    /// The table.
    pub names: Arc<ServerNames>,
}

impl Keeper {
    /// A keeper that holds nothing yet.
    pub fn new(
        node: Label,
        issuance: Arc<dyn Issuance>,
        revision: Arc<ArcSwap<Revision>>,
        trusted: Arc<Trusted>,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
    ) -> Self {
        let (held, refused) = (BTreeMap::new(), BTreeSet::new());
        Self { node, issuance, revision, trusted, clock, stats, held, refused }
    }

    /// An empty table: every handshake is refused with an alert.
    ///
    /// # Errors
    /// See [`UnusableKey`].
    pub fn empty_table(&self) -> Result<NameTable, UnusableKey> {
        Ok(NameTable {
            hosts: HashMap::new(),
            refusing: Arc::new(tls::refusing_config(Arc::clone(self.trusted.trust()))?),
        })
    }

    /// The domains that the listeners serve at the moment.
    fn domains(&self, served: &[Served]) -> BTreeSet<Label> {
        let revision = self.revision.load();
        let named = served.iter().filter_map(|served| served.domains.as_ref()).flatten();
        let all = served.iter().any(|served| served.domains.is_none()).then(|| revision.domains().keys());
        named
            .chain(all.into_iter().flatten())
            .filter(|domain| revision.domains().contains_key(*domain))
            .cloned()
            .collect()
    }

    /// The first certificates: waits for as long as the issuer is away and nothing is kept, goes on with those that there
    /// are, and gives whether some are still missing.
    ///
    /// # Errors
    /// Why there is none at all, where waiting does not help.
    pub async fn begin(&mut self, served: &[Served]) -> Result<bool, CredentialError> {
        loop {
            let Err(error) = self.refresh(served).await else { return Ok(false) };
            match error.is_away() {
                _ if !self.held.is_empty() => {
                    self.say(&error);
                    return Ok(true);
                }
                true => self.say(&error),
                false => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(limits::RENEWAL_RETRY_TIME.default)).await;
        }
    }

    /// Gets whatever is missing or due for what is served; takes the bundles of the moment, and gives the listeners what
    /// is held then. One domain's failure keeps nobody else waiting.
    ///
    /// # Errors
    /// The first failure; what was held before stays.
    pub async fn refresh(&mut self, served: &[Served]) -> Result<(), CredentialError> {
        self.trusted.take(&*self.issuance)?;
        let bundles = self.issuance.bundles();
        let domains = self.domains(served);
        self.held.retain(|domain, _| domains.contains(domain));
        self.refused.retain(|domain| domains.contains(domain));
        let mut failed = Ok(());
        for domain in domains {
            let Some((basis, roots)) = self.basis(&domain, &bundles) else { continue };
            if !self.is_due(&domain, &basis, &roots) {
                continue;
            }
            match self.obtain(&domain, basis, roots).await {
                Ok(held) => drop(self.held.insert(domain, held)),
                Err(error) => {
                    if let Some(held) = self.held.get_mut(&domain) {
                        held.failures = held.failures.saturating_add(1);
                    }
                    if !error.is_away() {
                        self.refused.insert(domain);
                    }
                    failed = failed.and(Err(error));
                }
            }
        }
        self.issuance.tell_held(self.held.values().map(Held::told).collect());
        self.stats.set_certificates(self.held.iter().map(|(domain, held)| (domain.clone(), held.not_after)).collect());
        served.iter().try_for_each(|served| self.publish(served))?;
        failed
    }

    /// What a certificate of the domain would follow from now, and the roots that it would have to lead to.
    fn basis(&self, domain: &Label, bundles: &Bundles) -> Option<(Basis, Vec<Vec<u8>>)> {
        let revision = self.revision.load();
        let found = revision.domains().get(domain)?;
        let roots = bundles.roots.get(&found.trust_domain).cloned().unwrap_or_default();
        Some((Basis { hosts: revision.hosts_of(domain), ttl: found.svid_ttl }, roots))
    }

    /// Whether another certificate is to be had. One that verifies under changed roots is looked at no more until they
    /// change again; one that was obtained under these roots and does not verify waits for them to change: asking once
    /// more would give the same.
    fn is_due(&mut self, domain: &Label, basis: &Basis, roots: &[Vec<u8>]) -> bool {
        let now = self.clock.now();
        if self.refused.contains(domain) {
            return false;
        }
        let Some(held) = self.held.get_mut(domain) else { return true };
        if held.renew_at <= now || held.basis != *basis {
            return true;
        }
        if held.roots == roots {
            return false;
        }
        if is_untrusted(&self.trusted, &held.chain) {
            tracing::warn!(%domain, "the gateway's certificate leads to no root of the bundle any more; another one is asked for");
            return true;
        }
        held.roots = roots.to_vec();
        false
    }

    /// Publishes what is held to a listener.
    fn publish(&self, served: &Served) -> Result<(), UnusableKey> {
        let mut table = self.empty_table()?;
        let revision = self.revision.load();
        let serves = |domain: &Label| served.domains.as_ref().is_none_or(|domains| domains.contains(domain));
        for (domain, held) in self.held.iter().filter(|(domain, _)| serves(domain)) {
            let asks = revision.asks_identity(domain);
            let config = match asks {
                Asks::Required => &held.configs.required,
                Asks::Optional => &held.configs.optional,
            };
            let hosts = revision.hosts_of(domain).into_iter();
            table.hosts.extend(hosts.map(|host| (host, Name { config: Arc::clone(config), asks })));
        }
        served.names.store(Arc::new(table));
        Ok(())
    }

    /// Renews for as long as the proxy lives: when a certificate is due, when the issuer says that something changed, and
    /// when another revision serves other hosts or asks its callers otherwise. `failed`: some are missing already.
    ///
    /// The time of day is looked at again and again, and no timer is set for the moment itself: timers stand still on a
    /// machine that is suspended, and do not hear of a clock that is set.
    pub async fn run(
        mut self,
        served: Vec<Served>,
        mut changes: watch::Receiver<u64>,
        mut issued: watch::Receiver<u64>,
        mut failed: bool,
        mut shutdown: Shutdown,
    ) {
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                changed = issued.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.refused.clear();
                }
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(limits::RENEWAL_RETRY_TIME.default)) => {
                    if !failed && !self.is_time() {
                        continue;
                    }
                }
            }
            failed = match self.refresh(&served).await {
                Ok(()) => false,
                Err(error) => {
                    self.say(&error);
                    error.is_away()
                }
            };
        }
    }

    /// Whether a certificate is old enough to be renewed, or there is none.
    fn is_time(&self) -> bool {
        let now = self.clock.now();
        self.held.is_empty() || self.held.values().any(|held| held.renew_at <= now)
    }

    fn say(&self, error: &CredentialError) {
        let because = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let until = self.held.values().map(|held| held.not_after).min().map(|at| at.to_string());
        let until = until.unwrap_or_default();
        tracing::warn!(%error, because, usable_until = %until, "a gateway certificate is missing; those that are held stay in use");
    }
}

/// Whether no root vouches for a chain. One that only the clock refuses is another matter: its callers have clocks of their
/// own.
fn is_untrusted(trusted: &Trusted, chain: &[CertificateDer<'static>]) -> bool {
    let refused = trusted.trust().verify(chain).err();
    refused.is_some_and(|refusal| matches!(refusal.reason, Reason::IdentityUntrusted | Reason::IdentityNoBundle))
}
