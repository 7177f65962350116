//! Control restored from yesterday's backup.

use std::path::Path;
use std::sync::atomic::Ordering;

use api::admin::{Restore, Revoke, Role, Severity};
use api::wire::update::Update as Content;
use api::wire::{Have, Offer};

use super::support::{Fake, Net};
use crate::fixture::{Folder, LOG_BYTES, World, commented, current, request};

fn revoke(subject: &str) -> Revoke {
    Revoke { subject: subject.to_owned(), reason: "a test".to_owned(), seconds: None }
}

/// A whole copy of the store, as a backup would have it.
fn back_up(world: &World, to: &Path) {
    let copy = to.join("control.db");
    let _ = std::fs::remove_file(&copy);
    let source = rusqlite::Connection::open(world.dir.path().join("control.db")).unwrap();
    source.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&copy).unwrap().permissions(), 0o600);
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// The same control on the copy: with the keys that it had.
fn restored(world: World, from: &Path) -> World {
    let dir = from.to_owned();
    World::with_roles(&crate::fixture::files(), Folder::Given(dir), LOG_BYTES, world.told.clone())
}

async fn up_to(fake: &mut Fake, publication: u64, epoch: u64) {
    fake.until(|fake| fake.have.publication >= publication && fake.have.epoch >= epoch && fake.have.bundles > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_stays_revoked_and_numbers_go_on_above_those_of_the_fleet() {
    let (world, backup) = (World::new(), tempfile::tempdir().unwrap());
    let net = Net::of(&world);
    world.admin().revoke("local", &revoke("serial:01")).unwrap();
    back_up(&world, backup.path());
    let mut edge = net.proxy("edge").await;
    up_to(&mut edge, 1, 1).await;
    world.admin().revoke("local", &revoke("shop/storefront")).unwrap();
    for comment in ["two", "three"] {
        world.admin().publish("local", &request(&commented(comment))).unwrap();
    }
    up_to(&mut edge, 3, 2).await;
    let have = edge.have.clone();
    net.finish.send_replace(true);
    drop(net);
    let world = restored(world, backup.path());
    let net = Net::of(&world);
    assert_eq!(world.admin().revocations().unwrap().len(), 1);
    // before anybody came, the operator acts on what the backup knows: the same epochs for something else
    for serial in ["serial:02", "serial:03", "serial:04"] {
        world.admin().revoke("local", &revoke(serial)).unwrap();
    }
    let mut edge = net.follow(super::support::in_process(Role::Proxy, "edge"), have).await.unwrap().with_state_of(edge);
    edge.until(|fake| fake.have.epoch > 4).await;
    let held: Vec<String> = world.admin().revocations().unwrap().into_iter().map(|one| one.subject).collect();
    assert_eq!(held.len(), 5, "{held:?}");
    assert!(held.contains(&"spiffe://shop.example.internal/storefront".to_owned()), "{held:?}");
    assert_eq!(edge.revocations.len(), 5);
    // the fleet runs on; the old revision is told to nobody who has a later one, and heartbeats name what the fleet runs
    let beats = |fake: &Fake| fake.came.iter().any(|c| matches!(c, Content::Heartbeat(beat) if beat.publication == 3));
    edge.until(beats).await;
    assert_eq!(edge.have.publication, 3);
    let doctor = world.admin().doctor();
    let words: Vec<&str> =
        doctor.iter().filter(|one| one.severity == Severity::Problem).map(|one| one.message.as_str()).collect();
    assert!(words.iter().any(|line| line.contains("publication 3") && line.contains("older copy")), "{words:?}");
    assert_eq!(world.control.is_behind_fleet().map(|ahead| ahead.number), Some(3));
    // what is published next is above what the fleet ran
    let files = request(&commented("four"));
    let publishing = net.ask(move |admin| admin.publish("local", &files));
    let (published, ()) = tokio::join!(publishing, up_to(&mut edge, 4, 4));
    assert_eq!((current(published.unwrap()).number, edge.have.publication), (4, 4));
    assert_eq!(world.control.is_behind_fleet(), None);
    let acts = world.acts();
    let adopted: Vec<&String> = acts.iter().filter(|act| act.starts_with("adopt allow")).collect();
    assert_eq!(adopted.len(), 2, "{acts:?}");
    // and over a restart
    net.finish.send_replace(true);
    drop((net, edge));
    let told = world.told.clone();
    let dir = backup.path().to_owned();
    drop(world);
    let world = World::with_roles(&crate::fixture::files(), Folder::Given(dir), LOG_BYTES, told);
    assert_eq!(world.admin().revocations().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_or_altered_is_not_taken_over() {
    let world = World::new();
    let net = Net::of(&world);
    let mut edge = net.proxy("edge").await;
    world.admin().revoke("local", &revoke("shop/storefront")).unwrap();
    up_to(&mut edge, 1, 1).await;
    let signed = edge.facts.clone();
    // a peer that claims what it cannot prove
    let claims = Have { publication: 900, epoch: 900, signals_digest: vec![7; 32], ..edge.have.clone() };
    let mut liar = net.follow(super::support::in_process(Role::Proxy, "liar"), claims).await.unwrap();
    while !matches!(liar.receive().await, Some(Content::Ask(_))) {}
    let mut forged = signed[&2].clone();
    forged.signature[8] ^= 1;
    let signals = |signed: &api::wire::Signed, added: Vec<Vec<u8>>| {
        Some(api::wire::Signals { signed: Some(signed.clone()), base: 0, added, removed: Vec::new() })
    };
    let offers = [
        Offer { publication: Some(forged.clone()), signals: signals(&forged, Vec::new()), bundles: Some(forged) },
        // true facts, with another content or for another thing
        Offer { publication: Some(signed[&2].clone()), signals: signals(&signed[&2], Vec::new()), bundles: None },
    ];
    for offer in offers {
        liar.say(api::wire::report::Report::Offer(offer)).await;
    }
    liar.until(|fake| fake.count(|c| matches!(c, Content::Heartbeat(_))) > 1).await;
    assert_eq!(world.control.is_behind_fleet(), None);
    assert_eq!(world.control.parts.signals.load().epoch(), 1);
    let acts = world.acts();
    assert!(acts.iter().filter(|act| act.starts_with("adopt deny proxy/liar")).count() >= 3, "{acts:?}");
    assert!(!acts.iter().any(|act| act.starts_with("adopt allow")));
    let problem = world.admin().fleet().unwrap().into_iter().find(|peer| peer.name == "liar").unwrap().problem;
    assert!(problem.contains("publication 900") && problem.contains("does not know"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_restored_by_an_operator_is_history_and_not_ahead() {
    let world = World::new();
    let net = Net::of(&world);
    let mut edge = net.proxy("edge").await;
    world.admin().revoke("local", &revoke("shop/storefront")).unwrap();
    up_to(&mut edge, 1, 1).await;
    let have = edge.have.clone();
    let restore = Restore { subject: "shop/storefront".into(), reason: String::new() };
    let restoring = net.ask(move |admin| admin.restore("local", &restore));
    let (restored, ()) = tokio::join!(restoring, up_to(&mut edge, 1, 2));
    restored.unwrap();
    let mut again =
        net.follow(super::support::in_process(Role::Proxy, "edge"), have).await.unwrap().with_state_of(edge);
    again.revocations = world_at_first_epoch(&again);
    again.until(|fake| fake.have.epoch == 2).await;
    assert_eq!(again.count(|c| matches!(c, Content::Ask(_))), 0);
    assert!(world.admin().revocations().unwrap().is_empty());
    assert!(!world.told.dumb.load(Ordering::Relaxed));
}

/// The list that a peer of epoch 1 held.
fn world_at_first_epoch(fake: &Fake) -> std::collections::BTreeMap<[u8; 32], Vec<u8>> {
    let added = fake.first_list.clone();
    added.into_iter().map(|item| (crate::wire::hub::sha256(&item), item)).collect()
}
