//! One example service as a process: what it is by its path, its address, its end.

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use axum::{Json, Router, http::StatusCode, routing::get};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use super::{
    catalogue::{self, SERVICES},
    services,
    store::Store,
};

/// How long open connections may go on after the service was told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// The exit code of a service whose port another program holds (`EX_TEMPFAIL` of sysexits).
pub const PORT_TAKEN: u8 = 75;

/// Why a service could not run.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// No service has this name.
    #[error("the example organisation has no service `{0}`")]
    UnknownService(String),
    /// The directory for its database could not be made.
    #[error("cannot make the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database could not be opened or filled.
    #[error("cannot open the database `{}`", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The runtime or the server failed.
    #[error("the service stopped")]
    Stopped(#[source] std::io::Error),
}

impl AcmeError {
    fn is_port_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    }
}

/// Which service an executable is to be, by its path: `…/acme-ledger` is `ledger`. `None` for every other path, those
/// of the workloads that only call included: they are the command line under another name.
pub fn service_name_from_exe(path: &Path) -> Option<&'static str> {
    let name = name_from_exe(path)?;
    SERVICES.iter().map(|service| service.name).find(|known| *known == name)
}

/// Whose path this is: `…/acme-payments` is `payments`.
pub(super) fn name_from_exe(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.strip_prefix("acme-")?;
    catalogue::names().find(|known| *known == name)
}

/// The whole program of a service: reads `ADDRESS STATE_DIR`, runs until stopped, says on stderr why it could not.
/// `arguments` are those after the program's name. Exit code 0 when stopped, 2 when it could not run, 64 for wrong usage,
/// [`PORT_TAKEN`] when another program listens there.
pub fn service_main(name: &str, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some((address, state_dir)) = read_arguments(arguments) else {
        log(&format!("usage: acme-{name} ADDRESS STATE_DIR"));
        return ExitCode::from(64);
    };
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AcmeError::Stopped)
        .and_then(|runtime| runtime.block_on(run(name, address, &state_dir)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&with_causes(&error));
            ExitCode::from(if error.is_port_taken() { PORT_TAKEN } else { 2 })
        }
    }
}

/// Serves `name` on `address` with its database in `state_dir`, which is made if it is missing. Ends in order on
/// SIGTERM, on SIGINT, and when stdin ends: the parent holds the other end of that pipe, so a service never outlives it.
///
/// # Errors
/// See [`AcmeError`]; the address and the database are tried before anything is served.
pub async fn run(name: &str, address: SocketAddr, state_dir: &Path) -> Result<(), AcmeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| AcmeError::Listen { address, source })?;
    let stop = stop_requested().map_err(AcmeError::Stopped)?;
    serve(name, listener, state_dir, stop).await
}

/// Serves `name` on a bound listener until `stop` is done.
pub(super) async fn serve(
    name: &str,
    listener: TcpListener,
    state_dir: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AcmeError> {
    let router = router(name, state_dir)?;
    let address = listener.local_addr().map_err(AcmeError::Stopped)?;
    log(&format!("acme-{name} listens on {address}"));
    let (stopping, mut stopped) = watch::channel(false);
    let graceful = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(graceful).into_future();
    let overdue = async move {
        // An error means that the server is gone, and with it what would be overdue.
        if stopped.wait_for(|now| *now).await.is_ok() {
            tokio::time::sleep(DRAIN).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = serving => served.map_err(AcmeError::Stopped)?,
        () = overdue => log("open connections were cut"),
    }
    log(&format!("acme-{name} stops"));
    Ok(())
}

fn router(name: &str, state_dir: &Path) -> Result<Router, AcmeError> {
    let (entry, parts) = SERVICES
        .iter()
        .find(|service| service.name == name)
        .and_then(|entry| services::parts(name).map(|parts| (entry, parts)))
        .ok_or_else(|| AcmeError::UnknownService(name.to_owned()))?;
    std::fs::create_dir_all(state_dir).map_err(|source| AcmeError::Directory { path: state_dir.to_owned(), source })?;
    let path = state_dir.join(format!("{name}.sqlite3"));
    let store = Store::open(&path, parts.setup).map_err(|source| AcmeError::Database { path, source })?;
    let name = entry.name;
    let health = get(move || async move { Json(json!({ "service": name })) });
    Ok((parts.router)(store).route("/healthz", health).fallback(no_such_page))
}

async fn no_such_page() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "there is no such page" })))
}

fn read_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<(SocketAddr, PathBuf)> {
    let address = arguments.next()?.to_str()?.parse().ok()?;
    let state_dir = PathBuf::from(arguments.next()?);
    arguments.next().is_none().then_some((address, state_dir))
}

/// Done at the first of SIGTERM, SIGINT and the end of stdin.
pub(super) fn stop_requested() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (ended, stdin_ended) = oneshot::channel::<()>();
    // A plain thread: a runtime would wait at its end for a read of stdin that may never return.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        wait_for_end(std::io::stdin());
        drop(ended);
    })?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stdin_ended => {}
        }
    })
}

fn wait_for_end(mut input: impl Read) {
    let mut ignored = [0; 256];
    loop {
        match input.read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Writes a line to stderr, which is the service's log file. A log that cannot be written must not stop the service.
pub(super) fn log(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
