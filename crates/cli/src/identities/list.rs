//! `identity list`: every registered workload, who holds its identity, and until when.

use std::io::{self, Write};

use api::admin::{Held, Registered};
use runtime::clock::SystemClock;
use types::{Clock, Timestamp};

use super::span;
use crate::admin_client::AdminClient;
use crate::args::Asking;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::table::{Cell, Table};
use crate::term::{Palette, Tone, count, harmless, json};

/// How control names the node that shares its process.
const IN_PROCESS: &str = "in this process";

/// Runs the command.
///
/// # Errors
/// When nothing runs.
pub fn run(args: &Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let registered = tasks::block_on(client.identities())??;
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &registered)?;
    } else {
        show(&mut out, Palette::stdout(env), SystemClock.now(), &registered)?;
    }
    Ok(Exit::Yes)
}

fn show(out: &mut impl Write, palette: Palette, now: Timestamp, registered: &[Registered]) -> io::Result<()> {
    if registered.is_empty() {
        return writeln!(out, "no workload is registered; `attest` of a workload in domain.yaml registers it");
    }
    let mut table = Table::default();
    for one in registered {
        table.row(row(one, now));
    }
    out.write_all(table.render(palette).as_bytes())?;
    let failing = registered.iter().flat_map(|one| one.held.iter().map(move |held| (one, held)));
    let failing: Vec<(&Registered, &Held)> = failing.filter(|(_, held)| held.failures > 0).collect();
    if !failing.is_empty() {
        writeln!(out, "\n{}", palette.paint(Tone::Caution, "not renewed:"))?;
    }
    for (one, held) in failing {
        let times = count(usize::try_from(held.failures).unwrap_or(usize::MAX), "attempt", "attempts");
        let away = if held.connected { "" } else { ", as it said last: it is away" };
        let (workload, node) = (harmless(&one.workload), harmless(&held.node));
        writeln!(out, "  {workload} on {node}: {times} failed; it is good for {}{away}", left(held, now))?;
    }
    Ok(())
}

fn row(one: &Registered, now: Timestamp) -> [Cell; 6] {
    let (word, tone) = state(one);
    let placed = match (&one.runs_on, one.rules.is_empty()) {
        (_, true) => "–".to_owned(),
        (Some(groups), false) => groups.join(","),
        (None, false) => "control's own node".to_owned(),
    };
    let key = if one.rules.is_empty() { String::new() } else { format!("{} {}", one.key, span(one.ttl_seconds)) };
    let rules = if one.rules.is_empty() { "issued elsewhere".to_owned() } else { one.rules.join(" or ") };
    [
        Cell::new(word).tone(tone),
        Cell::new(&one.spiffe_id).tone(Tone::Strong),
        key.into(),
        held(one, now).into(),
        placed.into(),
        rules.into(),
    ]
}

fn state(one: &Registered) -> (&'static str, Tone) {
    match one {
        one if one.revoked => ("REVOKED", Tone::Bad),
        one if one.held.iter().any(|held| held.failures > 0) => ("not renewed", Tone::Caution),
        one if !one.held.is_empty() => ("held", Tone::Good),
        one if one.rules.is_empty() => ("elsewhere", Tone::Quiet),
        _ => ("not held", Tone::Quiet),
    }
}

/// `by vm-pay-1 for 29 min`, or by how many, and how long the first of them.
fn held(one: &Registered, now: Timestamp) -> String {
    let Some(first) = one.held.iter().min_by_key(|held| held.not_after) else { return "by nobody".to_owned() };
    match one.held.len() {
        1 if first.node == IN_PROCESS => format!("{IN_PROCESS} for {}", left(first, now)),
        1 => format!("by {} for {}", first.node, left(first, now)),
        many => format!("by {} for {} or longer", count(many, "node", "nodes"), left(first, now)),
    }
}

fn left(held: &Held, now: Timestamp) -> String {
    span(held.not_after.micros_since(now) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use types::KeyKind;

    use super::*;

    #[test]
    fn every_workload_says_who_holds_it_and_failures_are_told_below() {
        let now = Timestamp::from_seconds(1_795_425_242);
        let held = |node: &str, seconds, failures, connected| Held {
            node: node.into(),
            serial: "5c1e08".into(),
            not_after: now.plus_seconds(seconds),
            failures,
            connected,
        };
        let one = |name: &str, rules: &[&str], held| Registered {
            spiffe_id: format!("spiffe://finance.acme.internal/{name}"),
            workload: format!("finance/{name}"),
            key: KeyKind::P256,
            ttl_seconds: 3_600,
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            runs_on: Some(vec!["vm-pay".into()]),
            revoked: false,
            held,
        };
        let all = [
            one("payments", &["unix uid:1001"], vec![held("vm-pay-1", 1_740, 3, true)]),
            one(
                "ledger",
                &["unix uid:1002", "systemd a.service"],
                vec![held("a", 60, 0, true), held("b", 90, 0, true)],
            ),
            Registered { revoked: true, runs_on: None, ..one("old", &["unix uid:1"], Vec::new()) },
            Registered { spiffe_id: "spiffe://cluster.local/web".into(), ..one("web", &[], Vec::new()) },
            one("month\u{202e}end", &["unix uid:2"], vec![held("vm-2", 0, 1, false)]),
        ];
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), now, &all).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
not renewed  spiffe://finance.acme.internal/payments   p256 1 h  by vm-pay-1 for 29 min          vm-pay              unix uid:1001
held         spiffe://finance.acme.internal/ledger     p256 1 h  by 2 nodes for 1 min or longer  vm-pay              unix uid:1002 or systemd a.service
REVOKED      spiffe://finance.acme.internal/old        p256 1 h  by nobody                       control's own node  unix uid:1
elsewhere    spiffe://cluster.local/web                          by nobody                       –                   issued elsewhere
not renewed  spiffe://finance.acme.internal/month\u{fffd}end  p256 1 h  by vm-2 for 0 s                 vm-pay              unix uid:2

not renewed:
  finance/payments on vm-pay-1: 3 attempts failed; it is good for 29 min
  finance/month\u{fffd}end on vm-2: 1 attempt failed; it is good for 0 s, as it said last: it is away
"
        );
    }

    #[test]
    fn nothing_registered_says_what_to_do() {
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), Timestamp::default(), &[]).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("`attest` of a workload in domain.yaml"));
    }
}
