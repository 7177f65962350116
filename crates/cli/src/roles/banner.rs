//! What is up, in a few aligned lines.

use std::io::{self, Write};

use api::admin::ListenerStatus;
use wire::Link;

use super::core::Core;
use super::enforcer::Bound;
use super::{agent, proxy, up};
use crate::env::Env;
use crate::load::{counts, in_words};
use crate::paths::{ADMIN_SOCKET, WORKLOAD_SOCKET};
use crate::term::{Palette, Tone, harmless};

/// What a listener without TLS means for whoever starts it.
const PLAINTEXT: &str =
    "insecure_plaintext: no TLS, so nobody proves who calls; it serves only what has identity in observe or shadow";

/// Everything in one process.
///
/// # Errors
/// When it cannot be written.
pub fn up(system: &up::System, env: &Env) -> io::Result<()> {
    let mut lines = Lines::new(env);
    let revision = system.revision();
    lines.title(revision.model().organisation.as_str(), &format!("is up, revision {}", revision.id().short()))?;
    lines.listeners(system.listeners())?;
    lines.path("identities", &system.data().join(WORKLOAD_SOCKET).display().to_string())?;
    lines.control(&system.core)?;
    lines.end()
}

/// Control alone.
///
/// # Errors
/// When it cannot be written.
pub fn control(core: &Core, env: &Env) -> io::Result<()> {
    let mut lines = Lines::new(env);
    let revision = core.revision.load();
    let title = format!("control is up, revision {}", revision.id().short());
    lines.title(revision.model().organisation.as_str(), &title)?;
    lines.control(core)?;
    lines.end()
}

/// A proxy alone.
///
/// # Errors
/// When it cannot be written.
pub fn proxy(running: &proxy::Running, env: &Env) -> io::Result<()> {
    let mut lines = Lines::new(env);
    let revision = running.revision.load();
    lines.title(&format!("proxy/{}", running.name), &format!("is up, revision {}", revision.id().short()))?;
    lines.listeners(&running.listeners)?;
    lines.link(&running.peer.link().borrow(), "what it enforces is its last good state")?;
    lines.path("log", &running.opened.log.dir().display().to_string())?;
    for finding in &running.opened.findings {
        lines.caution(finding)?;
    }
    lines.end()
}

/// An agent alone.
///
/// # Errors
/// When it cannot be written.
pub fn agent(running: &agent::Running, env: &Env) -> io::Result<()> {
    let mut lines = Lines::new(env);
    lines.title(&format!("agent/{}", running.name), "is up")?;
    lines.path("identities", &running.socket.display().to_string())?;
    lines.link(&running.peer.link().borrow(), "it hands out nothing new until control answers")?;
    lines.end()
}

/// Lines on standard output.
struct Lines {
    palette: Palette,
    out: io::StdoutLock<'static>,
}

impl Lines {
    fn new(env: &Env) -> Self {
        Self { palette: Palette::stdout(env), out: io::stdout().lock() }
    }

    fn title(&mut self, who: &str, is: &str) -> io::Result<()> {
        writeln!(self.out, "{} {is}\n", self.palette.paint(Tone::Strong, &harmless(who)))
    }

    fn path(&mut self, name: &str, value: &str) -> io::Result<()> {
        writeln!(self.out, "  {name:<11} {}", harmless(value))
    }

    fn caution(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {:<11} {}", "", self.palette.paint(Tone::Caution, &harmless(text)))
    }

    fn listeners(&mut self, listeners: &[Bound]) -> io::Result<()> {
        for listener in listeners {
            writeln!(self.out, "  {}", taking(&listener.status))?;
            if listener.status.plaintext {
                self.caution(PLAINTEXT)?;
            }
            if let Some(taken) = listener.instead_of {
                self.caution(&format!("port {} is taken", taken.port()))?;
            }
        }
        Ok(())
    }

    /// The doors of control, its log, and what the operator should know.
    fn control(&mut self, core: &Core) -> io::Result<()> {
        if let Some(address) = core.wire {
            self.path("peers", &format!("https://{address}   countersign join-token"))?;
        }
        if let Some(address) = core.bundle {
            self.path("bundles", &format!("https://{address}/DOMAIN   for those who federate with us"))?;
        }
        self.path("admin", &core.data().join(ADMIN_SOCKET).display().to_string())?;
        self.path("log", &core.opened.log.dir().display().to_string())?;
        for finding in &core.opened.findings {
            self.caution(finding)?;
        }
        self.path("console", &format!("{}   countersign login", core.console.origin))?;
        self.path("holds", &in_words(counts(&core.revision.load())))?;
        for notice in &core.notices {
            writeln!(self.out, "\n{}", self.palette.paint(Tone::Caution, &harmless(notice)))?;
        }
        Ok(())
    }

    fn link(&mut self, link: &Link, without: &str) -> io::Result<()> {
        match link {
            Link::Connected { control, .. } => self.path("control", control),
            Link::Waiting { why, .. } => {
                let why = if why.is_empty() { "not reached yet" } else { why };
                self.path("control", why)?;
                self.caution(without)
            }
        }
    }

    fn end(mut self) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.palette.paint(Tone::Quiet, "Ctrl-C stops it."))?;
        self.out.flush()
    }
}

/// Where a listener takes calls, for whom, and how it is spoken to.
fn taking(status: &ListenerStatus) -> String {
    let scheme = if status.plaintext { "http" } else { "https" };
    format!("{:<11} {scheme}://{}   {}", status.name, status.address, status.domains.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_without_tls_is_not_said_to_speak_https() {
        let mut status = ListenerStatus {
            name: "old".into(),
            address: ([127, 0, 0, 1], 8_080).into(),
            domains: vec!["finance".into(), "hr".into()],
            plaintext: true,
        };
        assert_eq!(taking(&status), "old         http://127.0.0.1:8080   finance, hr");
        status.plaintext = false;
        assert_eq!(taking(&status), "old         https://127.0.0.1:8080   finance, hr");
    }
}
