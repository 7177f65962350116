//! `node.yaml`: what one process does, where it listens, where it keeps its data. Never part of a revision.

use std::collections::BTreeSet;

use types::{Label, limits};

use crate::{
    decode::{Fields, bad_value, one_of, size},
    domain::label,
    problem::{File, Problem, Sink, Text},
    yaml::{self, Node},
};

mod address;
mod identity;
mod listener;
mod role;

pub use address::{Admin, ControlAddress};
pub use identity::{ClusterConfig, KeysConfig};
pub use listener::{BundleListener, Listener, WireListener};
pub use role::Kind;

/// The JSON Schema of `node.yaml` (draft 2020-12), one branch for each role. Tests hold it and [`parse`] together.
pub const fn schema() -> &'static str {
    include_str!("../../../docs/node.schema.json")
}

/// What one process is told. What its role has no use for is absent or at its default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// The node's name; absent where the binary chooses one. Always there for a proxy and an agent, who join under it.
    pub name: Option<Label>,
    /// The data directory, an absolute path; absent for the usual place.
    pub data: Option<String>,
    /// Where control is. Always there for a proxy and an agent.
    pub control: Option<ControlAddress>,
    /// Where calls are taken; empty for the usual loopback listener.
    pub listeners: Vec<Listener>,
    /// Where control takes proxies and agents; absent for the usual loopback address with `control`, and for none with
    /// `up`.
    pub wire: Option<WireListener>,
    /// Where other organisations fetch our bundles; absent where nobody does.
    pub bundle: Option<BundleListener>,
    /// Where the console and the admin API listen; absent for the usual place on loopback.
    pub admin: Option<Admin>,
    /// The Workload API's socket, an absolute path; absent for the usual place in the data directory.
    pub socket: Option<String>,
    /// How the keys of the domains are kept; absent for files that only their owner can read.
    pub keys: Option<KeysConfig>,
    /// The Kubernetes clusters whose service accounts the agent knows.
    pub k8s: Vec<ClusterConfig>,
    /// The decision log.
    pub decision_log: DecisionLog,
    /// What control keeps of the decision logs of others.
    pub intake: Intake,
}

/// The decision log. Its durability is `process` (records survive the death of the process), and when it is full calls
/// are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecisionLog {
    /// The most that all its segments may take, in bytes.
    pub max_size: u64,
}

/// The decision logs that proxies ship to control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intake {
    /// The most that all of them together may take, in bytes.
    pub max_size: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: None,
            data: None,
            control: None,
            listeners: Vec::new(),
            wire: None,
            bundle: None,
            admin: None,
            socket: None,
            keys: None,
            k8s: Vec::new(),
            decision_log: DecisionLog { max_size: limits::LOG_BYTES.default },
            intake: Intake { max_size: limits::INTAKE_BYTES.default },
        }
    }
}

/// The least room in which the log's lanes can each hold a segment and preallocate the next.
const SMALLEST_LOG: u64 = 4 * limits::SEGMENT_BYTES.default;

/// Reads a `node.yaml`. `path` is how messages name the file; `kind` is the role of the process; `known` are the domains
/// of the trust directory, where the caller knows them.
///
/// # Errors
/// Every problem of the file.
pub fn parse(
    path: &str,
    content: &str,
    kind: Kind,
    known: Option<&BTreeSet<Label>>,
) -> Result<NodeConfig, Vec<Problem>> {
    let sink = Sink::default();
    let text = Text::new(content.to_owned());
    let file = File { path, text: &text, sink: &sink };
    let config = if u64::try_from(content.len()).is_ok_and(|size| size <= limits::FILE_BYTES.default) {
        yaml::read(&file).map(|root| read(&root, &file, kind, known))
    } else {
        sink.push(Problem::error("file.too-large", path, "the file is too large"));
        None
    };
    match config {
        Some(config) if !sink.has_errors() => Ok(config),
        _ => Err(sink.into_problems()),
    }
}

fn read(root: &Node, file: &File<'_>, kind: Kind, known: Option<&BTreeSet<Label>>) -> NodeConfig {
    let mut config = NodeConfig::default();
    let Some(mut fields) = Fields::open(root, file, "a node") else { return config };
    config.name = match kind.joins() {
        true => fields.required("name", "name: edge-1").and_then(|node| label(node, file)),
        false => fields.take("name", label),
    };
    config.data = fields.take("data", |node, file| address::path(node, file, "/var/lib/countersign"));
    for key in role::KEYS {
        let Some(node) = key.of(&mut fields, kind, file) else { continue };
        match key.name {
            "control" => config.control = address::control(node, file),
            "listeners" => {
                let all = listener::read(node, file, kind, known);
                (config.listeners, config.wire, config.bundle) = (all.gateways, all.wire, all.bundle);
            }
            "keys" => config.keys = identity::keys(node, file),
            "k8s" => config.k8s = identity::clusters(node, file),
            "admin" => config.admin = address::admin(node, file),
            "socket" => config.socket = address::socket(node, file),
            "decision_log" => config.decision_log = read_log(node, file).unwrap_or(config.decision_log),
            _ => config.intake = read_intake(node, file).unwrap_or(config.intake),
        }
    }
    fields.finish();
    address::check_taken(&config, root, file);
    config
}

fn read_log(node: &Node, file: &File<'_>) -> Option<DecisionLog> {
    let mut fields = Fields::open(node, file, "`decision_log`")?;
    fields.take("durability", |node, file| one_of(node, file, "`process`", &[("process", ())]));
    fields.take("when_full", |node, file| one_of(node, file, "`refuse`", &[("refuse", ())]));
    let max_size = fields.take("max_size", |node, file| at_least(node, file, "the decision log would be too small"));
    fields.finish();
    Some(DecisionLog { max_size: max_size.unwrap_or(limits::LOG_BYTES.default) })
}

fn read_intake(node: &Node, file: &File<'_>) -> Option<Intake> {
    let mut fields = Fields::open(node, file, "`intake`")?;
    let max_size = fields.take("max_size", |node, file| at_least(node, file, "the intake would be too small"));
    fields.finish();
    Some(Intake { max_size: max_size.unwrap_or(limits::INTAKE_BYTES.default) })
}

/// A size in which a log can work.
fn at_least(node: &Node, file: &File<'_>, message: &str) -> Option<u64> {
    let bytes = size(node, file)?;
    if bytes < SMALLEST_LOG {
        bad_value(node, file, message.to_owned(), &format!("at least {}MiB", SMALLEST_LOG >> 20));
    }
    Some(bytes)
}
