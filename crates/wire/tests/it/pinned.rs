//! The roots that a peer holds a trust domain to: a new one comes on the word of an old one, or not at all.

use std::collections::BTreeMap;

use api::{
    issuance::Bundles,
    wire::{self, BundleItem, Kind},
};
use countersign_wire::{
    Peer,
    content::{Succession, bundle_items, read_bundles, succession_message},
    start,
};
use prost::Message;
use tempfile::TempDir;
use testkit::Authority;
use types::{Clock, TrustDomain};

use crate::fake::*;

const SHOP: &str = "shop.example.internal";
const HR: &str = "hr.example.internal";

fn domain(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

/// What a control with these roots would tell.
#[derive(Clone, Default)]
struct Told {
    roots: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
    successions: BTreeMap<TrustDomain, Vec<Succession>>,
    federated: Vec<TrustDomain>,
}

impl Told {
    fn with(mut self, of: &str, roots: &[&Authority]) -> Self {
        self.roots.insert(domain(of), roots.iter().map(|root| root.der().to_vec()).collect());
        self
    }

    fn vouching(mut self, of: &str, by: &Authority, next: &Authority) -> Self {
        let message = succession_message(&domain(of), &sha256(next.der()));
        let succession =
            Succession { by: sha256(by.der()), root_der: next.der().to_vec(), signature: by.sign(&message) };
        self.successions.entry(domain(of)).or_default().push(succession);
        self
    }

    fn foreign(mut self, of: &str) -> Self {
        self.federated.push(domain(of));
        self
    }

    fn bundles(&self, fake: &Fake, number: u64) -> wire::Bundles {
        let (roots, federated) = (self.roots.clone(), self.federated.iter().cloned().collect());
        fake.bundles_of(number, Bundles { roots, federated, ..Bundles::default() }, &self.successions)
    }
}

fn root(fake: &Fake, of: &str) -> Authority {
    Authority::of(of, fake.clock.now())
}

/// A proxy over TLS that holds the first bundles.
async fn following(fake: &Fake, data: &TempDir, first: &Told) -> (Peer, Session) {
    fake.allow_token("t0ken");
    let peer = start(fake.remote(fake.over_tls(), data.path(), Some("t0ken"))).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    let ack = session.give_bundles(first.bundles(fake, 1)).await;
    assert_eq!(ack.refused, "", "{}", ack.why);
    (peer, session)
}

async fn in_force(peer: &Peer, of: &str) -> Option<Vec<Vec<u8>>> {
    peer.issuance().await.unwrap().bundles().roots.get(&domain(of)).cloned()
}

fn der(roots: &[&Authority]) -> Option<Vec<Vec<u8>>> {
    Some(roots.iter().map(|root| root.der().to_vec()).collect())
}

#[tokio::test]
async fn a_root_that_nobody_vouches_for_is_refused_and_all_else_is_taken() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let [old, new, hr, hr_next] = [root(&fake, SHOP), root(&fake, SHOP), root(&fake, HR), root(&fake, HR)];
    let first = Told::default().with(SHOP, &[&old]).with(HR, &[&hr, &hr_next]);
    let (peer, mut session) = following(&fake, &data, &first).await;
    // the publisher's key alone makes no root: a new one for the shop, while hr withdraws one of its own
    let forged = Told::default().with(SHOP, &[&old, &new]).with(HR, &[&hr_next]);
    let ack = session.give_bundles(forged.bundles(&fake, 2)).await;
    assert_eq!((ack.refused.as_str(), ack.kind(), ack.number), ("forged", Kind::Bundles, 2));
    assert_eq!(ack.have.unwrap().bundles, 0, "it does not count as being in force");
    let told = [SHOP, &hex(&sha256(new.der())), "remove `", "state/bundles"];
    assert!(told.iter().all(|words| ack.why.contains(words)), "{}", ack.why);
    assert_eq!(in_force(&peer, SHOP).await, der(&[&old]));
    assert_eq!(in_force(&peer, HR).await, der(&[&hr_next]), "a root that is gone counts at once");
    // the same in the place of the old one
    let forged = Told::default().with(SHOP, &[&new]).with(HR, &[&hr_next]);
    assert_eq!(session.give_bundles(forged.bundles(&fake, 3)).await.refused, "forged");
    assert_eq!(in_force(&peer, SHOP).await, der(&[&old]));
    // on the word of the old one it is taken, and everything counts again
    let good = forged.vouching(SHOP, &old, &new);
    let ack = session.give_bundles(good.bundles(&fake, 4)).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().bundles), ("", 4), "{}", ack.why);
    assert_eq!(in_force(&peer, SHOP).await, der(&[&new]));
}

