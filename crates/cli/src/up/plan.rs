//! What is to be started: a revision, the node's own settings, and where data goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trustdir::node::Listener;
use trustdir::{Loaded, NodeConfig, Revision};
use types::{Label, limits};

use crate::args::Up;
use crate::env::Env;
use crate::exit::{Exit, Failed};
use crate::paths;
use crate::term::{Palette, problems};

/// The port of the gateway where nothing is configured.
const GATEWAY_PORT: u16 = 8443;
/// The node's name where nothing is configured.
const NODE: &str = "local";
/// The listener's name where nothing is configured.
const GATEWAY: &str = "gateway";

/// The port of the console where nothing is configured.
const CONSOLE_PORT: u16 = 8441;

/// What is to be started.
pub struct Plan {
    /// The trust directory.
    pub dir: PathBuf,
    /// The revision that it holds. It is what runs first; later what was published last does.
    pub revision: Arc<Revision>,
    /// Its files, to be kept.
    pub sources: BTreeMap<String, String>,
    /// Where keys, log and sockets live.
    pub data: PathBuf,
    /// The node's name.
    pub node: Label,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Where to serve the console.
    pub console: SocketAddr,
    /// The most that the decision log may take, in bytes.
    pub log_bytes: u64,
}

impl Plan {
    /// Puts together what the command line, node.yaml and the environment say, in this order.
    ///
    /// # Errors
    /// When node.yaml has problems, or nothing says where data goes.
    pub fn new(args: &Up, env: &Env, revision: Arc<Revision>, loaded: Loaded) -> Result<Self, Failed> {
        let node = node_config(args, env, &revision)?;
        let data = match (&args.data, &node.data) {
            (Some(data), _) => std::path::absolute(data).map_err(|error| Failed::new(format!("--data: {error}")))?,
            (None, Some(data)) => PathBuf::from(data),
            (None, None) => paths::state_base(env)?.join(revision.model().organisation.as_str()),
        };
        Self::of(args.dir.clone(), data, node, revision, loaded)
    }

    fn of(
        dir: PathBuf,
        data: PathBuf,
        node: NodeConfig,
        revision: Arc<Revision>,
        loaded: Loaded,
    ) -> Result<Self, Failed> {
        let name = |text: &str| Label::parse(text).map_err(|error| Failed::new(error.to_string()));
        let mut listeners = node.listeners;
        if listeners.is_empty() {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, GATEWAY_PORT));
            listeners.push(Listener { name: name(GATEWAY)?, address, domains: None, insecure_plaintext: false });
        }
        let console = node.admin_address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, CONSOLE_PORT)));
        let node_name = node.name.map_or_else(|| name(NODE), Ok)?;
        Ok(Self {
            dir: std::path::absolute(&dir).unwrap_or(dir),
            revision,
            sources: loaded.sources,
            data,
            node: node_name,
            listeners,
            console,
            log_bytes: node.decision_log.max_size,
        })
    }
}

/// node.yaml as named, or as it stands in the trust directory, or the defaults.
fn node_config(args: &Up, env: &Env, revision: &Revision) -> Result<NodeConfig, Failed> {
    let path = args.node.clone().unwrap_or_else(|| args.dir.join("node.yaml"));
    match read(&path) {
        Ok(text) => parse(&path, text, env, revision),
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.node.is_none() => Ok(NodeConfig::default()),
        Err(error) => Err(Failed::new(format!("`{}` cannot be read: {error}", path.display()))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > limits::FILE_BYTES.default {
        return Err(io::Error::other(format!("it is larger than {} bytes", limits::FILE_BYTES.default)));
    }
    std::fs::read_to_string(path)
}

fn parse(path: &Path, text: String, env: &Env, revision: &Revision) -> Result<NodeConfig, Failed> {
    let known: BTreeSet<Label> = revision.domains().keys().cloned().collect();
    let shown = path.display().to_string();
    trustdir::node::parse(&shown, &text, Some(&known)).map_err(|found| {
        let sources = BTreeMap::from([(shown.clone(), text)]);
        let _ = problems::show(&mut io::stderr().lock(), Palette::stderr(env), &found, &sources);
        Failed { exit: Exit::No, ..Failed::new(format!("`{shown}` does not validate")) }
    })
}
