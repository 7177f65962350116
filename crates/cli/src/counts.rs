//! `decisions --counts`: exact counts by answer, check, caller and route.

use std::io::{self, Write};

use api::admin::{Count, CountQuery, DecisionQuery};

use crate::admin_client::AdminClient;
use crate::decisions::none;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::listing::word;
use crate::term::table::{Cell, Table};
use crate::term::{Palette, grouped, json};

/// Asks for the counts of the time that a question names, and shows those that fit it.
///
/// # Errors
/// When the running process does not answer.
pub fn run(client: &AdminClient, query: &DecisionQuery, as_json: bool, env: &Env) -> Outcome {
    let asked = CountQuery { since: query.since, until: None };
    let (counts, status) = tasks::block_on(async { (client.counts(&asked).await, client.status().await) })?;
    let (mut counts, organisation) = (counts?, status?.organisation);
    let caller = query.caller.as_deref().map(|caller| counted_as(caller, &organisation));
    counts.retain(|count| {
        query.outcome.is_none_or(|answer| answer == count.answer)
            && caller.as_ref().is_none_or(|caller| *caller == count.caller)
    });
    let mut out = io::stdout().lock();
    match (as_json, counts.as_slice()) {
        (true, counts) => json::lines(&mut out, counts)?,
        (false, []) => writeln!(out, "{}", none(query))?,
        (false, counts) => out.write_all(table(counts).render(Palette::stdout(env)).as_bytes())?,
    }
    Ok(Exit::Yes)
}

/// The name under which a caller is counted: one of the organisation's own by domain and workload, others in full.
fn counted_as(caller: &str, organisation: &str) -> String {
    let short = caller.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).and_then(|(trust, name)| {
        let domain = trust.strip_suffix(organisation)?.strip_suffix('.')?;
        Some(format!("{domain}/{name}"))
    });
    short.unwrap_or_else(|| caller.to_owned())
}

fn table(counts: &[Count]) -> Table {
    let mut table = Table::default();
    for count in counts {
        let (word, tone) = word(count.answer);
        let caller = if count.caller.is_empty() { "(no identity)" } else { &count.caller };
        let service = if count.service.is_empty() { "–" } else { &count.service };
        let route = match (count.method.as_str(), count.template.as_str()) {
            ("", _) => "–".to_owned(),
            (method, "") => format!("{method} (no route)"),
            (method, template) => format!("{method} {template}"),
        };
        table.row([
            Cell::number(&grouped(usize::try_from(count.count).unwrap_or(usize::MAX))),
            Cell::new(word).tone(tone),
            caller.into(),
            format!("→ {service}").into(),
            route.into(),
            count.check.as_str().into(),
            count.reason.as_str().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use api::admin::Answer;

    use super::*;

    #[test]
    fn a_spiffe_id_finds_the_caller_that_is_counted_by_its_short_name() {
        let counted = |caller| counted_as(caller, "acme.internal");
        assert_eq!(counted("spiffe://platform.acme.internal/ci"), "platform/ci");
        assert_eq!(counted("platform/ci"), "platform/ci");
        for other in ["spiffe://platform.other.example/ci", "spiffe://notacme.internal/ci", "spiffe://acme.internal/ci"]
        {
            assert_eq!(counted(other), other);
        }
    }

    #[test]
    fn counts_name_check_caller_and_route() {
        let one = |caller: &str, answer, check: &str, reason: &str, count| Count {
            caller: caller.into(),
            service: if caller.is_empty() { "" } else { "internal-tools/directory" }.into(),
            method: if caller.is_empty() { "" } else { "GET" }.into(),
            template: "/teams".into(),
            answer,
            check: check.into(),
            reason: reason.into(),
            count,
        };
        let counts = [
            one("hr/compensation", Answer::WouldDeny, "consent", "consent.consumer", 1_204),
            one("", Answer::Deny, "", "identity.missing", 3),
        ];
        assert_eq!(
            table(&counts).render(Palette::plain()),
            "\
1,204  would-deny  hr/compensation  → internal-tools/directory  GET /teams  consent  consent.consumer
    3  DENY        (no identity)    → –                         –                    identity.missing
"
        );
    }
}
