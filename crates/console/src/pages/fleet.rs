//! The fleet: who runs what is current, who does not, and why.

use api::admin::{Failure, Peer, Role};
use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use types::{Timestamp, limits};

use crate::Console;
use crate::answer::Ask;
use crate::peers::{State, apart, behind, path, runs, serves, title};
use crate::rows::Mark;
use crate::session::{Frame, Visitor};
use crate::show::{When, bytes, count, grouped, number, short_revision};

/// Peers of the page, whoever needs a look first. The others are one by one at their own addresses.
const LISTED: usize = 300; // tidy: more is not read
/// Clauses of the sentence that name what is not as it should be.
const NAMED: usize = 3; // tidy: more is no sentence

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    head: String,
    clauses: Vec<Clause>,
    figures: Vec<(&'static str, String)>,
    lines: Vec<Line>,
    /// How many peers are not on the page.
    more: String,
}

/// A part of the sentence: a name or a number, what is said of it, and the moment that ends it.
struct Clause {
    who: String,
    text: String,
    at: Option<When>,
}

struct Line {
    id: String,
    href: String,
    title: String,
    version: String,
    mark: Mark,
    runs: String,
    publication: String,
    since: Option<When>,
    behind: Vec<String>,
    link: &'static str,
    link_at: Option<When>,
    address: String,
    serves: String,
    log: Vec<String>,
    /// What is not as it should be, one sentence each.
    notes: Vec<String>,
}

pub(crate) async fn show(visitor: Visitor, Shared(console): Shared<Console>) -> Response {
    console.show(visitor.at("fleet"), page).await
}

fn page(ask: &Ask<'_>, frame: Frame) -> Result<FleetPage, Failure> {
    let mut peers = ask.admin.fleet()?;
    peers.sort_by_cached_key(|peer| (State::of(peer), peer.role, peer.name.clone()));
    let current = short_revision(&ask.admin.status().revision);
    let rest = number(peers.len().saturating_sub(LISTED));
    let more = if rest == 0 { String::new() } else { count(rest, "other peer", "other peers") };
    Ok(FleetPage {
        head: head(&peers, &current),
        clauses: clauses(&peers, ask.now),
        figures: figures(&peers),
        lines: peers.iter().take(LISTED).map(|peer| line(peer, ask.now)).collect(),
        more,
        frame,
    })
}

fn of(peers: &[Peer], role: Role) -> impl Iterator<Item = &Peer> {
    peers.iter().filter(move |peer| peer.role == role)
}

fn so_many(peers: &[Peer], role: Role, state: State) -> u64 {
    number(of(peers, role).filter(|peer| State::of(peer) == state).count())
}

/// `3 of 4 enforcers run revision 3f9c21e`.
fn head(peers: &[Peer], current: &str) -> String {
    let all = number(of(peers, Role::Proxy).count());
    let agents = number(of(peers, Role::Agent).count());
    let running = number(of(peers, Role::Proxy).filter(|peer| runs_what_is_current(peer)).count());
    match (running, all) {
        (_, 0) if agents == 0 => "Nobody has joined".to_owned(),
        (_, 0) => "No enforcer has joined: nobody decides calls".to_owned(),
        (1, 1) => format!("The one enforcer runs revision {current}"),
        (0, 1) => format!("The one enforcer is not known to run revision {current}"),
        (running, all) if running == all => format!("All {} enforcers run revision {current}", grouped(all)),
        (running, all) => {
            let verb = if running == 1 { "runs" } else { "run" };
            format!("{} of {} {verb} revision {current}", grouped(running), count(all, "enforcer", "enforcers"))
        }
    }
}

/// Whether it is known to decide by the current revision; its signals may be late all the same.
fn runs_what_is_current(peer: &Peer) -> bool {
    peer.connected && !peer.revoked && peer.publication.is_some() && peer.publications_behind == 0
}

/// What is not as it should be, the worst first: one peer by its name, more of a kind by their number.
fn clauses(peers: &[Peer], now: Timestamp) -> Vec<Clause> {
    let wrong = [State::Revoked, State::Refuses, State::Away, State::NeverHeard, State::Behind];
    let of_state = |state: State| {
        let found: Vec<&Peer> = peers.iter().filter(|peer| State::of(peer) == state).collect();
        match (found.as_slice(), state) {
            ([], _) => None,
            ([one], state) => Some(of_one(one, state, now)),
            (many, state) => {
                let who = grouped(number(many.len()));
                Some(Clause { who, text: state.of_many().to_owned(), at: None })
            }
        }
    };
    wrong.into_iter().filter_map(of_state).take(NAMED).collect()
}

