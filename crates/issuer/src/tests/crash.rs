//! The issuer dies, or its disk fails, between any two writes of any step: what is there afterwards is the state before or
//! the state after, everything that was issued is good, and the rotation goes on.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::AtomicUsize;

use api::admin::Keys::{self, Jwt, X509};
use api::admin::RotationPhase::Idle;
use api::keys::{KeyState, KeyStep, Place};

use super::*;
use api::keys::KeyStep::{Back, Emergency, Hold, Prepare, Publish, Retire, Sign};

/// A disk on which the writes from a number on fail.
struct FailingDisk {
    /// How many writes there were.
    writes: AtomicUsize,
    /// The first one that fails.
    fails_from: AtomicUsize,
    /// Whether only writes that need room fail, as on a full disk; otherwise all, as for a process that died.
    full: bool,
}

const NEVER: usize = usize::MAX;

impl FailingDisk {
    fn new(full: bool) -> Arc<Self> {
        Arc::new(Self { writes: AtomicUsize::new(0), fails_from: AtomicUsize::new(NEVER), full })
    }

    fn fail_after(&self, more: usize) {
        self.fails_from.store(self.writes.load(Ordering::SeqCst) + more, Ordering::SeqCst);
    }

    fn heal(&self) {
        self.fails_from.store(NEVER, Ordering::SeqCst);
    }

