//! The issuer itself, in this process: attested selectors and a certificate request in, a recorded certificate out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use api::issuance::WorkloadOrder;
use api::keys::Place;
use issuer::{DomainRegistration, Issuer, KeyProtection, NotRecorded, Recorder, Registrations, WorkloadRegistration};
use record::{Lane, Log, LogConfig};
use types::attest::UnixParts;
use types::facts::{Facts, Issuance};
use types::{
    AttestRule, Clock, KeyKind, Label, PathRule, Recordable, Selectors, SpiffeId, Timestamp, TrustDomain, UnixRule,
    WorkloadId,
};

use super::holder::micros;
use super::{files, pinned};

/// Nodes that ask in turns: one alone is held to `issuance_node`.
const NODES: usize = 64;

/// An issuer with its log.
pub struct Bench {
    issuer: Issuer,
    orders: Vec<(Selectors, WorkloadOrder)>,
    places: Vec<Place>,
    _log: Log,
}

/// The clock of the machine.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(micros())
    }
}

struct Line<'a>(Facts<'a>);

impl Recordable for Line<'_> {
    fn facts(&self) -> Facts<'_> {
        self.0.clone()
    }
}

impl Bench {
    /// Opens one with so many registered workloads, as the trust directory of the other figures has them.
    pub fn open(folder: &Path, workloads: usize) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let organisation = TrustDomain::parse(files::ORGANISATION)?;
        let log = Log::open(LogConfig::new(folder.join("log"), label("bench")?), Arc::clone(&clock))?;
        let domains = files::domains(workloads);
        let domains = domains.map(|name| Ok((label(&name)?, KeyKind::default())));
        let domains = domains.collect::<Result<BTreeMap<_, _>>>()?;
        let recorder = recorder(log.lane("issuance")?);
        let keys = folder.join("keys");
        let issuer = Issuer::open(&keys, &organisation, &domains, clock, recorder, KeyProtection::Plain)
            .map_err(|error| anyhow!("the issuer does not open: {error}"))?;
        issuer.set_registrations(registrations(workloads, &domains)?);
        let mut orders = Vec::new();
        for number in 0..workloads {
            let (domain, name) = files::workload(number);
            let id = SpiffeId::parse(&format!("spiffe://{domain}.{}/{name}", files::ORGANISATION))?;
            let selectors = Selectors { pid: 1, uid: 1000, path: Some(files::program(number)), ..Selectors::default() };
            orders.push((selectors, WorkloadOrder { id, csr_der: super::wire::request()?, predecessor: None }));
        }
        let node =
            |number| Ok(Place::Node { name: label(&format!("node-{number}"))?, groups: [label(files::POOL)?].into() });
        let places = (0..NODES).map(node).collect::<Result<Vec<_>>>()?;
        Ok(Self { issuer, orders, places, _log: log })
    }

    /// SVIDs a second, on one core.
    pub fn rate(&self, core: usize, count: usize) -> Result<f64> {
        pinned(core, || {
            let places = self.places.iter().cycle();
            let started = Instant::now();
            for ((selectors, order), place) in self.orders.iter().cycle().zip(places).take(count) {
                let svid = self.issuer.mint_workload_at(place, selectors, order);
                drop(svid.map_err(|error| anyhow!("nothing was issued: {error}"))?);
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            Ok(count as f64 / started.elapsed().as_secs_f64())
        })
    }
}

fn label(text: &str) -> Result<Label> {
    Label::parse(text).with_context(|| format!("`{text}` is no label"))
}

/// As control writes it: one lane behind a lock.
fn recorder(lane: Lane) -> Recorder {
    let lane = Mutex::new(lane);
    Arc::new(move |facts: Issuance<'_>| {
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.append(Line(Facts::Issuance(facts))).map(drop).map_err(|not| NotRecorded(not.why().to_string()))
    })
}

fn registrations(workloads: usize, domains: &BTreeMap<Label, KeyKind>) -> Result<Registrations> {
    let ttl = Duration::from_secs(3600);
    let domain = |name: &Label| (name.clone(), DomainRegistration { hosts: Vec::new(), ttl, key: KeyKind::default() });
    let mut registered = BTreeMap::new();
    for number in 0..workloads {
        let (domain, name) = files::workload(number);
        let path = Some(PathRule::parse(&files::program(number))?);
        let rule = UnixRule::new(UnixParts { uid: Some(1000), path, ..UnixParts::default() })?;
        let registration = WorkloadRegistration {
            rules: vec![AttestRule::from(rule)],
            ttl,
            jwt_ttl: Duration::from_secs(300),
            key: KeyKind::default(),
            runs_on: Some(BTreeSet::from([label(files::POOL)?])),
        };
        registered.insert(WorkloadId::new(label(&domain)?, label(&name)?), registration);
    }
    Ok(Registrations { workloads: registered, domains: domains.keys().map(domain).collect() })
}
