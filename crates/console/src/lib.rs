//! The web console: pages over `api::admin::Admin`, rendered here, readable without scripts and without a network.
//!
//! It speaks plain HTTP on a loopback address, or is served over TLS by whoever has a certificate ([`pages`]). Every page
//! but the login asks for a session, every act for a token of that session beside; docs/decisions/0008 says why the
//! cookie is what it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::admin::Admin;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Clock;

mod answer;
mod assets;
mod chart;
mod map;
mod pages;
mod peers;
mod places;
mod room;
mod rows;
mod session;
mod shield;
mod show;
mod site;
mod text;

pub use places::{Door, Place, places};
pub use site::Site;

/// How long answers may take once the console was asked to finish.
const DRAIN: Duration = Duration::from_millis(500);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Console {
    admin: Arc<dyn Admin>,
    clock: Arc<dyn Clock>,
    /// Where it is served: the only hosts that requests may name.
    site: Arc<Site>,
}

/// The pages, for a server that speaks TLS and asks for no certificate of a browser.
pub fn pages(admin: Arc<dyn Admin>, clock: Arc<dyn Clock>, site: Site) -> Router {
    places::router(Console { admin, clock, site: Arc::new(site) })
}

/// Serves until `finishing` becomes true, or its sender is gone.
///
/// # Errors
/// When the listener is not on a loopback address: sessions and acts would cross a network in the clear.
pub async fn serve(
    listener: TcpListener,
    admin: Arc<dyn Admin>,
    clock: Arc<dyn Clock>,
    finishing: watch::Receiver<bool>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let words = format!("the console speaks plain HTTP and is served on loopback only, not on {address}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    let late = finishing.clone();
    let routes = pages(admin, clock, Site::loopback(address));
    let serving = axum::serve(room::Room::new(listener), routes).with_graceful_shutdown(asked(finishing));
    tokio::select! {
        served = async { serving.await } => served,
        () = async { asked(late).await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

/// Resolves when the console is to end.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}
