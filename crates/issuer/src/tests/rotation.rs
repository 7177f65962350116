//! The rotation of roots and JWT keys in virtual time: each step, each step back, and the emergency.

use api::admin::Keys::{self, Jwt, X509};
use api::admin::RotationPhase::{Idle, Prepared, Published, Signing};
use api::keys::{KeyState, KeyStep, Place};
use api::protocol::SUCCESSION_CONTEXT;
use identity::sign::{sha256, verify_by_root};
use identity::{VerifiedJwtSvid, verify_jwt_svid};

use super::*;
use api::keys::KeyStep::{Back, Emergency, Hold, Prepare, Publish, Retire, Sign};

const AUDIENCE: &str = "https://ledger.acme.internal";

/// The registered lives: an hour for certificates, five minutes for tokens.
const HOUR: u64 = 3600;

fn step(issuer: &Issuer, keys: Keys, step: KeyStep) -> KeyState {
    issuer.rotate(&label("finance"), keys, step).unwrap()
}

fn state(issuer: &Issuer, keys: Keys) -> KeyState {
    issuer.key_states().into_iter().find(|state| state.domain == label("finance") && state.keys == keys).unwrap()
}

fn token(issuer: &Issuer) -> String {
    let token = issuer.mint_jwt_at(&Place::Everywhere, &payments(), &id(PAYMENTS), &[AUDIENCE.to_owned()]);
    token.unwrap().token.to_string()
}

fn check_token(world: &World, issuer: &Issuer, token: &str) -> Result<VerifiedJwtSvid, identity::JwtSvidRefusal> {
    verify_jwt_svid(token, AUDIENCE, &bundle_set(issuer), world.clock.now())
}

fn roots(issuer: &Issuer) -> Vec<Vec<u8>> {
    issuer.bundles().roots[&TrustDomain::parse("finance.acme.internal").unwrap()].clone()
}

fn kids(issuer: &Issuer) -> Vec<String> {
    let keys = issuer.bundles().jwt_keys[&TrustDomain::parse("finance.acme.internal").unwrap()].clone();
    keys.into_iter().map(|key| key.kid).collect()
}

#[test]
fn a_root_is_rotated_and_no_valid_certificate_is_ever_refused() {
    let world = World::new();
    let issuer = world.issuer();
    let mut minted = Vec::new();
    let mut still_good = |issuer: &Issuer| {
        minted.push(mint(issuer).unwrap());
        let now = world.clock.now();
        for svid in minted.iter().filter(|svid| svid.not_after.seconds() >= now.seconds()) {
            world.verify(issuer, svid);
        }
    };
    let first = roots(&issuer);
    still_good(&issuer);
    let prepared = step(&issuer, X509, Prepare);
    assert_eq!((prepared.phase, roots(&issuer)), (Prepared, first.clone()), "nobody knows it");
    still_good(&issuer);
    world.clock.advance(600);
    step(&issuer, X509, Publish);
    let both = roots(&issuer);
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "the one that signs is first");
    still_good(&issuer);
    world.clock.advance(600);
    let signing = step(&issuer, X509, Sign);
    assert_eq!(roots(&issuer), [both[1].clone(), both[0].clone()]);
    assert_eq!((signing.current, signing.other), (prepared.other, prepared.current));
    still_good(&issuer);
    let ends = signing.old_ends.unwrap();
    assert!(ends >= world.clock.now().plus_seconds(HOUR) && ends <= world.clock.now().plus_seconds(HOUR + 60));
    world.clock.advance(1800);
    still_good(&issuer);
    let early = issuer.rotate(&label("finance"), X509, Retire).unwrap_err();
    assert!(matches!(early, RotateError::NotYet { until, .. } if until == ends), "{early}");
    world.clock.set(ends);
    still_good(&issuer);
    assert!(issuer.rotate(&label("finance"), X509, Retire).is_err(), "the last second counts");
    world.clock.advance(1);
    let retired = step(&issuer, X509, Retire);
    assert_eq!((retired.phase, retired.other.as_str(), roots(&issuer)), (Idle, "", vec![both[1].clone()]));
    still_good(&issuer);
    assert!(!world.keys().join("finance/ca.key").exists(), "the old key is destroyed");
    assert_eq!(state(&issuer, Jwt).phase, Idle, "the other keys are another matter");
}

