//! `operator certificate`: a key made here, and control's certificate for it, in one file.

use std::io::{self, Write};
use std::path::Path;

use api::admin::Certify;
use serde::Serialize;
use types::Timestamp;

use crate::admin_client::AdminClient;
use crate::args::Certificate;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::time::Times;
use crate::term::{Palette, Tone, duration, json};
use crate::{credentials, key, shell, tasks};

/// Runs the command.
///
/// # Errors
/// When nothing runs, there is no such operator, or the file cannot be written.
pub fn certificate(args: &Certificate, env: &Env) -> Outcome {
    let seconds = args.time.map(duration::whole_seconds).transpose()?;
    let client = AdminClient::to(env, &args.target)?;
    let (key, csr) = key::request().map_err(|error| Failed::new(format!("no key could be made: {error}")))?;
    let certified = tasks::block_on(client.certify(&Certify { name: args.name.to_string(), csr, seconds }))??;
    let text = credentials::text(&key.serialize_pem(), &certified.chain, &certified.root);
    credentials::write_secret(&args.out, &text).map_err(|error| {
        Failed::new(format!("`{}` cannot be written: {error}", args.out.display()))
            .hint("name another file with `--out FILE`; the certificate that was signed is of no use without its key")
    })?;
    let written = Written {
        kind: "operator-certificate",
        operator: args.name.as_str(),
        serial: &certified.serial,
        not_after: certified.not_after.to_string(),
        file: &args.out,
    };
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &written)?;
    } else {
        show(&mut out, Palette::stdout(env), &Times::local(), &written, certified.not_after)?;
    }
    Ok(Exit::Yes)
}

/// The object of `--json`.
#[derive(Serialize)]
struct Written<'a> {
    kind: &'static str,
    operator: &'a str,
    serial: &'a str,
    not_after: String,
    file: &'a Path,
}

fn show(
    out: &mut impl Write,
    palette: Palette,
    times: &Times,
    written: &Written<'_>,
    not_after: Timestamp,
) -> io::Result<()> {
    let file = shell::quote(&written.file.display().to_string());
    let who = palette.paint(Tone::Strong, &format!("operator {}", written.operator));
    writeln!(out, "{who} may ask from elsewhere until {}\n", times.second(not_after))?;
    writeln!(out, "  {file}  key, certificate and system root, for {} alone", written.operator)?;
    writeln!(out, "  countersign fleet --server https://CONTROL:8441 --credentials {file}")?;
    writeln!(out, "  countersign revoke serial:{} --reason TEXT   takes it away", written.serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_where_until_when_how_and_the_way_back() {
        let written = Written {
            kind: "operator-certificate",
            operator: "alice",
            serial: "0a1b",
            not_after: String::new(),
            file: Path::new("my files/alice.pem"),
        };
        let mut out = Vec::new();
        let end = Timestamp::from_seconds(1_795_425_242);
        show(&mut out, Palette::plain(), &Times::utc(), &written, end).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        operator alice may ask from elsewhere until 2026-11-23 09:14:02 UTC

          'my files/alice.pem'  key, certificate and system root, for alice alone
          countersign fleet --server https://CONTROL:8441 --credentials 'my files/alice.pem'
          countersign revoke serial:0a1b --reason TEXT   takes it away
        ");
    }
}
