//! Days of virtual time with the real issuer: rotations of both keys, operators who change their minds, peers that come and
//! go, restarts, an issuer that is away. At no moment is a credential that is still good refused by a verifier that may
//! hold it to the bundle that it has.

use std::path::Path;

use api::issuance::{Issuance, WorkloadOrder};
use identity::{Bundle, BundleSet};
use issuer::{Issuer, KeyProtection, Registrations, WorkloadRegistration};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use types::attest::UnixParts;
use types::{KeyKind, Selectors, SpiffeId, TrustDomain, UnixRule};

use super::*;
use crate::fixture::Told;

const STEP: u64 = 300;
const AUDIENCE: &str = "https://orders.example.internal";
const WORKLOAD: &str = "spiffe://shop.example.internal/storefront";

/// Somebody with a bundle of the past, who judges by it.
struct Verifier {
    peer: Peer,
    bundles: BundleSet,
    heard: Timestamp,
    away_until: Option<Timestamp>,
}

/// What a workload holds.
#[derive(Default)]
struct Holder {
    chain: Vec<Vec<u8>>,
    ends: Timestamp,
    renew: Timestamp,
    jwt: String,
    jwt_ends: Timestamp,
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn open(keys: &Path, clock: Arc<dyn Clock>) -> Issuer {
    let organisation = TrustDomain::parse("example.internal").unwrap();
    let domains = ["shop", "warehouse"].map(|name| (Label::parse(name).unwrap(), KeyKind::P256)).into();
    let issuer =
        Issuer::open(keys, &organisation, &domains, clock, Arc::new(|_| Ok(())), KeyProtection::Plain).unwrap();
    let registration = WorkloadRegistration {
        rules: vec![UnixRule::new(UnixParts { uid: Some(1_001), ..UnixParts::default() }).unwrap().into()],
        ttl: Duration::from_secs(3_600),
        jwt_ttl: Duration::from_secs(900),
        key: KeyKind::P256,
        runs_on: None,
    };
    let workloads = [("shop/storefront".parse().unwrap(), registration)].into();
    issuer.set_registrations(Registrations { workloads, ..Registrations::default() });
    issuer
}

pub(super) struct Scene {
    pub(super) world: World,
    keys: tempfile::TempDir,
    random: Random,
    verifiers: Vec<Verifier>,
    holders: Vec<Holder>,
    csr: Vec<u8>,
    rotated: usize,
    checks: u64,
}

impl Scene {
    pub(super) fn new(seed: u64) -> Self {
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let keys = tempfile::Builder::new().permissions(only_ours).tempdir().unwrap();
        let world = World::new();
        assert!(world.told.issuer.set(open(keys.path(), world.clock.clone())).is_ok());
        let now = world.clock.now();
        let verifiers = ["edge-1", "edge-2", "edge-3"].map(|name| {
            let mut peer = joined(&world, Role::Proxy, name);
            peer.connect(&world);
            Verifier { peer, bundles: BundleSet::default(), heard: now, away_until: None }
        });
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let holders = (0..3).map(|_| Holder::default()).collect();
        let mut scene = Self {
            world,
            keys,
            random: Random(seed),
            verifiers: verifiers.into(),
            holders,
            csr,
            rotated: 0,
            checks: 0,
        };
        (0..scene.verifiers.len()).for_each(|index| scene.acknowledge(index));
        scene
    }

    pub(super) fn issuer(&self) -> &Issuer {
        self.world.told.issuer.get().unwrap()
    }

    /// A verifier takes what is told at this moment, and confirms it.
    pub(super) fn acknowledge(&mut self, index: usize) {
        let Ok(number) = self.world.control.bundles_told() else { return };
        let bundles = self.issuer().bundles();
        let bundle = |(domain, roots): (&TrustDomain, &Vec<Vec<u8>>)| {
            let keys = bundles.jwt_keys.get(domain).cloned().unwrap_or_default();
            let keys = keys.into_iter().map(|key| (key.kid, key.spki_der)).collect();
            Bundle::new(domain.clone(), roots.clone(), keys).unwrap()
        };
        let set: BundleSet = bundles.roots.iter().map(bundle).collect();
        let control = &self.world.control;
        let verifier = &mut self.verifiers[index];
        verifier.bundles = set;
        control.hub.heard.bundles(&control.hub.peers, &verifier.peer.name, number);
    }

