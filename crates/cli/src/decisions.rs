//! `decisions`: what was asked and answered, one line each.

use std::io::{self, Write};

use api::admin::{Answer, DEFAULT_LIMIT, DecisionQuery, Entry};
use runtime::clock::SystemClock;
use types::{Clock, WorkloadId};

use crate::admin_client::{AdminClient, Lines};
use crate::args::{Decisions, OutcomeArg};
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::listing::Listing;
use crate::term::time::Times;
use crate::term::{Palette, json};

/// How many earlier decisions a stream begins with.
const BEFORE_FOLLOWING: usize = 10;

/// Runs the command.
///
/// # Errors
/// When no process runs, or its answer breaks off.
pub fn run(args: Decisions, env: &Env) -> Outcome {
    let query = query(&args)?;
    let client = AdminClient::to(env, &args.target)?;
    if args.counts {
        return crate::counts::run(&client, &query, args.json, env);
    }
    crate::tasks::block_on(async {
        let lines = client.decisions(&query).await?;
        if args.json {
            return as_json(lines).await;
        }
        let node = client.status().await?.node;
        if args.follow { follow(lines, env, &node).await } else { list(lines, env, &query, &node).await }
    })?
}

fn query(args: &Decisions) -> Result<DecisionQuery, Failed> {
    let limit = match (args.limit, args.follow, args.since) {
        (Some(limit), ..) => Some(limit),
        (None, _, Some(_)) => None,
        (None, true, None) => Some(BEFORE_FOLLOWING),
        (None, false, None) => Some(DEFAULT_LIMIT),
    };
    if let Some(caller) = args.caller.as_ref().filter(|caller| !caller.starts_with("spiffe://")) {
        caller.parse::<WorkloadId>().map_err(|error| Failed::usage(format!("--caller: {error}")))?;
    }
    let now = SystemClock.now().micros();
    let since = args.since.map(|ago| now.saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)));
    let outcome = args.outcome.map(|outcome| match outcome {
        OutcomeArg::Allow => Answer::Allow,
        OutcomeArg::WouldDeny => Answer::WouldDeny,
        OutcomeArg::Deny => Answer::Deny,
    });
    Ok(DecisionQuery { caller: args.caller.clone(), outcome, since, limit, follow: args.follow })
}

async fn list(mut lines: Lines, env: &Env, query: &DecisionQuery, node: &str) -> Outcome {
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(entry) = lines.next().await? {
        entries.push(entry);
    }
    let mut out = io::stdout().lock();
    if entries.is_empty() {
        writeln!(out, "{}", none(query))?;
        return Ok(Exit::Yes);
    }
    let mut listing = Listing::of(Palette::stdout(env), Times::local(), &entries).told_by(node);
    for entry in &entries {
        writeln!(out, "{}", listing.line(entry))?;
    }
    Ok(Exit::Yes)
}

/// An empty answer says what to do next.
pub fn none(query: &DecisionQuery) -> &'static str {
    if query.outcome == Some(Answer::WouldDeny) && query.caller.is_none() && query.since.is_none() {
        return "no would-denies: nothing was allowed only because a check is in shadow";
    }
    let filtered = query.caller.is_some() || query.outcome.is_some() || query.since.is_some();
    if filtered { "no decisions; try without filters" } else { "no decisions; make one with `countersign call`" }
}

async fn follow(mut lines: Lines, env: &Env, node: &str) -> Outcome {
    let mut listing = Listing::following(Palette::stdout(env), Times::local()).told_by(node);
    while let Some(entry) = lines.next().await? {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", listing.line(&entry))?;
        out.flush()?;
    }
    let _ = io::stderr().write_all("the process that was followed has stopped\n".as_bytes());
    Ok(Exit::Yes)
}

/// Prints what happens from now on, until the process that is asked ends. For commands that serve and show at once.
pub async fn stream(data: std::path::PathBuf, env: Env) -> Outcome {
    let query = DecisionQuery { limit: Some(0), follow: true, ..DecisionQuery::default() };
    let client = AdminClient::new(&data);
    let node = client.status().await?.node;
    follow(client.decisions(&query).await?, &env, &node).await
}

async fn as_json(mut lines: Lines) -> Outcome {
    while let Some(entry) = lines.next::<Entry>().await? {
        let mut out = io::stdout().lock();
        json::line(&mut out, &entry)?;
        out.flush()?;
    }
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parsed(arguments: &[&str]) -> Result<DecisionQuery, Failed> {
        let line = ["countersign", "decisions"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Decisions(args) => query(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn how_many_depends_on_what_was_asked() {
        assert_eq!(parsed(&[]).unwrap().limit, Some(DEFAULT_LIMIT));
        assert_eq!(parsed(&["--follow"]).unwrap().limit, Some(BEFORE_FOLLOWING));
        assert_eq!(parsed(&["--since", "1h"]).unwrap().limit, None);
        assert_eq!(parsed(&["--since", "1h", "--limit", "3"]).unwrap().limit, Some(3));
        assert!(parsed(&["--since", "1h"]).unwrap().since.is_some_and(|since| since > 0));
    }

    #[test]
    fn a_caller_that_cannot_be_one_is_wrong_usage() {
        assert_eq!(parsed(&["--caller", "payments"]).unwrap_err().exit, Exit::Usage);
        assert!(parsed(&["--caller", "spiffe://x/y"]).is_ok());
        assert_eq!(parsed(&["--outcome", "deny"]).unwrap().outcome, Some(Answer::Deny));
        assert_eq!(parsed(&["--outcome", "would-deny"]).unwrap().outcome, Some(Answer::WouldDeny));
        assert!(Cli::try_parse_from(["countersign", "decisions", "--counts", "--follow"]).is_err());
    }
}