#[test]
fn a_jwt_key_is_rotated_and_no_valid_token_is_ever_refused() {
    let world = World::new();
    let issuer = world.issuer();
    let first = token(&issuer);
    step(&issuer, Jwt, Prepare);
    assert_eq!(kids(&issuer).len(), 1);
    step(&issuer, Jwt, Publish);
    let published = kids(&issuer);
    let second = token(&issuer);
    assert_eq!(check_token(&world, &issuer, &second).unwrap().key_id(), Some(published[0].as_str()));
    let signing = step(&issuer, Jwt, Sign);
    let third = token(&issuer);
    assert_eq!(check_token(&world, &issuer, &third).unwrap().key_id(), Some(published[1].as_str()));
    for token in [&first, &second] {
        assert!(check_token(&world, &issuer, token).is_ok());
    }
    world.clock.advance(299);
    assert!(check_token(&world, &issuer, &second).is_ok());
    assert!(issuer.rotate(&label("finance"), Jwt, Retire).is_err());
    let ends = signing.old_ends.unwrap();
    assert!(
        ends.seconds() > world.clock.now().seconds() + 60,
        "tokens are good for clocks that are behind by a minute"
    );
    world.clock.set(ends.plus_seconds(1));
    step(&issuer, Jwt, Retire);
    assert_eq!(kids(&issuer), [published[1].clone()]);
    assert!(check_token(&world, &issuer, &token(&issuer)).is_ok());
    assert!(!world.keys().join("finance/jwt.key").exists());
}

#[test]
fn each_step_can_be_taken_back_without_a_refusal() {
    for keys in [X509, Jwt] {
        let world = World::new();
        let issuer = world.issuer();
        let (old, old_token) = (mint(&issuer).unwrap(), token(&issuer));
        for forward in [Prepare, Publish, Sign] {
            step(&issuer, keys, forward);
        }
        let (new, new_token) = (mint(&issuer).unwrap(), token(&issuer));
        let all_good = |issuer: &Issuer| {
            for svid in [&old, &new, &mint(issuer).unwrap()] {
                world.verify(issuer, svid);
            }
            for token in [&old_token, &new_token, &token(issuer)] {
                check_token(&world, issuer, token).unwrap();
            }
        };
        let back = step(&issuer, keys, Back);
        assert_eq!((back.phase, back.held), (Published, true));
        let ends = back.old_ends.expect("the new key signed");
        all_good(&issuer);
        let early = issuer.rotate(&label("finance"), keys, Back).unwrap_err();
        assert!(matches!(early, RotateError::NotYet { .. }), "what the new key signed is good: {early}");
        all_good(&issuer);
        for forward in [Publish, Sign, Retire] {
            assert!(matches!(issuer.rotate(&label("finance"), keys, forward), Err(RotateError::Refused(_))), "held");
        }
        // forward again, and back again
        assert!(!step(&issuer, keys, Hold(false)).held);
        assert_eq!(step(&issuer, keys, Sign).phase, Signing);
        all_good(&issuer);
        step(&issuer, keys, Back);
        all_good(&issuer);
        let ends = ends.max(state(&issuer, keys).old_ends.unwrap());
        world.clock.set(ends.plus_seconds(1));
        let hidden = step(&issuer, keys, Back);
        assert_eq!((hidden.phase, hidden.held), (Prepared, true));
        let gone = step(&issuer, keys, Back);
        assert_eq!((gone.phase, gone.held, gone.other.as_str()), (Idle, false, ""));
        assert_eq!((roots(&issuer).len(), kids(&issuer).len()), (1, 1));
        assert!(matches!(issuer.rotate(&label("finance"), keys, Back), Err(RotateError::Refused(_))));
        assert_eq!(keys_of(&world).len(), 2, "the key that nobody wants is destroyed: {:?}", keys_of(&world));
        step(&issuer, keys, Prepare);
    }
}

/// The private keys of finance on the disk.
fn keys_of(world: &World) -> Vec<String> {
    let files = fs::read_dir(world.keys().join("finance")).unwrap();
    let mut names: Vec<String> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".key"));
    names.sort();
    names
}

