//! The issuer over real files, checked with the verifier that enforcers use.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use api::issuance::{Issuance as _, IssueError, Svid, WorkloadOrder};
use identity::{Bundle, BundleSet, VerifiedPeer, verify};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use testkit::{LeafPlan, ManualClock};
use types::attest::UnixParts;
use types::{
    Clock as _, Host, KeyKind, Label, PathRule, Selectors, SpiffeId, Timestamp, TrustDomain, UnixRule, WorkloadId,
};

use crate::disk::{Disk, RealDisk};
use crate::*;

mod crash;
mod files;
mod issuing;
mod limits;
mod openssl;
mod predecessors;
mod requests;
mod revoked;
mod rotation;
mod system;
mod tokens;

struct World {
    directory: TempDir,
    clock: Arc<ManualClock>,
    /// `outcome spiffe-id serial via selectors: note` of each record.
    records: Arc<Mutex<Vec<String>>>,
    full: Arc<AtomicBool>,
}

impl World {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            clock: Arc::default(),
            records: Arc::default(),
            full: Arc::default(),
        }
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn recorder(&self) -> Recorder {
        let (records, full) = (Arc::clone(&self.records), Arc::clone(&self.full));
        Arc::new(move |fact| {
            if full.load(Ordering::SeqCst) {
                return Err(NotRecorded("full".into()));
            }
            let line = format!(
                "{} {} {} {:?} {}: {}",
                fact.outcome, fact.spiffe_id, fact.serial, fact.via, fact.selectors, fact.note
            );
            records.lock().unwrap().push(line);
            Ok(())
        })
    }

    fn open(&self, domains: &[&str]) -> Result<Issuer, OpenError> {
        self.open_with(domains, KeyProtection::Plain)
    }

    fn open_with(&self, domains: &[&str], protection: KeyProtection) -> Result<Issuer, OpenError> {
        self.open_on(Arc::new(RealDisk), domains, protection)
    }

    fn open_on(&self, disk: Arc<dyn Disk>, domains: &[&str], protection: KeyProtection) -> Result<Issuer, OpenError> {
        let clock = Arc::clone(&self.clock);
        Issuer::open_on(disk, &self.keys(), &organisation(), &kinds(domains), clock, self.recorder(), protection)
    }

    fn issuer(&self) -> Issuer {
        let issuer = self.open(&["finance", "hr"]).unwrap();
        issuer.set_registrations(registrations());
        issuer
    }

    fn verify(&self, issuer: &Issuer, svid: &Svid) -> VerifiedPeer {
        self.check(issuer, svid).unwrap()
    }

    fn check(&self, issuer: &Issuer, svid: &Svid) -> Result<VerifiedPeer, identity::SvidRefusal> {
        let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        verify(&chain, &bundle_set(issuer), self.clock.now())
    }

    fn records(&self) -> Vec<String> {
        self.records.lock().unwrap().clone()
    }
}

/// What enforcers hold, keys of JWT-SVIDs included.
fn bundle_set(issuer: &Issuer) -> BundleSet {
    let bundles = issuer.bundles();
    let keys = |domain: &TrustDomain| {
        let keys = bundles.jwt_keys.get(domain).into_iter().flatten();
        keys.map(|key| (key.kid.clone(), key.spki_der.clone())).collect::<Vec<_>>()
    };
    let roots = bundles.roots.iter();
    roots.map(|(domain, roots)| Bundle::new(domain.clone(), roots.clone(), keys(domain)).unwrap()).collect()
}

fn organisation() -> TrustDomain {
    TrustDomain::parse("acme.internal").unwrap()
}

/// Domains with keys of the usual kind.
fn kinds(domains: &[&str]) -> BTreeMap<Label, KeyKind> {
    domains.iter().map(|name| (label(name), KeyKind::P256)).collect()
}

fn order(who: &str, csr_der: Vec<u8>) -> WorkloadOrder {
    WorkloadOrder { id: id(who), csr_der, predecessor: None }
}

/// The identities among what a process may have.
fn entitled(issuer: &Issuer, selectors: &Selectors) -> Vec<SpiffeId> {
    now(issuer.entitled(selectors)).unwrap().into_iter().map(|entitled| entitled.id).collect()
}

fn label(name: &str) -> Label {
    Label::parse(name).unwrap()
}

fn workload(name: &str) -> WorkloadId {
    name.parse().unwrap()
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn registrations() -> Registrations {
    let path = Some(PathRule::parse("/opt/payments").unwrap());
    let rule = UnixRule::new(UnixParts { uid: Some(1001), path, ..UnixParts::default() }).unwrap();
    let payments = WorkloadRegistration {
        rules: vec![rule.into()],
        ttl: Duration::from_secs(3600),
        jwt_ttl: Duration::from_secs(300),
        key: KeyKind::P256,
        runs_on: None,
    };
    let finance = DomainRegistration {
        hosts: vec![Host::parse("ledger.acme.internal").unwrap(), Host::parse("books.acme.internal").unwrap()],
        ttl: Duration::from_secs(1800),
        key: KeyKind::P256,
    };
    Registrations {
        workloads: [(workload("finance/payments"), payments.clone()), (workload("elsewhere/payments"), payments)]
            .into(),
        domains: [(label("finance"), finance)].into(),
    }
}

fn payments() -> Selectors {
    let path = Some("/opt/payments".to_owned());
    Selectors { pid: 7, uid: 1001, gid: 100, path, ..Selectors::default() }
}

fn csr() -> Vec<u8> {
    CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// Answers of this issuer are ready at once.
fn now<T>(answer: api::issuance::Answer<'_, T>) -> Result<T, IssueError> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match Box::into_pin(Box::new(answer)).as_mut().poll(&mut context) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => panic!("not ready"),
    }
}

const PAYMENTS: &str = "spiffe://finance.acme.internal/payments";

fn mint(issuer: &Issuer) -> Result<Svid, IssueError> {
    now(issuer.mint_workload(&payments(), &order(PAYMENTS, csr())))
}

/// What is held against a SPIFFE ID until a moment.
fn held_against(id: &str, until: Option<Timestamp>) -> Arc<signal::State> {
    let organisation = TrustDomain::parse("acme.internal").unwrap();
    let revocation = signal::Revocation {
        subject: signal::Subject::parse(id, &organisation).unwrap(),
        reason: "a test".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::default(),
        until,
        epoch: 1,
    };
    Arc::new(signal::State::new(1, [revocation]))
}
