//! Commands on a trust directory, and on the schemas that files are held to.

use std::path::PathBuf;

use clap::Args;

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
    #[arg(value_name = "DIR", required_unless_present = "node")]
    pub dir: Option<PathBuf>,
    /// The schema of admin.cedar instead
    #[arg(long, conflicts_with = "node")]
    pub admin: bool,
    /// The JSON Schema of node.yaml instead, for editors and pipelines; it needs no DIR
    #[arg(long, conflicts_with = "dir")]
    pub node: bool,
}
