//! Projected tokens of Kubernetes service accounts, checked without asking the cluster: against its keys as configured.
//!
//! The token is one that the kubelet put into a pod for the agent alone to read (`serviceAccountToken` with an audience
//! of its own). It is bound to its pod: one that is not names no process and is refused.

use std::path::{Path, PathBuf};

use jose::{Algorithm, JwkSet, Key};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use types::Timestamp;
use types::attest::{ServiceAccount, is_k8s_name, is_pod_uid};

use crate::serve::Cluster;

/// What API servers sign with (`--service-account-signing-key-file`: RSA, or ECDSA).
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512];

/// How far a cluster's clock may be ahead of this machine's.
const LEEWAY_SECONDS: u64 = 60;

/// A cluster whose tokens are believed.
#[derive(Debug)]
pub struct Keys {
    name: String,
    issuer: String,
    audience: String,
    token_path: PathBuf,
    /// By key id, each once.
    keys: Vec<(String, Key)>,
}

/// What a good token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Whose it is.
    pub account: ServiceAccount,
    /// The uid of the pod that it was made for.
    pub pod: String,
}

/// Why a cluster cannot be configured so.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ClusterError {
    /// No name of Kubernetes.
    #[error("`{0}` is no name of a cluster: lower-case letters, digits, `-` and `.`")]
    Name(String),
    /// Tokens could not be told from those of others.
    #[error("the cluster's issuer and audience must not be empty")]
    Empty,
    /// Not where a file can be in every pod.
    #[error("`{}` is not an absolute path", .0.display())]
    Path(PathBuf),
    /// Not a JWK Set.
    #[error("the cluster's keys cannot be read: {0}")]
    Keys(jose::Refusal),
    /// Nothing could ever be checked.
    #[error("none of the cluster's keys can check a token: it needs a `kid` and an RSA or ECDSA key")]
    NoKey,
    /// Which one signed could not be told.
    #[error("two of the cluster's keys have the id `{0}`")]
    Twice(String),
}

impl ClusterError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => "give it the name that rules use, such as `prod`",
            Self::Empty => "take the issuer from the cluster's `/.well-known/openid-configuration`",
            Self::Path(_) => "name the token as the pods see it, such as `/var/run/secrets/countersign/token`",
            Self::Keys(_) | Self::NoKey | Self::Twice(_) => "save what `kubectl get --raw /openid/v1/jwks` prints",
        }
    }
}

/// Why a token proves nothing. No part of the token is quoted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TokenRefusal {
    /// Not a token that may be one of a cluster, or not signed by it.
    #[error(transparent)]
    Jose(#[from] jose::Refusal),
    /// Signed by nobody known.
    #[error("the key that signed it is none of the cluster's; its keys may have changed since they were configured")]
    Key,
    /// A claim is missing or of the wrong type.
    #[error("its claims are not those of a projected service account token")]
    Claims,
    /// From elsewhere.
    #[error("its issuer is not the cluster's")]
    Issuer,
    /// For somebody else.
    #[error("it is not for this agent's audience")]
    Audience,
    /// Its time is over.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// Its time has not come.
    #[error("it is not good before {0}; are the clocks apart?")]
    Early(Timestamp),
    /// Stolen, or lent.
    #[error("it is bound to another pod than the one that the process is in")]
    OtherPod,
    /// Bound to no pod: `kubectl create token`, or a legacy secret.
    #[error("it is not bound to a pod")]
    Unbound,
}

/// The claims that count; others are passed over.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
    pod: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    uid: String,
}

impl Keys {
    /// Takes a cluster's configuration.
    ///
    /// # Errors
    /// [`ClusterError`], in words for the operator.
    pub fn new(cluster: Cluster) -> Result<Self, ClusterError> {
        let Cluster { name, issuer, audience, jwks_json, token_path } = cluster;
        if !is_k8s_name(&name) {
            return Err(ClusterError::Name(name.chars().take(160).collect()));
        }
        if issuer.is_empty() || audience.is_empty() {
            return Err(ClusterError::Empty);
        }
        if !token_path.is_absolute() {
            return Err(ClusterError::Path(token_path));
        }
        let keys = keys(&JwkSet::parse(&jwks_json).map_err(ClusterError::Keys)?)?;
        Ok(Self { name, issuer, audience, token_path, keys })
    }

