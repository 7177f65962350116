//! Commands about identities: who holds what, for how long it goes on without an issuer, and the keys behind it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use types::{Label, WorkloadId};

use super::{Asking, Target};

/// `identity`.
#[derive(Subcommand, Debug)]
pub enum Identity {
    /// Write svid.pem, svid.key and bundle.pem, and print a curl line that works
    ///
    /// Without --as, the identity is this process's own, attested over the Workload API. With --as, it is issued to you
    /// for five minutes in the name of the workload. With --jwt, a JWT-SVID is printed and nothing is written.
    Fetch(Fetch),
    /// Every registered workload: how it is recognised, who holds its identity, and until when
    List(Asking),
    /// If issuance stopped now: what fails first, and when
    ///
    /// Counted from what agents and proxies say that they hold. What cannot be known is named.
    Budget(Asking),
    /// The trust bundle of a domain, or of a federated trust domain
    ///
    /// The SPIFFE bundle document: roots, JWT keys, sequence and refresh hint. With --pem only the roots.
    Bundle(Bundle),
    /// Replace the root of a domain, or its JWT key, without failing a connection
    ///
    /// Makes a new key, puts it into the bundle, waits until everybody has it, and lets it sign; the old one leaves the
    /// bundle when nothing that it signed is good any more. Prints each step and whom it waits for. The rotation goes on
    /// in control, whether this command waits or not. Without DOMAIN, says how far the keys of every domain have come.
    RotateRoot(RotateRoot),
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
    /// Print a JWT-SVID of this process instead of writing files; it is a secret
    #[arg(long, requires = "audience", conflicts_with_all = ["workload", "out", "gateway"])]
    pub jwt: bool,
    /// Whom the JWT-SVID is for; may be repeated, and one is better
    #[arg(long, value_name = "TEXT", requires = "jwt")]
    pub audience: Vec<String>,
    /// The Workload API's socket, for a node where only an agent runs [default: that of the process that is asked]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["workload", "data", "server"])]
    pub socket: Option<PathBuf>,
    /// Where the gateway takes calls, for the curl line [default: the listener of the process that is asked]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "socket")]
    pub gateway: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `identity bundle`.
#[derive(Args, Debug)]
pub struct Bundle {
    /// A domain such as `finance`, or the whole name of a federated trust domain
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// The roots as PEM certificates
    #[arg(long)]
    pub pem: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

/// `identity rotate-root`.
#[derive(Args, Debug)]
pub struct RotateRoot {
    /// The domain [default: say how far the keys of every domain have come]
    #[arg(value_name = "DOMAIN", value_parser = label, required_if_eq_any = [
        ("jwt", "true"), ("back", "true"), ("emergency", "true"), ("no_wait", "true"),
    ])]
    pub domain: Option<Label>,
    /// The key that signs JWT-SVIDs, and not the root
    #[arg(long)]
    pub jwt: bool,
    /// Take the rotation back one step, and leave it there
    #[arg(long, conflicts_with_all = ["emergency", "no_wait"])]
    pub back: bool,
    /// The present key is in somebody else's hands: a new one signs at once, and what the old one signed is good no more
    #[arg(long, requires = "reason")]
    pub emergency: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Start it and do not wait
    #[arg(long, conflicts_with = "emergency")]
    pub no_wait: bool,
    /// One JSON object a line, one for each change
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| error.to_string())
}
