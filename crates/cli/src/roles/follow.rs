//! Following control: the start of a peer, and the wait for what it needs to begin.

use std::io::Write;
use std::time::Duration;

use tokio::sync::watch;
use wire::{Config, Link, NoState, Peer};

use super::signals::{Signal, Signals};
use crate::exit::Failed;
use crate::manager;
use crate::term::{causes, harmless_lines};

/// How long the roles of one process may take to hear from each other.
const WITHIN: Duration = Duration::from_secs(20);

/// Begins to follow control.
///
/// # Errors
/// What an operator has to put right first.
pub fn start(config: Config) -> Result<Peer, Failed> {
    let data = config.data.clone();
    wire::start(config).map_err(|error| {
        let failed = Failed::new(causes(&error));
        match &error {
            wire::StartError::Url(_) => {
                failed.hint("give `control.url` in node.yaml the address of control's listener of kind `wire`")
            }
            wire::StartError::Folder { .. } => {
                failed.hint("check that the data directory is writable, or name another as `data` in node.yaml")
            }
            wire::StartError::InUse(_) => {
                failed.hint(format!("stop that process, or give this one another `data` than {}", data.display()))
            }
            // they say what to do themselves
            wire::StartError::OtherRoot { .. } | wire::StartError::OtherName { .. } => failed,
            wire::StartError::Root(_) => failed.hint("see what stands above; COUNTERSIGN_LOG=info says more"),
            wire::StartError::NoToken => failed
                .hint("write what it prints to a file (mode 0600), and name that as `control.token_file` in node.yaml"),
        }
    })
}

/// What control says when roles of one process do not hear from it.
///
/// # Errors
/// When they do not in time.
pub async fn within<T>(peer: &Peer, what: impl Future<Output = Result<T, NoState>>) -> Result<T, Failed> {
    match tokio::time::timeout(WITHIN, what).await {
        Ok(Ok(there)) => Ok(there),
        Ok(Err(error)) => Err(Failed::new(format!("following control ended: {error}"))),
        Err(_) => Err(Failed::new(format!(
            "control did not say what is current within {} s: {}",
            WITHIN.as_secs(),
            why(peer)
        ))
        .hint("see what stands above; COUNTERSIGN_LOG=info says more")),
    }
}

fn why(peer: &Peer) -> String {
    match &*peer.link().borrow() {
        Link::Connected { .. } => "the connection is open, and what came was not taken".to_owned(),
        Link::Waiting { why, .. } => why.clone(),
    }
}

/// Waits for what a process needs to begin, and says on standard output why it waits: once for each reason. `None` when it
/// was told to stop meanwhile.
///
/// # Errors
/// When the peer ended by itself.
pub async fn first<T>(
    peer: &Peer,
    signals: &mut Signals,
    what: impl Future<Output = Result<T, NoState>>,
    reload: impl Fn(),
) -> Result<Option<T>, Failed> {
    let mut what = std::pin::pin!(what);
    let mut link = peer.link();
    let mut told = String::new();
    loop {
        tokio::select! {
            there = &mut what => {
                return there.map(Some).map_err(|error| Failed::new(format!("following control ended: {error}")));
            }
            signal = signals.next() => match signal {
                Signal::Stop => return Ok(None),
                Signal::Hangup => reload(),
            },
            why = next_reason(&mut link, &told) => {
                tell(&why);
                told = why;
            }
        }
    }
}

/// The next reason to wait that is not the one that was told.
async fn next_reason(link: &mut watch::Receiver<Link>, told: &str) -> String {
    let is_new = |link: &Link| matches!(link, Link::Waiting { why, .. } if !why.is_empty() && why != told);
    match link.wait_for(is_new).await.as_deref() {
        Ok(Link::Waiting { why, .. }) => why.clone(),
        Ok(Link::Connected { .. }) | Err(_) => std::future::pending().await,
    }
}

fn tell(why: &str) {
    let line = format!("waiting for control: {}\n", harmless_lines(why));
    // nobody may be left to read it; a service manager is told as well
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    manager::status(&format!("waiting for control: {why}"));
}
