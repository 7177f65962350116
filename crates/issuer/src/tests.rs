//! The issuer over real files, checked with the verifier that enforcers use.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use api::issuance::{Issuance as _, IssueError, Svid};
use identity::{Bundle, BundleSet, VerifiedPeer, verify};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use testkit::{LeafPlan, ManualClock};
use types::{Clock as _, Host, Label, PathRule, Selectors, SpiffeId, Timestamp, TrustDomain, UnixRule, WorkloadId};

use crate::*;

mod system;

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
        let domains: Vec<Label> = domains.iter().map(|name| label(name)).collect();
        let clock = Arc::clone(&self.clock);
        Issuer::open(&self.keys(), &TrustDomain::parse("acme.internal").unwrap(), &domains, clock, self.recorder())
    }

    fn issuer(&self) -> Issuer {
        let issuer = self.open(&["finance", "hr"]).unwrap();
        issuer.set_registrations(registrations());
        issuer
    }

    fn verify(&self, issuer: &Issuer, svid: &Svid) -> VerifiedPeer {
        let roots = issuer.bundles().roots.into_iter();
        let bundles: BundleSet = roots.map(|(domain, roots)| Bundle::from_der(domain, roots).unwrap()).collect();
        let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        verify(&chain, &bundles, self.clock.now()).unwrap()
    }
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
    let rule = UnixRule::new(Some(1001), None, Some(PathRule::parse("/opt/payments").unwrap()), None).unwrap();
    let payments = WorkloadRegistration { rules: vec![rule], ttl: Duration::from_secs(3600), runs_on: None };
    let finance = DomainRegistration {
        hosts: vec![Host::parse("ledger.acme.internal").unwrap(), Host::parse("books.acme.internal").unwrap()],
        ttl: Duration::from_secs(1800),
    };
    Registrations {
        workloads: [(workload("finance/payments"), payments.clone()), (workload("elsewhere/payments"), payments)]
            .into(),
        domains: [(label("finance"), finance)].into(),
    }
}

fn payments() -> Selectors {
    let path = Some("/opt/payments".to_owned());
    Selectors { pid: 7, uid: 1001, gid: 100, path, path_in_data: None, sha256: None }
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
    now(issuer.mint_workload(&payments(), &id(PAYMENTS), &csr()))
}

#[test]
fn keys_are_made_once_private_and_kept() {
    let world = World::new();
    let first = world.open(&["finance", "hr"]).unwrap().bundles();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.keys()), 0o700);
    assert_eq!(mode(&world.keys().join("finance")), 0o700);
    for file in ["ca.key", "ca.pem"] {
        assert_eq!(mode(&world.keys().join("finance").join(file)), 0o600);
    }
    let names: Vec<&str> = first.roots.keys().map(TrustDomain::as_str).collect();
    assert_eq!(names, ["finance.acme.internal", "hr.acme.internal", "system.acme.internal"]);
    assert_eq!(world.open(&["finance", "hr"]).unwrap().bundles().roots, first.roots);
    // A root is usable as such, and a half-written folder of a crash was never one.
    fs::create_dir(world.keys().join(".ops.new")).unwrap();
    fs::write(world.keys().join(".ops.new/ca.key"), "half").unwrap();
    assert_eq!(world.open(&["finance", "hr", "ops"]).unwrap().bundles().roots.len(), 4);
    assert!(!world.keys().join(".ops.new").exists());
}

/// Breaks the files of `finance`, and tells why the issuer then does not open. It must not have changed anything.
fn broken(break_it: impl FnOnce(&Path)) -> OpenError {
    let world = World::new();
    drop(world.open(&["finance", "hr"]).unwrap());
    break_it(&world.keys().join("finance"));
    let listing = |path: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(&file).unwrap_or_default())).collect()
    };
    let before = listing(&world.keys().join("finance"));
    let error = world.open(&["finance", "hr"]).unwrap_err();
    assert_eq!(listing(&world.keys().join("finance")), before, "something was remade");
    assert!(!error.hint().is_empty() && !error.to_string().ends_with('.'));
    error
}

