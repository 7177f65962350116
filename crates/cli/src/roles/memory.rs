//! How much memory a process takes that holds little for many.

/// Memory comes in large pages otherwise, 2 MiB at a time for each thread's few KiB: control with 100 proxies takes 98 MiB
/// instead of 50, an agent with 100 workloads 22 MB instead of 7. A kernel without such pages refuses, and has no need of
/// this. Before there is a second thread.
pub fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "large pages stay as the system has them");
    }
}
