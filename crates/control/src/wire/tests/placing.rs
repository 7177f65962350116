//! Where workloads run: the issuer mints for a node only what is placed there.

use std::sync::Arc;
use std::time::Duration;

use ::wire::server::Who;
use api::admin::Role;
use api::wire::{MintWorkloadRequest, Selectors};
use issuer::{Issuer, NotRecorded, Registrations, WorkloadRegistration};
use rcgen::KeyPair;
use tonic::Code;
use types::facts::Facts;
use types::{Clock, Label, UnixRule};

use super::support::{Net, csr, in_process};
use crate::fixture::{Folder, LOG_BYTES, World, append, files, records};

/// The starter with two pools, and an issuer of its own keys that records where control does.
fn world() -> World {
    let mut files = files();
    append(&mut files, "countersign.yaml", "nodes: { pool-a: { join: token }, pool-b: { join: token } }\n");
    let world = World::with(&files, Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES);
    let (organisation, clock): (_, Arc<dyn Clock>) = (world.control.organisation(), world.clock.clone());
    let ledger = Arc::clone(&world.control.parts.ledger);
    let recorder = Arc::new(move |facts: types::facts::Issuance<'_>| {
        ledger.issuance(&facts).map_err(|error| NotRecorded(error.to_string()))
    });
    let shop = Label::parse("shop").unwrap();
    let keys = world.dir.path().join("keys");
    let issuer = Issuer::open(&keys, &organisation, std::slice::from_ref(&shop), clock, recorder).unwrap();
    let placed = |pool: &str| WorkloadRegistration {
        rules: vec![UnixRule::new(Some(1_001), None, None, None).unwrap()],
        ttl: Duration::from_secs(3_600),
        runs_on: Some([Label::parse(pool).unwrap()].into()),
    };
    let workloads = [("shop/storefront", "pool-b"), ("shop/batch", "pool-a")];
    let workloads = workloads.map(|(id, pool)| (id.parse().unwrap(), placed(pool)));
    issuer.set_registrations(Registrations { workloads: workloads.into(), ..Registrations::default() });
    assert!(world.told.issuer.set(issuer).is_ok());
    world
}

fn ask(workload: &str, key: &KeyPair) -> MintWorkloadRequest {
    let selectors = Some(Selectors { pid: 7, uid: 1_001, gid: 1_001, ..Selectors::default() });
    MintWorkloadRequest { selectors, spiffe_id: format!("spiffe://shop.example.internal/{workload}"), csr: csr(key) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_pool_a_that_asks_for_a_workload_of_pool_b_is_refused_and_recorded() {
    let world = world();
    let net = Net::of(&world);
    let key = KeyPair::generate().unwrap();
    let (agent, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let mint = async |who: Who, workload: &str| {
        let mut client = net.client(who).await;
        client.mint_workload(ask(workload, &key)).await.map(|minted| minted.into_inner().spiffe_id)
    };
    assert_eq!(mint(agent.clone(), "batch").await.unwrap(), "spiffe://shop.example.internal/batch");
    let refused = mint(agent, "storefront").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("pool-b") || refused.message().contains("runs_on"), "{refused}");
    // the node that shares control's process belongs to every group
    assert!(mint(in_process(Role::Agent, "local"), "storefront").await.is_ok());
    let issued: Vec<String> = records(world.log.dir())
        .iter()
        .filter_map(|record| match record.view().facts {
            Facts::Issuance(facts) => Some(format!("{} {}", facts.outcome, facts.spiffe_id)),
            _ => None,
        })
        .collect();
    assert_eq!(
        issued,
        [
            "allow spiffe://shop.example.internal/batch",
            "deny spiffe://shop.example.internal/storefront",
            "allow spiffe://shop.example.internal/storefront"
        ]
    );
}
