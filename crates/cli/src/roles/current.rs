//! What runs: what was published last, or the directory's own revision where nothing was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use control::{Ledger, Store, StoreError};
use trustdir::{Loaded, Revision};
use types::{Clock, RevisionId};

use super::plan::CorePlan;
use crate::exit::{Exit, Failed};
use crate::term::causes;

/// A trust directory that a process is started with.
pub struct Source {
    /// Where it is.
    pub dir: PathBuf,
    /// The revision that it holds.
    pub revision: Arc<Revision>,
    /// Its files, to be kept.
    pub sources: BTreeMap<String, String>,
}

impl Source {
    /// What was read from a directory.
    pub fn new(dir: PathBuf, revision: Arc<Revision>, loaded: Loaded) -> Self {
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        Self { dir, revision, sources: loaded.sources }
    }
}

/// The revision to run. An empty store gets the directory's as its first publication; otherwise what is current runs, and
/// a notice says where the directory differs.
///
/// # Errors
/// What keeps the store from giving or taking it.
pub fn revision(
    plan: &CorePlan,
    store: &Store,
    ledger: &Ledger,
    clock: &dyn Clock,
    notices: &mut Vec<String>,
) -> Result<Arc<Revision>, Failed> {
    let current = store.current().map_err(|error| failed(&error))?;
    let (current, source) = match (current, &plan.source) {
        (Some(current), source) => (current, source),
        (None, Some(source)) => {
            let first = control::first(store, ledger, clock, &source.revision, &source.sources);
            first.map_err(|failure| Failed { exit: Exit::No, ..Failed::new(failure.message).hint(failure.hint) })?;
            return Ok(Arc::clone(&source.revision));
        }
        (None, None) => {
            return Err(Failed::new(format!("nothing was published yet in `{}`", plan.data.display()))
                .hint("name the trust directory to begin with: countersign control -c FILE DIR"));
        }
    };
    let damaged = |_| Failed::new(format!("the store names a revision that is none: `{}`", current.revision));
    let id: RevisionId = current.revision.parse().map_err(damaged)?;
    let Some(source) = source else { return store.load(id).map_err(|error| failed(&error)) };
    if id == source.revision.id() {
        return Ok(Arc::clone(&source.revision));
    }
    let kept = store.load(id).map_err(|error| failed(&error))?;
    let (ours, theirs) = (&kept.model().organisation, &source.revision.model().organisation);
    if ours != theirs {
        return Err(Failed::new(format!("`{}` holds the data of `{ours}`, not of `{theirs}`", plan.data.display()))
            .hint("name another data directory with `--data DIR`"));
    }
    let dir = source.dir.display();
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
    Failed::new(causes(error)).hint(error.hint())
}
