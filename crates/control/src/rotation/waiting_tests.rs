use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn laggard() -> Laggard {
    Laggard {
        title: "proxy/edge".into(),
        connected: false,
        heard: Some(at(1_000)),
        problem: String::new(),
        untrusted: None,
    }
}

fn one(laggard: Laggard, now: u64) -> Awaited {
    awaited(&[laggard], at(now), DAY)
}

#[test]
fn who_is_away_is_waited_for_until_nothing_in_its_hands_is_good() {
    let waiting = one(laggard(), 1_000 + 86_399);
    assert_eq!(
        waiting.waiting,
        ["proxy/edge: it is not connected and was last heard at 1970-01-01 00:16:40 UTC; it is waited for until \
          00:16:40 UTC"]
    );
    let given_up = one(laggard(), 1_000 + 86_400);
    assert!(given_up.waiting.is_empty(), "{given_up:?}");
    assert_eq!(
        given_up.given_up,
        ["proxy/edge: it was last heard at 1970-01-01 00:16:40 UTC, and nothing in its hands is good any more"]
    );
}

#[test]
fn who_is_connected_is_waited_for_without_end_and_says_why() {
    let connected = || Laggard { connected: true, ..laggard() };
    assert_eq!(one(connected(), 1 << 40).waiting, ["proxy/edge: it has not confirmed the bundle yet"]);
    let refuses = Laggard { problem: "no root that it holds vouches for it".into(), ..connected() };
    assert_eq!(one(refuses, 1 << 40).waiting, ["proxy/edge: no root that it holds vouches for it"]);
}

#[test]
fn who_was_never_heard_or_is_not_trusted_holds_nothing_back() {
    let never = one(Laggard { heard: None, ..laggard() }, 1_001);
    assert_eq!(never.given_up, ["proxy/edge: it joined and was never heard, so it holds nothing"]);
    let revoked = Laggard { untrusted: Some("it is revoked: stolen".into()), ..laggard() };
    assert_eq!(one(revoked, 1_001).given_up, ["proxy/edge: it is revoked: stolen"]);
}

#[test]
fn a_long_list_says_how_many_more_there_are() {
    let many: Vec<Laggard> = (0..100).map(|_| laggard()).collect();
    let awaited = awaited(&many, at(1_001), DAY);
    assert_eq!((awaited.waiting.len(), awaited.waiting[20].as_str()), (21, "80 more"));
}
