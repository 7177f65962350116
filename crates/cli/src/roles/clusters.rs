//! The Kubernetes clusters whose service accounts an agent knows.

use std::path::Path;

use agent::Cluster;
use agent::k8s::Keys;
use trustdir::node::ClusterConfig;

use super::plan;
use crate::exit::Failed;
use crate::term::causes;

/// Reads the keys of each, and sees that they can be used: an agent that knows less than it was told does not start.
///
/// # Errors
/// Which file, what is wrong with it, and what to do.
pub fn read(clusters: &[ClusterConfig]) -> Result<Vec<Cluster>, Failed> {
    clusters.iter().map(one).collect()
}

fn one(wanted: &ClusterConfig) -> Result<Cluster, Failed> {
    let (name, file) = (&wanted.cluster, &wanted.jwks);
    let jwks_json = plan::read(Path::new(file)).map_err(|error| {
        Failed::new(format!("the keys of cluster `{name}` in `{file}` cannot be read: {error}"))
            .hint(format!("write them there: kubectl get --raw /openid/v1/jwks > {}", crate::shell::quote(file)))
    })?;
    let cluster = Cluster {
        name: name.clone(),
        issuer: wanted.issuer.clone(),
        audience: wanted.audience.clone(),
        jwks_json,
        token_path: wanted.token.clone().into(),
    };
    Keys::new(cluster.clone()).map_err(|error| {
        Failed::new(format!("the keys of cluster `{name}` in `{file}` cannot be used: {}", causes(&error)))
            .hint(error.hint())
    })?;
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_none_are_told_before_the_agent_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prod.json");
        let config = ClusterConfig {
            cluster: "prod".into(),
            issuer: "https://kubernetes.default.svc".into(),
            audience: "countersign".into(),
            jwks: path.display().to_string(),
            token: "/var/run/secrets/tokens/countersign".into(),
        };
        let refused = |config: &ClusterConfig| read(std::slice::from_ref(config)).unwrap_err();
        assert!(refused(&config).hint.unwrap().contains("kubectl get --raw /openid/v1/jwks"));
        std::fs::write(&path, "{}").unwrap();
        let unusable = refused(&config);
        assert!(unusable.message.unwrap().contains("cannot be used"));
        assert!(unusable.hint.is_some());
        assert!(read(&[]).unwrap().is_empty());
    }
}