#[test]
fn steps_out_of_order_are_refused_with_words() {
    let world = World::new();
    let issuer = world.issuer();
    let refused = |wanted: KeyStep| {
        let error = issuer.rotate(&label("finance"), X509, wanted).unwrap_err();
        assert!(matches!(error, RotateError::Refused(_)), "{error}");
        error.to_string()
    };
    assert!(refused(Publish).ends_with("the rotation is at `idle`"));
    for wanted in [Sign, Retire, Back, Hold(true)] {
        refused(wanted);
    }
    step(&issuer, X509, Prepare);
    for wanted in [Prepare, Sign, Retire] {
        refused(wanted);
    }
    step(&issuer, X509, Publish);
    for wanted in [Prepare, Publish, Retire] {
        refused(wanted);
    }
    assert!(step(&issuer, X509, Hold(true)).held);
    assert!(refused(Sign).contains("waits for an operator"));
    step(&issuer, X509, Hold(false));
    step(&issuer, X509, Sign);
    for wanted in [Prepare, Publish, Sign] {
        refused(wanted);
    }
    let unknown = issuer.rotate(&label("nowhere"), X509, Prepare).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no domain `nowhere`");
    let system = issuer.rotate(&label("system"), X509, Prepare).unwrap_err();
    assert!(system.to_string().contains("are not rotated"), "{system}");
    assert!(issuer.rotate(&label("system"), X509, Emergency).is_err());
    assert_eq!(issuer.key_states().len(), 4, "finance and hr, roots and JWT keys");
}

#[test]
fn an_emergency_makes_everything_worthless_that_the_old_key_signed() {
    for before in [&[][..], &[Prepare], &[Prepare, Publish], &[Prepare, Publish, Sign]] {
        let world = World::new();
        let issuer = world.issuer();
        let mut minted = vec![mint(&issuer).unwrap()];
        let mut known = roots(&issuer);
        for forward in before {
            step(&issuer, X509, *forward);
            minted.push(mint(&issuer).unwrap());
            known.extend(roots(&issuer));
        }
        let token = token(&issuer);
        let after = step(&issuer, X509, Emergency);
        assert_eq!((after.phase, after.other.as_str(), after.old_ends), (Idle, "", None));
        let now = roots(&issuer);
        assert!(now.len() == 1 && !known.contains(&now[0]), "a key that nobody could have");
        assert!(minted.iter().all(|svid| world.check(&issuer, svid).is_err()));
        world.verify(&issuer, &mint(&issuer).unwrap());
        assert!(check_token(&world, &issuer, &token).is_ok(), "JWT keys are another matter");
        assert_eq!(keys_of(&world).len(), 2, "the others are destroyed: {:?}", keys_of(&world));
        // whoever holds one of the roots from before can follow
        for held in known.iter().filter(|root| **root != now[0]) {
            assert!(follows(&issuer, held, &now[0]), "{before:?}");
        }
    }
    let world = World::new();
    let issuer = world.issuer();
    let old = token(&issuer);
    step(&issuer, Jwt, Emergency);
    assert!(check_token(&world, &issuer, &old).is_err());
    assert!(check_token(&world, &issuer, &token(&issuer)).is_ok());
}

/// Whether somebody who holds `from` believes `to`, by the successions alone.
fn follows(issuer: &Issuer, from: &[u8], to: &[u8]) -> bool {
    let mut held = vec![from.to_vec()];
    for succession in issuer.successions() {
        let Some(by) = held.iter().find(|root| sha256(root) == succession.by) else { continue };
        let name = succession.trust_domain.as_str().as_bytes();
        let message = [SUCCESSION_CONTEXT, name, b"\n", &sha256(&succession.root_der)].concat();
        if verify_by_root(by, &message, &succession.signature).is_ok() {
            held.push(succession.root_der);
        }
    }
    held.iter().any(|root| root == to)
}

#[test]
fn whoever_slept_through_two_rotations_can_follow() {
    let world = World::new();
    let issuer = world.issuer();
    let first = roots(&issuer).remove(0);
    for _ in 0..2 {
        mint(&issuer).unwrap();
        step(&issuer, X509, Prepare);
        let told = issuer.successions().len();
        step(&issuer, X509, Publish);
        assert_eq!(issuer.successions().len(), told + 1, "a root that nobody knows is not told of");
        let signing = step(&issuer, X509, Sign);
        world.clock.set(signing.old_ends.unwrap().plus_seconds(1));
        step(&issuer, X509, Retire);
    }
    drop(issuer);
    let issuer = world.issuer();
    let last = roots(&issuer).remove(0);
    assert!(follows(&issuer, &first, &last));
    let stranger = testkit::Authority::of("finance.acme.internal", world.clock.now());
    assert!(!follows(&issuer, stranger.der(), &last));
    // the unborn root of a rotation that was given up is forgotten
    step(&issuer, X509, Prepare);
    step(&issuer, X509, Back);
    assert_eq!(issuer.successions().len(), 2);
}

#[test]
fn successions_are_bounded() {
    let world = World::new();
    let issuer = world.issuer();
    for _ in 0..20 {
        step(&issuer, X509, Emergency);
    }
    assert_eq!(issuer.successions().len(), 16);
}

