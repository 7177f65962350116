//! Renewal: at half-life, once, and without dropping what is still good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::issuance::{Entitled, IssueError, Predecessor};
use testkit::ManualClock;
use types::attest::UnixParts;
use types::{Clock as _, KeyKind, Selectors, Timestamp};

use super::fake::{Fake, own_uid, payments, unix};
use crate::refusal::Refusal;
use crate::state::Source;
use crate::wallet::{Handed, Held, Wallet};

fn selectors(pid: u32) -> Selectors {
    Selectors { pid, uid: own_uid(), path: Some("/bin/x".into()), ..Selectors::default() }
}

fn world() -> (Arc<ManualClock>, Arc<Fake>, Wallet) {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let wallet = Source::new(fake.clone(), clock.clone()).wallet;
    (clock, fake, wallet)
}

async fn get(wallet: &Wallet, selectors: &Selectors) -> Result<Held, Refusal> {
    wallet.get(selectors, &payments()).await.map(|handed| handed.held)
}

#[tokio::test]
async fn a_certificate_is_shared_and_renewed_at_half_life() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    let start = clock.now();
    assert_eq!(get(&wallet, &selectors(8)).await.unwrap().svid.serial, first.svid.serial);
    assert!((start.plus_seconds(3600 * 2 / 5)..=start.plus_seconds(1800)).contains(&first.renew_at));
    clock.set(Timestamp::from_micros(first.renew_at.micros() - 1));
    assert_eq!(get(&wallet, &selectors(7)).await.unwrap().svid.serial, first.svid.serial);
    clock.set(first.renew_at);
    let second = get(&wallet, &selectors(7)).await.unwrap();
    assert_ne!(second.svid.serial, first.svid.serial);
    assert_ne!(second.key.reveal(), first.key.reveal());
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn another_program_has_another_key() {
    let (_, fake, wallet) = world();
    get(&wallet, &selectors(7)).await.unwrap();
    get(&wallet, &Selectors { path: Some("/bin/y".into()), ..selectors(7) }).await.unwrap();
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_valid_certificate_outlives_failures_and_an_expired_one_does_not() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    fake.set_available(false);
    clock.set(first.renew_at);
    let kept = get(&wallet, &selectors(7)).await.unwrap();
    assert_eq!(kept.svid.serial, first.svid.serial);
    let pause = kept.renew_at.micros_since(clock.now());
    assert!((400_000..=500_000).contains(&pause), "{pause}");
    clock.set(kept.renew_at);
    let longer = get(&wallet, &selectors(7)).await.unwrap().renew_at.micros_since(clock.now());
    assert!((800_000..=1_000_000).contains(&longer), "{longer}");
    clock.set(first.svid.not_after);
    assert!(matches!(get(&wallet, &selectors(7)).await, Err(Refusal::Issue(IssueError::Unavailable(_)))));
    fake.set_available(true);
    clock.advance(1);
    assert_ne!(get(&wallet, &selectors(7)).await.unwrap().svid.serial, first.svid.serial);
}

#[tokio::test]
async fn a_refusal_takes_the_certificate_away() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    fake.recognise(None);
    clock.set(first.renew_at);
    assert!(matches!(get(&wallet, &selectors(7)).await, Err(Refusal::Issue(IssueError::NotEntitled(_)))));
}

#[tokio::test]
async fn what_is_still_good_is_that_of_the_program_until_it_expires() {
    let (clock, _, wallet) = world();
    let held = get(&wallet, &selectors(7)).await.unwrap();
    assert_eq!(wallet.still_good(&selectors(8)), [payments()]);
    assert_eq!(wallet.still_good(&Selectors { path: Some("/bin/y".into()), ..selectors(7) }), []);
    assert_eq!(wallet.still_good(&Selectors { uid: own_uid() + 1, ..selectors(7) }), []);
    wallet.keep_only(&Selectors { path: Some("/bin/y".into()), ..selectors(7) }, &[]);
    wallet.keep_only(&selectors(8), &[payments()]);
    assert_eq!(wallet.still_good(&selectors(7)), [payments()]);
    clock.set(held.svid.not_after);
    assert_eq!(wallet.still_good(&selectors(7)), []);
    clock.set(held.svid.not_before);
    wallet.keep_only(&selectors(9), &[]);
    assert_eq!(wallet.still_good(&selectors(7)), []);
}

