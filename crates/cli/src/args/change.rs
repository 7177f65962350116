//! Commands that change what runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Target, at_least_one};
use crate::term::duration;

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
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Whom to ask.
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
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `approve`.
#[derive(Args, Debug)]
pub struct Approve {
    /// The proposal's number, as `proposals` prints it
    #[arg(value_name = "NUMBER")]
    pub number: u64,
    /// The revision that you looked at, as `proposals` prints it: nobody approves what they have not seen
    #[arg(value_name = "REV")]
    pub revision: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub why: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `withdraw`.
#[derive(Args, Debug)]
pub struct Withdraw {
    /// The proposal's number, as `proposals` prints it
    #[arg(value_name = "NUMBER")]
    pub number: u64,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub why: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}
