//! The listing of the fleet: a sentence that answers, then one line for each peer, then what is not as it should be.

use std::io::{self, Write};

use api::admin::{Peer, Role};
use types::Timestamp;

use crate::publish::short;
use crate::term::table::{Cell, Table};
use crate::term::time::Times;
use crate::term::{Palette, Tone, count, grouped, harmless};

/// From how far on two clocks are said to be apart, in milliseconds.
const APART_MILLIS: u64 = 2_000;

/// How a peer is, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Connected, and running what is current.
    InForce,
    /// Connected; agents run no revision.
    Connected,
    /// Connected, and running what was current before.
    Behind,
    /// It does not take what is current.
    Refuses,
    /// Not connected.
    Away,
    /// Joined, and never heard since.
    NeverHeard,
    /// Its trust is taken away.
    Revoked,
}

impl State {
    fn of(peer: &Peer) -> Self {
        match peer {
            peer if peer.revoked => Self::Revoked,
            peer if peer.heard.is_none() && !peer.connected => Self::NeverHeard,
            peer if !peer.connected => Self::Away,
            peer if !peer.problem.is_empty() => Self::Refuses,
            peer if peer.role == Role::Agent => Self::Connected,
            peer if peer.publication.is_none() || peer.publications_behind > 0 || peer.epochs_behind > 0 => {
                Self::Behind
            }
            _ => Self::InForce,
        }
    }

    const fn word(self) -> (&'static str, Tone) {
        match self {
            Self::InForce => ("in force", Tone::Good),
            Self::Connected => ("connected", Tone::Good),
            Self::Behind => ("behind", Tone::Caution),
            Self::Refuses => ("refuses", Tone::Bad),
            Self::Away => ("away", Tone::Bad),
            Self::NeverHeard => ("never heard", Tone::Caution),
            Self::Revoked => ("revoked", Tone::Bad),
        }
    }
}

/// Everybody who joined.
///
/// # Errors
/// The writer's.
pub fn show(out: &mut impl Write, palette: Palette, times: &Times, now: Timestamp, peers: &[Peer]) -> io::Result<()> {
    if peers.is_empty() {
        return writeln!(out, "nobody joined yet; `countersign join-token --proxy NAME` lets one join");
    }
    writeln!(out, "{}\n", answer(peers))?;
    let mut table = Table::default();
    for peer in peers {
        table.row(row(times, now, peer));
    }
    for (line, peer) in table.render(palette).lines().zip(peers) {
        writeln!(out, "{line}")?;
        for note in notes(times, peer) {
            writeln!(out, "               {}", harmless(&note))?;
        }
    }
    Ok(())
}

/// `2 of 3 enforcers run what is current; 1 agent is connected`.
fn answer(peers: &[Peer]) -> String {
    let of = |role| peers.iter().filter(move |peer| peer.role == role);
    let (proxies, agents) = (of(Role::Proxy).count(), of(Role::Agent).count());
    let current = of(Role::Proxy).filter(|peer| State::of(peer) == State::InForce).count();
    let connected = of(Role::Agent).filter(|peer| State::of(peer) == State::Connected).count();
    let enforcers = match (current, proxies) {
        (_, 0) => "no enforcer joined".to_owned(),
        (1, 1) => "the one enforcer runs what is current".to_owned(),
        (current, all) if current == all => format!("all {} enforcers run what is current", grouped(all)),
        (current, all) => {
            format!("{} of {} run what is current", grouped(current), count(all, "enforcer", "enforcers"))
        }
    };
    match (connected, agents) {
        (_, 0) => enforcers,
        (connected, all) => {
            format!("{enforcers}; {} of {} connected", grouped(connected), count(all, "agent", "agents"))
        }
    }
}

fn row(times: &Times, now: Timestamp, peer: &Peer) -> Vec<Cell> {
    let (word, tone) = State::of(peer).word();
    let minute = |moment: Option<Timestamp>| moment.map(|moment| times.minute(moment, now)).unwrap_or_default();
    let running = match (peer.publication, peer.revision_since) {
        (Some(number), Some(_)) => {
            format!(
                "publication {}  {} since {}",
                grouped_u64(number),
                short(&peer.revision),
                minute(peer.revision_since)
            )
        }
        (Some(number), None) => format!("publication {}  {}", grouped_u64(number), short(&peer.revision)),
        (None, _) => String::new(),
    };
    let epoch = peer.epoch.map(|epoch| format!("epoch {}", grouped_u64(epoch))).unwrap_or_default();
    vec![
        Cell::new(word).tone(tone),
        Cell::new(&format!("{}/{}", peer.role.as_str(), peer.name)).tone(Tone::Strong),
        peer.since.map(|since| format!("since {}", times.minute(since, now))).unwrap_or_default().into(),
        running.into(),
        epoch.into(),
        serves(peer).into(),
        peer.address.as_str().into(),
    ]
}

/// The domains of a proxy, the node groups of an agent.
fn serves(peer: &Peer) -> String {
    let (of, all) = match peer.role {
        Role::Proxy => (&peer.domains, "all domains"),
        Role::Agent => (&peer.groups, "all groups"),
    };
    of.as_ref().map_or_else(|| all.to_owned(), |some| some.join(", "))
}

/// What is not as it should be, one sentence each.
fn notes(times: &Times, peer: &Peer) -> Vec<String> {
    let mut notes = Vec::new();
    if !peer.problem.is_empty() {
        notes.push(peer.problem.clone());
    }
    let behind = [(peer.publications_behind, "publication"), (peer.epochs_behind, "epoch of signals")];
    let behind = behind.iter().filter(|(number, _)| *number > 0).map(|(number, what)| {
        let many = if *what == "publication" { "publications" } else { "epochs of signals" };
        count(usize::try_from(*number).unwrap_or(usize::MAX), what, many)
    });
    let behind: Vec<String> = behind.collect();
    if !behind.is_empty() {
        notes.push(format!("{} behind", behind.join(" and ")));
    }
    match peer.heard {
        Some(heard) if !peer.connected => notes.push(format!("last heard {}", times.second(heard))),
        None if !peer.connected => notes.push(format!("it joined {} and never came back", times.second(peer.joined))),
        _ => {}
    }
    if peer.clock_ahead_millis.unsigned_abs() >= APART_MILLIS && peer.heard.is_some() {
        let seconds = peer.clock_ahead_millis.unsigned_abs() / 1_000;
        let way = if peer.clock_ahead_millis > 0 { "ahead of" } else { "behind" };
        notes.push(format!("its clock is {seconds} s {way} control's"));
    }
    if let Some(log) = &peer.log {
        notes.extend(log.gaps.iter().map(|gap| format!("its log: {gap}")));
    }
    notes
}

fn grouped_u64(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
