//! The demo's words: what there is, what was taken over, and what to do about it, each ready to be pasted.

use std::io::{self, Write};

use types::DecisionId;

use crate::acme::callers::TAKEN_OVER;
use crate::acme::processes::Services;
use crate::admin_client::AdminClient;
use crate::env::Env;
use crate::exit::Failed;
use crate::load::{counts, in_words};
use crate::roles::up::System;
use crate::term::{Palette, Tone, harmless};
use crate::{call, paths, shell};

use super::folder::Folder;

/// How to address this demo on a command line.
pub struct Words {
    program: String,
    /// `--data DIR` with a space before it, or nothing where the commands find it by themselves.
    data: String,
    palette: Palette,
}

/// Says what is up, and gives a way in.
///
/// # Errors
/// When the running system does not answer, or nobody reads.
pub async fn opening(folder: &Folder, services: &Services, system: &System, env: &Env) -> Result<Words, Failed> {
    let client = AdminClient::new(folder.path());
    let words = Words { program: shell::program(env), data: which(folder, env), palette: Palette::stdout(env) };
    let calls = words.calls(folder, &client).await?;
    let console = client.login_link().await?;
    let (palette, mut out) = (words.palette, io::stdout().lock());
    let revision = system.revision();
    let name = palette.paint(Tone::Strong, revision.model().organisation.as_str());
    writeln!(out, "{name} is up, revision {}: {}", revision.id().short(), in_words(counts(&revision)))?;
    let services: Vec<String> = services.iter().map(|(name, at, _)| format!("{name} :{}", at.port())).collect();
    writeln!(out, "its services run on 127.0.0.1: {}", services.join(", "))?;
    writeln!(out, "its files are in {}\n", harmless(&folder.trust().display().to_string()))?;
    writeln!(out, "{}", palette.paint(Tone::Strong, "console: open this once, within ten minutes"))?;
    writeln!(out, "  {}\n", console.url)?;
    for (tone, title, line) in calls {
        writeln!(out, "{}", palette.paint(tone, title))?;
        writeln!(out, "  {line}\n")?;
    }
    writeln!(
        out,
        "Paste one into another terminal. Below is every decision as it is made; Ctrl-C stops and removes all."
    )?;
    writeln!(out)?;
    out.flush()?;
    Ok(words)
}

impl Words {
    fn own(&self, command: &str, arguments: &str) -> String {
        format!("{} {command}{} {arguments}", self.program, self.data)
    }

    /// Three calls that end differently.
    async fn calls(&self, folder: &Folder, client: &AdminClient) -> Result<[(Tone, &'static str, String); 3], Failed> {
        let entry = r#"{"debit":"1600","credit":"1200","cents":21985,"text":"Papier Maurer, invoice R2040"}"#;
        let ledger = "https://ledger.acme.internal/entries";
        let booked = format!("--as finance/payments POST {ledger} -d {}", shell::quote(entry));
        let peeked = "--as hr/portal GET https://payroll.acme.internal/salaries/p-1003";
        Ok([
            (Tone::Good, "allowed: payments books a settled payment", self.own("call", &booked)),
            (Tone::Bad, "refused by policy: the portal shows payslips, never salaries", self.own("call", peeked)),
            (
                Tone::Bad,
                "refused for want of identity: curl without a certificate",
                without_certificate(folder, client, ledger).await?,
            ),
        ])
    }

    /// What happens now, before the first attempt.
    pub fn taken_over(&self) -> String {
        let (domain, name) = TAKEN_OVER;
        self.heading(
            Tone::Bad,
            &format!("{domain}/{name} is taken over"),
            "A build step runs code that nobody reviewed. It holds the certificate of the build runner and looks around:\n\
             salaries, ledger, people, other hosts, odd paths, without a certificate, with a forged one.",
        )
    }

    /// What to do, once it has looked around. The id is that of one of its refusals.
    pub fn what_now(&self, refusal: &DecisionId) -> String {
        let (domain, name) = TAKEN_OVER;
        let subject = format!("{domain}/{name}");
        let mut text = self.heading(
            Tone::Strong,
            "what now: paste one into another terminal",
            "It got nowhere, and keeps trying.",
        );
        let steps = [
            ("why one of these was refused", self.own("explain", &refusal.to_string())),
            (
                "take its trust away: its open connections are cut, and the stream says signals.revoked",
                self.own("revoke", &format!("{subject} --reason 'the build runner was taken over'")),
            ),
            ("give it back", self.own("restore", &format!("{subject} --reason 'the build runner is rebuilt'"))),
            ("who would be refused if everything enforced", self.own("decisions", "--outcome would-deny")),
            ("all of it in the browser: a new link", format!("{} login{}", self.program, self.data)),
        ];
        for (title, line) in steps {
            text.push_str(&format!("{title}\n  {line}\n\n"));
        }
        text
    }

    /// Said once, when the first call of a revoked workload is refused.
    pub fn revoked(&self) -> String {
        let (domain, name) = TAKEN_OVER;
        self.heading(
            Tone::Strong,
            &format!("{domain}/{name} is revoked"),
            "Whatever it may do otherwise, every call of it is refused from here on.",
        )
    }

    /// Said once, when a call is decided on its merits again.
    pub fn restored(&self) -> String {
        let (domain, name) = TAKEN_OVER;
        self.heading(Tone::Strong, &format!("{domain}/{name} is trusted again"), "Policies decide about it as before.")
    }

    /// A line across the stream, and what it means.
    fn heading(&self, tone: Tone, title: &str, text: &str) -> String {
        let line = format!("── {title} {}", "─".repeat(96_usize.saturating_sub(title.chars().count())));
        format!("\n{}\n{text}\n\n", self.palette.paint(tone, &line))
    }
}

/// The data directory has to be named only where the commands would not find it by themselves.
fn which(folder: &Folder, env: &Env) -> String {
    let base = paths::state_base(env).unwrap_or_default();
    if env.data.is_none() && paths::live_below(&base) == [folder.path().to_owned()] {
        return String::new();
    }
    format!(" --data {}", shell::quote(&folder.path().display().to_string()))
}

/// A curl line that knows whom to trust and has nothing to show for itself.
async fn without_certificate(folder: &Folder, client: &AdminClient, url: &str) -> Result<String, Failed> {
    let status = client.status().await?;
    let host = types::Host::parse("ledger.acme.internal").map_err(|reason| Failed::new(reason.title()))?;
    let (domain, address) = call::find(&status, &host, None).await?;
    let roots = shell::quote(&folder.roots(&domain).await?.display().to_string());
    Ok(format!("curl -sS --cacert {roots} --connect-to {host}:443:{address} {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_can_be_pasted_line_by_line() {
        let words = Words {
            program: "target/release/countersign".into(),
            data: " --data '/tmp/a b'".into(),
            palette: Palette::plain(),
        };
        let id = DecisionId::new(1_795_425_242_131, [7; 10]);
        let text = words.what_now(&id);
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        let program = "target/release/countersign";
        assert_eq!(
            lines,
            [
                format!("{program} explain --data '/tmp/a b' {id}"),
                format!("{program} revoke --data '/tmp/a b' platform/ci --reason 'the build runner was taken over'"),
                format!("{program} restore --data '/tmp/a b' platform/ci --reason 'the build runner is rebuilt'"),
                format!("{program} decisions --data '/tmp/a b' --outcome would-deny"),
                format!("{program} login --data '/tmp/a b'"),
            ]
        );
    }
}
