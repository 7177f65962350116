//! `who-can ROUTE` and `what-can CALLER`: what policies answer without a call.

use std::collections::BTreeSet;
use std::io::{self, Write};

use api::admin::{Access, AccessResult, Revocation};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::table::{Cell, Table};
use crate::term::{Palette, Tone, count, harmless, json};

/// Where conditions stand, below the name.
const INDENT: &str = "             ";

/// What the lines differ in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Caller,
    Route,
}

/// Runs `who-can`.
///
/// # Errors
/// When no process runs, or it knows no such route.
pub fn who_can(args: &args::WhoCan, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let found = tasks::block_on(client.who_can(&args.route.join(" ")))??;
    answer(&client, &found, By::Caller, args.all, args.json, env)
}

/// Runs `what-can`.
///
/// # Errors
/// When no process runs, or it knows no such caller.
pub fn what_can(args: &args::WhatCan, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let found = tasks::block_on(client.what_can(&args.caller))??;
    answer(&client, &found, By::Route, args.all, args.json, env)
}

fn answer(client: &AdminClient, found: &[Access], by: By, all: bool, as_json: bool, env: &Env) -> Outcome {
    if as_json {
        json::lines(&mut io::stdout().lock(), found)?;
        return Ok(Exit::Yes);
    }
    let (status, revoked) = tasks::block_on(async { (client.status().await, client.revocations().await) })?;
    let revoked = revoked_among(found, &revoked?, &status?.organisation);
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    show(&mut out, palette, found, by, all)?;
    for caller in revoked {
        let word = palette.paint(Tone::Bad, "revoked");
        writeln!(out, "{} is {word}: whatever policies say, every call of it is refused", harmless(caller))?;
    }
    Ok(Exit::Yes)
}

/// The callers whose trust is taken away: what policies say of them is not what they get.
fn revoked_among<'a>(found: &'a [Access], revoked: &[Revocation], organisation: &str) -> BTreeSet<&'a str> {
    let is_revoked = |caller: &str| {
        let full = caller.split_once('/').map(|(domain, name)| format!("spiffe://{domain}.{organisation}/{name}"));
        full.is_some_and(|full| revoked.iter().any(|one| one.subject == full))
    };
    found.iter().map(|access| access.caller.as_str()).filter(|caller| is_revoked(caller)).collect()
}

fn show(out: &mut impl Write, palette: Palette, found: &[Access], by: By, all: bool) -> io::Result<()> {
    let refused = found.iter().filter(|access| access.result == AccessResult::Refused).count();
    let shown: Vec<&Access> = found.iter().filter(|access| all || access.result != AccessResult::Refused).collect();
    let mut table = Table::default();
    for access in &shown {
        table.row(row(access, by));
    }
    for (line, access) in table.render(palette).lines().zip(&shown) {
        writeln!(out, "{line}")?;
        for condition in &access.conditions {
            writeln!(out, "{INDENT}{} {}", palette.paint(Tone::Quiet, "when"), harmless(condition))?;
        }
    }
    let (one, many) = match by {
        By::Caller => ("caller", "callers"),
        By::Route => ("route", "routes"),
    };
    match (refused, refused == found.len(), all) {
        (0, ..) | (_, _, true) => Ok(()),
        (_, true, false) => writeln!(out, "none of {} may; --all says why not", count(refused, one, many)),
        (_, false, false) => writeln!(out, "{} more may not; --all says why not", count(refused, one, many)),
    }
}

fn row(access: &Access, by: By) -> [Cell; 4] {
    let (word, tone) = match access.result {
        AccessResult::Allowed => ("allowed", Tone::Good),
        AccessResult::Conditional => ("conditional", Tone::Caution),
        AccessResult::Refused => ("REFUSED", Tone::Bad),
    };
    let name = match by {
        By::Caller => &access.caller,
        By::Route => &access.route,
    };
    [Cell::new(word).tone(tone), name.as_str().into(), access.policies.join(", ").into(), access.reason.as_str().into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(caller: &str, result: AccessResult, policy: &str, condition: &str, reason: &str) -> Access {
        let list = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        Access {
            caller: caller.into(),
            route: "finance/ledger POST /entries".into(),
            result,
            policies: list(policy),
            conditions: list(condition),
            reason: reason.into(),
        }
    }

    fn shown(found: &[Access], by: By, all: bool) -> String {
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), found, by, all).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whoever_is_revoked_is_named_beside_what_policies_say() {
        let revoked = |subject: &str| Revocation {
            subject: subject.into(),
            reason: "taken over".into(),
            operator: "local".into(),
            at: types::Timestamp::from_seconds(0),
            until: None,
            epoch: 1,
            note: String::new(),
            reach: None,
        };
        let found = [
            access("platform/ci", AccessResult::Conditional, "", "", ""),
            access("platform/ci", AccessResult::Refused, "", "", "consent.provider"),
            access("finance/payments", AccessResult::Allowed, "", "", ""),
            access("(anyone)", AccessResult::Allowed, "", "", ""),
        ];
        let subjects = [
            revoked("spiffe://platform.acme.internal/ci"),
            revoked("spiffe://finance.other.example/payments"),
            revoked("serial:5c1e08"),
        ];
        let named: Vec<&str> = revoked_among(&found, &subjects, "acme.internal").into_iter().collect();
        assert_eq!(named, ["platform/ci"]);
        assert!(revoked_among(&found, &[], "acme.internal").is_empty());
    }

    #[test]
    fn who_may_comes_with_policy_and_condition_and_the_others_are_counted() {
        let payments = "finance/payments-posts-entries";
        let found = [
            access("finance/payments", AccessResult::Conditional, payments, "context.risk < 60", ""),
            access("(anyone)", AccessResult::Allowed, "open", "", ""),
            access("platform/ci", AccessResult::Refused, "", "", "consent.provider"),
        ];
        assert_eq!(
            shown(&found, By::Caller, false),
            "\
conditional  finance/payments  finance/payments-posts-entries
             when context.risk < 60
allowed      (anyone)          open
1 caller more may not; --all says why not
"
        );
        assert!(shown(&found, By::Caller, true).ends_with("  consent.provider\n"));
        assert!(shown(&found, By::Route, false).contains("finance/ledger POST /entries"));
        assert_eq!(shown(&found[2..], By::Route, false), "none of 1 route may; --all says why not\n");
    }
}