#[tokio::test]
async fn a_whole_rotation_and_a_step_back_are_followed() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let [old, new] = [root(&fake, SHOP), root(&fake, SHOP)];
    let (peer, mut session) = following(&fake, &data, &Told::default().with(SHOP, &[&old])).await;
    let steps: [&[&Authority]; 6] = [&[&old, &new], &[&old], &[&old, &new], &[&new, &old], &[&old, &new], &[&new]];
    for (number, roots) in (2..).zip(steps) {
        let told = Told::default().with(SHOP, roots).vouching(SHOP, &old, &new);
        let ack = session.give_bundles(told.bundles(&fake, number)).await;
        assert_eq!(ack.refused, "", "step {number}: {}", ack.why);
        assert_eq!(in_force(&peer, SHOP).await, der(roots));
    }
    // what the retired root says counts no more: its key may be in anybody's hands by now
    let evil = root(&fake, SHOP);
    let told = Told::default().with(SHOP, &[&new, &evil]).vouching(SHOP, &old, &new).vouching(SHOP, &old, &evil);
    assert_eq!(session.give_bundles(told.bundles(&fake, 9)).await.refused, "forged");
    assert_eq!(in_force(&peer, SHOP).await, der(&[&new]));
}

#[tokio::test]
async fn pins_outlive_the_process_and_go_with_their_file() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let [old, new, newest] = [root(&fake, SHOP), root(&fake, SHOP), root(&fake, SHOP)];
    let (peer, mut session) = following(&fake, &data, &Told::default().with(SHOP, &[&old])).await;
    let stranger = Told::default().with(SHOP, &[&newest]);
    assert_eq!(session.give_bundles(stranger.bundles(&fake, 2)).await.refused, "forged");
    peer.finish().await;
    drop((peer, session));
    let again = || start(fake.remote(fake.over_tls(), data.path(), None)).unwrap();
    let peer = again();
    let mut session = fake.session().await;
    // what was refused is not named as held, so that it comes again, and is refused again
    assert_eq!(session.hello().await.have.unwrap().bundles, 0);
    session.welcome().await;
    let ack = session.give_bundles(stranger.bundles(&fake, 2)).await;
    assert_eq!(ack.refused, "forged", "{}", ack.why);
    assert_eq!(in_force(&peer, SHOP).await, der(&[&old]));
    // who slept through a rotation follows it: the root between is gone
    let slept = stranger.clone().vouching(SHOP, &old, &new).vouching(SHOP, &new, &newest);
    assert_eq!(session.give_bundles(slept.bundles(&fake, 3)).await.refused, "");
    assert_eq!(in_force(&peer, SHOP).await, der(&[&newest]));
    // an operator who knows better takes the file away
    let known_better = Told::default().with(SHOP, &[&new]);
    assert_eq!(session.give_bundles(known_better.bundles(&fake, 4)).await.refused, "forged");
    peer.finish().await;
    drop((peer, session));
    std::fs::remove_file(data.path().join("state/bundles")).unwrap();
    let peer = again();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    assert_eq!(session.give_bundles(known_better.bundles(&fake, 4)).await.refused, "");
    assert_eq!(in_force(&peer, SHOP).await, der(&[&new]));
}