#[test]
fn a_rotation_survives_a_restart_in_every_phase() {
    for keys in [X509, Jwt] {
        let world = World::new();
        let mut minted = Vec::new();
        let restarted = |minted: &mut Vec<Svid>| {
            let issuer = world.issuer();
            minted.push(mint(&issuer).unwrap());
            minted.iter().for_each(|svid| drop(world.verify(&issuer, svid)));
            check_token(&world, &issuer, &token(&issuer)).unwrap();
            issuer
        };
        let mut expected = state(&restarted(&mut minted), keys);
        for forward in [Prepare, Publish, Sign, Back, Hold(false), Sign] {
            let issuer = restarted(&mut minted);
            assert_eq!(state(&issuer, keys), expected);
            expected = step(&issuer, keys, forward);
        }
        let issuer = restarted(&mut minted);
        assert_eq!(state(&issuer, keys), expected);
        assert!(matches!(issuer.rotate(&label("finance"), keys, Retire), Err(RotateError::NotYet { .. })));
        drop(issuer);
        world.clock.set(expected.old_ends.unwrap().plus_seconds(1));
        minted.clear();
        assert_eq!(step(&restarted(&mut minted), keys, Retire).phase, Idle);
        restarted(&mut minted);
    }
}

#[test]
fn a_key_is_kept_for_as_long_as_the_longest_life_that_it_ever_gave() {
    let world = World::new();
    let issuer = world.issuer();
    let mut longer = registrations();
    longer.workloads.values_mut().for_each(|workload| workload.ttl = Duration::from_secs(7200));
    issuer.set_registrations(longer);
    let long = mint(&issuer).unwrap();
    drop(issuer);
    // a new process, in which lives are short again, knows nothing of it but what is written
    let issuer = world.issuer();
    world.clock.advance(60);
    for forward in [Prepare, Publish, Sign] {
        step(&issuer, X509, forward);
    }
    let ends = state(&issuer, X509).old_ends.unwrap();
    assert!(ends >= long.not_after, "{ends} and {}", long.not_after);
    world.clock.set(long.not_after);
    world.verify(&issuer, &long);
    assert!(issuer.rotate(&label("finance"), X509, Retire).is_err());
}

#[test]
fn a_clock_that_went_back_an_hour_drops_nothing_that_is_good() {
    let world = World::new();
    let right = world.clock.now();
    let issuer = world.issuer();
    for forward in [Prepare, Publish] {
        step(&issuer, X509, forward);
    }
    world.clock.set(right.plus_seconds(HOUR));
    let ahead = mint(&issuer).unwrap();
    world.clock.set(right);
    step(&issuer, X509, Sign);
    let behind = issuer.rotate(&label("finance"), X509, Retire).unwrap_err();
    assert!(matches!(behind, RotateError::NotYet { until, .. } if until >= ahead.not_after), "{behind}");
}

#[test]
fn a_new_key_is_of_the_kind_that_the_domain_asks_for() {
    let world = World::new();
    let issuer = world.issuer();
    let mut wanted = registrations();
    wanted.domains.get_mut(&label("finance")).unwrap().key = KeyKind::P384;
    issuer.set_registrations(wanted);
    assert_eq!(state(&issuer, X509).key, KeyKind::P256, "the one of the moment stays");
    for keys in [X509, Jwt] {
        assert_eq!(step(&issuer, keys, Prepare).key, KeyKind::P384);
        step(&issuer, keys, Publish);
        let signing = step(&issuer, keys, Sign);
        assert_eq!(signing.key, KeyKind::P384);
    }
    world.verify(&issuer, &mint(&issuer).unwrap());
    check_token(&world, &issuer, &token(&issuer)).unwrap();
}

#[test]
fn whoever_follows_the_bundles_hears_of_each_change_once() {
    let world = World::new();
    let issuer = world.issuer();
    mint(&issuer).unwrap();
    let mut changes = issuer.changes();
    let mut numbers = vec![issuer.bundles().generation];
    for (forward, differs) in
        [(Prepare, false), (Publish, true), (Hold(true), false), (Hold(false), false), (Sign, true)]
    {
        changes.mark_unchanged();
        step(&issuer, X509, forward);
        assert!(changes.has_changed().unwrap(), "{forward:?}");
        let number = issuer.bundles().generation;
        assert_eq!(number > *numbers.last().unwrap(), differs, "{forward:?}");
        numbers.push(number);
    }
    changes.mark_unchanged();
    mint(&issuer).unwrap();
    assert!(!changes.has_changed().unwrap(), "what is written for the first certificate of a key is nobody's business");
}