fn of_one(peer: &Peer, state: State, now: Timestamp) -> Clause {
    let late = behind(peer.publications_behind, peer.epochs_behind);
    let (text, at) = match (state, peer.heard) {
        (State::Away, Some(heard)) => ("has not been heard since".to_owned(), Some(recent(heard, now))),
        (State::Behind, _) if !late.is_empty() => (format!("is {late} behind"), None),
        (state, _) => (state.of_one().to_owned(), None),
    };
    Clause { who: peer.name.clone(), text, at }
}

/// A moment of today as an hour, any other with its day.
fn recent(at: Timestamp, now: Timestamp) -> When {
    const DAY: u64 = 86_400_000_000;
    if now.micros_since(at) < DAY / 2 { When::minute(at) } else { When::full(at) }
}

fn figures(peers: &[Peer]) -> Vec<(&'static str, String)> {
    let (proxies, agents) = (of(peers, Role::Proxy).count(), of(peers, Role::Agent).count());
    let share = |some: u64, all: usize| format!("{} of {}", grouped(some), grouped(number(all)));
    let mut figures = Vec::new();
    if proxies > 0 {
        let worst = |of: fn(&Peer) -> u64| peers.iter().map(of).max().unwrap_or_default();
        let (publications, epochs) = (worst(|peer| peer.publications_behind), worst(|peer| peer.epochs_behind));
        let furthest = behind(publications, epochs);
        let logs = || of(peers, Role::Proxy).filter_map(|peer| peer.log.as_ref());
        let open: u64 = peers.iter().filter_map(|peer| peer.load).map(|load| load.open_exchanges).sum();
        figures.push(("Enforcers in force", share(so_many(peers, Role::Proxy, State::InForce), proxies)));
        figures.push(("Furthest behind", if furthest.is_empty() { "nobody is".to_owned() } else { furthest }));
        figures.push(("Open exchanges", grouped(open)));
        figures.push(("Of their logs, not here yet", bytes(logs().map(|log| log.unshipped_bytes).sum())));
        figures.push(("Of their logs, kept here", bytes(logs().map(|log| log.kept_bytes).sum())));
    }
    if agents > 0 {
        figures.push(("Agents connected", share(so_many(peers, Role::Agent, State::Connected), agents)));
    }
    figures
}

fn line(peer: &Peer, now: Timestamp) -> Line {
    let (link, link_at) = match (peer.connected, peer.heard) {
        (true, _) => ("connected since", peer.since),
        (false, Some(heard)) => ("last heard", Some(heard)),
        (false, None) => ("never heard; joined", Some(peer.joined)),
    };
    Line {
        id: format!("{}-{}", peer.role.as_str(), peer.name),
        href: path(peer),
        title: title(peer),
        version: peer.version.clone(),
        mark: State::of(peer).mark(),
        runs: runs(peer),
        publication: peer.publication.map(|number| format!("publication {}", grouped(number))).unwrap_or_default(),
        since: peer.revision_since.map(|since| recent(since, now)),
        behind: [behind(peer.publications_behind, 0), behind(0, peer.epochs_behind)].to_vec(),
        link,
        link_at: link_at.map(|at| recent(at, now)),
        address: peer.address.clone(),
        serves: serves(peer),
        log: log(peer),
        notes: notes(peer),
    }
}

/// What is on its disk, what of that is not here yet, and what is kept here.
fn log(peer: &Peer) -> Vec<String> {
    let Some(log) = &peer.log else { return Vec::new() };
    let mut said = Vec::new();
    if log.max_bytes > 0 {
        said.push(format!("{} of {}", bytes(log.bytes), bytes(log.max_bytes)));
    }
    if log.unshipped_bytes > 0 {
        said.push(format!("{} not here yet", bytes(log.unshipped_bytes)));
    }
    if log.kept_bytes > 0 {
        said.push(format!("{} kept here", bytes(log.kept_bytes)));
    }
    said
}

fn notes(peer: &Peer) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    if !peer.problem.is_empty() {
        notes.push(peer.problem.clone());
    }
    notes.extend(apart(peer));
    let gaps = peer.log.iter().flat_map(|log| log.gaps.iter());
    let most = limits::CHANGES.default_usize();
    notes.extend(gaps.take(most).map(|gap| format!("its log here: {gap}")));
    notes
}
