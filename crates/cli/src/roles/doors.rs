//! The doors of control: the admin socket, the console and the admin API, and the listeners that peers connect to.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use api::admin::Admin;
use control::{AdminSocket, AdminTls, BundleCertificate, BundleEndpoint, ConsoleAt, Control};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::node::{Admin as AdminListener, BundleListener, WireListener};
use types::{Clock, Label};

use super::system_tls::SystemTls;
use crate::exit::Failed;
use crate::paths::ADMIN_SOCKET;
use crate::term::{causes, harmless};

/// The console and the admin API, bound and not yet served.
pub struct AdminDoor {
    /// Where, and what links to it begin with.
    pub at: ConsoleAt,
    names: Vec<String>,
    tls: bool,
    listener: TcpListener,
}

/// Binds the address, or the next free port where it is taken and only this machine looks for it.
///
/// # Errors
/// When nothing can be bound there.
pub fn bind_admin(wanted: &AdminListener, notices: &mut Vec<String>) -> Result<AdminDoor, Failed> {
    let hint = "give `admin.address` another value in node.yaml";
    let address = wanted.address;
    let bound = ::proxy::bind(address);
    let (listener, bound) = bound.map_err(|error| {
        Failed::new(format!("the console cannot be served on {address}: {}", causes(&error))).hint(hint)
    })?;
    if address.port() != 0 && address.port() != bound.port() {
        if wanted.tls {
            return Err(
                Failed::new(format!("the admin API cannot be served on {address}: the port is taken")).hint(hint)
            );
        }
        notices.push(format!("port {} is taken; the console is on {}", address.port(), bound.port()));
    }
    let names: Vec<String> = wanted.names.iter().map(ToString::to_string).collect();
    let origin = match (wanted.tls, names.first()) {
        (true, Some(name)) => format!("https://{name}:{}", bound.port()),
        (true, None) => format!("https://{bound}"),
        (false, _) => format!("http://{bound}"),
    };
    Ok(AdminDoor { at: ConsoleAt { address: bound, origin }, names, tls: wanted.tls, listener })
}

impl AdminDoor {
    /// Serves it until the process ends.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(
        self,
        control: &Arc<Control>,
        tls: &SystemTls,
        clock: Arc<dyn Clock>,
        finishing: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, Failed> {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(|error| Failed::new(format!("the console cannot be served: {error}")))?;
        let admin: Arc<dyn Admin> = Arc::<Control>::clone(control);
        if !self.tls {
            return Ok(tokio::spawn(async move {
                if let Err(error) = console::serve(listener, admin, clock, finishing).await {
                    tracing::error!(%error, "the console ended");
                }
            }));
        }
        let door = AdminTls { listener, config: tls.config(), trust: tls.trust() };
        let site = console::Site::tls(self.at.address.port(), self.names);
        let (pages, control) = (console::pages(admin, clock, site), Arc::clone(control));
        Ok(tokio::spawn(async move {
            control::serve_tls(door, control, Some(pages), finishing).await;
        }))
    }
}

/// Makes the admin socket and answers there until the process ends.
///
/// # Errors
/// When it cannot be made.
pub fn serve_socket(
    data: &Path,
    control: Arc<Control>,
    finishing: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failed> {
    let socket = AdminSocket::bind(&data.join(ADMIN_SOCKET))
        .map_err(|error| Failed::new(harmless(&causes(&error))).hint("check that the data directory is writable"))?;
    Ok(tokio::spawn(async move {
        control::serve(socket, control, finishing).await;
    }))
}

/// Binds a listener for peers. Others know its address, so that no other port will do.
///
/// # Errors
/// When it cannot be bound.
pub fn bind_wire(wanted: &WireListener) -> Result<(TcpListener, SocketAddr), Failed> {
    bind(&wanted.name, wanted.address)
}

/// Binds the listener where others fetch our bundles, and reads its certificate.
///
/// # Errors
/// When it cannot be bound, or the certificate cannot be used.
pub fn bind_bundle(wanted: &BundleListener) -> Result<(BundleEndpoint, SocketAddr), Failed> {
    let certificate = BundleCertificate::open(Path::new(&wanted.certificate), Path::new(&wanted.key));
    let certificate = certificate.map_err(|error| {
        Failed::new(format!("listener `{}`: {}", wanted.name, harmless(&error.to_string()))).hint(error.hint())
    })?;
    let (listener, address) = bind(&wanted.name, wanted.address)?;
    let failed = |error| Failed::new(format!("listener `{}` cannot be used: {error}", wanted.name));
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    Ok((BundleEndpoint { listener, certificate }, address))
}

fn bind(name: &Label, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failed> {
    let failed = |error: &std::io::Error| {
        Failed::new(format!("listener `{name}`: {address} cannot be listened on: {error}"))
            .hint("free it, or give the listener another address in node.yaml")
    };
    let listener = TcpListener::bind(address).map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    Ok((listener, address))
}

/// Serves peers that arrive here until the process ends.
pub fn serve_wire(
    incoming: wire::server::Incoming,
    control: Arc<Control>,
    finishing: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = control::wire::serve(control, incoming, finishing).await {
            tracing::error!(error = causes(&error), "peers are served no more");
        }
    })
}
