//! `explain ID`: why one call was allowed or refused.

use std::io;

use crate::admin_client::AdminClient;
use crate::args::Explain;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::story::Teller;
use crate::term::time::Times;
use crate::term::{Palette, json};

/// The longest name of a decision: a whole id with hyphens has 36 characters, the short form fewer.
const LONGEST: usize = 40;

/// Runs the command.
///
/// # Errors
/// When no process runs, or it knows no such decision.
pub fn run(args: &Explain, env: &Env) -> Outcome {
    check(&args.id)?;
    let client = AdminClient::to(env, &args.target)?;
    let story = crate::tasks::block_on(client.explain(&args.id))??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &story)?;
    } else {
        Teller { palette: Palette::stdout(env), times: Times::local() }.tell(&mut out, &story)?;
    }
    Ok(Exit::Yes)
}

/// What cannot be the name of a decision is told before anybody is asked.
fn check(id: &str) -> Result<(), Failed> {
    let hint = "copy it from `countersign decisions`, or from the field `countersign-decision` of a response";
    let length = id.chars().count();
    if id.trim().is_empty() {
        return Err(Failed::usage("the decision's id is empty").hint(hint));
    }
    if length > LONGEST {
        let message = format!("a decision's id has 36 characters, and this one has {length}");
        return Err(Failed::usage(message).hint(hint));
    }
    if id.chars().any(|c| !c.is_ascii_hexdigit() && !matches!(c, '-' | '.' | '…')) {
        return Err(Failed::usage(format!("`{id}` is no decision's id: it has hexadecimal digits only")).hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_id_is_wrong_usage() {
        for good in ["01a20a6b-f91f-7816-a6d6-01753e255941", "01a20a6b…255941", "01a20a6b...5941", "01a20a6b"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(41);
        for (wrong, words) in [("", "is empty"), (" ", "is empty"), (&long, "this one has 41"), ("xyz", "`xyz` is no")]
        {
            let failed = check(wrong).unwrap_err();
            assert_eq!(failed.exit, Exit::Usage);
            assert!(failed.message.unwrap().contains(words), "{wrong}");
        }
    }
}
