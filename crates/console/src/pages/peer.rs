//! One peer: what it runs, since when it is heard, what it does and what of its log is here; and the ways to part with it.

use api::admin::{Failure, FailureCode, Peer, Role};
use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::response::Response;

use crate::Console;
use crate::answer::Ask;
use crate::peers::{State, apart, behind, serves, title};
use crate::rows::Mark;
use crate::session::{Frame, Visitor};
use crate::show::{When, bytes, count, grouped, link, span};

#[derive(Template)]
#[template(path = "peer.html")]
struct PeerPage {
    frame: Frame,
    title: String,
    mark: Mark,
    sentence: String,
    problem: String,
    facts: Vec<Fact>,
    gaps: Vec<String>,
    /// Whether it may be parted with: what shares control's process goes with that.
    is_elsewhere: bool,
    revoke: String,
    is_revoked: bool,
}

/// A line of what is known: a word, and text, a moment or both.
struct Fact {
    name: &'static str,
    text: String,
    at: Option<When>,
    is_code: bool,
}

pub(crate) async fn show(
    visitor: Visitor,
    Path((role, name)): Path<(String, String)>,
    Shared(console): Shared<Console>,
) -> Response {
    console.show(visitor.at("fleet"), move |ask, frame| page(ask, frame, &role, &name)).await
}

fn page(ask: &Ask<'_>, frame: Frame, role: &str, name: &str) -> Result<PeerPage, Failure> {
    let found = ask.admin.fleet()?.into_iter().find(|peer| peer.role.as_str() == role && peer.name == name);
    let missing = || {
        let hint = "the fleet lists everybody who joined";
        Failure::new(FailureCode::NotFound, format!("there is no {role}/{name}"), hint)
    };
    let peer = found.ok_or_else(missing)?;
    let title = title(&peer);
    let node = format!("node:{title}");
    Ok(PeerPage {
        frame,
        mark: State::of(&peer).mark(),
        sentence: sentence(&peer, ask),
        facts: facts(&peer),
        gaps: peer.log.as_ref().map(|log| log.gaps.clone()).unwrap_or_default(),
        is_elsewhere: peer.address != IN_PROCESS,
        revoke: link("/trust", &[("subject", &node)]),
        is_revoked: peer.revoked,
        problem: peer.problem,
        title,
    })
}

/// How control names the address of what shares its process.
const IN_PROCESS: &str = "in this process";

fn sentence(peer: &Peer, ask: &Ask<'_>) -> String {
    let late = behind(peer.publications_behind, peer.epochs_behind);
    let ago = |at: types::Timestamp| span(ask.now.micros_since(at) / 1_000_000);
    match (State::of(peer), peer.heard) {
        (State::Behind, _) if !late.is_empty() => format!("{} is {late} behind.", peer.name),
        (State::Behind, _) => format!("{} runs nothing yet.", peer.name),
        (State::Away, Some(heard)) => format!("{} has not been heard for {}.", peer.name, ago(heard)),
        (state, _) => format!("{} {}.", peer.name, state.of_one()),
    }
}

fn facts(peer: &Peer) -> Vec<Fact> {
    let said = |name, text: String| Fact { name, text, at: None, is_code: false };
    let moment = |name, text: &str, at| Fact { name, text: text.to_owned(), at: Some(When::full(at)), is_code: false };
    let mut facts = Vec::new();
    if !peer.revision.is_empty() {
        facts.push(Fact { is_code: true, ..said("Runs", peer.revision.clone()) });
    }
    facts.extend(peer.revision_since.map(|at| moment("Since", "", at)));
    facts.extend(peer.publication.map(|number| said("Publication", grouped(number))));
    facts.extend(peer.epoch.map(|epoch| said("Epoch", grouped(epoch))));
    let late = behind(peer.publications_behind, peer.epochs_behind);
    facts.extend((!late.is_empty()).then(|| said("Behind", late)));
    let since = if peer.connected { "connected since" } else { "not connected since" };
    facts.extend(peer.since.map(|at| moment("Link", since, at)));
    facts.extend(peer.heard.map(|at| moment("Heard", "", at)));
    facts.extend((!peer.address.is_empty()).then(|| said("From", peer.address.clone())));
    facts.extend(apart(peer).map(|words| said("Clock", words)));
    let serving = if peer.role == Role::Proxy { "Serves" } else { "Groups" };
    facts.push(said(serving, serves(peer)));
    facts.push(said("Version", if peer.version.is_empty() { "not known".to_owned() } else { peer.version.clone() }));
    facts.push(moment("Joined", "", peer.joined));
    facts.extend(peer.load.map(|load| {
        let words = [
            format!("{} allowed", grouped(load.allowed)),
            format!("{} of them would be refused", grouped(load.would_deny)),
            format!("{} refused", grouped(load.refused)),
        ];
        said("Calls", format!("since its start {}", words.join(", ")))
    }));
    facts.extend(peer.load.map(|load| {
        let exchanges = count(load.open_exchanges, "exchange", "exchanges");
        let connections = count(load.open_connections, "connection", "connections");
        said("Open", format!("{exchanges} on {connections}"))
    }));
    facts.extend(peer.log.iter().flat_map(|log| {
        let own = format!("{} of {}", bytes(log.bytes), bytes(log.max_bytes));
        let here = format!("{} kept, {} not here yet", bytes(log.kept_bytes), bytes(log.unshipped_bytes));
        [said("Its log", own), said("Of it here", here)]
    }));
    facts
}
