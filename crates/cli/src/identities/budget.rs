//! `identity budget`: if issuance stopped now, what fails first, and when.

use std::io::{self, Write};

use api::admin::Budget;

use super::span;
use crate::admin_client::AdminClient;
use crate::args::Asking;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::table::{Cell, Table};
use crate::term::time::Times;
use crate::term::{Palette, Tone, count, harmless, json};

/// Runs the command.
///
/// # Errors
/// When nothing runs.
pub fn run(args: &Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let budget = tasks::block_on(client.budget())??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &budget)?;
    } else {
        show(&mut out, Palette::stdout(env), &Times::local(), &budget)?;
    }
    Ok(Exit::Yes)
}

fn show(out: &mut impl Write, palette: Palette, times: &Times, budget: &Budget) -> io::Result<()> {
    let held = count(usize::try_from(budget.counted).unwrap_or(usize::MAX), "identity is held", "identities are held");
    match (budget.first_failure, budget.seconds) {
        (Some(_), Some(0)) => {
            let bad = palette.paint(Tone::Bad, "something has run out already");
            writeln!(out, "if issuance stopped now: {bad}; {held}\n")?;
        }
        (Some(at), Some(seconds)) => {
            let left = palette.paint(Tone::Strong, &span(seconds));
            writeln!(
                out,
                "if issuance stopped now, the first would fail in {left}, at {}; {held}\n",
                times.second(at)
            )?;
        }
        _ => writeln!(out, "nobody holds an identity: nothing would fail if issuance stopped now")?,
    }
    let mut table = Table::default();
    for line in &budget.first {
        let (left, tone) = match line.seconds {
            0 => ("has run out".to_owned(), Tone::Bad),
            seconds => (format!("in {}", span(seconds)), Tone::Strong),
        };
        table.row([
            Cell::new(&left).tone(tone),
            times.minute(line.not_after, budget.at).into(),
            line.spiffe_id.as_str().into(),
            line.node.as_str().into(),
        ]);
    }
    out.write_all(table.render(palette).as_bytes())?;
    if !budget.unknown.is_empty() {
        writeln!(out, "\n{}", palette.paint(Tone::Caution, "what this cannot know:"))?;
    }
    budget.unknown.iter().try_for_each(|line| writeln!(out, "  {}", harmless(line)))
}

#[cfg(test)]
mod tests {
    use api::admin::BudgetLine;
    use types::Timestamp;

    use super::*;

    fn told(budget: &Budget) -> String {
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), &Times::utc(), budget).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_to_fail_is_told_and_what_is_not_known() {
        let at = Timestamp::from_seconds(1_795_425_242);
        let line = |name: &str, node: &str, seconds| BudgetLine {
            spiffe_id: format!("spiffe://finance.acme.internal/{name}"),
            node: node.into(),
            not_after: at.plus_seconds(seconds),
            seconds,
        };
        let budget = Budget {
            at,
            first_failure: Some(at.plus_seconds(1_740)),
            seconds: Some(1_740),
            first: vec![line("payments", "vm-pay-1", 1_740), line("ledger", "in this process", 7_200)],
            counted: 2,
            unknown: vec!["agent/vm-pay-2\u{1b}[2J joined and never said what it holds".into()],
        };
        assert_eq!(
            told(&budget),
            "\
if issuance stopped now, the first would fail in 29 min, at 2026-11-23 09:43:02 UTC; 2 identities are held

in 29 min  09:43  spiffe://finance.acme.internal/payments  vm-pay-1
in 2 h     11:14  spiffe://finance.acme.internal/ledger    in this process

what this cannot know:
  agent/vm-pay-2\u{fffd}[2J joined and never said what it holds
"
        );
        let over = Budget { seconds: Some(0), first: vec![line("payments", "vm-pay-1", 0)], counted: 1, ..budget };
        assert!(
            told(&over).starts_with("if issuance stopped now: something has run out already; 1 identity is held\n")
        );
        assert!(told(&over).contains("\nhas run out  09:14  spiffe://finance.acme.internal/payments  vm-pay-1\n"));
    }

    #[test]
    fn nothing_held_is_said_in_one_line() {
        let none = Budget {
            at: Timestamp::default(),
            first_failure: None,
            seconds: None,
            first: Vec::new(),
            counted: 0,
            unknown: Vec::new(),
        };
        assert_eq!(told(&none), "nobody holds an identity: nothing would fail if issuance stopped now\n");
    }
}
