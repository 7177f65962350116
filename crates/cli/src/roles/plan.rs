//! What is to be started: what the command line, node.yaml and the environment say, in this order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trustdir::node::{Admin, BundleListener, ClusterConfig, ControlAddress, Kind, Listener, WireListener};
use trustdir::{Loaded, NodeConfig, Revision};
use types::{Label, limits};
use wire::ControlAt;

use super::current::Source;
use super::protection::PassphraseAt;
use super::reload::Settings;
use crate::args::Up;
use crate::env::Env;
use crate::exit::{Exit, Failed};
use crate::paths::{self, WORKLOAD_SOCKET};
use crate::term::{Palette, problems};

/// The port of the gateway where nothing is configured.
const GATEWAY_PORT: u16 = 8443;
/// The port of the console where nothing is configured.
const CONSOLE_PORT: u16 = 8441;
/// The port for peers where nothing is configured.
const WIRE_PORT: u16 = 8440;
/// The node's name where nothing is configured.
const NODE: &str = "local";
/// The name of the listener for calls where nothing is configured.
const GATEWAY: &str = "gateway";
/// The name of the listener for peers where nothing is configured.
const WIRE: &str = "wire";

/// Control's part of a process.
pub struct CorePlan {
    /// The trust directory that it is started with.
    pub source: Option<Source>,
    /// The node's name.
    pub name: Label,
    /// Where keys, store, log and sockets live.
    pub data: PathBuf,
    /// Where to serve the console and the admin API.
    pub admin: Admin,
    /// Where to take peers.
    pub wire: Option<WireListener>,
    /// Where others fetch our bundles.
    pub bundle: Option<BundleListener>,
    /// Where the passphrase of the keys is.
    pub passphrase: PassphraseAt,
    /// The most that the decision log may take, in bytes.
    pub log_bytes: u64,
    /// The most that the logs of enforcers may take here, in bytes.
    pub intake_bytes: u64,
}

impl CorePlan {
    fn new(
        source: Option<Source>,
        data: PathBuf,
        node: &NodeConfig,
        wire: Option<WireListener>,
        env: &Env,
    ) -> Result<Self, Failed> {
        let admin = node.admin.clone().unwrap_or_else(|| Admin {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, CONSOLE_PORT)),
            tls: false,
            names: Vec::new(),
        });
        Ok(Self {
            source,
            name: node.name.clone().map_or_else(|| label(NODE), Ok)?,
            data,
            admin,
            wire,
            bundle: node.bundle.clone(),
            passphrase: PassphraseAt::find(node.keys.as_ref(), env),
            log_bytes: node.decision_log.max_size,
            intake_bytes: node.intake.max_size,
        })
    }
}

/// `up`.
pub struct UpPlan {
    /// Control's part.
    pub core: CorePlan,
    /// Where to take calls.
    pub listeners: Vec<Listener>,
    /// The clusters that its agent knows.
    pub clusters: Vec<ClusterConfig>,
}

