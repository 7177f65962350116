//! Control's end of the wire: one service for all peers, far away or in this process.
//!
//! `hub` makes what peers are told, once for all; `follow` is one connection, `reports` what comes over it (`frames` bounds
//! its length) and `sending` what it sends next; `heard` is what peers said of themselves; `who` says who may ask; `join`
//! makes peers; `adopt` takes over what peers know that a restored store lost.

mod adopt;
mod follow;
mod frames;
mod gate;
pub(crate) mod heard;
pub(crate) mod hub;
mod join;
mod nonces;
mod refusals;
mod reports;
mod sending;
mod service;
mod shelf;
pub(crate) mod state;
mod who;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::wire::server::{PeerInfo, builder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

pub(crate) use self::heard::{Behind, NodeHoldings, is_gateway};

use self::gate::Gate;
use self::service::Service;
use crate::acts::with_causes;
use crate::service::Control;

/// Between looks at what peers must be told and what was heard of them.
const LOOK: Duration = Duration::from_secs(1); // tidy: once a second, as heartbeats
/// How long connections may take once the service was asked to finish.
const DRAIN: Duration = Duration::from_millis(500); // tidy: at the end of the process only

/// Serves peers, the connections of [`::wire::server::Incoming`] or others that say who stands at their other end, until `finishing` becomes true, its sender is gone, or nobody can come any more. Several may run at once,
/// one for each way in.
///
/// # Errors
/// When the connections cannot be served.
pub async fn serve<C: Connected<ConnectInfo = PeerInfo> + AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    control: Arc<Control>,
    incoming: impl Stream<Item = io::Result<C>> + Send + 'static,
    finishing: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    control.look().await;
    let looking = tokio::spawn(look_each_second(Arc::clone(&control), finishing.clone()));
    let service = Gate::new(Service { control: Arc::clone(&control), finishing: finishing.clone() });
    let late = finishing.clone();
    let serving = builder().add_service(service).serve_with_incoming_shutdown(incoming, asked(finishing));
    let served = tokio::select! {
        served = serving => served,
        () = async { asked(late).await; sleep(DRAIN).await } => Ok(()),
    };
    looking.abort();
    control.look().await;
    served
}

/// Resolves when the service is to end.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

/// Roots may change at any moment, what could not be told is tried again, and what was heard is kept.
async fn look_each_second(control: Arc<Control>, finishing: watch::Receiver<bool>) {
    let mut changes = control.parts.issuance.changes();
    let mut seconds = interval(LOOK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut issuer_is_there = true;
    let end = asked(finishing);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = seconds.tick() => {}
            changed = changes.changed(), if issuer_is_there => issuer_is_there = changed.is_ok(),
        }
        control.look().await;
    }
}

impl Control {
    /// Off the threads that carry connections.
    async fn look(self: &Arc<Self>) {
        let control = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            control.tell_peers();
            control.keep_heard();
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking after peers failed");
        }
    }

    fn keep_heard(&self) {
        let heard = self.hub.peers.unkept();
        if heard.is_empty() {
            return;
        }
        if let Err(error) = self.parts.store.keep_last(&heard) {
            tracing::error!(error = with_causes(&error), "what was heard of peers is not kept; it is tried again");
            self.hub.peers.still_unkept(&heard);
        }
    }
}

#[cfg(test)]
mod tests;
