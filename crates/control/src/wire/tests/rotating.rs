//! Real peers through a rotation of the roots that control tells them.

use std::sync::Arc;

use ::wire::{Config, ControlAt, Peer, memory, start};
use api::admin::{Keys, Role};
use api::keys::KeyStep;
use api::wire::Load;
use tokio::sync::watch;
use types::{Clock, Label, TrustDomain};

use super::support::until;
use crate::fixture::World;

/// A peer of this process that follows control for real.
fn peer(world: &World, connector: &memory::Connector, role: Role, name: &str) -> Peer {
    let control = ControlAt::Memory {
        connector: connector.clone(),
        organisation: TrustDomain::parse("example.internal").unwrap(),
        root: world.told.system.der().to_vec(),
    };
    let config = Config {
        role,
        name: Label::parse(name).unwrap(),
        data: world.dir.path().join(name),
        control,
        served: None,
        version: "1".to_owned(),
        clock: world.clock.clone() as Arc<dyn Clock>,
        load: Arc::new(Load::default),
        shipper: None,
    };
    start(config).unwrap()
}

fn step(world: &World, step: KeyStep) {
    world.told.keys.step(&Label::parse("shop").unwrap(), Keys::X509, step, world.clock.now()).unwrap();
}

async fn acknowledged(world: &World, number: u64) {
    until(|| world.control.behind_on_bundles(number).is_empty()).await;
}

async fn roots_of(peer: &Peer) -> Vec<Vec<u8>> {
    let shop = TrustDomain::parse("shop.example.internal").unwrap();
    peer.issuance().await.unwrap().bundles().roots[&shop].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_acknowledged_by_all_at_every_step_and_an_emergency_too() {
    let world = World::new();
    let (connector, incoming) = memory::pair();
    let (finish, finishing) = watch::channel(false);
    let serving = tokio::spawn(crate::wire::serve(Arc::clone(&world.control), incoming, finishing));
    let peers = [peer(&world, &connector, Role::Proxy, "edge"), peer(&world, &connector, Role::Agent, "vm-1")];
    for peer in &peers {
        peer.issuance().await.unwrap();
    }
    let shop = TrustDomain::parse("shop.example.internal").unwrap();
    let mut number = world.control.bundles_told().unwrap();
    acknowledged(&world, number).await;
    for now in [
        KeyStep::Prepare,
        KeyStep::Publish,
        KeyStep::Sign,
        KeyStep::Back,
        KeyStep::Sign,
        KeyStep::Retire,
        KeyStep::Prepare,
        KeyStep::Publish,
        KeyStep::Emergency,
    ] {
        if now == KeyStep::Retire {
            world.clock.advance(2 * crate::fixture::keys::LIFE);
        }
        step(&world, now);
        let told = world.control.bundles_told().unwrap();
        assert!(told >= number, "{now:?}");
        number = told;
        acknowledged(&world, number).await;
        for peer in &peers {
            assert_eq!(roots_of(peer).await, world.told.keys.bundles().roots[&shop], "{now:?}");
        }
    }
    assert_eq!(world.told.keys.bundles().roots[&shop].len(), 1);
    finish.send_replace(true);
    serving.await.unwrap().unwrap();
}
