//! An independent client, the crate `spiffe`, fetches and follows an SVID through a rotation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use spiffe::{TrustDomain, WorkloadApiClient};
use testkit::RealClock;
use tokio_stream::StreamExt as _;

use super::fake::{Fake, ID, Running};

#[tokio::test]
async fn another_implementation_follows_a_rotation() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.ttl.store(4, Ordering::SeqCst);
    fake.add_bundle("hr.acme.internal");
    let agent = Running::start(&fake);
    let client = WorkloadApiClient::connect_to(format!("unix:{}", agent.socket.display())).await.unwrap();

    let svid = client.fetch_x509_svid().await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), ID);
    let bundles = client.fetch_x509_bundles().await.unwrap();
    assert_eq!(bundles.len(), 2);
    assert!(bundles.get(&TrustDomain::new("hr.acme.internal").unwrap()).is_some());

    let mut contexts = client.stream_x509_contexts().await.unwrap();
    let mut seen = BTreeSet::new();
    let watch = async {
        while seen.len() < 3 {
            let context = contexts.next().await.unwrap().unwrap();
            let svid = context.default_svid().unwrap();
            assert_eq!(svid.spiffe_id().to_string(), ID);
            assert!(context.bundle_set().get(&TrustDomain::new("finance.acme.internal").unwrap()).is_some());
            seen.insert(svid.cert_chain()[0].as_ref().to_vec());
        }
    };
    tokio::time::timeout(Duration::from_secs(30), watch).await.expect("two rotations");
    let own = TrustDomain::new("finance.acme.internal").unwrap();
    assert!(client.fetch_jwt_bundles().await.unwrap().get(&own).is_some());
    let token = client.fetch_jwt_svid(["ledger"], None).await.unwrap();
    assert_eq!(client.validate_jwt_token("ledger", token.token()).await.unwrap().spiffe_id().to_string(), ID);
    assert!(client.validate_jwt_token("other", token.token()).await.is_err());
    drop((contexts, client));
    agent.stop().await;
}
