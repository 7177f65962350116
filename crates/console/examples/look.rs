//! Serves the console over the double of the tests, to look at pages without an installation:
//! `cargo run -p countersign-console --example look [acme|empty|hostile|large] [PORT]` prints a login link.

#[path = "../tests/it/double/mod.rs"]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is test code, borrowed")]
mod double;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use api::admin::Admin;
use double::{Double, World};
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::{Clock, Timestamp};

/// The clock of this machine.
struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "an example for people who look; nothing depends on its time")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp::from_micros(since.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let world = match words.next().as_deref() {
        Some("empty") => World::Empty,
        Some("hostile") => World::Hostile,
        Some("large") => World::Large,
        _ => World::Acme,
    };
    let port = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut double = Double::new(world, Arc::new(System));
    double.console = listener.local_addr()?;
    println!("{}", double.login_link("local").map_err(std::io::Error::other)?.url);
    let (_finish, finishing) = watch::channel(false);
    countersign_console::serve(listener, Arc::new(double), Arc::new(System), finishing).await
}
