//! SIGHUP: node.yaml is read again; what can be taken over while a process runs is, and what needs a restart is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trustdir::NodeConfig;
use trustdir::node::Kind;
use wire::Peer;

use super::plan;
use crate::term::{causes, problems};

/// A node.yaml as it was at the start.
pub struct Settings {
    path: PathBuf,
    kind: Kind,
    started_with: NodeConfig,
}

impl Settings {
    /// What the process was started with.
    pub fn new(path: &Path, kind: Kind, started_with: NodeConfig) -> Self {
        Self { path: path.to_owned(), kind, started_with }
    }

    /// Reads it again. `None` where it cannot be read or does not validate, which is told; what runs goes on.
    pub fn read_again(&self) -> Option<NodeConfig> {
        let shown = self.path.display().to_string();
        let text = match plan::read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(path = shown, %error, "node.yaml was not read again; what runs goes on");
                return None;
            }
        };
        match trustdir::node::parse(&shown, &text, self.kind, None) {
            Ok(now) => Some(now),
            Err(found) => {
                let details = problems::in_a_line(&found, &BTreeMap::from([(shown.clone(), text)]));
                tracing::error!(path = shown, details, "node.yaml does not validate; what runs goes on");
                None
            }
        }
    }

    /// Says what is taken over, and what needs a restart.
    pub fn tell(&self, now: &NodeConfig, taken_over: &[&str]) {
        if !taken_over.is_empty() {
            tracing::info!(keys = taken_over.join(", "), "node.yaml was read again and taken over");
        }
        let waiting = needs_restart(&self.started_with, now);
        if !waiting.is_empty() {
            tracing::warn!(
                keys = waiting.join(", "),
                "node.yaml has changed in what needs a restart; what runs goes on"
            );
        }
        if taken_over.is_empty() && waiting.is_empty() {
            tracing::info!("node.yaml was read again; nothing has changed");
        }
    }
}

/// Points a peer at what node.yaml says now: `control.url` and `control.token_file`.
pub fn peer(settings: &Settings, peer: &Peer) {
    let Some(now) = settings.read_again() else { return };
    let mut taken_over = Vec::new();
    if let Some(control) = &now.control {
        match peer.point_at(&control.url, control.token_file.as_ref().map(PathBuf::from)) {
            Ok(()) => taken_over = hot(&settings.started_with, &now),
            Err(error) => tracing::error!(error = causes(&error), "control.url is not taken over; what runs goes on"),
        }
    }
    settings.tell(&now, &taken_over);
}

/// What of it is taken over while a proxy or an agent runs, where it differs from the start.
fn hot(then: &NodeConfig, now: &NodeConfig) -> Vec<&'static str> {
    let (Some(then), Some(now)) = (&then.control, &now.control) else { return Vec::new() };
    let keys = [("control.url", then.url != now.url), ("control.token_file", then.token_file != now.token_file)];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// The keys that differ and are read at a start only.
fn needs_restart(then: &NodeConfig, now: &NodeConfig) -> Vec<&'static str> {
    let root = |config: &NodeConfig| config.control.as_ref().map(|control| control.root_sha256);
    let keys = [
        ("name", then.name != now.name),
        ("data", then.data != now.data),
        ("control.root_sha256", root(then) != root(now)),
        ("listeners", then.listeners != now.listeners || then.wire != now.wire || then.bundle != now.bundle),
        ("admin", then.admin != now.admin),
        ("keys", then.keys != now.keys),
        ("k8s", then.k8s != now.k8s),
        ("socket", then.socket != now.socket),
        ("decision_log", then.decision_log != now.decision_log),
        ("intake", then.intake != now.intake),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> NodeConfig {
        trustdir::node::parse("node.yaml", text, Kind::Proxy, None).unwrap()
    }

    #[test]
    fn what_is_hot_and_what_needs_a_restart_is_told_apart() {
        let text = |url: &str, root: &str, more: &str| {
            config(&format!("name: e\ncontrol: {{ url: {url}, root_sha256: {} }}\n{more}", root.repeat(32)))
        };
        let then = text("https://a:1", "9f", "");
        assert!(hot(&then, &then).is_empty() && needs_restart(&then, &then).is_empty());
        let moved = text("https://b:1", "9f", "");
        assert_eq!((hot(&then, &moved), needs_restart(&then, &moved)), (vec!["control.url"], vec![]));
        let other = text("https://a:1", "a0", "data: /d\ndecision_log: { max_size: 1GiB }\n");
        assert_eq!(needs_restart(&then, &other), ["data", "control.root_sha256", "decision_log"]);
        let listening = "listeners: [{ name: g, kind: gateway, address: \"127.0.0.1:1\" }]\n";
        assert_eq!(needs_restart(&then, &text("https://a:1", "9f", listening)), ["listeners"]);
    }
}
