//! The admin service as HTTP/1.1 and JSON: on its socket for the users of this machine, and over TLS for operators
//! elsewhere. One router serves both; who asks is the door's to say.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use types::limits;

use crate::service::Control;
use crate::socket::AdminSocket;

mod answer;
mod door;
mod questions;
mod table;
mod tls;

use door::Door;
pub use tls::{AdminTls, serve_tls};

/// How long answers may take once the service was asked to finish.
const DRAIN: Duration = Duration::from_millis(500); // tidy: at the end of the process only

/// What the handlers share.
#[derive(Clone)]
struct Service {
    control: Arc<Control>,
    /// True once the service is to end.
    finishing: watch::Receiver<bool>,
}

/// Serves the admin API until `finishing` becomes true, or its sender is gone. Streams that follow the log end then.
pub async fn serve(socket: AdminSocket, control: Arc<Control>, finishing: watch::Receiver<bool>) {
    let routes = table::router(Service { control: Arc::clone(&control), finishing: finishing.clone() });
    let owner = socket.owner();
    let mut users = control.users.subscribe();
    // others than the owner share so much room, so that the owner always finds some
    let others = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS.default_usize()));
    let mut talks = JoinSet::new();
    socket.open_to_users(*users.borrow_and_update());
    loop {
        let (stream, uid) = tokio::select! {
            accepted = socket.accept() => accepted,
            Ok(()) = users.changed() => {
                socket.open_to_users(*users.borrow_and_update());
                continue;
            }
            () = asked(finishing.clone()) => break,
        };
        while talks.try_join_next().is_some() {}
        let room = (uid != owner).then(|| Arc::clone(&others).try_acquire_owned());
        if matches!(room, Some(Err(_))) {
            tracing::warn!(uid, "too many connections of other users to the admin socket");
            continue;
        }
        let talk = talk(stream, routes.clone().layer(Extension(Door::User { uid, owner })), finishing.clone());
        talks.spawn(async move {
            let _room = room;
            talk.await;
        });
    }
    drain(talks).await;
}

/// One connection, from its first request to its last.
async fn talk<S>(stream: S, routes: Router, finishing: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEAD_TIME.default))
        .max_buf_size(limits::HEAD_BYTES.default_usize())
        .max_headers(limits::HEADER_COUNT.default_usize());
    let talk = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut talk = core::pin::pin!(talk);
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = asked(finishing) => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the admin API ended early");
    }
}

/// Lets answers that are on their way arrive.
async fn drain(mut talks: JoinSet<()>) {
    let all = async { while talks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, all).await;
}

/// Resolves when the service is to end.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

#[cfg(test)]
mod tests;
