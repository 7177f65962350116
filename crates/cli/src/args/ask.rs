//! Commands that ask what runs.

use std::time::Duration;

use clap::{Args, ValueEnum};
use types::{Method, WorkloadId};

use super::{Target, at_least_one};
use crate::term::duration;

/// A command that asks one thing of the running process.
#[derive(Args, Debug)]
pub struct Asking {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Where the gateway takes calls, such as 10.0.0.7:8443 [default: the listener of the process that is asked]
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Whom to ask.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_in_either_case() {
        assert_eq!(method("post").unwrap(), Method::Post);
        assert!(method("CONNECT").is_err());
    }
}
