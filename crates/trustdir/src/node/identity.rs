//! What `node.yaml` says about identities: how the keys of the domains are kept, and which clusters an agent knows.

use types::attest::is_k8s_name;

use super::address::path;
use crate::{
    decode::{Fields, bad_value, list, text},
    problem::{File, quote},
    yaml::Node,
};

/// How the keys of the domains are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeysConfig {
    /// The file with the passphrase that the key files are encrypted by, an absolute path.
    pub passphrase_file: String,
}

/// A Kubernetes cluster whose service accounts an agent knows by their projected tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// The name in rules.
    pub cluster: String,
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// The audience that tokens for us are made for: another than that of the cluster's own API.
    pub audience: String,
    /// The file with the cluster's public keys, a JWK Set: an absolute path.
    pub jwks: String,
    /// Where a workload's container finds its projected token: an absolute path there.
    pub token: String,
}

/// Reads `keys`.
pub(super) fn keys(node: &Node, file: &File<'_>) -> Option<KeysConfig> {
    let mut fields = Fields::open(node, file, "`keys`")?;
    let example = "passphrase_file: /etc/countersign/passphrase";
    let passphrase_file = fields.required("passphrase_file", example);
    let passphrase_file = passphrase_file.and_then(|node| path(node, file, "/etc/countersign/passphrase"));
    fields.finish();
    Some(KeysConfig { passphrase_file: passphrase_file? })
}

/// Reads `k8s`.
pub(super) fn clusters(node: &Node, file: &File<'_>) -> Vec<ClusterConfig> {
    let mut clusters: Vec<ClusterConfig> = Vec::new();
    for node in list(node, file, "a list of clusters").unwrap_or_default() {
        let Some(cluster) = read_cluster(node, file) else { continue };
        if clusters.iter().any(|other| other.cluster == cluster.cluster) {
            let message = format!("two clusters are named {}", quote(&cluster.cluster));
            file.error("value.duplicate", node.point(), message, None);
        }
        // a token is of the cluster whose issuer it names: with two of one issuer nobody could say which
        if let Some(other) = clusters.iter().find(|other| other.issuer == cluster.issuer) {
            let message = format!("the clusters `{}` and `{}` have the same issuer", other.cluster, cluster.cluster);
            let hint = "start each cluster's API server with a `--service-account-issuer` of its own".to_owned();
            file.error("value.duplicate", node.point(), message, Some(hint));
        }
        clusters.push(cluster);
    }
    clusters
}

fn read_cluster(node: &Node, file: &File<'_>) -> Option<ClusterConfig> {
    let mut fields = Fields::open(node, file, "a cluster")?;
    let cluster = fields.required("cluster", "cluster: prod").and_then(|node| name(node, file));
    let issuer = fields.required("issuer", "issuer: https://kubernetes.default.svc.cluster.local");
    let issuer = issuer.and_then(|node| claim(node, file, "https://kubernetes.default.svc.cluster.local"));
    let audience =
        fields.required("audience", "audience: countersign").and_then(|node| claim(node, file, "countersign"));
    let jwks = fields.required("jwks", "jwks: /etc/countersign/prod.jwks.json");
    let jwks = jwks.and_then(|node| path(node, file, "/etc/countersign/prod.jwks.json"));
    let token = fields.required("token", "token: /var/run/secrets/countersign/token");
    let token = token.and_then(|node| path(node, file, "/var/run/secrets/countersign/token"));
    fields.finish();
    Some(ClusterConfig { cluster: cluster?, issuer: issuer?, audience: audience?, jwks: jwks?, token: token? })
}

fn name(node: &Node, file: &File<'_>) -> Option<String> {
    let written = text(node, file, "the name of a cluster, such as `prod`")?;
    if is_k8s_name(written) {
        return Some(written.to_owned());
    }
    let message = format!("{} is not a name for a cluster", quote(written));
    bad_value(node, file, message, "the name that rules call it by: lower-case letters, digits, `-` and `.`");
    None
}

/// What a token says in a claim: compared byte for byte.
fn claim(node: &Node, file: &File<'_>, example: &str) -> Option<String> {
    let written = text(node, file, &format!("a text such as `{example}`"))?;
    if !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(written.to_owned());
    }
    let message = format!("no token says {}", quote(written));
    bad_value(node, file, message, &format!("such as `{example}`, without spaces"));
    None
}
