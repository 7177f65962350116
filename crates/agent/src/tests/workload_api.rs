//! The Workload API's rules (WA), call by call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use api::issuance::IssueError;
use api::workload::spiffe_workload_api_server::SERVICE_NAME;
use api::workload::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509BundlesResponse, X509svidRequest,
};
use identity::{Bundle, BundleSet, verify};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use testkit::{ManualClock, RealClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use types::{Clock as _, KeyKind, TrustDomain};

use super::calls::{channel, client, next, svids, with_header};
use super::fake::{DOMAIN, Fake, ID, Running, entitled, own_uid, payments, reached, uid_rule};
use crate::{FetchError, fetch, fetch_all, follow};

const OTHER_ID: &str = "spiffe://finance.acme.internal/reports";

fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.err().unwrap().code()
}

#[tokio::test]
async fn our_own_client_fetches_a_verifiable_identity() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let fetched = fetch(&agent.socket).await.unwrap();
    assert_eq!((fetched.len(), fetched[0].spiffe_id.as_str()), (1, ID));
    let svid = &fetched[0];
    let domain = TrustDomain::parse(DOMAIN).unwrap();
    let bundles: BundleSet = [Bundle::from_der(domain, svid.bundle_der.clone()).unwrap()].into_iter().collect();
    let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    assert_eq!(verify(&chain, &bundles, clock.now()).unwrap().spiffe_id().as_str(), ID);
    assert!(!format!("{svid:?}").contains("key_der: ["));
    let directory = agent.stop().await;
    assert!(matches!(fetch(&directory.path().join("workload.sock")).await, Err(FetchError::Unreachable { .. })));
}

#[tokio::test]
async fn our_own_client_follows_until_it_is_known_no_more() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut seen = Vec::new();
    let ended = follow(&agent.socket, |fetched| {
        seen.push((fetched.svids.len(), fetched.federated.len()));
        match seen.len() {
            1 => fake.add_bundle("hr.acme.internal"),
            _ => fake.recognise(None),
        }
    });
    assert!(matches!(ended.await, FetchError::Denied));
    assert_eq!(seen, [(1, 0), (1, 1)]);
    agent.stop().await;
}

/// Any call by its path, as somebody without the generated client makes it.
async fn by_path(agent: &Running, path: &'static str) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel(&agent.socket).await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<X509BundlesRequest, X509BundlesResponse>::default();
    let path = path.parse().unwrap();
    let mut answer = grpc.server_streaming(with_header(X509BundlesRequest {}), path, codec).await?.into_inner();
    answer.message().await.map(drop)
}

#[tokio::test]
async fn wa_1_the_service_has_no_package_and_no_other_calls() {
    let agent = Running::start(&Fake::new(Arc::new(RealClock)));
    assert_eq!(SERVICE_NAME, "SpiffeWorkloadAPI");
    by_path(&agent, "/SpiffeWorkloadAPI/FetchX509Bundles").await.unwrap();
    for path in [
        "/spiffe.workload.SpiffeWorkloadAPI/FetchX509Bundles",
        "/SpiffeWorkloadAPI/FetchX509BundlesNow",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
    ] {
        assert_eq!(code(by_path(&agent, path).await), Code::Unimplemented, "{path}");
    }
    agent.stop().await;
}

/// As gRPC's C core asks over a Unix socket: the path of the socket is the authority.
#[tokio::test]
async fn wa_1_a_client_that_names_the_socket_as_its_authority_is_answered() {
    let agent = Running::start(&Fake::new(Arc::new(RealClock)));
    let spelled = |first: u8, value: &str| [&[first, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let named = |name: &str, value: &str| [spelled(0x40, name), spelled(0x40, value)[1..].to_vec()].concat();
    let fields = [
        vec![0x83, 0x86],
        named(":path", "/SpiffeWorkloadAPI/FetchX509Bundles"),
        named(":authority", "%2Ftmp%2Fworkload.sock"),
        named("te", "trailers"),
        named("content-type", "application/grpc"),
        named("workload.spiffe.io", "true"),
    ];
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut stream = tokio::net::UnixStream::connect(&agent.socket).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let frames = [frame(4, 0, 0, b""), frame(1, 4, 1, &fields.concat()), frame(0, 1, 1, b"\0\0\0\0\0")];
    stream.write_all(&frames.concat()).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            // the message with the bundles
            0 => break assert!(payload.len() > 100),
            3 | 7 => panic!("refused: {payload:?}"),
            _ => {}
        }
    }
    drop(stream);
    agent.stop().await;
}

