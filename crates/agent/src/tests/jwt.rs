//! The JWT calls of the Workload API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::workload::{JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest};
use prost_types::value::Kind;
use testkit::{ManualClock, RealClock};
use tonic::{Code, Status};
use types::{Clock as _, KeyKind, SpiffeId};

use super::calls::{Client, client, for_audience, next, with_header};
use super::fake::{Fake, ID, Running, entitled, id, payments, token};
use crate::{FetchError, fetch_jwt};

const OTHER_ID: &str = "spiffe://finance.acme.internal/reports";
const AUDIENCE: &str = "https://ledger.acme.internal";

async fn validate(client: &mut Client, audience: &str, svid: &str) -> Result<String, Status> {
    let request = ValidateJwtsvidRequest { audience: audience.into(), svid: svid.into() };
    let answer = client.validate_jwtsvid(with_header(request)).await?.into_inner();
    let claims = answer.claims.unwrap().fields;
    assert_eq!(claims["sub"].kind, Some(Kind::StringValue(answer.spiffe_id.clone())));
    assert!(matches!(claims["exp"].kind, Some(Kind::NumberValue(_))) && claims.contains_key("aud"));
    Ok(answer.spiffe_id)
}

#[tokio::test]
async fn wa_5_tokens_are_for_the_audience_and_validate() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.entitle(vec![payments(), entitled(OTHER_ID, KeyKind::P256)]);
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let svids = client.fetch_jwtsvid(for_audience(&[AUDIENCE])).await.unwrap().into_inner().svids;
    let told: Vec<_> = svids.iter().map(|svid| (svid.spiffe_id.as_str(), svid.hint.as_str())).collect();
    assert_eq!(told, [(ID, "finance/payments"), (OTHER_ID, "finance/reports")]);
    assert_eq!(validate(&mut client, AUDIENCE, &svids[0].svid).await.unwrap(), ID);
    assert_eq!(validate(&mut client, AUDIENCE, &svids[1].svid).await.unwrap(), OTHER_ID);
    // the one that is named alone, by our own client
    let other = SpiffeId::parse(OTHER_ID).unwrap();
    let fetched = fetch_jwt(&agent.socket, &[AUDIENCE.to_owned()], Some(&other)).await.unwrap();
    assert_eq!((fetched.len(), fetched[0].spiffe_id.as_str()), (1, OTHER_ID));
    assert_eq!(*fetched[0].token, svids[1].svid, "kept until half of its life is over");
    assert!(!format!("{fetched:?}").contains(fetched[0].token.as_str()));
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_5_the_audience_is_required() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let long = "x".repeat(1025);
    let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for audience in [&[][..], &[""], &["a", ""], &[&long], &many] {
        let refused = client.fetch_jwtsvid(for_audience(audience)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{audience:?}");
    }
    let no_id = JwtsvidRequest { audience: vec!["a".into()], spiffe_id: "spiffe://Finance/x".into() };
    assert_eq!(client.fetch_jwtsvid(with_header(no_id)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(fake.asked.load(Ordering::SeqCst), 0);
    assert!(matches!(fetch_jwt(&agent.socket, &[], None).await, Err(FetchError::Refused(_))));
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_5_a_name_that_is_another_s_is_denied() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let order = JwtsvidRequest { audience: vec!["a".into()], spiffe_id: OTHER_ID.into() };
    assert_eq!(client.fetch_jwtsvid(with_header(order)).await.unwrap_err().code(), Code::PermissionDenied);
    let other = SpiffeId::parse(OTHER_ID).unwrap();
    let denied = fetch_jwt(&agent.socket, &["a".to_owned()], Some(&other)).await;
    assert!(matches!(denied, Err(FetchError::Denied)));
    assert_eq!(fake.signed.load(Ordering::SeqCst), 0);
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_5_bundles_hold_the_keys_of_tokens_alone() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.add_bundle("hr.acme.internal");
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut stream = client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap().into_inner();
    let first = next(&mut stream).await.bundles;
    assert_eq!(first.keys().collect::<Vec<_>>(), ["spiffe://finance.acme.internal"], "a domain without such keys");
    let set = jose::JwkSet::parse(str::from_utf8(&first["spiffe://finance.acme.internal"]).unwrap()).unwrap();
    let entries: Vec<_> = set.keys().iter().map(|entry| (entry.key_id(), entry.usage())).collect();
    assert_eq!(entries, [(Some("first"), Some("jwt-svid"))]);
    fake.add_jwt_domain("hr.acme.internal", "first");
    assert_eq!(next(&mut stream).await.bundles.len(), 2);
    fake.rotate(true);
    let rotated = next(&mut stream).await.bundles;
    let set = jose::JwkSet::parse(str::from_utf8(&rotated["spiffe://finance.acme.internal"]).unwrap()).unwrap();
    assert_eq!(set.keys().len(), 2);
    drop((stream, client));
    agent.stop().await;
}

/// What is wrong with each, and the rule that says so.
#[tokio::test]
async fn wa_5_every_wrong_kind_of_token_is_refused() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let hr = fake.add_jwt_domain("hr.acme.internal", "first");
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let audience = [AUDIENCE.to_owned()];
    let good = fetch_jwt(&agent.socket, &audience, None).await.unwrap().remove(0).token;
    let person = SpiffeId::parse("spiffe://hr.acme.internal/people").unwrap();
    let (now, soon) = (clock.now(), clock.now().plus_seconds(60));
    let of_hr = token(&hr, &person, &audience, now, soon);
    assert_eq!(validate(&mut client, AUDIENCE, &of_hr).await.unwrap(), person.as_str());

    let parts: Vec<&str> = good.split('.').collect();
    let none = "eyJhbGciOiJub25lIn0";
    let hs256 = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImZpcnN0In0";
    let wrong = [
        ("another audience", token(&hr, &person, &["x".into()], now, soon)),
        // the key id is that of a key of the own domain, too
        ("another domain's key", token(&hr, &id(), &audience, now, soon)),
        (
            "an unknown domain",
            token(&hr, &SpiffeId::parse("spiffe://x.acme.internal/p").unwrap(), &audience, now, soon),
        ),
        ("expired", token(&hr, &person, &audience, now, types::Timestamp::from_seconds(now.seconds() - 3600))),
        ("without a signature", format!("{none}.{}.", parts[1])),
        ("with an empty algorithm", format!("{none}.{}.{}", parts[1], parts[2])),
        ("with a shared secret", format!("{hs256}.{}.{}", parts[1], parts[2])),
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], of_hr.split('.').next_back().unwrap())),
        ("padded", format!("{}=", good.as_str())),
        ("encrypted", format!("{}.{}.{}.a.b", parts[0], parts[1], parts[2])),
        ("no token", "a.b.c".to_owned()),
        ("empty", String::new()),
        ("too large", "a".repeat(40_000)),
    ];
    for (what, svid) in wrong {
        let refused = validate(&mut client, AUDIENCE, &svid).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
    }
    let refused = validate(&mut client, "", &good).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // a signature that is good names the rule that is broken
    let refused = validate(&mut client, "x", &good).await.unwrap_err();
    assert!(refused.message().contains("JS-4"), "{refused}");
    // larger than any message
    let refused = validate(&mut client, AUDIENCE, &"a".repeat(100_000)).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused}");
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn a_key_that_was_given_up_signs_nothing_that_is_still_handed_out() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let audience = [AUDIENCE.to_owned()];
    let old = fetch_jwt(&agent.socket, &audience, None).await.unwrap().remove(0).token;
    fake.rotate(true);
    assert_eq!(fetch_jwt(&agent.socket, &audience, None).await.unwrap().remove(0).token, old);
    fake.jwt_keys(|keys| drop(keys.remove(0)));
    assert_eq!(validate(&mut client, AUDIENCE, &old).await.unwrap_err().code(), Code::InvalidArgument);
    let new = fetch_jwt(&agent.socket, &audience, None).await.unwrap().remove(0).token;
    assert_eq!(validate(&mut client, AUDIENCE, &new).await.unwrap(), ID);
    drop(client);
    agent.stop().await;
}
