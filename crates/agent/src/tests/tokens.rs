//! Tokens: kept until half of their life is over, in bounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::issuance::IssueError;
use testkit::ManualClock;
use types::{Clock as _, Selectors, Timestamp};

use super::fake::{Fake, id, own_uid, path_rule};
use crate::refusal::Refusal;
use crate::state::Source;

fn selectors(pid: u32) -> Selectors {
    Selectors { pid, uid: own_uid(), path: Some("/bin/x".into()), ..Selectors::default() }
}

fn audience(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn world() -> (Arc<ManualClock>, Arc<Fake>, Source) {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let source = Source::new(fake.clone(), clock.clone());
    (clock, fake, source)
}

#[tokio::test]
async fn a_token_is_kept_for_a_program_and_an_audience_until_half_of_its_life() {
    let (clock, fake, source) = world();
    let get = |pid, names: &'static [&'static str]| {
        let (source, selectors) = (&source, selectors(pid));
        async move { source.tokens.get(&selectors, &id(), &audience(names)).await.unwrap().token.clone() }
    };
    let first = get(7, &["a", "b"]).await;
    assert_eq!(get(8, &["b", "a", "a"]).await, first);
    assert_ne!(get(7, &["a"]).await, first);
    assert_eq!(fake.signed.load(Ordering::SeqCst), 2);
    clock.advance(150);
    let second = get(7, &["a", "b"]).await;
    assert_ne!(second, first);
    assert_eq!(get(7, &["a", "b"]).await, second);
}

#[tokio::test]
async fn a_good_token_outlives_failures_and_no_refusal() {
    let (clock, fake, source) = world();
    let (names, selectors, id) = (audience(&["a"]), selectors(7), id());
    let get = || source.tokens.get(&selectors, &id, &names);
    let first = get().await.unwrap();
    fake.set_available(false);
    clock.advance(299);
    assert_eq!(get().await.unwrap().token, first.token);
    assert_eq!(get().await.unwrap().token, first.token);
    assert_eq!(fake.unanswered.load(Ordering::SeqCst), 1, "no pause after a failure");
    clock.advance(1);
    assert!(matches!(get().await, Err(Refusal::Issue(IssueError::Unavailable(_)))));
    fake.set_available(true);
    get().await.unwrap();
    fake.recognise(None);
    clock.advance(150);
    assert!(matches!(get().await, Err(Refusal::Issue(IssueError::NotEntitled(_)))));
}

#[tokio::test]
async fn while_nobody_says_what_it_may_have_a_program_gets_what_it_holds() {
    let (_, fake, source) = world();
    let (names, selectors) = (audience(&["a"]), selectors(7));
    source.tokens.get(&selectors, &id(), &names).await.unwrap();
    fake.set_available(false);
    let ids = |names: Vec<String>| {
        let (source, selectors) = (&source, selectors.clone());
        async move {
            let kept = |source: &Source| source.tokens.still_good(&selectors, &names);
            source.entitled(&selectors, kept).await.map(|entitled| entitled.len())
        }
    };
    assert_eq!(ids(names.clone()).await, Ok(1));
    assert!(ids(audience(&["b"])).await.is_err());
    assert_eq!(source.check_known(&selectors).await.unwrap().len(), 1);
    // A refusal takes it away for good.
    fake.set_available(true);
    fake.recognise(None);
    assert!(ids(names.clone()).await.is_err());
    fake.set_available(false);
    assert!(ids(names).await.is_err());
}

#[tokio::test]
async fn asked_at_once_it_signs_once() {
    let (_, fake, source) = world();
    let (names, seven, eight, id) = (audience(&["a"]), selectors(7), selectors(8), id());
    let (a, b) = tokio::join!(source.tokens.get(&seven, &id, &names), source.tokens.get(&eight, &id, &names));
    assert_eq!(a.unwrap().token, b.unwrap().token);
    assert_eq!(fake.signed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_program_keeps_so_many_tokens_and_takes_none_from_others() {
    let (_, fake, source) = world();
    let other = Selectors { path: Some("/bin/y".into()), ..selectors(7) };
    let own = selectors(7);
    let get = |selectors: Selectors, name: String| {
        let source = &source;
        async move { source.tokens.get(&selectors, &id(), &[name]).await.unwrap() }
    };
    get(other.clone(), "a".into()).await;
    for number in 0..200 {
        get(own.clone(), number.to_string()).await;
    }
    let signed = fake.signed.load(Ordering::SeqCst);
    get(other, "a".into()).await;
    get(own.clone(), "199".into()).await;
    assert_eq!(fake.signed.load(Ordering::SeqCst), signed);
    let kept = (0..200).filter(|number| !source.tokens.still_good(&own, &[number.to_string()]).is_empty()).count();
    assert_eq!(kept, 64);
}

/// The programs of one user, however many, take none from other users.
#[tokio::test]
async fn a_user_keeps_so_many_tokens_and_takes_none_from_others() {
    let (_, fake, source) = world();
    fake.recognise(path_rule("/bin/x"));
    let get = |uid, gid, number: u32| {
        let (source, selectors) = (&source, Selectors { uid, gid, ..selectors(7) });
        async move { source.tokens.get(&selectors, &id(), &[number.to_string()]).await.unwrap() }
    };
    get(1, 0, 0).await;
    for number in 0..1100 {
        get(2, number / 50, number).await;
    }
    let signed = fake.signed.load(Ordering::SeqCst);
    get(1, 0, 0).await;
    assert_eq!(fake.signed.load(Ordering::SeqCst), signed);
    let kept = |number: &u32| {
        let selectors = Selectors { uid: 2, gid: number / 50, ..selectors(7) };
        !source.tokens.still_good(&selectors, &[number.to_string()]).is_empty()
    };
    assert_eq!((0..1100).filter(kept).count(), 768);
}

#[tokio::test]
async fn a_clock_that_is_set_back_replaces_tokens_that_were_signed_later() {
    let (clock, _, source) = world();
    let (names, selectors, id) = (audience(&["a"]), selectors(7), id());
    let get = || source.tokens.get(&selectors, &id, &names);
    let first = get().await.unwrap();
    clock.set(Timestamp::from_seconds(clock.now().seconds() - 3600));
    let second = get().await.unwrap();
    assert_ne!(second.token, first.token);
    assert_eq!(get().await.unwrap().token, second.token);
}