#[tokio::test]
async fn wa_2_every_call_needs_the_security_header() {
    let agent = Running::start(&Fake::new(Arc::new(RealClock)));
    let mut client = client(&agent.socket).await;
    assert_eq!(code(client.fetch_x509svid(X509svidRequest {}).await), Code::InvalidArgument);
    assert_eq!(code(client.fetch_x509_bundles(X509BundlesRequest {}).await), Code::InvalidArgument);
    assert_eq!(code(client.fetch_jwtsvid(JwtsvidRequest::default()).await), Code::InvalidArgument);
    assert_eq!(code(client.fetch_jwt_bundles(JwtBundlesRequest {}).await), Code::InvalidArgument);
    assert_eq!(code(client.validate_jwtsvid(ValidateJwtsvidRequest::default()).await), Code::InvalidArgument);
    for values in [&["TRUE"][..], &["false"], &[""], &["true", "true"]] {
        let mut wrong = Request::new(X509svidRequest {});
        for value in values {
            wrong.metadata_mut().append("workload.spiffe.io", MetadataValue::try_from(*value).unwrap());
        }
        let refused = client.fetch_x509svid(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{values:?}");
        assert!(refused.message().contains("security header"), "{refused}");
    }
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_2_without_an_identity_every_call_is_denied() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fake.recognise(uid_rule(own_uid() + 1));
    let mut client = client(&agent.socket).await;
    let check = ValidateJwtsvidRequest { audience: "a".into(), svid: "a.b.c".into() };
    let wanted = JwtsvidRequest { audience: vec!["a".into()], spiffe_id: String::new() };
    let refused = [
        client.fetch_x509svid(with_header(X509svidRequest {})).await.err(),
        client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.err(),
        client.fetch_jwtsvid(with_header(wanted)).await.err(),
        client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.err(),
        client.validate_jwtsvid(with_header(check)).await.err(),
    ];
    for status in refused.map(Option::unwrap) {
        assert_eq!(status.code(), Code::PermissionDenied);
        // WA-7
        assert!(!status.message().contains("uid"), "selectors are told: {status}");
    }
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_2_whatever_passes_is_unavailable() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let words = || "the secret reason".to_owned();
    for error in [IssueError::Unavailable(words()), IssueError::Limited(words()), IssueError::BadRequest(words())] {
        fake.fail(Some(error));
        let refused = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(!refused.message().contains("secret"), "{refused}");
        assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Refused(_))));
    }
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn wa_3_every_message_is_the_full_state_and_comes_only_on_change() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.add_bundle("hr.acme.internal");
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let mut bundles = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
    let first = next(&mut svids).await;
    assert_eq!(first.svids.len(), 1);
    assert_eq!(first.federated_bundles.keys().collect::<Vec<_>>(), ["spiffe://hr.acme.internal"]);
    assert_eq!(next(&mut bundles).await.bundles.len(), 2);
    let fetched = fetch_all(&agent.socket).await.unwrap();
    let roots: Vec<_> = fetched.federated.iter().map(|(domain, roots)| (domain.as_str(), roots.len())).collect();
    assert_eq!((fetched.svids.len(), roots), (1, vec![("hr.acme.internal", 1)]));
    // An announcement that changes nothing sends nothing; the next message is the one with the third bundle.
    let asked = fake.asked.load(Ordering::SeqCst);
    fake.announce();
    reached(&fake.asked, asked + 2).await;
    fake.add_bundle("ops.acme.internal");
    let second = next(&mut svids).await;
    assert_eq!(second.federated_bundles.len(), 2);
    assert_eq!(second.svids, first.svids, "a new bundle is no reason for a new certificate");
    assert_eq!(next(&mut bundles).await.bundles.len(), 3);
    drop((svids, bundles, client));
    agent.stop().await;
}

