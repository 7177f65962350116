//! Callers who want more than their share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::workload::X509BundlesRequest;
use testkit::{ManualClock, RealClock};
use tonic::Code;

use super::calls::{client, with_header};
use super::fake::{Fake, Running};
use crate::fetch;

#[tokio::test]
async fn streams_of_one_process_are_bounded() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let (mut one, mut two) = (client(&agent.socket).await, client(&agent.socket).await);
    let mut open = Vec::new();
    for number in 0..64 {
        let client = if number % 2 == 0 { &mut one } else { &mut two };
        let mut stream = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        open.push(stream);
    }
    let refused = one.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("too many open calls"), "{refused}");
    drop(open);
    // The agent learns of a closed stream by itself; only then is there room.
    while two.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop((one, two));
    agent.stop().await;
}

/// The clock moves, so that only the number of open streams is in the way and not the rate of calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_of_one_caller_are_answered_and_bounded() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let clients: Vec<_> = futures(60, || client(&agent.socket)).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for number in 0..10_000 {
        if number % 100 == 0 {
            clock.advance(1);
        }
        let mut client = clients[number % clients.len()].clone();
        match client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await {
            Ok(stream) => open.push(stream),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (64, 9_936));
    // What was refused cost no question to the issuer.
    assert!(fake.asked.load(Ordering::SeqCst) <= 64);
    drop((open, clients));
    clock.advance(1);
    while fetch(&agent.socket).await.is_err() {
        clock.advance(1);
        tokio::task::yield_now().await;
    }
    agent.stop().await;
}

async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        made.push(make().await);
    }
    made
}

#[tokio::test]
async fn connections_beyond_a_process_s_share_are_hung_up_on_and_others_are_not() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let held: Vec<_> = (0..64).map(|_| std::os::unix::net::UnixStream::connect(&agent.socket).unwrap()).collect();
    // Taken in order: the next is hung up on once the 64 are counted.
    assert!(fetch(&agent.socket).await.is_err());
    drop(held);
    while fetch(&agent.socket).await.is_err() {
        tokio::task::yield_now().await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn calls_of_one_user_are_held_to_a_rate() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut refused = 0;
    for _ in 0..210 {
        refused += usize::from(client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.is_err());
    }
    assert!(refused >= 10, "{refused}");
    clock.advance(1);
    while client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(client);
    agent.stop().await;
}