#[tokio::test]
async fn asked_at_once_it_mints_once() {
    let (_, fake, wallet) = world();
    let (seven, eight) = (selectors(7), selectors(8));
    let (a, b, c) = tokio::join!(get(&wallet, &seven), get(&wallet, &eight), get(&wallet, &seven));
    assert_eq!(a.unwrap().svid.serial, b.unwrap().svid.serial);
    assert!(c.is_ok());
    assert_eq!(fake.minted.load(Ordering::SeqCst), 1);
}

fn program(number: u32) -> Selectors {
    Selectors { path: Some(format!("/bin/{number}")), ..selectors(7) }
}

#[tokio::test]
async fn the_wallet_is_bounded_and_forgets_nothing_that_is_in_hands() {
    let (clock, fake, wallet) = world();
    fake.recognise(unix(UnixParts { gid: Some(0), ..UnixParts::default() }));
    let mut hands: Vec<Handed> = Vec::new();
    let another = |number| Selectors { uid: own_uid() + 1, ..program(number) };
    for number in 0..768 {
        hands.push(wallet.get(&program(number), &payments()).await.unwrap());
    }
    for number in 768..1024 {
        hands.push(wallet.get(&another(number), &payments()).await.unwrap());
    }
    assert!(matches!(get(&wallet, &program(1024)).await, Err(Refusal::Here(_))));
    assert!(matches!(get(&wallet, &another(1024)).await, Err(Refusal::Here(_))));
    // Whose hands are empty makes room: first who holds what has ended, then who holds what is good.
    clock.advance(fake.ttl.load(Ordering::SeqCst));
    hands.drain(..3);
    get(&wallet, &program(1024)).await.unwrap();
    assert_eq!(wallet.still_good(&program(1024)), [payments()]);
    get(&wallet, &program(1025)).await.unwrap();
    get(&wallet, &program(1026)).await.unwrap();
    get(&wallet, &program(1027)).await.unwrap();
    assert_eq!(wallet.still_good(&program(1024)), []);
    assert_eq!(wallet.still_good(&program(1027)), [payments()]);
}

/// One user's programs, however many they are, take nothing from those of others: neither what is in hands nor what is not.
#[tokio::test]
async fn a_user_has_a_part_of_the_wallet_and_makes_room_among_its_own() {
    let (_, fake, wallet) = world();
    fake.recognise(unix(UnixParts { gid: Some(0), ..UnixParts::default() }));
    let another = Selectors { uid: own_uid() + 1, ..selectors(7) };
    get(&wallet, &another).await.unwrap();
    for number in 0..768 {
        get(&wallet, &program(number)).await.unwrap();
    }
    get(&wallet, &program(768)).await.unwrap();
    assert_eq!(wallet.still_good(&program(0)), [], "it has made no room");
    assert_eq!(wallet.still_good(&another), [payments()]);
    let mut hands: Vec<Handed> = Vec::new();
    for number in 0..768 {
        hands.push(wallet.get(&program(number), &payments()).await.unwrap());
    }
    assert!(matches!(get(&wallet, &program(768)).await, Err(Refusal::Here(_))));
    get(&wallet, &Selectors { gid: 0, path: Some("/bin/z".into()), ..another }).await.unwrap();
}

/// A clock that is set back by more than the age of a certificate says nothing about how long that is still good for others.
#[tokio::test]
async fn a_clock_that_is_set_back_renews_what_was_minted_later() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    let start = clock.now();
    clock.set(start.plus_seconds(600));
    clock.set(start.plus_seconds(300));
    assert_eq!(get(&wallet, &selectors(7)).await.unwrap().svid.serial, first.svid.serial, "it was in force then");
    clock.set(Timestamp::from_seconds(start.seconds() - 1));
    let second = get(&wallet, &selectors(7)).await.unwrap();
    assert_ne!(second.svid.serial, first.svid.serial);
    assert_eq!(get(&wallet, &selectors(7)).await.unwrap().svid.serial, second.svid.serial);
    // Without an issuer what is held stays, and is not asked for in a loop.
    fake.set_available(false);
    clock.set(Timestamp::from_seconds(start.seconds() - 7200));
    for _ in 0..3 {
        assert_eq!(get(&wallet, &selectors(7)).await.unwrap().svid.serial, second.svid.serial);
    }
    assert_eq!(fake.unanswered.load(Ordering::SeqCst), 1);
}

