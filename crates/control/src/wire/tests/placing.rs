//! Where workloads run: the issuer mints for a node only what is placed there, under the node's name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::wire::server::Who;
use api::admin::Role;
use api::issuance::Issuance as _;
use api::wire::{MintJwtRequest, MintWorkloadRequest, Predecessor, Selectors};
use identity::{Bundle, BundleSet};
use issuer::{Issuer, KeyProtection, NotRecorded, Registrations, WorkloadRegistration};
use rcgen::{KeyPair, SigningKey};
use rustls_pki_types::CertificateDer;
use tonic::Code;
use types::attest::{UnixParts, UnixRule};
use types::facts::Facts;
use types::{Clock, KeyKind, Label, TrustDomain, limits};

use super::support::{Net, csr, in_process};
use crate::fixture::{Folder, LOG_BYTES, World, append, files, records};
use crate::wire::hub::sha256;

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
    let keys = world.dir.path().join("keys");
    let domains = BTreeMap::from([(Label::parse("shop").unwrap(), KeyKind::P256)]);
    let issuer = Issuer::open(&keys, &organisation, &domains, clock, recorder, KeyProtection::Plain).unwrap();
    let user = UnixRule::new(UnixParts { uid: Some(1_001), ..UnixParts::default() }).unwrap();
    let placed = |pool: &str| WorkloadRegistration {
        rules: vec![user.clone().into()],
        ttl: Duration::from_secs(3_600),
        jwt_ttl: Duration::from_secs(300),
        key: KeyKind::P256,
        runs_on: Some([Label::parse(pool).unwrap()].into()),
    };
    let workloads = [("shop/storefront", "pool-b"), ("shop/batch", "pool-a")];
    let workloads = workloads.map(|(id, pool)| (id.parse().unwrap(), placed(pool)));
    issuer.set_registrations(Registrations { workloads: workloads.into(), ..Registrations::default() });
    assert!(world.told.issuer.set(issuer).is_ok());
    world
}

fn process() -> Option<Selectors> {
    Some(Selectors { pid: 7, uid: 1_001, gid: 1_001, ..Selectors::default() })
}

fn id(workload: &str) -> String {
    format!("spiffe://shop.example.internal/{workload}")
}

fn ask(workload: &str, key: &KeyPair) -> MintWorkloadRequest {
    MintWorkloadRequest { selectors: process(), spiffe_id: id(workload), csr: csr(key), predecessor: None }
}

fn ask_jwt(workload: &str, audience: &[&str]) -> MintJwtRequest {
    let audience = audience.iter().map(|one| (*one).to_owned()).collect();
    MintJwtRequest { selectors: process(), spiffe_id: id(workload), audience }
}

/// What was issued and refused, and where the record says that it was asked for.
fn issued(world: &World) -> Vec<String> {
    let line = |record: &record::OwnedRecord| match record.view().facts {
        Facts::Issuance(facts) => Some(format!("{} {}", facts.outcome, facts.spiffe_id)),
        _ => None,
    };
    records(world.log.dir()).iter().filter_map(line).collect()
}

