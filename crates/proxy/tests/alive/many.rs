//! Many open streams on one worker: judging them all again must not keep others waiting.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};

use crate::{
    client::{Http1, Http2},
    site::{LEDGER, PAYMENTS, Rules, Site, TREASURY, until},
};

const STREAMS: usize = 2_000;
const NO_TREASURY: &str =
    "@id(\"no-treasury\") @reason(\"a test\") forbid (principal == Workload::\"finance/treasury\", action, resource);";

/// Asks again and again until `over`; gives how often, and how long the slowest answer took.
async fn ask_until<S>(caller: &mut Http1<S>, over: impl Fn() -> bool) -> (usize, Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !over() {
        let asked = Instant::now();
        assert_eq!(caller.get("/items").await.0.status, 200);
        slowest = slowest.max(asked.elapsed());
        count += 1;
    }
    (count, slowest)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_streams_are_judged_again_while_others_are_served() {
    let site = Site::start(&Rules::default(), 1).await;
    let leaf = site.identity(TREASURY);
    let (mut connections, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS / 100 {
        let mut connection = Http2::connect(&site, Some(&leaf), LEDGER).await;
        for _ in 0..100 {
            waiting.push(tokio::spawn(connection.ask("/slow")));
        }
        connections.push(connection);
    }
    until("the streams", || site.stats.snapshot().open_exchanges == STREAMS as u64).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    site.publish(&Rules { finance: "mode: enforce", ..Rules::default() });
    let told = Instant::now();
    ask_until(&mut payments, || told.elapsed() > Duration::from_millis(500)).await;
    let snapshot = site.stats.snapshot();
    assert!(snapshot.cut == 0 && snapshot.open_exchanges >= STREAMS as u64, "all of them are still allowed");
    let told = Instant::now();
    site.publish(&Rules { forbids: NO_TREASURY, ..Rules::default() });
    let (count, slowest) = ask_until(&mut payments, || site.stats.snapshot().cut == STREAMS as u64).await;
    let whole = told.elapsed();
    println!("{STREAMS} streams judged again and cut in {whole:?}; {count} calls meanwhile, the slowest {slowest:?}");
    assert!(count > 3 && slowest < whole / 2, "{count} calls, the slowest {slowest:?} of {whole:?}");
    for answer in waiting {
        let response = timeout(Duration::from_secs(10), answer).await.expect("an answer").unwrap().unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.into_body().collect().await.unwrap().to_bytes().starts_with(b"{"));
    }
}
