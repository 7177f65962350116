//! The command line: what can be said, and the help that says it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use types::{Method, WorkloadId};

use crate::term::duration;

/// The first group of commands, where there is an example to try.
const TRY: &str = "\u{1b}[1mTry it\u{1b}[0m
  demo                 an example organisation alive, and one of its workloads taken over

";

/// The commands in groups. A test holds them against the commands that exist.
const COMMANDS: &str = "\u{1b}[1mA trust directory\u{1b}[0m
  init DIR             write a small one to start from
  check DIR            read all of it and list every problem
  test DIR             run the tests that stand beside its policies
  schema DIR           print the Cedar schema that its policies are checked against

\u{1b}[1mRun\u{1b}[0m
  up DIR               everything in one process: issuer, Workload API, gateway, decision log

\u{1b}[1mChange what runs\u{1b}[0m
  publish DIR          check it, test it, and make it what runs; no call in flight fails
  revisions            what was published: when, by whom, why, and what it changed
  rollback REV         make a revision current that was so before
  revoke SUBJECT       take trust away: refused from the next request on, open connections cut
  restore SUBJECT      give it back

\u{1b}[1mAsk what runs\u{1b}[0m
  call                 make one real call as a workload: call --as DOMAIN/WORKLOAD METHOD URL
  identity fetch       write certificate, key and roots for other tools, and a curl line that works
  decisions            what was asked and answered, one line each; --follow stays, --counts counts
  explain ID           why one call was allowed or refused, step by step
  who-can ROUTE        which callers may call a route, by which policy, under which conditions
  what-can CALLER      which routes a caller may call
  subjects             whose trust is taken away: since when, until when, by whom, why
  doctor               what works, and what somebody should look at
  login                a link that opens the console in a browser, once

\u{1b}[1mOptions\u{1b}[0m
  -h, --help           this, or `countersign COMMAND --help`
  -V, --version        the version

Exit codes: 0 yes, 1 no (a check failed, a call was refused), 2 could not be done, 64 wrong usage.";

/// What stands below the first lines of `--help`.
fn commands() -> String {
    format!("{}{COMMANDS}", if cfg!(feature = "demo") { TRY } else { "" })
}

/// Zero trust for internal APIs: proves who calls, decides whether this call may happen now, enforces the answer and
/// keeps evidence of why.
#[derive(Parser, Debug)]
#[command(name = "countersign", version, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(help_template = "{about}\n\nUsage: countersign COMMAND{after-help}", after_help = commands())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the example organisation: live services that call each other, and one that is taken over
    ///
    /// Prints every decision as it is made. After 25 seconds the build runner platform/ci tries to get at what is none of
    /// its business; then come commands to explain a refusal, to revoke the intruder and to restore it. Everything lives
    /// below the state directory in `countersign/demo` and is removed when you stop it with Ctrl-C.
    #[cfg(feature = "demo")]
    Demo,
    /// Write a small trust directory to start from
    ///
    /// DIR must not exist or be empty. The result passes `check` and `test`.
    Init(Init),
    /// Read a trust directory and list every problem at once
    ///
    /// Exit code 0: it can be published. 1: it has errors. Warnings alone do not fail.
    Check(Listing),
    /// Run the tests that stand beside the policies
    ///
    /// Each test asks the compiled policies one question and compares answer and deciding policy.
    Test(Listing),
    /// Print the Cedar schema that policies are checked against
    Schema(Schema),
    /// Run everything in one process
    ///
    /// Issues identities, serves the Workload API, takes calls on the gateway and records every decision. Without
    /// node.yaml one gateway listens on 127.0.0.1:8443 for all domains. Stop it with Ctrl-C.
    Up(Up),
    /// Check a trust directory, run its tests, and make it what runs
    ///
    /// Calls in flight finish; what is open and no longer allowed is cut. Exit code 0: it is current. 1: it does not
    /// validate, or a test fails. 2: it could not be published; what ran goes on.
    Publish(Publish),
    /// What was published: when, by whom, why, and what it changed
    Revisions(Revisions),
    /// Make a revision current that was so before
    Rollback(Rollback),
    /// Take trust away from a workload, a certificate or a key
    ///
    /// The next request is refused with `signals.revoked`, and what is open is cut. Nothing else can allow it.
    Revoke(Revoke),
    /// Give a subject its trust back
    Restore(Restore),
    /// Whose trust is taken away: since when, until when, by whom and why
    Subjects(Asking),
    /// Which callers may call a route, by which policy and under which conditions
    WhoCan(WhoCan),
    /// Which routes a caller may call, by which policy and under which conditions
    WhatCan(WhatCan),
    /// What works, and what somebody should look at
    ///
    /// Exit code 0: no problem, though there may be warnings. 1: something does not work, or will not soon.
    Doctor(Asking),
    /// A link that opens the console in a browser, once
    Login(Asking),
    /// Make one real call as a workload
    ///
    /// Asks the running process for a certificate in the name of the workload, which the Cedar action `impersonate` must
    /// permit, and calls the gateway over mutual TLS. Exit code 0: allowed. 1: refused by Countersign. 2: not reached, or
    /// the service failed.
    Call(Call),
    /// Identities of workloads
    #[command(subcommand)]
    Identity(Identity),
    /// What was asked and answered, one line each
    Decisions(Decisions),
    /// Why one call was allowed or refused, step by step
    Explain(Explain),
}

/// `init`.
#[derive(Args, Debug)]
pub struct Init {
    /// Where to write it
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The organisation's name; trust domains are DOMAIN.NAME
    #[arg(long, value_name = "NAME", default_value = "example.internal")]
    pub organisation: String,
}

/// A command on one trust directory that lists something.
#[derive(Args, Debug)]
pub struct Listing {
    /// The trust directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `schema`.
#[derive(Args, Debug)]
pub struct Schema {
    /// The trust directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The schema of admin.cedar instead
    #[arg(long)]
    pub admin: bool,
}

/// `up`.
#[derive(Args, Debug)]
pub struct Up {
    /// The trust directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where keys, log and sockets live [default: ~/.local/state/countersign/ORGANISATION]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The node's own settings [default: DIR/node.yaml where it exists]
    #[arg(long, value_name = "FILE")]
    pub node: Option<PathBuf>,
    /// Print decisions as they happen
    #[arg(long)]
    pub decisions: bool,
}

/// Which running process to ask.
#[derive(Args, Debug)]
pub struct Target {
    /// The data directory of the running process [default: the one that runs; env: COUNTERSIGN_DATA]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A command that asks one thing of the running process.
#[derive(Args, Debug)]
pub struct Asking {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `publish`.
#[derive(Args, Debug)]
pub struct Publish {
    /// The trust directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub why: String,
    /// Only if this revision is current, given by its full id [default: the one that is current at the start]
    #[arg(long, value_name = "REV")]
    pub after: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `revisions`.
#[derive(Args, Debug)]
pub struct Revisions {
    /// At most the latest so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = at_least_one)]
    pub limit: usize,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The revision, as `revisions` prints it
    #[arg(value_name = "REV")]
    pub revision: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub why: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `revoke`.
#[derive(Args, Debug)]
pub struct Revoke {
    /// `DOMAIN/WORKLOAD`, `spiffe://…`, `serial:HEX`, or `key:HEX` (SHA-256 of the public key's DER)
    #[arg(value_name = "SUBJECT")]
    pub subject: String,
    /// Why, for the record and for whoever finds it refused
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Only for so long, such as 15m, 1h or 2d [default: until it is restored]
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// The subject, as `revoke` takes it
    #[arg(value_name = "SUBJECT")]
    pub subject: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `who-can`.
#[derive(Args, Debug)]
pub struct WhoCan {
    /// `DOMAIN/SERVICE METHOD /template`, or `METHOD URL`
    #[arg(value_name = "ROUTE", required = true, num_args = 1..=3)]
    pub route: Vec<String>,
    /// Those who may not, too, and why not
    #[arg(long)]
    pub all: bool,
    /// One JSON object a line, those who may not included
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `what-can`.
#[derive(Args, Debug)]
pub struct WhatCan {
    /// `DOMAIN/WORKLOAD`
    #[arg(value_name = "CALLER")]
    pub caller: String,
    /// What it may not call, too, and why not
    #[arg(long)]
    pub all: bool,
    /// One JSON object a line, what it may not call included
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `call`.
#[derive(Args, Debug)]
pub struct Call {
    /// The workload to call as
    #[arg(long = "as", value_name = "DOMAIN/WORKLOAD")]
    pub workload: WorkloadId,
    /// GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE
    #[arg(value_name = "METHOD", value_parser = method)]
    pub method: Method,
    /// An https URL of a host that the gateway serves
    #[arg(value_name = "URL")]
    pub url: String,
    /// The body, sent as application/json unless -H says otherwise; @FILE reads a file
    #[arg(short = 'd', value_name = "BODY")]
    pub body: Option<String>,
    /// A header field; may be repeated
    #[arg(short = 'H', value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `identity`.
#[derive(Subcommand, Debug)]
pub enum Identity {
    /// Write svid.pem, svid.key and bundle.pem, and print a curl line that works
    ///
    /// Without --as, the identity is this process's own, attested over the Workload API. With --as, it is issued to you
    /// for five minutes in the name of the workload.
    Fetch(Fetch),
}

/// `identity fetch`.
#[derive(Args, Debug)]
pub struct Fetch {
    /// The workload to impersonate
    #[arg(long = "as", value_name = "DOMAIN/WORKLOAD")]
    pub workload: Option<WorkloadId>,
    /// Where to write the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `decisions`.
#[derive(Args, Debug)]
pub struct Decisions {
    /// Stay, and print decisions as they happen
    #[arg(long)]
    pub follow: bool,
    /// How often each happened, by check, caller and route, instead of one line each: exact, by whole minutes. A call that
    /// several checks in shadow would have refused is counted under each of them
    #[arg(long, conflicts_with_all = ["follow", "limit"])]
    pub counts: bool,
    /// Only calls of this workload, `DOMAIN/WORKLOAD` or a SPIFFE ID
    #[arg(long, value_name = "CALLER")]
    pub caller: Option<String>,
    /// Only this answer
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<OutcomeArg>,
    /// Only the last so long, such as 90s, 15m, 1h or 2d
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub since: Option<Duration>,
    /// At most the latest so many [default: 50, or all of them with --since]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// An answer, as `--outcome` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum OutcomeArg {
    /// Allowed
    Allow,
    /// Allowed only because a check is in shadow
    WouldDeny,
    /// Refused
    Deny,
}

/// `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The decision: its full id, or the short form that listings print
    #[arg(value_name = "ID")]
    pub id: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Which running process to ask.
    #[command(flatten)]
    pub target: Target,
}

/// Reads a method in either case.
fn method(text: &str) -> Result<Method, String> {
    Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let known = Method::ALL.map(Method::as_str).join(", ");
        format!("`{text}` is not one of {known}")
    })
}

/// None at all would look like an answer.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it takes at least one".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("`{text}` is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_command_and_no_other() {
        let commands = commands();
        let mut named: Vec<&str> = commands
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("  -"))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let command = Cli::command();
        let mut exist: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        named.sort_unstable();
        exist.sort_unstable();
        assert_eq!(named, exist);
    }

    #[test]
    fn a_limit_of_none_is_refused() {
        assert_eq!(at_least_one("1"), Ok(1));
        assert_eq!(at_least_one("0").unwrap_err(), "it takes at least one");
        assert_eq!(at_least_one("-3").unwrap_err(), "`-3` is not a whole number");
    }

    #[test]
    fn methods_are_read_in_either_case() {
        assert_eq!(method("post").unwrap(), Method::Post);
        assert!(method("CONNECT").is_err());
    }
}
