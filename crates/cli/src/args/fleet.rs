//! Commands about the fleet: who joined, who may, and operators who ask from elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use api::admin::Role;
use clap::{Args, Subcommand};
use types::Label;

use super::Target;
use crate::term::duration;

/// `join-token`.
#[derive(Args, Debug)]
pub struct JoinToken {
    /// For a proxy of this name
    #[arg(long, value_name = "NAME", value_parser = label, required_unless_present = "agent", conflicts_with = "agent")]
    pub proxy: Option<Label>,
    /// The domains that the proxy may serve, such as finance,hr [default: all of them]
    #[arg(long, value_name = "DOMAINS", value_delimiter = ',', value_parser = label, conflicts_with = "agent")]
    pub domains: Option<Vec<Label>>,
    /// For an agent of this name
    #[arg(long, value_name = "NAME", value_parser = label, requires = "group")]
    pub agent: Option<Label>,
    /// The node group that the agent belongs to, a key of `nodes` in countersign.yaml
    #[arg(long, value_name = "GROUP", value_parser = label, conflicts_with = "proxy")]
    pub group: Option<Label>,
    /// For how long the token is good, such as 15m or 1h [default: as control says]
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `retire`.
#[derive(Args, Debug)]
pub struct Retire {
    /// `proxy/NAME` or `agent/NAME`, as `fleet` prints it
    #[arg(value_name = "PEER", value_parser = peer)]
    pub peer: (Role, Label),
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

/// `operator`.
#[derive(Subcommand, Debug)]
pub enum Operator {
    /// Make a key here, and have control sign a certificate with which an operator asks from elsewhere
    ///
    /// The file that it writes holds the key, the certificate and the system root, and is for its owner alone. It is used
    /// with --server URL --credentials FILE.
    Certificate(Certificate),
}

/// `operator certificate`.
#[derive(Args, Debug)]
pub struct Certificate {
    /// The operator, a key of `operators` in countersign.yaml
    #[arg(value_name = "NAME", value_parser = label)]
    pub name: Label,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// For how long it is good, such as 1h or 12h [default: as control says]
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| error.to_string())
}

/// Reads `proxy/edge-1`.
fn peer(text: &str) -> Result<(Role, Label), String> {
    let wrong = || format!("`{text}` is not `proxy/NAME` or `agent/NAME`");
    let (role, name) = text.split_once('/').ok_or_else(wrong)?;
    let role = [Role::Proxy, Role::Agent].into_iter().find(|known| known.as_str() == role).ok_or_else(wrong)?;
    Ok((role, label(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_with_their_role() {
        let (role, name) = peer("proxy/edge-1").unwrap();
        assert_eq!((role, name.as_str()), (Role::Proxy, "edge-1"));
        assert_eq!(peer("edge-1").unwrap_err(), "`edge-1` is not `proxy/NAME` or `agent/NAME`");
        assert!(peer("control/main").is_err() && peer("agent/").is_err() && peer("agent/A B").is_err());
    }
}