#[test]
fn damaged_keys_are_an_error_and_never_remade() {
    let missing = broken(|finance| fs::remove_file(finance.join("ca.key")).unwrap());
    assert!(matches!(&missing, OpenError::Missing { path, .. } if path.ends_with("finance/ca.key")), "{missing}");
    assert!(missing.hint().contains("restore the folder from a backup"));
    let missing = broken(|finance| fs::remove_file(finance.join("ca.pem")).unwrap());
    assert!(matches!(missing, OpenError::Missing { .. }));
    let emptied = broken(|finance| {
        fs::remove_file(finance.join("ca.pem")).unwrap();
        fs::remove_file(finance.join("ca.key")).unwrap();
    });
    assert!(matches!(emptied, OpenError::Missing { .. }));
    for file in ["ca.key", "ca.pem"] {
        let truncated = broken(|finance| {
            let bytes = fs::read(finance.join(file)).unwrap();
            fs::write(finance.join(file), &bytes[..bytes.len() / 2]).unwrap();
        });
        assert!(matches!(truncated, OpenError::Damaged { .. }), "{truncated}");
        let garbage = broken(|finance| fs::write(finance.join(file), [0xff; 64]).unwrap());
        assert!(matches!(garbage, OpenError::Damaged { .. }), "{garbage}");
    }
}

#[test]
fn a_key_that_belongs_elsewhere_is_an_error() {
    let half = broken(|finance| {
        fs::copy(finance.join("../hr/ca.key"), finance.join("ca.key")).unwrap();
    });
    assert!(matches!(half, OpenError::Mismatch { .. }), "{half}");
    let whole = broken(|finance| {
        fs::copy(finance.join("../hr/ca.key"), finance.join("ca.key")).unwrap();
        fs::copy(finance.join("../hr/ca.pem"), finance.join("ca.pem")).unwrap();
    });
    assert!(matches!(&whole, OpenError::Damaged { detail, .. } if detail.contains("finance.acme.internal")), "{whole}");
}

#[test]
fn files_open_to_others_are_an_error() {
    let chmod = |name: &'static str, mode| {
        broken(move |finance| fs::set_permissions(finance.join(name), fs::Permissions::from_mode(mode)).unwrap())
    };
    for (name, mode) in [("ca.key", 0o644), ("ca.key", 0o640), ("ca.pem", 0o666), (".", 0o755)] {
        let error = chmod(name, mode);
        assert!(matches!(error, OpenError::TooOpen { .. }), "{name} {mode:o}: {error}");
    }
    let link = broken(|finance| {
        fs::rename(finance.join("ca.key"), finance.join("../elsewhere.key")).unwrap();
        symlink("../elsewhere.key", finance.join("ca.key")).unwrap();
    });
    assert!(matches!(link, OpenError::WrongKind { .. }), "{link}");
}

#[test]
fn a_root_outside_its_validity_is_an_error() {
    let world = World::new();
    drop(world.open(&["finance"]).unwrap());
    world.clock.advance(3651 * 86_400);
    assert!(matches!(world.open(&["finance"]), Err(OpenError::NotValid { .. })));
}

#[test]
fn a_recognised_workload_gets_its_svid() {
    let world = World::new();
    let issuer = world.issuer();
    assert_eq!(now(issuer.entitled(&payments())).unwrap(), [id(PAYMENTS)]);
    let svid = mint(&issuer).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!((peer.spiffe_id().as_str(), peer.serial()), (PAYMENTS, svid.serial.as_str()));
    assert_eq!((peer.not_before(), peer.not_after()), (svid.not_before, svid.not_after));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(3600));
    assert_eq!(svid.not_before.plus_seconds(60), world.clock.now());
    assert_eq!((svid.serial.len(), peer.via()), (40, None));
    assert_ne!(mint(&issuer).unwrap().serial, svid.serial);
    let records = world.records.lock().unwrap();
    assert_eq!(records[0], format!("allow {PAYMENTS} {} \"\" uid:1001 gid:100 path:/opt/payments: ", svid.serial));
}

#[test]
fn nothing_but_the_key_is_taken_from_a_request() {
    let world = World::new();
    let issuer = world.issuer();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::URI("spiffe://hr.acme.internal/payroll".try_into().unwrap()),
        SanType::DnsName("ledger.acme.internal".try_into().unwrap()),
    ];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    let svid = now(issuer.mint_workload(&payments(), &id(PAYMENTS), &csr)).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!(peer.spiffe_id().as_str(), PAYMENTS);
    assert!(!peer.covers_dns(&Host::parse("ledger.acme.internal").unwrap()));
    let leaf = &svid.chain_der[0];
    assert!(leaf.windows(key.public_key_raw().len()).any(|window| window == key.public_key_raw()));
}

