//! Commands that serve.

use std::path::PathBuf;

use clap::Args;

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

/// `control`.
#[derive(Args, Debug)]
pub struct RunControl {
    /// Its node.yaml
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: PathBuf,
    /// A trust directory: published where nothing was published yet, and again at SIGHUP
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `proxy` and `agent`.
#[derive(Args, Debug)]
pub struct RunPeer {
    /// Its node.yaml
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: PathBuf,
}
