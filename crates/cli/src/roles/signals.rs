//! What a process is told from outside.

use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};

use crate::exit::Failed;

/// What a process is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    Hangup,
}

/// SIGINT, SIGTERM and SIGHUP.
pub struct Signals {
    interrupt: Incoming,
    terminate: Incoming,
    hangup: Incoming,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn new() -> Result<Self, Failed> {
        let listen = |kind| signal(kind).map_err(|error| Failed::new(format!("signals cannot be received: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }

    /// The next SIGINT or SIGTERM.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }

    /// The next one, for those to whom a terminal that is closed is the end.
    #[cfg(feature = "demo")]
    pub async fn any(&mut self) {
        self.next().await;
    }
}
