//! The asynchronous runtime of the binary. Workers of the proxy have runtimes of their own.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::exit::Failed;

/// Threads for everything but the request path: issuing, the Workload API, the admin socket.
const THREADS: usize = 2;
/// How long what still runs may take to notice that the process ends.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a command that asks one thing.
///
/// # Errors
/// When the system gives no threads.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| no_threads(&error))?;
    Ok(finish(runtime, future))
}

/// Runs a command that serves.
///
/// # Errors
/// When the system gives no threads.
pub fn serve<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime =
        Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().map_err(|error| no_threads(&error))?;
    Ok(finish(runtime, future))
}

fn finish<T>(runtime: Runtime, future: impl Future<Output = T>) -> T {
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(GRACE);
    result
}

fn no_threads(error: &std::io::Error) -> Failed {
    Failed::new(format!("the system gives no threads: {error}")).hint("check the limits of this user (`ulimit -u`)")
}