/// Whose certificate this is, as a verifier sees it.
fn verified(world: &World, chain: &[Vec<u8>]) -> identity::VerifiedPeer {
    let shop = TrustDomain::parse("shop.example.internal").unwrap();
    let roots = world.told.issuer.get().unwrap().bundles().roots[&shop].clone();
    let bundles: BundleSet = [Bundle::from_der(shop, roots).unwrap()].into_iter().collect();
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    identity::verify(&chain, &bundles, world.clock.now()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_pool_a_that_asks_for_a_workload_of_pool_b_is_refused_and_recorded() {
    let world = world();
    let net = Net::of(&world);
    let key = KeyPair::generate().unwrap();
    let (agent, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let mint = async |who: Who, workload: &str| {
        let mut client = net.client(who).await;
        client.mint_workload(ask(workload, &key)).await.map(tonic::Response::into_inner)
    };
    let minted = mint(agent.clone(), "batch").await.unwrap();
    assert_eq!(minted.spiffe_id, id("batch"));
    assert_eq!(verified(&world, &minted.chain).node(), Some("vm-1"), "the certificate says for whose node it is");
    let refused = mint(agent, "storefront").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("pool-b") || refused.message().contains("runs_on"), "{refused}");
    // the node that shares control's process belongs to every group
    assert!(mint(in_process(Role::Agent, "local"), "storefront").await.is_ok());
    let [batch, storefront] = ["batch", "storefront"].map(id);
    assert_eq!(issued(&world), [format!("allow {batch}"), format!("deny {storefront}"), format!("allow {storefront}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jwt_svid_is_minted_under_the_same_rules_and_for_agents_only() {
    let world = world();
    let net = Net::of(&world);
    let (agent, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let (proxy, _) = net.joined(&world, Role::Proxy, "edge", None).await;
    let mint = async |who: &Who, request: MintJwtRequest| {
        net.client(who.clone()).await.mint_jwt(request).await.map(tonic::Response::into_inner)
    };
    let now = world.clock.now();
    let minted = mint(&agent, ask_jwt("batch", &["ledger"])).await.unwrap();
    assert_eq!((minted.spiffe_id.as_str(), minted.token.split('.').count()), (id("batch").as_str(), 3));
    assert_eq!((minted.issued_at, minted.not_after), (now.micros(), now.plus_seconds(300).micros()));
    let most = limits::JWT_AUDIENCES.default_usize();
    for (who, request, code) in [
        (&agent, ask_jwt("storefront", &["ledger"]), Code::PermissionDenied),
        (&proxy, ask_jwt("batch", &["ledger"]), Code::PermissionDenied),
        (&Who::Nobody, ask_jwt("batch", &["ledger"]), Code::Unauthenticated),
        (&agent, ask_jwt("batch", &[]), Code::InvalidArgument),
        (&agent, ask_jwt("batch", &["ledger", ""]), Code::InvalidArgument),
        (&agent, ask_jwt("batch", &vec!["a"; most + 1]), Code::InvalidArgument),
        (&agent, MintJwtRequest { selectors: None, ..ask_jwt("batch", &["a"]) }, Code::InvalidArgument),
        (&agent, MintJwtRequest { spiffe_id: "batch".to_owned(), ..ask_jwt("batch", &["a"]) }, Code::InvalidArgument),
    ] {
        assert_eq!(mint(who, request.clone()).await.unwrap_err().code(), code, "{request:?}");
    }
    let recorded = issued(&world);
    assert_eq!(recorded[..2], [format!("allow {}", id("batch")), format!("deny {}", id("storefront"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_that_cannot_be_are_refused_before_anybody_is_asked() {
    let world = world();
    let net = Net::of(&world);
    let (agent, key) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let good = process().unwrap();
    for selectors in [
        Selectors { sha256: vec![1], ..good.clone() },
        Selectors { pod: "../x".to_owned(), ..good.clone() },
        Selectors { container: "short".to_owned(), runtime: "docker".to_owned(), ..good.clone() },
        Selectors { unit: "x".repeat(300), ..good.clone() },
    ] {
        let request = MintWorkloadRequest { selectors: Some(selectors), ..ask("batch", &key) };
        let refused = net.client(agent.clone()).await.mint_workload(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert!(issued(&world).is_empty() && world.told.acts().iter().all(|act| !act.starts_with("place")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_asks_too_much_is_told_so_and_no_other() {
    let world = world();
    let net = Net::of(&world);
    let (greedy, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let (modest, _) = net.joined(&world, Role::Agent, "vm-2", Some("pool-a")).await;
    let mut client = net.client(greedy).await;
    let mut limited = None;
    for _ in 0..=limits::JWT_WORKLOAD.default {
        if let Err(status) = client.mint_jwt(ask_jwt("batch", &["ledger"])).await {
            limited = Some(status);
            break;
        }
    }
    let limited = limited.expect("there is a limit");
    assert_eq!(limited.code(), Code::ResourceExhausted, "{limited}");
    let mut client = net.client(modest).await;
    assert!(client.mint_jwt(ask_jwt("batch", &["ledger"])).await.is_ok(), "another node is not held up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_predecessor_comes_with_the_proof_of_its_key() {
    let world = world();
    let net = Net::of(&world);
    let (agent, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool-a")).await;
    let (first, second) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut client = net.client(agent).await;
    let old = client.mint_workload(ask("batch", &first)).await.unwrap().into_inner();
    let request = ask("batch", &second);
    let message = [api::protocol::PREDECESSOR_CONTEXT, &sha256(&request.csr)].concat();
    let signed_by = |key: &KeyPair| {
        let signature = key.sign(&message).unwrap();
        Some(Predecessor { certificate: old.chain[0].clone(), signature })
    };
    let with = |predecessor| MintWorkloadRequest { predecessor, ..request.clone() };
    let new = client.mint_workload(with(signed_by(&first))).await.unwrap().into_inner();
    let carried: Vec<_> = verified(&world, &new.chain).predecessors().iter().map(|it| it.certificate_sha256).collect();
    assert_eq!(carried, [sha256(&old.chain[0])]);
    // without the key it is somebody else's certificate
    let refused = client.mint_workload(with(signed_by(&second))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let large = Predecessor { certificate: vec![0; 17_000], signature: vec![] };
    assert_eq!(client.mint_workload(with(Some(large))).await.unwrap_err().code(), Code::InvalidArgument);
}