    fn write(&self, needs_room: bool) -> io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number < self.fails_from.load(Ordering::SeqCst) || (self.full && !needs_room) {
            return Ok(());
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // whether it has reached the disk does not matter to a process that dies, and waiting for it takes long
        let arrives = |bytes: &[u8]| {
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(bytes))
        };
        self.write(true).inspect_err(|_| drop(arrives(&bytes[..bytes.len() / 2])))?;
        arrives(bytes)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.write(true).and_then(|()| RealDisk.make_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.write(false).and_then(|()| RealDisk.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.write(false).and_then(|()| RealDisk.rename_new(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.write(false).and_then(|()| RealDisk.remove(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.write(false).and_then(|()| RealDisk.remove_folder(path))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.write(false)
    }
}

fn state(issuer: &Issuer, keys: Keys) -> KeyState {
    issuer.key_states().into_iter().find(|state| state.domain == label("finance") && state.keys == keys).unwrap()
}

fn reopened(world: &World, disk: &Arc<FailingDisk>) -> Issuer {
    let issuer = world.open_on(Arc::clone(disk) as Arc<dyn Disk>, &["finance"], KeyProtection::Plain).unwrap();
    issuer.set_registrations(registrations());
    issuer
}

/// The steps that lead to where the last one of each line is taken.
const WAYS: [&[KeyStep]; 8] = [
    &[Prepare],
    &[Prepare, Publish],
    &[Prepare, Publish, Sign],
    &[Prepare, Publish, Sign, Retire],
    &[Prepare, Publish, Sign, Back],
    &[Prepare, Back],
    &[Emergency],
    &[Prepare, Publish, Sign, Emergency],
];

fn token_is_good(world: &World, issuer: &Issuer) -> bool {
    let audience = ["a".to_owned()];
    let token = issuer.mint_jwt_at(&Place::Everywhere, &payments(), &id(PAYMENTS), &audience).unwrap();
    identity::verify_jwt_svid(&token.token, "a", &bundle_set(issuer), world.clock.now()).is_ok()
}

/// Takes a way, and lets the disk fail at a write of its last step. Nothing when that step needs fewer writes.
fn broken_at(way: &[KeyStep], keys: Keys, write: usize, full: bool) -> Option<()> {
    let world = World::new();
    let disk = FailingDisk::new(full);
    let issuer = reopened(&world, &disk);
    let mut minted = vec![mint(&issuer).unwrap()];
    assert!(token_is_good(&world, &issuer));
    let (last, first) = way.split_last().unwrap();
    for step in first {
        issuer.rotate(&label("finance"), keys, *step).unwrap();
        minted.push(mint(&issuer).unwrap());
        assert!(token_is_good(&world, &issuer));
    }
    if *last == Retire {
        world.clock.set(state(&issuer, keys).old_ends.unwrap().plus_seconds(1));
        minted = vec![mint(&issuer).unwrap()];
    }
    let (before, bundles) = (state(&issuer, keys), issuer.bundles());
    let writes = disk.writes.load(Ordering::SeqCst);
    disk.fail_after(write);
    let outcome = issuer.rotate(&label("finance"), keys, *last);
    let happened = disk.writes.load(Ordering::SeqCst) - writes > write;
    if outcome.is_err() {
        // nothing has changed: what signed signs, with the disk as it is
        assert_eq!((state(&issuer, keys), issuer.bundles()), (before.clone(), bundles.clone()));
        minted.push(mint(&issuer).unwrap());
        assert!(token_is_good(&world, &issuer));
        assert!(minted.iter().all(|svid| world.check(&issuer, svid).is_ok()));
    }
    let now_minted = mint(&issuer);
    assert!(now_minted.is_ok_and(|svid| world.check(&issuer, &svid).is_ok()), "the disk does not stop issuance");
    disk.heal();
    drop(issuer);
    let issuer = reopened(&world, &disk);
    let found = state(&issuer, keys);
    if found == before {
        assert!(outcome.is_err(), "what was reported is there: {way:?} {write}");
        assert_eq!(issuer.bundles().roots, bundles.roots);
    } else {
        // the step is on the disk, whether or not it was reported
        assert_ne!((found.phase, &found.current), (before.phase, &before.current), "{way:?} {write}");
    }
    if *last != Emergency || found == before {
        assert!(minted.iter().all(|svid| world.check(&issuer, svid).is_ok()), "{way:?} {write}");
    }
    world.verify(&issuer, &mint(&issuer).unwrap());
    assert!(token_is_good(&world, &issuer));
    goes_on(&world, &issuer, keys);
    assert_eq!(private_keys(&world, &issuer), [1, 1], "{way:?} {write}: only keys that sign are left in use");
    happened.then_some(())
}

/// From wherever it stands to the end of a rotation.
fn goes_on(world: &World, issuer: &Issuer, keys: Keys) {
    use api::admin::RotationPhase::{Acknowledged, Prepared, Published, Signing};
    let rotate = |step| issuer.rotate(&label("finance"), keys, step).unwrap();
    rotate(Hold(false));
    let before = state(issuer, keys).current;
    for _ in 0..5 {
        match state(issuer, keys).phase {
            Idle => drop(rotate(Prepare)),
            Prepared => drop(rotate(Publish)),
            Published | Acknowledged => drop(rotate(Sign)),
            Signing => {
                world.clock.set(state(issuer, keys).old_ends.unwrap().plus_seconds(1));
                rotate(Retire);
                break;
            }
        }
    }
    let after = state(issuer, keys);
    assert_eq!(after.phase, Idle);
    assert!(after.current != before || after.other.is_empty());
    world.verify(issuer, &mint(issuer).unwrap());
}

/// How many keys the list of the folder names, roots' and JWT keys; each has its file.
fn private_keys(world: &World, issuer: &Issuer) -> [usize; 2] {
    drop(issuer.key_states());
    let text = fs::read_to_string(world.keys().join("finance/keys.json")).unwrap();
    let keyring = keyring::Keyring::parse(&text).unwrap();
    for name in keyring.names() {
        assert!(world.keys().join(format!("finance/{name}.key")).exists());
    }
    for name in &keyring.gone {
        assert!(!world.keys().join(format!("finance/{name}.key")).exists(), "{name} is destroyed");
    }
    [keyring.x509.entries().count(), keyring.jwt.entries().count()]
}

fn every_write(keys: Keys, full: bool) {
    for way in WAYS {
        let writes = (0..).take_while(|write| broken_at(way, keys, *write, full).is_some()).count();
        assert!(writes >= 3, "{way:?} writes {writes} times");
    }
}

#[test]
fn a_root_rotation_goes_on_after_a_crash_between_any_two_writes() {
    every_write(X509, false);
}

#[test]
fn a_jwt_rotation_goes_on_after_a_crash_between_any_two_writes() {
    every_write(Jwt, false);
}

#[test]
fn a_step_that_a_full_disk_refuses_changes_nothing() {
    every_write(X509, true);
    every_write(Jwt, true);
}

#[test]
fn a_domain_is_made_whole_or_not_at_all() {
    for write in 0..8 {
        let world = World::new();
        let disk = FailingDisk::new(false);
        let issuer = reopened(&world, &disk);
        disk.fail_after(write);
        let held = issuer.hold(&kinds(&["ops"]));
        disk.heal();
        drop(issuer);
        let issuer = reopened(&world, &disk);
        issuer.hold(&kinds(&["ops"])).unwrap();
        assert_eq!(issuer.key_states().len(), 4, "write {write}: {held:?}");
    }
}

#[test]
fn with_a_full_disk_no_life_is_given_that_is_not_written() {
    let world = World::new();
    let disk = FailingDisk::new(true);
    let issuer = reopened(&world, &disk);
    disk.fail_after(0);
    assert!(matches!(mint(&issuer), Err(IssueError::Unavailable(_))), "the first of a key");
    disk.heal();
    let usual = mint(&issuer).unwrap();
    disk.fail_after(0);
    assert_eq!(mint(&issuer).unwrap().not_after, usual.not_after, "what is written already is enough");
    let mut longer = registrations();
    longer.workloads.values_mut().for_each(|workload| workload.ttl = Duration::from_secs(7200));
    issuer.set_registrations(longer);
    assert_eq!(mint(&issuer).unwrap().not_after, usual.not_after, "shorter than asked for, and not dropped early");
    disk.heal();
    assert_eq!(mint(&issuer).unwrap().not_after, world.clock.now().plus_seconds(7200));
}