    pub(super) fn restart(self) -> Self {
        let Self { world, keys, verifiers, .. } = self;
        let (folder, clock) = (keys.path().to_owned(), world.clock.clone());
        let world = world.restart_with(|| {
            let told = Told::new(Timestamp::from_seconds(crate::fixture::NOW));
            assert!(told.issuer.set(open(&folder, clock)).is_ok());
            Arc::new(told)
        });
        let verifiers = verifiers.into_iter().map(|before| {
            let place = Place { role: Role::Proxy, name: before.peer.name.1.clone(), group: None, domains: None };
            let last = Last { heard: Some(before.heard), ..Last::default() };
            world.control.hub.peers.add(Joined { place, key: [7; 32], joined: before.heard, last });
            let mut peer = Peer { name: before.peer.name, line: None };
            if before.away_until.is_none() {
                peer.connect(&world);
            }
            Verifier { peer, ..before }
        });
        let verifiers = verifiers.collect();
        Self { world, keys, verifiers, ..self }
    }

    pub(super) fn everybody_is_heard(&mut self) {
        let now = self.world.clock.now();
        for verifier in &mut self.verifiers {
            verifier.peer.pulse(&self.world);
            verifier.heard = now;
        }
    }

    fn peers_move(&mut self) {
        let now = self.world.clock.now();
        for index in 0..self.verifiers.len() {
            let back = self.verifiers[index].away_until.is_some_and(|until| until <= now);
            if back {
                self.verifiers[index].away_until = None;
                self.verifiers[index].peer.connect(&self.world);
            } else if self.verifiers[index].away_until.is_none() && self.random.percent(1) {
                let until = now.plus_seconds(self.random.below(40) * 3_600);
                self.verifiers[index].away_until = Some(until);
                self.verifiers[index].peer.disconnect(&self.world);
            }
            if self.verifiers[index].away_until.is_none() {
                self.verifiers[index].peer.pulse(&self.world);
                self.verifiers[index].heard = now;
                // who comes back takes what is told before it serves
                if back || self.random.percent(50) {
                    self.acknowledge(index);
                }
            }
        }
    }

    fn operators_act(&mut self) {
        let keys = if self.random.percent(50) { Keys::X509 } else { Keys::Jwt };
        let act = if self.random.percent(70) { RotationAct::Start } else { RotationAct::Back };
        let request = Rotate { domain: "shop".into(), keys, act, reason: String::new() };
        if let Err(failure) = self.world.admin().rotate("local", &request) {
            assert_eq!(failure.code, FailureCode::Conflict, "{failure:?}");
        }
    }

    pub(super) fn holders_renew(&mut self) {
        let now = self.world.clock.now();
        let selectors = Selectors { uid: 1_001, gid: 1_001, ..Selectors::default() };
        let id = SpiffeId::parse(WORKLOAD).unwrap();
        let order = WorkloadOrder { id: id.clone(), csr_der: self.csr.clone(), predecessor: None };
        let issuer = self.world.told.issuer.get().unwrap();
        for holder in &mut self.holders {
            if holder.renew <= now {
                let svid = issuer.mint_workload_at(&api::keys::Place::Everywhere, &selectors, &order).unwrap();
                *holder = Holder {
                    chain: svid.chain_der,
                    ends: svid.not_after,
                    renew: now.plus_seconds(1_500),
                    ..std::mem::take(holder)
                };
            }
            if holder.jwt_ends <= now {
                let audience = [AUDIENCE.to_owned()];
                let jwt = issuer.mint_jwt_at(&api::keys::Place::Everywhere, &selectors, &id, &audience).unwrap();
                (holder.jwt, holder.jwt_ends) = (jwt.token.to_string(), jwt.not_after);
            }
        }
    }