#[test]
fn who_is_not_recognised_gets_nothing() {
    let world = World::new();
    let issuer = world.issuer();
    let other = Selectors { uid: 1002, ..payments() };
    assert_eq!(now(issuer.entitled(&other)).unwrap(), []);
    let refused = |selectors: &Selectors, who: &str| {
        assert!(
            matches!(now(issuer.mint_workload(selectors, &id(who), &csr())), Err(IssueError::NotEntitled(_))),
            "{who}"
        );
    };
    refused(&other, PAYMENTS);
    refused(&payments(), "spiffe://finance.acme.internal/ledger");
    refused(&payments(), "spiffe://finance.acme.internal/_gateway/gw-1");
    let records = world.records.lock().unwrap();
    assert_eq!(records.len(), 4);
    assert!(records[0].starts_with("deny   \"\" uid:1002 gid:100 path:/opt/payments: not entitled"), "{}", records[0]);
    assert!(records[1].starts_with(&format!("deny {PAYMENTS}  \"\" uid:1002")), "{}", records[1]);
}

#[test]
fn a_domain_whose_key_is_not_held_is_not_issued() {
    let world = World::new();
    let issuer = world.issuer();
    let elsewhere = id("spiffe://elsewhere.acme.internal/payments");
    let refused = now(issuer.mint_workload(&payments(), &elsewhere, &csr()));
    assert!(matches!(refused, Err(IssueError::Unavailable(_))));
    let before = *issuer.changes().borrow();
    issuer.hold(&[label("elsewhere"), label("finance")]).unwrap();
    assert_eq!(*issuer.changes().borrow(), before + 1);
    assert_eq!(now(issuer.entitled(&payments())).unwrap(), [elsewhere.clone(), id(PAYMENTS)]);
    let svid = now(issuer.mint_workload(&payments(), &elsewhere, &csr())).unwrap();
    assert_eq!(world.verify(&issuer, &svid).spiffe_id(), &elsewhere);
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    let issuer = world.issuer();
    let good = csr();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let weak = {
        let weak = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak-request.der")).unwrap();
        assert!(weak.len() > 100);
        weak
    };
    for bad in [vec![], vec![0x30; 20_000], [good.as_slice(), b"x"].concat(), forged, weak] {
        let refused = now(issuer.mint_workload(&payments(), &id(PAYMENTS), &bad));
        assert!(matches!(refused, Err(IssueError::BadRequest(_))), "{refused:?}");
    }
}

#[test]
fn a_gateway_serves_the_hosts_of_its_domain() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = now(issuer.mint_gateway(&label("finance"), &label("gw-1"), &csr())).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!(peer.spiffe_id().as_str(), "spiffe://finance.acme.internal/_gateway/gw-1");
    assert!(peer.covers_dns(&Host::parse("ledger.acme.internal").unwrap()));
    assert!(peer.covers_dns(&Host::parse("books.acme.internal").unwrap()));
    assert!(!peer.covers_dns(&Host::parse("people.acme.internal").unwrap()));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(1800));
    let unknown = now(issuer.mint_gateway(&label("hr"), &label("gw-1"), &csr()));
    assert!(matches!(unknown, Err(IssueError::NotEntitled(_))));
}

#[test]
fn an_impersonation_names_the_operator_and_is_short() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = issuer.mint_impersonation(&workload("finance/payments"), "local", &csr()).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!((peer.spiffe_id().as_str(), peer.via()), (PAYMENTS, Some("local")));
    assert_eq!(svid.not_after, world.clock.now().plus_seconds(IMPERSONATION_SECONDS));
    assert!(world.records.lock().unwrap()[0].contains("\"local\""));
    let unknown = issuer.mint_impersonation(&workload("finance/nobody"), "local", &csr());
    assert!(matches!(unknown, Err(IssueError::NotEntitled(_))));
    assert!(issuer.mint_impersonation(&workload("finance/payments"), "", &csr()).is_err());
}

