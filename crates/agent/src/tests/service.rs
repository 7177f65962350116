//! The Workload API's rules (WA), call by call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use api::workload::{JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509svidRequest};
use identity::{Bundle, BundleSet, verify};
use rustls_pki_types::CertificateDer;
use testkit::{ManualClock, RealClock};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use types::{Clock as _, TrustDomain};

use super::fake::{Fake, ID, Running, own_uid, reached};
use crate::{FetchError, fetch, fetch_all};

async fn client(socket: &Path) -> SpiffeWorkloadApiClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    SpiffeWorkloadApiClient::new(endpoint.connect().await.unwrap())
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

#[tokio::test]
async fn our_own_client_fetches_a_verifiable_identity() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let fetched = fetch(&agent.socket).await.unwrap();
    assert_eq!((fetched.len(), fetched[0].spiffe_id.as_str()), (1, ID));
    let svid = &fetched[0];
    let domain = TrustDomain::parse("finance.acme.internal").unwrap();
    let bundles: BundleSet = [Bundle::from_der(domain, svid.bundle_der.clone()).unwrap()].into_iter().collect();
    let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    assert_eq!(verify(&chain, &bundles, clock.now()).unwrap().spiffe_id().as_str(), ID);
    let key = rcgen::KeyPair::try_from(svid.key_der.reveal()).unwrap();
    assert!(svid.chain_der[0].windows(65).any(|window| window == key.public_key_raw()), "the key is another's");
    assert!(!format!("{svid:?}").contains("key_der: ["));
    let directory = agent.stop().await;
    assert!(matches!(fetch(&directory.path().join("workload.sock")).await, Err(FetchError::Unreachable { .. })));
}

#[tokio::test]
async fn calls_without_the_security_header_are_refused() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let code = |status: tonic::Status| status.code();
    assert_eq!(client.fetch_x509svid(X509svidRequest {}).await.map(drop).map_err(code), Err(Code::InvalidArgument));
    assert_eq!(
        client.fetch_x509_bundles(X509BundlesRequest {}).await.map(drop).map_err(code),
        Err(Code::InvalidArgument)
    );
    assert_eq!(
        client.fetch_jwtsvid(JwtsvidRequest::default()).await.map(drop).map_err(code),
        Err(Code::InvalidArgument)
    );
    let mut wrong = Request::new(X509svidRequest {});
    wrong.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("TRUE"));
    assert_eq!(client.fetch_x509svid(wrong).await.map(drop).map_err(code), Err(Code::InvalidArgument));
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn jwt_calls_are_unimplemented() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let code = |status: tonic::Status| status.code();
    let svid = client.fetch_jwtsvid(with_header(JwtsvidRequest::default())).await.map(drop);
    let bundles = client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.map(drop);
    let check = client.validate_jwtsvid(with_header(ValidateJwtsvidRequest::default())).await.map(drop);
    for outcome in [svid, bundles, check] {
        assert_eq!(outcome.map_err(code), Err(Code::Unimplemented));
    }
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn without_an_identity_it_is_denied_and_without_an_issuer_unavailable() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    fake.recognise(types::UnixRule::new(Some(own_uid() + 1), None, None, None).ok());
    let denied = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(!denied.message().contains("uid"), "selectors are told: {}", denied.message());
    let denied = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    fake.set_available(false);
    let unavailable = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
    assert_eq!(unavailable.code(), Code::Unavailable);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Refused(_))));
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn every_message_is_the_full_state_and_comes_only_on_change() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.add_bundle("hr.acme.internal");
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    let mut bundles = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
    let first = svids.message().await.unwrap().unwrap();
    assert_eq!(first.svids.len(), 1);
    assert_eq!(first.federated_bundles.keys().collect::<Vec<_>>(), ["spiffe://hr.acme.internal"]);
    assert_eq!(bundles.message().await.unwrap().unwrap().bundles.len(), 2);
    let fetched = fetch_all(&agent.socket).await.unwrap();
    let roots: Vec<_> = fetched.federated.iter().map(|(domain, roots)| (domain.as_str(), roots.len())).collect();
    assert_eq!((fetched.svids.len(), roots), (1, vec![("hr.acme.internal", 1)]));
    // An announcement that changes nothing sends nothing; the next message is the one with the third bundle.
    let asked = fake.asked.load(Ordering::SeqCst);
    fake.announce();
    reached(&fake.asked, asked + 2).await;
    fake.add_bundle("ops.acme.internal");
    let second = svids.message().await.unwrap().unwrap();
    assert_eq!(second.federated_bundles.len(), 2);
    assert_eq!(second.svids, first.svids, "a new bundle is no reason for a new certificate");
    assert_eq!(bundles.message().await.unwrap().unwrap().bundles.len(), 3);
    drop((svids, bundles, client));
    agent.stop().await;
}

#[tokio::test]
async fn a_withdrawn_identity_ends_the_stream() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    svids.message().await.unwrap().unwrap();
    fake.recognise(None);
    assert_eq!(svids.message().await.unwrap_err().code(), Code::PermissionDenied);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn an_outage_takes_no_identity_away_until_it_expires() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    let first = svids.message().await.unwrap().unwrap();
    fake.set_available(false);
    clock.advance(3000);
    fake.announce();
    fake.add_bundle("hr.acme.internal");
    // The stream has looked, got no answer, and shows what is held with the roots of now; so does a new one.
    reached(&fake.unanswered, 1).await;
    let kept = svids.message().await.unwrap().unwrap();
    assert_eq!((&kept.svids[0].x509_svid, kept.federated_bundles.len()), (&first.svids[0].x509_svid, 1));
    assert_eq!(fetch(&agent.socket).await.unwrap()[0].chain_der.concat(), first.svids[0].x509_svid);
    clock.advance(60);
    fake.set_available(true);
    fake.announce();
    let renewed = svids.message().await.unwrap().unwrap();
    assert_ne!(renewed.svids[0].x509_svid, first.svids[0].x509_svid);
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2, "it was due for renewal");
    fake.set_available(false);
    clock.advance(3600);
    fake.announce();
    assert_eq!(svids.message().await.unwrap_err().code(), Code::Unavailable);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn an_outage_gives_back_nothing_that_was_taken_away() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fetch(&agent.socket).await.unwrap();
    // Told while the issuer answers, and true while it does not.
    fake.recognise(None);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    fake.set_available(false);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Refused(_))));
    fake.set_available(true);
    fake.recognise(types::UnixRule::new(Some(own_uid()), None, None, None).ok());
    fetch(&agent.socket).await.unwrap();
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2, "what was taken away is not given again");
    agent.stop().await;
}

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
    drop(open);
    // The agent learns of a closed stream by itself; only then is there room.
    while two.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop((one, two));
    agent.stop().await;
}

#[tokio::test]
async fn the_end_of_the_agent_ends_its_streams() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    svids.message().await.unwrap().unwrap();
    let directory = agent.stop().await;
    assert!(!directory.path().join("workload.sock").exists());
    assert_eq!(svids.message().await.unwrap_err().code(), Code::Unavailable);
}
