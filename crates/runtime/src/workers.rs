//! Worker threads: one single-threaded runtime each, so that a request never changes cores and shares no lock.

use std::{
    future::Future,
    io,
    num::NonZeroUsize,
    thread::{self, JoinHandle},
};

use tokio::{runtime::Builder, task::LocalSet};

/// How many workers to start where nothing is configured: one per core.
pub fn default_count() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Starts a thread named `name` that runs what `body` gives on a runtime of its own until it resolves.
///
/// # Errors
/// The operating system's, when the thread or its runtime cannot be made.
pub fn start<B, F>(name: String, body: B) -> io::Result<JoinHandle<()>>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, body());
    })
}
