//! The command line: what can be said, and the help that says it.

mod ask;
mod change;
#[cfg(test)]
mod documented;
mod files;
mod fleet;
mod identity;
mod run;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::identity::{Bundle, Fetch, Identity, RotateRoot};
pub use ask::{Asking, Call, Decisions, Explain, OutcomeArg, WhatCan, WhoCan};
pub use change::{Approve, Publish, Restore, Revisions, Revoke, Rollback, Withdraw};
pub use files::{Init, Listing, Schema};
pub use fleet::{Certificate, JoinToken, Operator, Retire};
pub use run::{RunControl, RunPeer, Up};
pub use verify::{Verify, VerifyId, VerifyJwtSvid, VerifySvid};

/// The first group of commands, where there is an example to try.
const TRY: &str = "\u{1b}[1mTry it\u{1b}[0m
  demo                 an example organisation alive, and one of its workloads taken over

";

/// An address in a document would be taken for a link there.
const SERVER_HELP: &str =
    "Ask a control elsewhere, such as https://control.acme.internal:8441 [env: COUNTERSIGN_SERVER]";

/// The commands in groups. A test holds them against the commands that exist.
const COMMANDS: &str = "\u{1b}[1mA trust directory\u{1b}[0m
  init DIR             write a small one to start from
  check DIR            read all of it and list every problem
  test DIR             run the tests that stand beside its policies
  schema DIR           print the Cedar schema of its policies; --node: the JSON Schema of node.yaml

\u{1b}[1mRun\u{1b}[0m
  up DIR               everything in one process: control, a proxy and an agent
  control -c FILE      the issuer, the publisher and the console; proxies and agents follow it
  proxy -c FILE        the gateway: proves who calls, decides, records; also while control is away
  agent -c FILE        identities for the workloads of its machine

\u{1b}[1mChange what runs\u{1b}[0m
  publish DIR          check it, test it, and make it what runs; no call in flight fails
  revisions            what was published: when, by whom, why, and what it changed
  rollback REV         make a revision current that was so before
  revoke SUBJECT       take trust away: refused from the next request on, open connections cut
  restore SUBJECT      give it back
  proposals            what waits for its owners to approve
  approve NUMBER REV   say yes to one of them, as an owner of what it touches
  withdraw NUMBER      take one back

\u{1b}[1mLet others join\u{1b}[0m
  join-token           a token with which one proxy or agent joins, once, and its node.yaml
  fleet                who joined: what runs where since when, and why not
  retire PEER          forget a proxy or an agent that will not come back
  operator certificate a certificate with which an operator asks from elsewhere

\u{1b}[1mAsk what runs\u{1b}[0m
  call                 make one real call as a workload: call --as DOMAIN/WORKLOAD METHOD URL
  decisions            what was asked and answered, one line each; --follow stays, --counts counts
  explain ID           why one call was allowed or refused, step by step
  who-can ROUTE        which callers may call a route, by which policy, under which conditions
  what-can CALLER      which routes a caller may call
  subjects             whose trust is taken away: since when, until when, by whom, why
  doctor               what works, and what somebody should look at
  login                a link that opens the console in a browser, once

\u{1b}[1mIdentities\u{1b}[0m
  identity fetch       write certificate, key and roots for other tools, and a curl line that works
  identity list        every workload: how it is recognised, who holds its identity, and until when
  identity budget      if issuance stopped now: what fails first, and when
  identity bundle      the trust bundle of a domain: identity bundle DOMAIN
  identity rotate-root replace the root of a domain, or its JWT key; no connection fails
  verify               why an ID, an X.509-SVID or a JWT-SVID would be refused, offline

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
    /// Run control: the issuer, the publisher, the console, and what proxies and agents follow
    ///
    /// Takes peers where node.yaml has a listener of kind `wire`; `countersign join-token` lets one join.
    Control(RunControl),
    /// Run a proxy: the gateway that proves who calls, decides and records
    ///
    /// It joins control with the token that node.yaml names, once. After that it starts with what it has on its disk, and
    /// goes on while control is away, as long as `when_stale` and `signals_stale` of each domain allow.
    Proxy(RunPeer),
    /// Run an agent: identities for the workloads of this machine
    ///
    /// It joins control with the token that node.yaml names, once, and serves the Workload API on a Unix socket.
    Agent(RunPeer),
    /// Check a trust directory, run its tests, and make it what runs
    ///
    /// Calls in flight finish; what is open and no longer allowed is cut. Where owners of what it touches have to approve,
    /// it becomes a proposal. Exit code 0: it is current. 1: it does not validate, a test fails, or it waits for approval.
    /// 2: it could not be published; what ran goes on.
    Publish(Publish),
    /// What was published: when, by whom, why, and what it changed
    Revisions(Revisions),
    /// Make a revision current that was so before
    ///
    /// Exit code 0: it is current. 1: it waits for approval. 2: it could not be done; what ran goes on.
    Rollback(Rollback),
    /// What waits for its owners to approve
    Proposals(Asking),
    /// Say yes to a proposal, as an owner of what it touches
    ///
    /// The last yes that it needs makes it current.
    Approve(Approve),
    /// Take a proposal back
    Withdraw(Withdraw),
    /// A token with which one proxy or agent joins, once
    ///
    /// Prints the token, the SHA-256 of the system root that the joining process holds control to, and a node.yaml to paste.
    JoinToken(JoinToken),
    /// Who joined: what runs where since when, how far behind, and why not
    Fleet(Asking),
    /// Forget a proxy or an agent that will not come back
    ///
    /// Its certificate is refused from here on, and its name is free.
    Retire(Retire),
    /// Operators who ask from elsewhere
    #[command(subcommand)]
    Operator(Operator),
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
    /// Identities of workloads: who holds what, for how long it lasts without an issuer, and the keys behind it
    #[command(subcommand)]
    Identity(Identity),
    /// Why a credential is or would be refused, without asking anybody
    ///
    /// By the code that decides calls. Exit code 0: accepted. 1: refused, with each rule that fails. 2: a file cannot be
    /// read.
    #[command(subcommand)]
    Verify(Verify),
    /// What was asked and answered, one line each
    Decisions(Decisions),
    /// Why one call was allowed or refused, step by step
    Explain(Explain),
}

/// Whom to ask: the process on this machine, or a control elsewhere.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// The data directory of the running process [default: the one that runs; env: COUNTERSIGN_DATA]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The address of a control elsewhere.
    #[arg(long, value_name = "URL", conflicts_with = "data", help = SERVER_HELP)]
    pub server: Option<String>,
    /// Who asks there: a file of `operator certificate` [env: COUNTERSIGN_CREDENTIALS]
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub credentials: Option<PathBuf>,
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
        // a command of several parts has a line for each
        named.dedup();
        exist.sort_unstable();
        assert_eq!(named, exist);
    }

    #[test]
    fn a_limit_of_none_is_refused() {
        assert_eq!(at_least_one("1"), Ok(1));
        assert_eq!(at_least_one("0").unwrap_err(), "it takes at least one");
        assert_eq!(at_least_one("-3").unwrap_err(), "`-3` is not a whole number");
    }
}
