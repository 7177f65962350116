//! The driver in virtual time: everything that may be missing at each phase, and everything that an operator may do there.

use api::admin::{FailureCode, Revoke, Role, Rotate, Rotation, RotationAct, Severity};
use types::Clock;

use super::*;
use crate::fixture::keys::LIFE;
use crate::fixture::{LOG_BYTES, World};
use crate::identities::moment;
use crate::peers::{Held, Name};
use crate::store::{Joined, Last, Place};

mod acts;
mod boundaries;
mod peers;
mod phases;
mod real;
mod task;

/// A peer of a test.
struct Peer {
    name: Name,
    line: Option<Held>,
}

/// A peer that joined and was never heard.
fn joined(world: &World, role: Role, name: &str) -> Peer {
    let name = Label::parse(name).unwrap();
    let group = (role == Role::Agent).then(|| Label::parse("vms").unwrap());
    let place = Place { role, name: name.clone(), group, domains: None };
    let joined = Joined { place, key: [7; 32], joined: world.clock.now(), last: Last::default() };
    world.control.hub.peers.add(joined);
    Peer { name: (role, name), line: None }
}

impl Peer {
    fn connect(&mut self, world: &World) {
        let seen = world.control.hub.peers.get(&self.name).unwrap();
        self.line = world.control.hub.peers.connect(&seen.place, false, None, world.clock.now());
        assert!(self.line.is_some());
    }

    /// Is heard, where it is connected.
    fn pulse(&self, world: &World) {
        if let Some(line) = &self.line {
            let now = world.clock.now();
            world.control.hub.peers.pulse(&self.name, line.id, now.micros(), None, now);
        }
    }

    /// Has everything in force that was told.
    fn acknowledge(&self, world: &World) {
        self.pulse(world);
        let number = world.control.bundles_number();
        world.control.hub.heard.bundles(&world.control.hub.peers, &self.name, number);
    }

    fn disconnect(&mut self, world: &World) {
        if let Some(line) = self.line.take() {
            world.control.hub.peers.disconnect(&self.name, line.id, world.clock.now(), "");
        }
    }
}

/// Seconds pass; who is connected is heard each second.
fn pass(world: &World, peers: &[&Peer], seconds: u64) {
    for _ in 0..seconds {
        world.clock.advance(1);
        peers.iter().for_each(|peer| peer.pulse(world));
        world.control.take_rotations_on();
    }
}

/// The time that workloads have, when everybody has confirmed; and the look that finds it so.
const SETTLED: u64 = 6;

/// Hours pass; who is connected is heard in the end.
fn hours(world: &World, peers: &[&Peer], hours: u64) {
    for _ in 0..hours {
        world.clock.advance(3_600);
        peers.iter().for_each(|peer| peer.pulse(world));
        world.control.take_rotations_on();
    }
}

fn ask(world: &World, act: RotationAct) -> Result<Rotation, api::admin::Failure> {
    let request = Rotate { domain: "shop".into(), keys: Keys::X509, act, reason: "a test".into() };
    world.admin().rotate("local", &request)
}

fn start(world: &World) -> Rotation {
    ask(world, RotationAct::Start).unwrap()
}

fn shown(world: &World) -> Rotation {
    world.admin().rotations().unwrap().into_iter().find(|one| one.keys == Keys::X509).unwrap()
}

fn phase(world: &World) -> RotationPhase {
    shown(world).phase
}

/// The rotations on record, as `operator: note`.
fn recorded(world: &World) -> Vec<String> {
    let acts = world.acts();
    let ours = acts.iter().filter(|act| act.starts_with("rotate "));
    ours.map(|act| act.trim_start_matches("rotate ").to_owned()).collect()
}

fn doctor(world: &World) -> Vec<(Severity, String)> {
    let all = world.admin().doctor();
    let ours = all.into_iter().filter(|one| one.subject.starts_with("rotation"));
    ours.map(|one| (one.severity, format!("{}: {}", one.subject, one.message))).collect()
}
