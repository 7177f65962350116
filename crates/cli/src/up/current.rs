//! What runs: what was published last, or the directory's own revision where nothing was.

use std::sync::Arc;

use arc_swap::ArcSwap;
use control::{Ledger, Store, StoreError};
use trustdir::Revision;
use types::{Clock, RevisionId};

use super::plan::Plan;
use super::start::words;
use crate::exit::{Exit, Failed};

/// The revision to run. An empty store gets the directory's as its first publication; otherwise what is current runs, and
/// a notice says where the directory differs.
///
/// # Errors
/// What keeps the store from giving or taking it.
pub fn revision(
    plan: &Plan,
    store: &Store,
    ledger: &Ledger,
    clock: &dyn Clock,
    notices: &mut Vec<String>,
) -> Result<Arc<Revision>, Failed> {
    let Some(current) = store.current().map_err(|error| failed(&error))? else {
        let first = control::first(store, ledger, clock, &plan.revision, &plan.sources);
        first.map_err(|failure| Failed { exit: Exit::No, ..Failed::new(failure.message).hint(failure.hint) })?;
        return Ok(Arc::clone(&plan.revision));
    };
    let damaged = |_| Failed::new(format!("the store names a revision that is none: `{}`", current.revision));
    let id: RevisionId = current.revision.parse().map_err(damaged)?;
    if id == plan.revision.id() {
        return Ok(Arc::clone(&plan.revision));
    }
    let kept = store.load(id).map_err(|error| failed(&error))?;
    let (ours, theirs) = (&kept.model().organisation, &plan.revision.model().organisation);
    if ours != theirs {
        return Err(Failed::new(format!("`{}` holds the data of `{ours}`, not of `{theirs}`", plan.data.display()))
            .hint("name another data directory with `--data DIR`"));
    }
    let dir = plan.dir.display();
    notices.push(format!(
        "{dir} differs from what runs: revision {}, published by {} on {}. To make it current: countersign publish {dir}",
        id.short(),
        current.operator,
        current.at
    ));
    Ok(kept)
}

/// What is held against whom, before anything is let in.
///
/// # Errors
/// When the store cannot give it: then nobody may be let in.
pub fn signals(store: &Store, revision: &Revision) -> Result<Arc<ArcSwap<signal::State>>, Failed> {
    let state = store.signals(&revision.model().organisation).map_err(|error| failed(&error))?;
    Ok(Arc::new(ArcSwap::from_pointee(state)))
}

fn failed(error: &StoreError) -> Failed {
    Failed::new(words(error)).hint(error.hint())
}
