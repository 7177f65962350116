//! Times and amounts that a slow or greedy caller runs into. The clock is paused: it moves when nothing else can.

use std::{future::ready, time::Duration};

use http::Response;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};
use types::Reason;

use super::{
    exchange::Via,
    support::{Echo, answer, read_all, read_until, run, statuses},
};
use crate::http1::{BodyError, Config, RequestBody, connection::End};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_refused_after_the_time_for_all_of_it() {
    let echo = Echo::default();
    let started = Instant::now();
    let (end, text) = run(&echo, &Config::default(), async |stream| {
        let (mut reading, mut writing) = tokio::io::split(stream);
        let drip = async {
            sleep(20 * SECOND).await;
            for byte in b"GET /a HTTP/1.1\r\nHost: aaaaaaaa" {
                sleep(SECOND).await;
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(read_all(&mut reading), drip).0
    })
    .await;
    assert!(matches!(end, End::Malformed(error) if error.reason == Reason::ParseHeadTimeout), "{end:?}");
    assert_eq!(statuses(&text), [408]);
    // 21 seconds to the first byte, 10 for the head, at most 1 of lingering before the drip sees the end
    assert!(started.elapsed() <= 33 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_a_word() {
    let echo = Echo::default();
    for (sent, exchanges) in [("", 0), ("\r\n", 0), ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 1)] {
        let started = Instant::now();
        let (end, text) = run(&echo, &Config::default(), async |mut stream| {
            stream.write_all(sent.as_bytes()).await.unwrap();
            read_all(&mut stream).await
        })
        .await;
        assert_eq!((end, statuses(&text).len(), started.elapsed().as_secs()), (End::Idle, exchanges, 60), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_arriving_fails_after_the_idle_time() {
    let handler = Via(async |_, mut body: RequestBody| {
        body.restrict(100, 5 * SECOND).unwrap();
        assert_eq!(body.collect().await.unwrap_err(), BodyError::Timeout);
        answer(408, "slow")
    });
    let started = Instant::now();
    let (end, text) = run(&handler, &Config::default(), async |mut stream| {
        stream.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        for byte in [b"a", b"b", b"c"] {
            sleep(4 * SECOND).await;
            stream.write_all(byte).await.unwrap();
        }
        read_until(&mut stream, "slow").await
    })
    .await;
    assert_eq!((end, statuses(&text)), (End::Closed, vec![408]));
    assert_eq!(started.elapsed().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_taken_is_given_up() {
    let handler = Via(async |_, mut body: RequestBody| {
        body.restrict(0, 7 * SECOND).unwrap();
        Response::new(Full::new(vec![b'a'; 1 << 20].into()))
    });
    for (pauses, expected) in [(vec![5, 5, 5], End::CallerClosed), (vec![5, 9], End::Stalled)] {
        let (end, whole) = run(&handler, &Config::default(), async |mut stream| {
            stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            for pause in pauses {
                // a little is taken after each pause, so that the clock starts anew
                sleep(pause * SECOND).await;
                read_until(&mut stream, "aaaa").await;
            }
            let (mut reading, mut writing) = tokio::io::split(stream);
            writing.shutdown().await.unwrap();
            read_all(&mut reading).await.len() > 1_000_000
        })
        .await;
        assert_eq!((end, whole), (expected, expected == End::CallerClosed));
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_body_is_waited_for_only_briefly() {
    let handler = Via(|_, _| ready(answer(403, "no")));
    let started = Instant::now();
    let (end, text) = run(&handler, &Config::default(), async |mut stream| {
        stream.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        read_all(&mut stream).await
    })
    .await;
    assert_eq!((end, statuses(&text)), (End::Closed, vec![403]));
    assert_eq!(started.elapsed().as_millis(), 500);
}

#[tokio::test(start_paused = true)]
async fn lingering_ends() {
    let echo = Echo::default();
    let started = Instant::now();
    let (end, text) = run(&echo, &Config::default(), async |stream| {
        let (mut reading, mut writing) = tokio::io::split(stream);
        writing.write_all(b"GET /a\r\n").await.unwrap();
        let text = read_all(&mut reading).await;
        // the answer is there; we never close, and keep sending
        let mut sent = 0;
        while writing.write_all(b"more").await.is_ok() {
            sent += 1;
            sleep(SECOND / 10).await;
        }
        assert!((8..=12).contains(&sent), "{sent} times");
        text
    })
    .await;
    assert!(matches!(end, End::Malformed(_)));
    assert_eq!(statuses(&text), [400]);
    assert!(started.elapsed() <= 2 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_a_head_that_has_begun() {
    let echo = Echo::default();
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let client = async {
        theirs.write_all(b"GET /a HTTP/1.1\r\n").await.unwrap();
        sleep(2 * SECOND).await;
        theirs.write_all(b"Host: a\r\n\r\n").await.unwrap();
        read_all(&mut theirs).await
    };
    let config = Config::default();
    let (end, text) = tokio::join!(crate::http1::serve(ours, &echo, &config, sleep(SECOND)), client);
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /a\n");
    assert_eq!(end, End::Drained);
}