    /// Everything that is good is accepted by everybody who can hold anything good.
    pub(super) fn check(&mut self) {
        let now = self.world.clock.now();
        let dead = self.world.control.dead_after().as_secs();
        for verifier in self.verifiers.iter().filter(|verifier| now < verifier.heard.plus_seconds(dead)) {
            for holder in &self.holders {
                let name = &verifier.peer.name.1;
                if !holder.chain.is_empty() && now <= holder.ends {
                    let chain: Vec<_> = holder.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
                    let verified = identity::verify(&chain, &verifier.bundles, now);
                    assert!(verified.is_ok(), "{name}: {verified:?} {:?}", self.world.admin().rotations());
                    self.checks += 1;
                }
                if !holder.jwt.is_empty() && now <= holder.jwt_ends {
                    let verified = identity::verify_jwt_svid(&holder.jwt, AUDIENCE, &verifier.bundles, now);
                    assert!(verified.is_ok(), "{name}: {verified:?} {:?}", self.world.admin().rotations());
                }
            }
        }
    }

    fn step(mut self) -> Self {
        let before: Vec<_> = self.world.told.issuer.get().unwrap().key_states();
        self.world.clock.advance(STEP);
        if self.random.percent(2) {
            self = self.restart();
        }
        self.peers_move();
        if self.random.percent(6) {
            self.operators_act();
        }
        self.world.control.take_rotations_on();
        // an issuer that is away for less than half a life is not noticed
        if self.random.percent(70) {
            self.holders_renew();
        }
        self.check();
        let after = self.world.told.issuer.get().unwrap().key_states();
        let retired = before.iter().zip(&after);
        self.rotated += retired
            .filter(|(before, after)| before.phase == RotationPhase::Signing && after.phase == RotationPhase::Idle)
            .count();
        self
    }
}

#[test]
fn no_credential_that_is_good_is_refused_by_anybody_at_any_moment_of_any_rotation() {
    for seed in 1..=2 {
        let mut scene = Scene::new(seed);
        for _ in 0..864 {
            scene = scene.step();
        }
        assert!(scene.rotated >= 2, "seed {seed}: {} rotations in three days", scene.rotated);
        assert!(scene.checks > 5_000, "seed {seed}: {}", scene.checks);
    }
}

#[test]
fn a_rotation_of_the_real_keys_survives_a_restart_at_each_phase() {
    let mut scene = Scene::new(1);
    let state = |scene: &Scene| scene.issuer().key_states().into_iter().find(|one| one.keys == Keys::X509).unwrap();
    let first = state(&scene);
    start(&scene.world);
    let mut phases = Vec::new();
    for _ in 0..40 {
        let before = state(&scene);
        scene = scene.restart();
        assert_eq!(state(&scene), before, "what is on the disk is all there is");
        (0..3).for_each(|index| scene.acknowledge(index));
        pass(&scene.world, &[], 5);
        (0..3).for_each(|index| scene.acknowledge(index));
        scene.world.clock.advance(300);
        scene.world.control.take_rotations_on();
        scene.holders_renew();
        scene.check();
        phases.push(state(&scene).phase);
    }
    phases.dedup();
    assert_eq!(phases, [RotationPhase::Signing, RotationPhase::Idle]);
    let last = state(&scene);
    assert!(last.current != first.current && last.other.is_empty(), "{last:?}");
}

#[test]
fn after_an_emergency_nothing_of_the_old_key_is_good_where_it_was_told() {
    let mut scene = Scene::new(1);
    scene.holders_renew();
    scene.check();
    let now = scene.world.clock.now();
    ask(&scene.world, RotationAct::Emergency).unwrap();
    (0..3).for_each(|index| scene.acknowledge(index));
    for verifier in &scene.verifiers {
        let chain: Vec<_> = scene.holders[0].chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let refused = identity::verify(&chain, &verifier.bundles, now);
        assert!(refused.is_err(), "{refused:?}");
        let jwt = identity::verify_jwt_svid(&scene.holders[0].jwt, AUDIENCE, &verifier.bundles, now);
        assert!(jwt.is_ok(), "the JWT key is another one: {jwt:?}");
    }
    scene.holders.iter_mut().for_each(|holder| holder.renew = now);
    scene.holders_renew();
    scene.check();
}