/// Whoever gets nothing and asks in a loop costs neither a key nor a question to the issuer each time.
#[tokio::test]
async fn a_failed_first_certificate_is_not_asked_for_in_a_loop() {
    let (clock, fake, wallet) = world();
    fake.fail(Some(IssueError::Limited("told so".into())));
    for _ in 0..50 {
        assert!(matches!(get(&wallet, &selectors(7)).await, Err(Refusal::Issue(IssueError::Limited(_)))));
    }
    assert_eq!(fake.unanswered.load(Ordering::SeqCst), 1);
    clock.advance(1);
    assert!(get(&wallet, &selectors(7)).await.is_err());
    assert_eq!(fake.unanswered.load(Ordering::SeqCst), 2);
    // Another program is not held up, and neither is this one once a refusal may have been taken back.
    assert!(get(&wallet, &program(1)).await.is_err());
    assert_eq!(fake.unanswered.load(Ordering::SeqCst), 3);
    fake.fail(None);
    clock.advance(1);
    get(&wallet, &selectors(7)).await.unwrap();
}

#[tokio::test]
async fn a_renewal_is_proven_by_the_key_that_it_replaces() {
    let (clock, fake, wallet) = world();
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa2048, KeyKind::P256] {
        let wanted = Entitled { key: kind, ..payments() };
        let held = wallet.get(&selectors(7), &wanted).await.unwrap().held;
        clock.set(held.renew_at);
    }
    let orders = fake.orders();
    assert!(orders[0].predecessor.is_none(), "the first has no predecessor");
    assert_eq!(orders.len(), 4);
    for order in &orders[1..] {
        let Predecessor { certificate_der, signature } = order.predecessor.as_ref().unwrap();
        let csr = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &order.csr_der);
        let message = [b"countersign predecessor 1\n", csr.as_ref()].concat();
        identity::sign::verify_by_leaf(certificate_der, &message, signature).unwrap();
        identity::sign::verify_by_leaf(certificate_der, b"countersign predecessor 1\n", signature).unwrap_err();
    }
}

#[tokio::test]
async fn what_has_ended_is_no_predecessor_and_a_refused_one_costs_no_identity() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    clock.set(first.svid.not_after);
    let second = get(&wallet, &selectors(7)).await.unwrap();
    assert!(fake.orders()[1].predecessor.is_none());
    fake.refuse_predecessors();
    clock.set(second.renew_at);
    let third = get(&wallet, &selectors(7)).await.unwrap();
    assert_ne!(third.svid.serial, second.svid.serial);
    assert_eq!(third.failures.load(Ordering::SeqCst), 0);
    let orders = fake.orders();
    assert!(orders[2].predecessor.is_some() && orders[3].predecessor.is_none());
    assert_eq!(orders[2].csr_der, orders[3].csr_der);
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_handed_out() {
    let (clock, fake, wallet) = world();
    let first = get(&wallet, &selectors(7)).await.unwrap();
    fake.sign_for(fake.orders()[0].csr_der.clone());
    clock.set(first.renew_at);
    let kept = get(&wallet, &selectors(7)).await.unwrap();
    assert_eq!((kept.svid.serial.as_str(), kept.failures.load(Ordering::SeqCst)), (first.svid.serial.as_str(), 1));
    assert!(matches!(get(&wallet, &program(1)).await, Err(Refusal::Unusable(_))));
}

#[tokio::test]
async fn what_no_longer_verifies_is_no_predecessor() {
    let (_, fake, wallet) = world();
    get(&wallet, &selectors(7)).await.unwrap();
    fake.rotate(false);
    get(&wallet, &selectors(7)).await.unwrap();
    assert!(fake.orders()[1].predecessor.is_none());
}