#[test]
fn what_is_not_recorded_is_not_issued() {
    let world = World::new();
    let issuer = world.issuer();
    world.full.store(true, Ordering::SeqCst);
    assert!(matches!(mint(&issuer), Err(IssueError::Unavailable(_))));
    let gateway = now(issuer.mint_gateway(&label("finance"), &label("gw-1"), &csr()));
    assert!(matches!(gateway, Err(IssueError::Unavailable(_))));
    let operator = issuer.mint_impersonation(&workload("finance/payments"), "local", &csr());
    assert!(matches!(operator, Err(IssueError::Unavailable(_))));
    world.full.store(false, Ordering::SeqCst);
    assert!(mint(&issuer).is_ok());
}

#[test]
fn nothing_outlives_its_root() {
    let world = World::new();
    let issuer = world.issuer();
    world.clock.advance(3650 * 86_400 - 600);
    assert_eq!(mint(&issuer).unwrap().not_after, world.clock.now().plus_seconds(600));
    world.clock.advance(600);
    assert!(matches!(mint(&issuer), Err(IssueError::Unavailable(_))));
}

#[test]
fn changes_are_announced_once() {
    let world = World::new();
    let issuer = world.issuer();
    let mut changes = issuer.changes();
    let generation = issuer.bundles().generation;
    changes.mark_unchanged();
    issuer.set_registrations(registrations());
    issuer.hold(&[label("finance")]).unwrap();
    assert!(!changes.has_changed().unwrap());
    issuer.set_registrations(Registrations::default());
    assert!(changes.has_changed().unwrap());
    assert_eq!(issuer.bundles().generation, generation, "the roots are the same");
    assert_eq!(now(issuer.entitled(&payments())).unwrap(), []);
}

#[test]
fn a_flood_of_refusals_is_counted_not_written() {
    let world = World::new();
    let issuer = world.issuer();
    let other = Selectors { uid: 1002, ..payments() };
    for _ in 0..100 {
        now(issuer.entitled(&other)).unwrap();
    }
    assert_eq!(world.records.lock().unwrap().len(), 4);
    world.clock.advance(1);
    now(issuer.entitled(&other)).unwrap();
    let records = world.records.lock().unwrap();
    assert!(records[4].ends_with("96 refusals before it were only counted"), "{}", records[4]);
}

#[test]
fn an_authority_of_testkit_is_not_ours() {
    let world = World::new();
    let issuer = world.issuer();
    let stranger = testkit::Authority::of("finance.acme.internal", world.clock.now());
    let leaf = stranger.issue(&LeafPlan::svid(PAYMENTS, world.clock.now()));
    let roots = issuer.bundles().roots.into_iter();
    let bundles: BundleSet = roots.map(|(domain, roots)| Bundle::from_der(domain, roots).unwrap()).collect();
    assert!(verify(&[CertificateDer::from(leaf.chain[0].as_slice())], &bundles, world.clock.now()).is_err());
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

#[test]
fn nothing_is_issued_to_who_is_revoked_and_it_is_on_record() {
    let world = World::new();
    let issuer = world.open(&["finance"]).unwrap();
    issuer.set_registrations(registrations());
    mint(&issuer).unwrap();
    let mut changes = issuer.changes();
    changes.mark_unchanged();
    issuer.set_signals(held_against(PAYMENTS, None));
    assert!(changes.has_changed().unwrap(), "whoever renews must learn it");
    let refused = mint(&issuer).unwrap_err();
    assert!(matches!(&refused, IssueError::NotEntitled(why) if why.ends_with("is revoked")), "{refused}");
    assert_eq!(now(issuer.entitled(&payments())).unwrap(), []);
    let workload = "finance/payments".parse().unwrap();
    assert!(issuer.mint_impersonation(&workload, "local", &csr()).is_err(), "not in its name either");
    let records = world.records.lock().unwrap().clone();
    let refusals = records.iter().filter(|line| line.starts_with("deny") && line.contains("revoked"));
    assert_eq!(refusals.count(), 3, "{records:?}");
    // what has ended, and what was lifted, holds no longer
    issuer.set_signals(held_against(PAYMENTS, Some(Timestamp::from_seconds(1))));
    mint(&issuer).unwrap();
    issuer.set_signals(held_against("finance/other", None));
    mint(&issuer).unwrap();
}
