//! Renewal: at half-life, once, and without dropping what is still good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::issuance::IssueError;
use testkit::ManualClock;
use types::{Clock as _, Selectors};

use super::fake::{Fake, id, own_uid};
use crate::wallet::Wallet;

fn selectors(pid: u32) -> Selectors {
    Selectors { pid, uid: own_uid(), gid: 0, path: Some("/bin/x".into()), path_in_data: None, sha256: None }
}

fn world() -> (Arc<ManualClock>, Arc<Fake>, Wallet) {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let wallet = Wallet::new(fake.clone(), clock.clone());
    (clock, fake, wallet)
}

#[tokio::test]
async fn a_certificate_is_shared_and_renewed_at_half_life() {
    let (clock, fake, wallet) = world();
    let first = wallet.get(&selectors(7), &id()).await.unwrap();
    let start = clock.now();
    assert_eq!(wallet.get(&selectors(8), &id()).await.unwrap().svid.serial, first.svid.serial);
    assert!((start.plus_seconds(3600 * 2 / 5)..=start.plus_seconds(1800)).contains(&first.renew_at));
    clock.set(types::Timestamp::from_micros(first.renew_at.micros() - 1));
    assert_eq!(wallet.get(&selectors(7), &id()).await.unwrap().svid.serial, first.svid.serial);
    clock.set(first.renew_at);
    let second = wallet.get(&selectors(7), &id()).await.unwrap();
    assert_ne!(second.svid.serial, first.svid.serial);
    assert_ne!(second.key.reveal(), first.key.reveal());
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn another_program_has_another_key() {
    let (_, fake, wallet) = world();
    wallet.get(&selectors(7), &id()).await.unwrap();
    wallet.get(&Selectors { path: Some("/bin/y".into()), ..selectors(7) }, &id()).await.unwrap();
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_valid_certificate_outlives_failures_and_an_expired_one_does_not() {
    let (clock, fake, wallet) = world();
    let first = wallet.get(&selectors(7), &id()).await.unwrap();
    fake.set_available(false);
    clock.set(first.renew_at);
    let kept = wallet.get(&selectors(7), &id()).await.unwrap();
    assert_eq!(kept.svid.serial, first.svid.serial);
    let pause = kept.renew_at.micros_since(clock.now());
    assert!((400_000..=500_000).contains(&pause), "{pause}");
    clock.set(kept.renew_at);
    let longer = wallet.get(&selectors(7), &id()).await.unwrap().renew_at.micros_since(clock.now());
    assert!((800_000..=1_000_000).contains(&longer), "{longer}");
    clock.set(first.svid.not_after);
    assert!(matches!(wallet.get(&selectors(7), &id()).await, Err(IssueError::Unavailable(_))));
    fake.set_available(true);
    assert_ne!(wallet.get(&selectors(7), &id()).await.unwrap().svid.serial, first.svid.serial);
}

#[tokio::test]
async fn a_refusal_takes_the_certificate_away() {
    let (clock, fake, wallet) = world();
    let first = wallet.get(&selectors(7), &id()).await.unwrap();
    fake.recognise(None);
    clock.set(first.renew_at);
    assert!(matches!(wallet.get(&selectors(7), &id()).await, Err(IssueError::NotEntitled(_))));
}

#[tokio::test]
async fn what_is_still_good_is_that_of_the_program_until_it_expires() {
    let (clock, _, wallet) = world();
    let held = wallet.get(&selectors(7), &id()).await.unwrap();
    assert_eq!(wallet.still_good(&selectors(8)), [id()]);
    assert_eq!(wallet.still_good(&Selectors { path: Some("/bin/y".into()), ..selectors(7) }), []);
    assert_eq!(wallet.still_good(&Selectors { uid: own_uid() + 1, ..selectors(7) }), []);
    wallet.keep_only(&Selectors { path: Some("/bin/y".into()), ..selectors(7) }, &[]);
    wallet.keep_only(&selectors(8), &[id()]);
    assert_eq!(wallet.still_good(&selectors(7)), [id()]);
    clock.set(held.svid.not_after);
    assert_eq!(wallet.still_good(&selectors(7)), []);
    clock.set(held.svid.not_before);
    wallet.keep_only(&selectors(9), &[]);
    assert_eq!(wallet.still_good(&selectors(7)), []);
}

#[tokio::test]
async fn asked_at_once_it_mints_once() {
    let (_, fake, wallet) = world();
    let (seven, eight, id) = (selectors(7), selectors(8), id());
    let (a, b, c) = tokio::join!(wallet.get(&seven, &id), wallet.get(&eight, &id), wallet.get(&seven, &id));
    assert_eq!(a.unwrap().svid.serial, b.unwrap().svid.serial);
    assert!(c.is_ok());
    assert_eq!(fake.minted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_wallet_is_bounded_and_forgets_what_expired() {
    let (clock, fake, wallet) = world();
    let program = |number: u32| Selectors { path: Some(format!("/bin/{number}")), ..selectors(7) };
    for number in 0..1024 {
        wallet.get(&program(number), &id()).await.unwrap();
    }
    assert!(matches!(wallet.get(&program(1024), &id()).await, Err(IssueError::Unavailable(_))));
    clock.advance(fake.ttl.load(Ordering::SeqCst));
    wallet.get(&program(1024), &id()).await.unwrap();
}
