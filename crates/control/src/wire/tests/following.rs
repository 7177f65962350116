//! What peers are told, and what they answer.

use std::time::{Duration, Instant};

use ::wire::server::Who;
use api::admin::{Restore, Revoke, Role};
use api::protocol::refusals;
use api::wire::report::Report as Said;
use api::wire::update::Update as Content;
use api::wire::{Have, Hello, Kind, Want};

use super::support::{Fake, Net, in_process};
use crate::fixture::{World, append, commented, current, files, request};

fn revoke(subject: &str) -> Revoke {
    Revoke { subject: subject.to_owned(), reason: "a test".to_owned(), seconds: None }
}

fn has_everything(fake: &Fake) -> bool {
    fake.have.publication > 0 && !fake.have.signals_digest.is_empty() && fake.have.bundles > 0
}

/// A peer that follows until its connection ends.
fn live(mut fake: Fake) -> tokio::task::JoinHandle<Fake> {
    tokio::spawn(async move {
        while let Some(update) = fake.receive().await {
            if matches!(update, Content::Goodbye(_)) {
                break;
            }
            fake.take(update).await;
        }
        fake
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_peers_get_a_publication_and_a_signal_and_acknowledge_both() {
    let world = World::new();
    let net = Net::of(&world);
    let mut peers = Vec::new();
    for number in 0..200 {
        let mut fake = net.proxy(&format!("edge-{number}")).await;
        fake.until(has_everything).await;
        peers.push(live(fake));
    }
    let files = request(&commented("one"));
    let number = current(net.ask(move |admin| admin.publish("local", &files)).await.unwrap()).number;
    let subject = revoke("shop/storefront");
    let epoch = net.ask(move |admin| admin.revoke("local", &subject)).await.unwrap().epoch;
    let control = std::sync::Arc::clone(&net.control);
    let reached = tokio::task::spawn_blocking(move || {
        let wait = Duration::from_secs(60);
        let peers = &control.hub.peers;
        use crate::peers::Target;
        (peers.reach(Target::Publication(number), wait), peers.reach(Target::Epoch(epoch), wait))
    });
    let (publication, signal) = reached.await.unwrap();
    assert_eq!((publication.in_force, publication.enforcers, publication.waiting.len()), (200, 200, 0));
    assert_eq!((signal.in_force, signal.enforcers), (200, 200));
    net.finish.send_replace(true);
    for peer in peers {
        let fake = peer.await.unwrap();
        assert_eq!((fake.have.publication, fake.have.epoch, fake.revocations.len()), (number, epoch, 1));
        // the second manifest was the change only
        let manifests: Vec<usize> = fake.came.iter().filter_map(entries).collect();
        assert_eq!((manifests.len(), manifests[1]), (2, 1));
    }
    net.serving.await.unwrap().unwrap();
}

fn entries(content: &Content) -> Option<usize> {
    match content {
        Content::Manifest(manifest) => Some(manifest.entries.len()),
        _ => None,
    }
}

/// A revocation that waits for nobody; gives its epoch.
fn hold_against(control: &crate::Control, serial: u32) -> u64 {
    let organisation = control.organisation();
    let revocation = signal::Revocation {
        subject: signal::Subject::parse(&format!("serial:{serial:04x}"), &organisation).unwrap(),
        reason: "a test".to_owned(),
        operator: "local".to_owned(),
        at: control.parts.clock.now(),
        until: None,
        epoch: 0,
    };
    let recorded = |_: &crate::store::Change| Ok::<(), ()>(());
    let change = control.parts.store.revoke(&revocation, "", &organisation, recorded).unwrap();
    control.put_signals_in_force(change.state);
    change.revocation.epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_gets_the_newest_state_and_not_a_backlog() {
    let world = World::new();
    let net = Net::of(&world);
    let mut slow = net.proxy("slow").await;
    slow.until(has_everything).await;
    let before = slow.count(|content| matches!(content, Content::Signals(_)));
    let control = std::sync::Arc::clone(&net.control);
    let epoch =
        tokio::task::spawn_blocking(move || (0..200).map(|serial| hold_against(&control, serial)).max().unwrap());
    let epoch = epoch.await.unwrap();
    slow.until(|fake| fake.have.epoch == epoch).await;
    let signals = slow.count(|content| matches!(content, Content::Signals(_))) - before;
    assert!(signals <= 5, "{signals} lists came for {epoch} changes");
    assert_eq!(slow.revocations.len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_acknowledges_keeps_nobody_waiting_for_long_and_is_named() {
    let world = World::new();
    let net = Net::of(&world);
    let mut mute = net.proxy("mute").await;
    mute.acknowledges = false;
    let (mut good, mut started) = (net.proxy("good").await, Instant::now());
    good.until(has_everything).await;
    let (good, mute) = (live(good), live(mute));
    started = started.max(Instant::now());
    let revocation = net.ask(|admin| admin.revoke("local", &revoke("shop/storefront"))).await.unwrap();
    let reach = revocation.reach.unwrap();
    assert_eq!((reach.in_force, reach.enforcers), (1, 2));
    assert_eq!(reach.waiting, ["mute has not confirmed it yet"]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let fleet = world.admin().fleet().unwrap();
    let behind: Vec<_> = fleet.iter().map(|peer| (peer.name.as_str(), peer.epochs_behind)).collect();
    assert_eq!(behind, [("good", 0), ("mute", revocation.epoch)]);
    net.finish.send_replace(true);
    assert!(good.await.unwrap().came.len() > 3 && mute.await.unwrap().came.len() > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_refuses_is_told_and_settled_by_the_next() {
    let world = World::new();
    let net = Net::of(&world);
    let mut fake = net.proxy("edge").await;
    fake.until(has_everything).await;
    fake.acknowledges = false;
    let files = request(&commented("one"));
    let publishing = net.ask(move |admin| admin.publish("local", &files));
    let refusing = async {
        fake.until(|fake| fake.have.publication == 2).await;
        fake.have.publication = 1;
        fake.answer(Kind::Publication, 2, refusals::INVALID, "line 3: unknown key `x`").await;
    };
    let (published, ()) = tokio::join!(publishing, refusing);
    let api::admin::Published::Current { reach, .. } = published.unwrap() else { panic!("it waits") };
    assert_eq!((reach.in_force, reach.waiting.join("")), (0, "edge refused it: line 3: unknown key `x`".to_owned()));
    let problem = || world.admin().fleet().unwrap()[0].problem.clone();
    assert_eq!(problem(), "it refused publication 2 (invalid): line 3: unknown key `x`");
    fake.acknowledges = true;
    let files = request(&commented("two"));
    let publishing = net.ask(move |admin| admin.publish("local", &files));
    let (published, _) = tokio::join!(publishing, fake.until(|fake| fake.have.publication == 3));
    let api::admin::Published::Current { reach, .. } = published.unwrap() else { panic!("it waits") };
    assert_eq!((reach.in_force, problem()), (1, String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_again_is_sent_what_changed_and_nothing_twice() {
    let world = World::new();
    let net = Net::of(&world);
    let mut first = net.proxy("edge").await;
    first.until(has_everything).await;
    let have = first.have.clone();
    net.ask(|admin| admin.revoke("local", &revoke("shop/storefront"))).await.unwrap();
    let mut again = net.follow(in_process(Role::Proxy, "edge"), have.clone()).await.unwrap().with_state_of(first);
    again.until(|fake| fake.have.epoch > have.epoch && fake.count(|c| matches!(c, Content::Heartbeat(_))) > 0).await;
    let kinds = |fake: &Fake| {
        let count = |which: fn(&Content) -> bool| fake.count(which);
        (
            count(|c| matches!(c, Content::Manifest(_))),
            count(|c| matches!(c, Content::Signals(signals) if signals.base == 0)),
            count(|c| matches!(c, Content::Signals(_))),
            count(|c| matches!(c, Content::Bundles(_))),
        )
    };
    // the first epoch is 0, which is no base
    assert_eq!(kinds(&again), (0, 1, 1, 0));
    let have = again.have.clone();
    net.ask(|admin| admin.revoke("local", &revoke("serial:5c"))).await.unwrap();
    let mut third = net.follow(in_process(Role::Proxy, "edge"), have.clone()).await.unwrap().with_state_of(again);
    third.until(|fake| fake.have.epoch > have.epoch).await;
    assert_eq!((kinds(&third), third.revocations.len()), ((0, 0, 1, 0), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_of_one_peer_takes_the_place_of_the_first() {
    let world = World::new();
    let net = Net::of(&world);
    let mut first = net.proxy("edge").await;
    first.until(has_everything).await;
    let mut second = net.proxy("edge").await;
    second.until(has_everything).await;
    let (why, retry) = first.goodbye().await;
    assert!(why.contains("another connection") && retry, "{why}");
    let fleet = world.admin().fleet().unwrap();
    assert_eq!((fleet.len(), fleet[0].connected), (1, true), "{fleet:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_that_are_too_far_apart_part_with_a_word() {
    let world = World::new();
    let net = Net::of(&world);
    for (oldest, newest, speaks) in [(2, 3, false), (0, 0, false), (1, 2, true), (0, 1, true)] {
        let mut client = net.client(in_process(Role::Proxy, "edge")).await;
        let (reports, stream) = tokio::sync::mpsc::channel(4);
        let hello = Hello { oldest, newest, have: Some(Have::default()), ..Hello::default() };
        reports.send(api::wire::Report { report: Some(Said::Hello(hello)) }).await.unwrap();
        let mut updates =
            client.follow(tokio_stream::wrappers::ReceiverStream::new(stream)).await.unwrap().into_inner();
        match updates.message().await.unwrap().unwrap().update.unwrap() {
            Content::Welcome(welcome) => assert!(speaks && welcome.protocol == 1),
            Content::Goodbye(goodbye) => {
                assert!(!speaks && !goodbye.retry && goodbye.why.contains("up to date"), "{goodbye:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.acts().iter().filter(|act| act.contains("connect deny")).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_given_what_it_serves_and_no_more() {
    let mut with_hr = files();
    with_hr.insert("domains/hr/domain.yaml", "domain: hr\nowners: [operator:local]\n");
    let secret = "@id(\"people\")\n@reason(\"A test.\")\npermit (principal, action, resource);\n";
    with_hr.insert("domains/hr/policies/people.cedar", secret);
    append(&mut with_hr, "policies/guardrails.cedar", "// with hr");
    let world =
        World::with(&with_hr, crate::fixture::Folder::Own(tempfile::tempdir().unwrap()), crate::fixture::LOG_BYTES);
    let net = Net::of(&world);
    let key = rcgen::KeyPair::generate().unwrap();
    let token = net.token(Role::Proxy, "edge", None, Some(&["shop"]));
    let chain = net.join(&token, "edge", &key).await.unwrap();
    let who = Who::System(super::support::verified(&world, &chain));
    let mut fake = net.follow(who, Have::default()).await.unwrap();
    fake.until(has_everything).await;
    let paths: Vec<&str> = fake.manifest.keys().map(String::as_str).collect();
    assert!(paths.contains(&"domains/hr/policies/people.cedar"), "the name is needed: {paths:?}");
    let content = |path: &str| fake.files.get(&fake.manifest[path]);
    assert!(content("domains/hr/policies/people.cedar").is_none() && content("admin.cedar").is_none());
    assert!(content("domains/hr/domain.yaml").is_some() && content("countersign.yaml").is_some());
    let secret = fake.manifest["domains/hr/policies/people.cedar"];
    let given = fake.manifest["countersign.yaml"];
    fake.files.remove(&given);
    fake.say(Said::Want(Want { sha256: vec![secret.to_vec(), given.to_vec()] })).await;
    fake.until(|fake| fake.files.contains_key(&given)).await;
    assert!(!fake.files.contains_key(&secret));
    let acts = world.acts();
    assert!(acts.iter().any(|act| act.starts_with("want deny proxy/edge")), "{acts:?}");
    let welcome = fake.came.iter().find_map(|content| match content {
        Content::Welcome(welcome) => Some(welcome.clone()),
        _ => None,
    });
    let welcome = welcome.unwrap();
    assert_eq!((welcome.domains, welcome.every_domain, welcome.every_group), (vec!["shop".to_owned()], false, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_of_the_workloads_of_its_groups_and_of_nothing_else() {
    let mut placed = files();
    append(&mut placed, "countersign.yaml", "nodes: { pool-a: { join: token }, pool-b: { join: token } }\n");
    let domain = String::from_utf8(placed.remove("domains/shop/domain.yaml").unwrap()).unwrap();
    let (head, _) = domain.split_once("workloads:").unwrap_or((&domain, ""));
    let workloads = "workloads:\n  storefront: { runs_on: [pool-a], attest: { any: [ { unix: { uid: 1 } } ] } }\n  \
                     backoffice: { runs_on: [pool-b], attest: { any: [ { unix: { uid: 2 } } ] } }\n  \
                     batch: { attest: { any: [ { unix: { uid: 3 } } ] } }\n";
    placed.insert("domains/shop/domain.yaml", format!("{head}\n{workloads}"));
    let world =
        World::with(&placed, crate::fixture::Folder::Own(tempfile::tempdir().unwrap()), crate::fixture::LOG_BYTES);
    let net = Net::of(&world);
    let (who, _) = net.joined(&world, Role::Agent, "node-1", Some("pool-a")).await;
    let mut agent = net.follow(who, Have::default()).await.unwrap();
    agent.until(|fake| fake.have.registrations > 0 && fake.count(|c| matches!(c, Content::Heartbeat(_))) > 1).await;
    let told = |fake: &Fake| {
        let last = fake.came.iter().rev().find_map(|content| match content {
            Content::Registrations(registrations) => Some(registrations.clone()),
            _ => None,
        });
        let read = ::wire::content::read_registrations(&last.unwrap().workloads).unwrap();
        read.known.into_iter().map(|(workload, _)| workload.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(told(&agent), ["spiffe://shop.example.internal/storefront"]);
    assert_eq!(agent.count(|c| matches!(c, Content::Manifest(_) | Content::Signals(_))), 0);
    let mut here = net.follow(in_process(Role::Agent, "local"), Have::default()).await.unwrap();
    here.until(|fake| fake.have.registrations > 0).await;
    assert_eq!(told(&here).len(), 3);
    // whom nothing is issued to any more is no longer registered
    let (before, subject) = (agent.have.registrations, revoke("shop/storefront"));
    net.ask(move |admin| admin.revoke("local", &subject)).await.unwrap();
    agent.until(|fake| fake.have.registrations > before).await;
    assert_eq!(told(&agent), [""; 0]);
    // what trust was taken from by number or key: that, and neither whose nor why
    let revoked = |fake: &Fake| {
        let lists = fake.came.iter().rev().filter_map(|content| match content {
            Content::Registrations(registrations) => Some(registrations.revoked.clone()),
            _ => None,
        });
        lists.take(1).flatten().collect::<Vec<_>>()
    };
    assert_eq!(revoked(&agent), [""; 0], "a name is no certificate");
    let key = format!("key:{}", "ab".repeat(32));
    let (before, subjects) = (agent.have.registrations, [revoke("serial:5c"), revoke(&key)]);
    net.ask(move |admin| subjects.each_ref().map(|subject| admin.revoke("local", subject)))
        .await
        .into_iter()
        .for_each(|revoked| drop(revoked.unwrap()));
    agent.until(|fake| fake.have.registrations > before && revoked(fake).len() == 2).await;
    assert_eq!(revoked(&agent), ["serial:5c", &key]);
    let (before, restore) = (agent.have.registrations, Restore { subject: "serial:5c".into(), reason: String::new() });
    net.ask(move |admin| admin.restore("local", &restore)).await.unwrap();
    agent.until(|fake| fake.have.registrations > before).await;
    assert_eq!(revoked(&agent), [key.as_str()]);
    assert_eq!(agent.count(|c| matches!(c, Content::Signals(_))), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_signed_is_not_told_and_heartbeats_say_that_something_is_missing() {
    let world = World::new();
    let net = Net::of(&world);
    let mut fake = net.proxy("edge").await;
    fake.until(has_everything).await;
    world.told.dumb.store(true, std::sync::atomic::Ordering::Relaxed);
    let subject = revoke("shop/storefront");
    let revoking = net.ask(move |admin| admin.revoke("local", &subject));
    let later = |epoch: u64| {
        move |fake: &Fake| fake.came.iter().any(|c| matches!(c, Content::Heartbeat(beat) if beat.epoch == epoch))
    };
    let (revocation, _) = tokio::join!(revoking, fake.until(later(1)));
    assert_eq!((revocation.unwrap().reach.unwrap().in_force, fake.have.epoch), (0, 0));
    let findings = world.admin().doctor();
    assert!(findings.iter().any(|one| one.message.contains("nothing can be signed")), "{findings:?}");
    world.told.dumb.store(false, std::sync::atomic::Ordering::Relaxed);
    fake.until(|fake| fake.have.epoch == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_a_connection_and_what_was_heard_outlives_control() {
    let world = World::new();
    let net = Net::of(&world);
    let (who, _) = net.joined(&world, Role::Proxy, "edge", None).await;
    let mut fake = net.follow(who, Have::default()).await.unwrap();
    fake.until(has_everything).await;
    let mut quiet = fake;
    let last = loop {
        // heartbeats are heard and not answered
        match quiet.receive().await {
            Some(Content::Goodbye(goodbye)) => break goodbye,
            Some(_) => {}
            None => panic!("no word"),
        }
    };
    assert!(last.retry && last.why.contains("nothing was heard"), "{last:?}");
    net.finish.send_replace(true);
    net.serving.await.unwrap().unwrap();
    drop(net.control);
    drop(quiet);
    let world = world.restart();
    let fleet = world.admin().fleet().unwrap();
    let [edge] = fleet.as_slice() else { panic!("{fleet:?}") };
    assert_eq!((edge.publication, edge.epoch, edge.connected, edge.version.as_str()), (Some(1), Some(0), false, "9.9"));
    assert!(edge.heard.is_some() && edge.revision == world.revision().to_string());
    let reach = world.control.reach_publication(1);
    assert_eq!((reach.in_force, reach.enforcers), (1, 1), "{reach:?}");
}
