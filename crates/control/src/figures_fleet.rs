//! Figures of the fleet.

use api::admin::Role;
use types::Timestamp;

use crate::metrics::{Family, Sample, float};
use crate::peers::Seen;
use crate::service::Control;

impl Control {
    /// How many peers there are, and of each how far it is behind.
    pub(crate) fn of_fleet(&self, now: Timestamp) -> Vec<Family> {
        let all = self.hub.peers.all();
        let truth = self.hub.snapshot().truth;
        let mut counted = Vec::new();
        for role in [Role::Proxy, Role::Agent] {
            for (state, connected) in [("connected", true), ("away", false)] {
                let count =
                    all.iter().filter(|seen| seen.place.role == role && seen.is_connected() == connected).count();
                let labels = [("role", role.as_str().to_owned()), ("state", state.to_owned())];
                counted.push(Sample::gauge(labels, float(u64::try_from(count).unwrap_or(u64::MAX))));
            }
        }
        let each = |figure: &dyn Fn(&Seen) -> Option<f64>| -> Vec<Sample> {
            let sample = |seen: &Seen| Some(Sample::gauge([("peer", seen.title())], figure(seen)?));
            all.iter().filter_map(sample).collect()
        };
        let of_proxy = |seen: &Seen, behind: u64| (seen.place.role == Role::Proxy).then(|| float(behind));
        let publications =
            |seen: &Seen| of_proxy(seen, truth.publication.saturating_sub(seen.last.publication.unwrap_or_default()));
        let epochs = |seen: &Seen| of_proxy(seen, truth.epoch.saturating_sub(seen.last.epoch.unwrap_or_default()));
        let silent = |seen: &Seen| seen.last.heard.map(|heard| float(now.micros_since(heard)) / 1e6);
        let clock = |seen: &Seen| {
            let apart = float(seen.clock_ahead.unsigned_abs()) / 1e6;
            seen.is_connected().then_some(if seen.clock_ahead < 0 { -apart } else { apart })
        };
        let refuses = |seen: &Seen| Some(f64::from(u8::from(seen.refused.is_some())));
        let told = f64::from(u8::from(self.hub.trouble().is_none()));
        vec![
            Family::gauge("countersign_peers", "Peers that joined.", counted),
            Family::gauge(
                "countersign_peers_told",
                "Whether peers are told what is current.",
                vec![Sample::gauge([], told)],
            ),
            Family::gauge(
                "countersign_peer_publications_behind",
                "Publications between what a proxy runs and what is current.",
                each(&publications),
            ),
            Family::gauge(
                "countersign_peer_epochs_behind",
                "Epochs between the signals in force in a proxy and the latest.",
                each(&epochs),
            ),
            Family::gauge("countersign_peer_silent_seconds", "Seconds since a peer was heard.", each(&silent)),
            Family::gauge(
                "countersign_peer_clock_ahead_seconds",
                "How far a peer's clock is ahead of control's.",
                each(&clock),
            ),
            Family::gauge(
                "countersign_peer_refuses",
                "Whether a peer refused the last update of a kind.",
                each(&refuses),
            ),
        ]
    }
}