impl UpPlan {
    /// Puts it together.
    ///
    /// # Errors
    /// When node.yaml has problems, or nothing says where data goes.
    pub fn new(args: &Up, env: &Env, revision: Arc<Revision>, loaded: Loaded) -> Result<Self, Failed> {
        let path = args.node.clone().unwrap_or_else(|| args.dir.join("node.yaml"));
        let known = revision.domains().keys().cloned().collect();
        let node = match read(&path) {
            Ok(text) => parse(&path, text, Kind::Up, Some(&known), env)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && args.node.is_none() => NodeConfig::default(),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let data = match (&args.data, &node.data) {
            (Some(data), _) => std::path::absolute(data).map_err(|error| Failed::new(format!("--data: {error}")))?,
            (None, Some(data)) => PathBuf::from(data),
            (None, None) => paths::state_base(env)?.join(revision.model().organisation.as_str()),
        };
        let source = Source::new(args.dir.clone(), revision, loaded);
        let listeners = usual_where_none(node.listeners.clone())?;
        let wire = node.wire.clone();
        let core = CorePlan::new(Some(source), data, &node, wire, env)?;
        Ok(Self { core, listeners, clusters: node.k8s })
    }
}

/// `control`.
pub struct ControlPlan {
    /// Control's part, which is all of it.
    pub core: CorePlan,
    /// Its node.yaml, for SIGHUP.
    pub settings: Settings,
}

impl ControlPlan {
    /// Puts it together.
    ///
    /// # Errors
    /// As [`UpPlan::new`].
    pub fn new(path: &Path, env: &Env, source: Option<Source>) -> Result<Self, Failed> {
        let node = required(path, Kind::Control, env)?;
        let data = match (&node.data, &source) {
            (Some(data), _) => PathBuf::from(data),
            (None, Some(source)) => paths::state_base(env)?.join(source.revision.model().organisation.as_str()),
            (None, None) => {
                return Err(Failed::new(format!("`{}` does not say where data goes", path.display()))
                    .hint("add `data: /var/lib/countersign`; only with a trust directory is there a usual place"));
            }
        };
        let wire = match node.wire.clone() {
            Some(wire) => wire,
            None => WireListener { name: label(WIRE)?, address: (Ipv4Addr::LOCALHOST, WIRE_PORT).into() },
        };
        let core = CorePlan::new(source, data, &node, Some(wire), env)?;
        Ok(Self { core, settings: Settings::new(path, Kind::Control, node) })
    }
}

/// `proxy`.
pub struct ProxyPlan {
    /// The name under which it joins.
    pub name: Label,
    /// Where its state and its log live.
    pub data: PathBuf,
    /// Where control is.
    pub control: ControlAt,
    /// Where to take calls.
    pub listeners: Vec<Listener>,
    /// The most that the decision log may take, in bytes.
    pub log_bytes: u64,
    /// Its node.yaml, for SIGHUP.
    pub settings: Settings,
}

impl ProxyPlan {
    /// Puts it together.
    ///
    /// # Errors
    /// As [`UpPlan::new`].
    pub fn new(path: &Path, env: &Env) -> Result<Self, Failed> {
        let (node, joins) = joining(path, Kind::Proxy, env)?;
        Ok(Self {
            name: joins.name,
            data: joins.data,
            control: joins.control,
            listeners: usual_where_none(node.listeners.clone())?,
            log_bytes: node.decision_log.max_size,
            settings: Settings::new(path, Kind::Proxy, node),
        })
    }
}

/// `agent`.
pub struct AgentPlan {
    /// The name under which it joins.
    pub name: Label,
    /// Where its state lives.
    pub data: PathBuf,
    /// Where control is.
    pub control: ControlAt,
    /// The Workload API's socket.
    pub socket: PathBuf,
    /// The clusters that it knows.
    pub clusters: Vec<ClusterConfig>,
    /// Its node.yaml, for SIGHUP.
    pub settings: Settings,
}

impl AgentPlan {
    /// Puts it together.
    ///
    /// # Errors
    /// As [`UpPlan::new`].
    pub fn new(path: &Path, env: &Env) -> Result<Self, Failed> {
        let (node, joins) = joining(path, Kind::Agent, env)?;
        let socket = node.socket.as_ref().map_or_else(|| joins.data.join(WORKLOAD_SOCKET), PathBuf::from);
        let clusters = node.k8s.clone();
        let settings = Settings::new(path, Kind::Agent, node);
        Ok(Self { name: joins.name, data: joins.data, control: joins.control, socket, clusters, settings })
    }
}

/// What a proxy and an agent have in common.
struct Joins {
    name: Label,
    data: PathBuf,
    control: ControlAt,
}

fn joining(path: &Path, kind: Kind, env: &Env) -> Result<(NodeConfig, Joins), Failed> {
    let node = required(path, kind, env)?;
    let missing = |key: &str| Failed::new(format!("`{}` has no `{key}`", path.display()));
    let name = node.name.clone().ok_or_else(|| missing("name"))?;
    let control = node.control.as_ref().ok_or_else(|| missing("control"))?;
    let data = match &node.data {
        Some(data) => PathBuf::from(data),
        // its organisation is not known before it joined
        None => paths::state_base(env)?.join(format!("{}-{name}", kind.as_str())),
    };
    let control = remote(control);
    Ok((node, Joins { name, data, control }))
}

fn remote(address: &ControlAddress) -> ControlAt {
    ControlAt::Remote {
        url: address.url.clone(),
        root_sha256: address.root_sha256,
        token_file: address.token_file.as_ref().map(PathBuf::from),
    }
}

fn label(text: &str) -> Result<Label, Failed> {
    Label::parse(text).map_err(|error| Failed::new(error.to_string()))
}

/// One gateway on loopback for all domains, where nothing is said.
fn usual_where_none(mut listeners: Vec<Listener>) -> Result<Vec<Listener>, Failed> {
    if listeners.is_empty() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, GATEWAY_PORT));
        listeners.push(Listener { name: label(GATEWAY)?, address, domains: None, insecure_plaintext: false });
    }
    Ok(listeners)
}

fn required(path: &Path, kind: Kind, env: &Env) -> Result<NodeConfig, Failed> {
    let text = read(path).map_err(|error| unreadable(path, &error))?;
    parse(path, text, kind, None, env)
}

/// The text of a node.yaml.
///
/// # Errors
/// The system's, and when it is larger than any of them.
pub fn read(path: &Path) -> io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > limits::FILE_BYTES.default {
        return Err(io::Error::other(format!("it is larger than {} bytes", limits::FILE_BYTES.default)));
    }
    std::fs::read_to_string(path)
}

fn unreadable(path: &Path, error: &io::Error) -> Failed {
    Failed::new(format!("`{}` cannot be read: {error}", path.display()))
}

/// Reads a node.yaml; every problem is told on standard error.
fn parse(
    path: &Path,
    text: String,
    kind: Kind,
    known: Option<&BTreeSet<Label>>,
    env: &Env,
) -> Result<NodeConfig, Failed> {
    let shown = path.display().to_string();
    trustdir::node::parse(&shown, &text, kind, known).map_err(|found| {
        let sources = BTreeMap::from([(shown.clone(), text)]);
        let _ = problems::show(&mut io::stderr().lock(), Palette::stderr(env), &found, &sources);
        Failed { exit: Exit::No, ..Failed::new(format!("`{shown}` does not validate")) }
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
