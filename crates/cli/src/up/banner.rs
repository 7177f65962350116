//! What is up, in a few aligned lines.

use std::io::{self, Write};

use api::admin::ListenerStatus;

use crate::env::Env;
use crate::load::{counts, in_words};
use crate::paths::{ADMIN_SOCKET, WORKLOAD_SOCKET};
use crate::term::{Palette, Tone, harmless};
use crate::up::System;

/// What a listener without TLS means for whoever starts it.
const PLAINTEXT: &str =
    "insecure_plaintext: no TLS, so nobody proves who calls; it serves only what has identity in observe or shadow";

/// Says it on standard output.
///
/// # Errors
/// When that cannot be written.
pub fn show(system: &System, env: &Env) -> io::Result<()> {
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    let revision = system.revision();
    let organisation = palette.paint(Tone::Strong, revision.model().organisation.as_str());
    writeln!(out, "{organisation} is up, revision {}\n", revision.id().short())?;
    for listener in system.listeners() {
        let status = &listener.status;
        writeln!(out, "  {}", taking(status))?;
        if status.plaintext {
            writeln!(out, "  {:<11} {}", "", palette.paint(Tone::Caution, PLAINTEXT))?;
        }
        if let Some(taken) = listener.instead_of {
            writeln!(out, "  {:<11} {}", "", palette.paint(Tone::Caution, &format!("port {} is taken", taken.port())))?;
        }
    }
    let data = system.data();
    writeln!(out, "  {:<11} {}", "identities", harmless(&data.join(WORKLOAD_SOCKET).display().to_string()))?;
    writeln!(out, "  {:<11} {}", "admin", harmless(&data.join(ADMIN_SOCKET).display().to_string()))?;
    writeln!(out, "  {:<11} {}", "log", harmless(&data.join("log").display().to_string()))?;
    for finding in system.findings() {
        writeln!(out, "  {:<11} {}", "", palette.paint(Tone::Caution, &harmless(finding)))?;
    }
    if let Some(console) = system.console() {
        writeln!(out, "  {:<11} http://{console}   countersign login", "console")?;
    }
    writeln!(out, "  {:<11} {}", "holds", in_words(counts(&revision)))?;
    for notice in system.notices() {
        writeln!(out, "\n{}", palette.paint(Tone::Caution, &harmless(notice)))?;
    }
    writeln!(out, "\n{}", palette.paint(Tone::Quiet, "Ctrl-C stops it."))?;
    out.flush()
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
