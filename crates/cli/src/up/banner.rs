//! What is up, in a few aligned lines.

use std::io::{self, Write};

use crate::env::Env;
use crate::load::{counts, in_words};
use crate::paths::{ADMIN_SOCKET, WORKLOAD_SOCKET};
use crate::term::{Palette, Tone, harmless};
use crate::up::System;

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
        writeln!(out, "  {:<11} https://{}   {}", status.name, status.address, status.domains.join(", "))?;
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
    writeln!(out, "  {:<11} {}", "holds", in_words(counts(revision)))?;
    writeln!(out, "\n{}", palette.paint(Tone::Quiet, "Ctrl-C stops it."))?;
    out.flush()
}