    /// As rules name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its pods have the token, as they see it.
    pub fn token_path(&self) -> &Path {
        &self.token_path
    }

    /// Checks a token at a moment: signature, issuer, audience, time, and what it is bound to.
    ///
    /// # Errors
    /// [`TokenRefusal`] with the first thing that is wrong.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Bound, TokenRefusal> {
        let compact = jose::compact::parse(token)?;
        let kid = compact.key_id().ok_or(TokenRefusal::Key)?;
        let (_, key) = self.keys.iter().find(|(id, _)| id == kid).ok_or(TokenRefusal::Key)?;
        compact.verify(key, &ALGORITHMS)?;
        let claims = Value::Object(compact.claims()?);
        let claims: Claims = serde_json::from_value(claims).map_err(|_| TokenRefusal::Claims)?;
        self.check_claims(claims, now)
    }

    /// The account whose token a process holds that is in `pod`, or in none that is known.
    ///
    /// # Errors
    /// As [`Self::check`], and [`TokenRefusal::OtherPod`].
    pub fn account(&self, token: &str, pod: Option<&str>, now: Timestamp) -> Result<ServiceAccount, TokenRefusal> {
        let bound = self.check(token, now)?;
        if pod.is_none_or(|pod| pod == bound.pod) { Ok(bound.account) } else { Err(TokenRefusal::OtherPod) }
    }

    fn check_claims(&self, claims: Claims, now: Timestamp) -> Result<Bound, TokenRefusal> {
        let is_for_us = match &claims.aud {
            Audience::One(audience) => *audience == self.audience,
            Audience::Many(audiences) => audiences.contains(&self.audience),
        };
        let (ends, starts) = (Timestamp::from_seconds(claims.exp), Timestamp::from_seconds(claims.nbf.unwrap_or(0)));
        match () {
            () if claims.iss != self.issuer => Err(TokenRefusal::Issuer),
            () if !is_for_us => Err(TokenRefusal::Audience),
            () if ends <= now => Err(TokenRefusal::Expired(ends)),
            () if starts > now.plus_seconds(LEEWAY_SECONDS) => Err(TokenRefusal::Early(starts)),
            () => self.bound(claims.sub, claims.kubernetes),
        }
    }

    fn bound(&self, subject: String, claims: Kubernetes) -> Result<Bound, TokenRefusal> {
        let Kubernetes { namespace, serviceaccount: Named { name, uid: _ }, pod } = claims;
        let pod = pod.ok_or(TokenRefusal::Unbound)?.uid;
        let is_whole = is_k8s_name(&namespace) && is_k8s_name(&name) && is_pod_uid(&pod);
        if !is_whole || subject != format!("system:serviceaccount:{namespace}:{name}") {
            return Err(TokenRefusal::Claims);
        }
        Ok(Bound { account: ServiceAccount { cluster: self.name.clone(), namespace, name }, pod })
    }
}

/// Those that can check a token; what is of another kind or for another use is passed over.
fn keys(set: &JwkSet) -> Result<Vec<(String, Key)>, ClusterError> {
    let mut keys: Vec<(String, Key)> = Vec::new();
    for entry in set.keys().iter().filter(|entry| entry.usage().is_none_or(|usage| usage == "sig")) {
        let (Some(kid), Ok(key)) = (entry.key_id(), entry.key()) else { continue };
        if keys.iter().any(|(id, _)| id == kid) {
            return Err(ClusterError::Twice(kid.chars().take(160).collect()));
        }
        keys.push((kid.to_owned(), key));
    }
    if keys.is_empty() { Err(ClusterError::NoKey) } else { Ok(keys) }
}

/// Where it is there it is a number: `null` is none (JW-7).
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
