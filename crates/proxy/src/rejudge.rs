//! What is open is judged again when bundles, signals or rules change, and cut where it would be refused now (DESIGN section 8).
//!
//! INVARIANT: whoever changes the revision, the signals or the bundles stores them first and tells then. A call decides with what is
//! stored and is registered before its worker does anything else; so each exchange was either judged under the change, or
//! stands in the registry when the worker hears of it.

use std::rc::Rc;

use signal::State;
use tokio::{sync::watch, task::yield_now};
use trustdir::Revision;
use types::{Reason, Timestamp, limits};

use crate::{
    registry::{Cut, Open, OpenConnection},
    route::may_be_plaintext,
    standing::Standing,
    trusted::Trusted,
    worker::Worker,
};

/// Judges everything open on a worker again after each change of revision, signals or bundles, for as long as there may
/// be changes.
pub async fn follow(worker: Rc<Worker>, mut changes: watch::Receiver<u64>) {
    let mut bundles = worker.shared().trusted.changes();
    loop {
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            changed = bundles.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        rejudge(&worker).await;
    }
}

/// Walks over what is open in slices; others get their turn in between. Connections come first, so that an answer that
/// tells a revoked caller so is the last of its connection, and says that too.
async fn rejudge(worker: &Worker) {
    let slice = limits::REJUDGED_AT_ONCE.default_usize();
    let mut next = Some(0);
    while let Some(from) = next {
        let (connections, rest) = worker.registry().connections(from, slice);
        close_slice(worker, &connections);
        next = rest;
        yield_now().await;
    }
    let (mut judged, mut cut) = (0, 0);
    let mut next = Some(0);
    while let Some(from) = next {
        let (exchanges, rest) = worker.registry().exchanges(from, slice);
        judged += exchanges.len();
        cut += rejudge_slice(worker, &exchanges);
        next = rest;
        yield_now().await;
    }
    if judged > 0 {
        tracing::info!(judged, cut, "what is open was judged again");
    }
}

/// Gives how many were cut.
fn rejudge_slice(worker: &Worker, exchanges: &[Rc<Open>]) -> usize {
    let shared = worker.shared();
    let (revision, signals, now) = (shared.revision.load(), shared.signals.load(), worker.now());
    let open = exchanges.iter().filter(|open| open.is_cut().is_none());
    open.filter(|open| match check(open, &shared.trusted, &revision, &signals, now) {
        Ok(()) => {
            open.allowed_by(revision.id());
            false
        }
        Err(reason) => {
            open.cut(Cut { reason, revision: revision.id(), epoch: signals.epoch() });
            true
        }
    })
    .count()
}

/// Whether an exchange would be allowed now. A change of bundles or signals alone asks no policy again: what is revoked
/// is the only signal there is.
fn check(open: &Open, trusted: &Trusted, revision: &Revision, signals: &State, now: Timestamp) -> Result<(), Reason> {
    if let Some(caller) = open.caller() {
        caller.check(trusted, now).map_err(|refusal| refusal.reason)?;
    }
    let permit = open.permit().get();
    let situated = permit.situated();
    let cleared = match situated.peer() {
        Some(peer) => signals.clear(peer, now).map_err(|_| Reason::SignalsRevoked)?,
        None => signals.nobody(),
    };
    if open.judged() == revision.id() {
        return Ok(());
    }
    let request = situated.request();
    if situated.accepted().server_name.is_none() && !may_be_plaintext(revision, request.host()) {
        return Err(Reason::IdentityPlaintext);
    }
    let (_, route) = revision.route(request)?;
    let risk = revision.model().risk_unknown;
    let judged = revision.policies().rejudge(permit, &route, &cleared, risk, now);
    judged.map_err(|withdrawn| withdrawn.reason)
}

/// Closes the connections of those who are revoked, or for whom no bundle vouches any more.
fn close_slice(worker: &Worker, connections: &[Rc<OpenConnection>]) {
    let (shared, now) = (worker.shared(), worker.now());
    let signals = shared.signals.load();
    let is_lost =
        |caller: &Standing| signals.clear(caller.peer(), now).is_err() || caller.check(&shared.trusted, now).is_err();
    for connection in connections {
        if connection.caller().is_some_and(is_lost) {
            connection.close();
        }
    }
}