#[tokio::test]
async fn pins_count_before_anything_else_is_believed() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let [old, new] = [root(&fake, SHOP), root(&fake, SHOP)];
    let (peer, session) = following(&fake, &data, &Told::default().with(SHOP, &[&old])).await;
    peer.finish().await;
    drop((peer, session));
    // a clock so far ahead that what lies on the disk is not valid: the pins are, and are not lost
    let right = fake.clock.now();
    fake.clock.set(right.plus_seconds(86_400 * 4_000));
    let gone = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = start(fake.remote(gone(), data.path(), None)).unwrap();
    let mut link = peer.link();
    link.wait_for(|link| matches!(link, countersign_wire::Link::Waiting { why, .. } if !why.is_empty())).await.unwrap();
    peer.finish().await;
    drop((peer, link));
    fake.clock.set(right);
    let peer = start(fake.remote(fake.over_tls(), data.path(), None)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    assert_eq!(session.give_bundles(Told::default().with(SHOP, &[&new]).bundles(&fake, 2)).await.refused, "forged");
    assert_eq!(in_force(&peer, SHOP).await, der(&[&old]));
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_was_gone_comes_back_with_its_own_roots_only() {
    let fake = Fake::new();
    let [old, new] = [root(&fake, SHOP), root(&fake, SHOP)];
    let peer = start(fake.in_memory(api::admin::Role::Proxy)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    for (number, told, refused, is) in [
        (1, Told::default().with(SHOP, &[&old]), "", der(&[&old])),
        (2, Told::default(), "", None),
        // nothing comes back of what was withdrawn only because its successor is refused
        (3, Told::default().with(SHOP, &[&new]), "forged", None),
        (4, Told::default().with(SHOP, &[]), "", Some(vec![])),
        (5, Told::default().with(SHOP, &[&new]), "forged", None),
        (6, Told::default().with(SHOP, &[&old]), "", der(&[&old])),
        (7, Told::default().with(SHOP, &[&new]).vouching(SHOP, &old, &new), "", der(&[&new])),
    ] {
        let ack = session.give_bundles(told.bundles(&fake, number)).await;
        assert_eq!(ack.refused, refused, "{number}: {}", ack.why);
        assert_eq!(in_force(&peer, SHOP).await, is, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn trust_domains_of_others_change_as_they_like_and_ours_do_not_pass_for_them() {
    let fake = Fake::new();
    let partner = "partner.example";
    let [old, new, shop, evil] = [root(&fake, partner), root(&fake, partner), root(&fake, SHOP), root(&fake, SHOP)];
    let peer = start(fake.in_memory(api::admin::Role::Proxy)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    let ours = || Told::default().with(SHOP, &[&shop]);
    for (number, roots) in [(1, vec![&old]), (2, vec![&new]), (3, vec![]), (4, vec![&old, &new])] {
        let ack = session.give_bundles(ours().with(partner, &roots).foreign(partner).bundles(&fake, number)).await;
        assert_eq!(ack.refused, "", "{}", ack.why);
        assert_eq!(in_force(&peer, partner).await, der(&roots));
    }
    // who says that a domain of ours is somebody else's gets nothing by it
    let forged = Told::default().with(SHOP, &[&evil]).foreign(SHOP);
    let ack = session.give_bundles(forged.bundles(&fake, 5)).await;
    assert_eq!(ack.refused, "forged");
    assert!(ack.why.contains("trust domain of this organisation"), "{}", ack.why);
    assert_eq!(in_force(&peer, SHOP).await, der(&[&shop]));
    assert_eq!(in_force(&peer, partner).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_root_of_the_system_is_the_one_that_was_pinned_at_joining() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(api::admin::Role::Proxy)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    let system = "system.example.internal";
    let evil = root(&fake, system);
    let roots = BTreeMap::from([(domain(system), vec![evil.der().to_vec()])]);
    let items = bundle_items(&Bundles { roots, ..Bundles::default() }, &BTreeMap::new());
    let ack = session.give_bundles(fake.bundles_from(1, items)).await;
    assert_eq!(ack.refused, "forged", "{}", ack.why);
    let kept = in_force(&peer, system).await;
    assert_eq!(kept, der(&[&fake.root]), "also on the very first contact");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_an_unusable_bundle_is_refused_whole() {
    let fake = Fake::new();
    let old = root(&fake, SHOP);
    let peer = start(fake.in_memory(api::admin::Role::Proxy)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(Told::default().with(SHOP, &[&old]).bundles(&fake, 1)).await;
    let mut items = Told::default().with(SHOP, &[&old]).bundles(&fake, 2).items;
    let broken = BundleItem { trust_domain: HR.to_owned(), roots: vec![vec![1]], ..BundleItem::default() };
    items.push(broken.encode_to_vec());
    assert_eq!(read_bundles(&items).unwrap().len(), 3);
    let ack = session.give_bundles(fake.bundles_from(2, items)).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().bundles), ("content", 1));
    assert!(ack.why.contains(HR), "{}", ack.why);
    assert_eq!(in_force(&peer, SHOP).await, der(&[&old]));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
