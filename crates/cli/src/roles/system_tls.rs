//! The identity with which control is known to peers and operators, renewed while it runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use identity::{Bundle, BundleSet};
use issuer::Issuer;
use runtime::tls::{Trust, system_server};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::{MissedTickBehavior, interval};
use types::{Clock, Host, Label, Timestamp, TrustDomain};

use super::workloads::asked;
use crate::exit::Failed;
use crate::term::causes;

/// How often it is looked whether the identity is to be renewed, by the clock of the machine: a timer alone would sleep
/// through the sleep of a machine.
const LOOK: Duration = Duration::from_secs(5);

/// TLS as control speaks it, on each of its doors.
pub struct SystemTls {
    name: Label,
    names: Vec<Host>,
    issuer: Arc<Issuer>,
    clock: Arc<dyn Clock>,
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<Trust>,
    /// The end of what is held.
    until: Timestamp,
}

impl SystemTls {
    /// Mints the identity and holds it ready. `names` are the host names that it is to be good for beside its SPIFFE ID.
    ///
    /// # Errors
    /// When it cannot be minted.
    pub fn new(
        name: &Label,
        names: &[Host],
        organisation: &TrustDomain,
        issuer: &Arc<Issuer>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failed> {
        let unusable =
            |error: &dyn std::fmt::Display| Failed::new(format!("control has no identity of its own: {error}"));
        let domain = wire::system::domain(organisation)
            .ok_or_else(|| unusable(&"the organisation's name is too long to be a trust domain"))?;
        let bundle = Bundle::from_der(domain, vec![issuer.system_root()]).map_err(|error| unusable(&causes(&error)))?;
        let trust = Arc::new(Trust::new(BundleSet::from_iter([bundle]), Arc::clone(clock)));
        let (config, until) = mint(issuer, name, names, &trust).map_err(|error| unusable(&error))?;
        Ok(Self {
            name: name.clone(),
            names: names.to_vec(),
            issuer: Arc::clone(issuer),
            clock: Arc::clone(clock),
            config: Arc::new(ArcSwap::from_pointee(config)),
            trust,
            until,
        })
    }

    /// What is spoken; swapped whole when the identity is renewed.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.config)
    }

    /// Whom it believes: the system's own root and nothing else.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust)
    }

    /// Renews at half of the life that is left, until the process ends. A renewal that fails is tried again and again, and
    /// what is held goes on.
    pub async fn keep(self, finishing: tokio::sync::watch::Receiver<bool>) {
        let mut due = interval(LOOK);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew_at = half_way(self.clock.now(), self.until);
        let mut finish = std::pin::pin!(asked(finishing));
        loop {
            tokio::select! {
                () = &mut finish => return,
                _ = due.tick() => {}
            }
            let now = self.clock.now();
            if now < renew_at {
                continue;
            }
            match mint(&self.issuer, &self.name, &self.names, &self.trust) {
                Ok((config, until)) => {
                    self.config.store(Arc::new(config));
                    renew_at = half_way(now, until);
                }
                Err(error) => tracing::warn!(error, "control's identity is not renewed; the old one goes on"),
            }
        }
    }
}

fn half_way(now: Timestamp, until: Timestamp) -> Timestamp {
    now.plus_seconds(until.seconds().saturating_sub(now.seconds()) / 2)
}

/// A fresh identity, and until when it is good.
fn mint(
    issuer: &Issuer,
    name: &Label,
    names: &[Host],
    trust: &Arc<Trust>,
) -> Result<(ServerConfig, Timestamp), String> {
    let minted = issuer.control_identity(name, names).map_err(|error| causes(&error))?;
    let root = CertificateDer::from(issuer.system_root());
    let mut config =
        system_server(minted.chain, minted.key, root, Arc::clone(trust)).map_err(|error| causes(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((config, minted.not_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_is_waited_for_and_nothing_where_it_is_over() {
        let at = Timestamp::from_seconds;
        assert_eq!(half_way(at(1_000), at(2_000)), at(1_500));
        assert_eq!(half_way(at(2_000), at(1_000)), at(2_000));
    }
}