#[tokio::test]
async fn wa_3_what_is_taken_away_is_absent_from_the_next_message() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.add_bundle("hr.acme.internal");
    fake.entitle(vec![payments(), entitled(OTHER_ID, KeyKind::P256)]);
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let mut bundles = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
    let mut keys = client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap().into_inner();
    let first = next(&mut svids).await;
    let ids: Vec<_> = first.svids.iter().map(|svid| svid.spiffe_id.as_str()).collect();
    assert_eq!(ids, [ID, OTHER_ID]);
    assert_eq!((next(&mut bundles).await.bundles.len(), next(&mut keys).await.bundles.len()), (2, 1));
    // A bundle without roots takes every certificate of its domain away at once (BU-2).
    fake.set_bundle("hr.acme.internal", vec![], &[]);
    assert!(next(&mut svids).await.federated_bundles.is_empty());
    assert_eq!(next(&mut bundles).await.bundles.len(), 1);
    fake.entitle(vec![entitled(OTHER_ID, KeyKind::P256)]);
    let rest = next(&mut svids).await;
    assert_eq!(rest.svids, first.svids[1..]);
    fake.jwt_keys(Vec::clear);
    let own = next(&mut keys).await.bundles.remove("spiffe://finance.acme.internal").unwrap();
    assert_eq!(String::from_utf8(own).unwrap(), r#"{"keys":[]}"#);
    drop((svids, bundles, keys, client));
    agent.stop().await;
}

#[tokio::test]
async fn wa_3_a_new_registration_reaches_an_open_stream_at_once() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    assert_eq!(next(&mut svids).await.svids.len(), 1);
    let start = Instant::now();
    fake.entitle(vec![payments(), entitled(OTHER_ID, KeyKind::P256)]);
    assert_eq!(next(&mut svids).await.svids.len(), 2);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn wa_4_keys_are_pkcs8_and_certificates_concatenated_der() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.add_bundle("hr.acme.internal");
    let kinds =
        [(ID, KeyKind::P256), (OTHER_ID, KeyKind::P384), ("spiffe://finance.acme.internal/a", KeyKind::Rsa2048)];
    fake.entitle(kinds.iter().map(|(id, kind)| entitled(id, *kind)).collect());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let answer = next(&mut svids(&mut client).await).await;
    let ids: Vec<_> = answer.svids.iter().map(|svid| svid.spiffe_id.as_str()).collect();
    // the order is the issuer's, and the first is the default
    assert_eq!(ids, kinds.map(|(id, _)| id));
    let algorithms = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256];
    for (svid, algorithm) in answer.svids.iter().zip(algorithms) {
        let key = PrivatePkcs8KeyDer::from(svid.x509_svid_key.as_slice());
        let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, algorithm).unwrap();
        let public = key.public_key_raw();
        assert!(svid.x509_svid.windows(public.len()).any(|window| window == public), "the key is another's");
        assert!([&svid.x509_svid, &svid.bundle].iter().all(|der| der.starts_with(&[0x30, 0x82])));
    }
    let hints: Vec<_> = answer.svids.iter().map(|svid| svid.hint.as_str()).collect();
    assert_eq!(hints, ["finance/payments", "finance/reports", "finance/a"]);
    assert!(answer.federated_bundles["spiffe://hr.acme.internal"].starts_with(&[0x30, 0x82]));
    assert!(answer.crl.is_empty());
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn a_withdrawn_identity_ends_the_stream() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    next(&mut svids).await;
    fake.recognise(None);
    assert_eq!(code(svids.message().await), Code::PermissionDenied);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn the_end_of_the_agent_ends_its_streams() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    next(&mut svids).await;
    let directory = agent.stop().await;
    assert!(!directory.path().join("workload.sock").exists());
    assert_eq!(code(svids.message().await), Code::Unavailable);
}
