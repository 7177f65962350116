//! What a peer reports, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use ::wire::content;
use api::admin::Role;
use api::wire::report::Report as Said;
use api::wire::{Ack, Ask, Have, Holdings, Kind, Report, Want};
use tonic::Status;
use types::limits;

use super::follow::{Line, SILENCE, blocking, shown};
use super::heard::is_gateway;
use super::sending::Wanted;
use crate::peers::{Ending, Refused};
use crate::store::Place;

impl Line {
    pub(super) async fn take(&mut self, report: Report) -> Result<(), Ending> {
        let now = self.control.parts.clock.now();
        match report.report {
            Some(Said::Pulse(pulse)) => {
                self.control.hub.peers.pulse(&self.name, self.id, pulse.clock, pulse.load, now);
            }
            Some(Said::Ack(ack)) => self.acknowledged(ack).await,
            Some(Said::Want(want)) => self.wanted(&want)?,
            Some(Said::Holdings(holdings)) => self.holds(&holdings)?,
            Some(Said::Offer(offer)) if self.is_awaited => {
                self.await_offer(false);
                let (control, from) = (Arc::clone(&self.control), self.caller.title());
                blocking(move || control.consider(&from, &offer)).await;
                self.out.go_on();
                self.compare().await;
            }
            // nobody asked for it
            Some(Said::Offer(_)) => {}
            Some(Said::Hello(_)) | None => {
                return Err(Ending { why: "this report makes no sense here".to_owned(), retry: false });
            }
        }
        Ok(())
    }

    /// From here on an offer is awaited, or is not.
    fn await_offer(&mut self, is_awaited: bool) {
        self.is_awaited = is_awaited;
        self.allowance.set(is_awaited);
    }

    pub(super) fn too_large(&self, status: &Status) -> Ending {
        self.control.refuse("report", &self.caller.title(), status.message());
        Ending { why: status.message().to_owned(), retry: false }
    }

    /// What workloads of its node hold, or its own gateways.
    fn holds(&mut self, holdings: &Holdings) -> Result<(), Ending> {
        let ending = |why: String| Ending { why, retry: false };
        let held = content::read_holdings(holdings)
            .map_err(|error| ending(format!("what it holds cannot be read: {error}")))?;
        let Place { role, name, .. } = &self.caller.place;
        let not_its_own = held.held.iter().find(|held| *role == Role::Proxy && !is_gateway(&held.spiffe_id, name));
        if let Some(held) = not_its_own {
            return Err(ending(format!("it says that it holds {}, which is none of its gateways", held.spiffe_id)));
        }
        self.control.hub.heard.holdings(&self.control.hub.peers, &self.name, held);
        Ok(())
    }

    async fn acknowledged(&mut self, ack: Ack) {
        let (peers, now) = (&self.control.hub.peers, self.control.parts.clock.now());
        let have = ack.have.clone().unwrap_or_default();
        let what = what(&ack);
        self.control.hub.heard.bundles(peers, &self.name, have.bundles);
        if ack.kind() == Kind::Bundles {
            self.control.hub.heard.answered(peers, &self.name, &shown(&ack.why));
        }
        if ack.refused.is_empty() {
            let is_latest = ack.kind() == Kind::Signals && have.epoch == self.control.hub.snapshot().truth.epoch;
            let changed = self.control.hub.epoch_since().filter(|_| is_latest);
            peers.acknowledge(&self.name, self.id, &have, now, changed);
            if peers
                .get(&self.name)
                .and_then(|seen| seen.refused)
                .is_some_and(|refused| kind_of(&refused.what) == kind_of(&what))
            {
                peers.refuse(&self.name, self.id, None);
            }
        } else {
            let (word, why) = (shown(&ack.refused), shown(&ack.why));
            tracing::warn!(peer = self.caller.title(), what, word, why, "a peer refused an update");
            peers.acknowledge(&self.name, self.id, &have, now, None);
            peers.refuse(&self.name, self.id, Some(Refused { what, word, why }));
        }
        self.out.answered(ack.kind(), have);
        self.compare().await;
    }

    /// Asks for what the peer holds of a history that the store does not know, once for each state of it.
    pub(super) async fn compare(&mut self) {
        let have = self.out.has().clone();
        if self.asked.as_ref() == Some(&have) || have == Have::default() {
            return;
        }
        let ahead = if self.control.is_level(&have) {
            None
        } else {
            let (control, held) = (Arc::clone(&self.control), have.clone());
            tokio::task::spawn_blocking(move || control.is_ahead(&held)).await.ok().flatten()
        };
        let Some((ask, words)) = ahead else {
            return self.control.hub.peers.is_ahead(&self.name, self.id, "");
        };
        tracing::warn!(peer = self.caller.title(), what = words, "a peer is ahead of this store");
        self.control.hub.peers.is_ahead(&self.name, self.id, &words);
        self.asked = Some(have);
        self.await_offer(true);
        let ask = Ask { signals: ask.signals && self.caller.place.role == Role::Proxy, ..ask };
        self.out.ask(ask, Instant::now() + SILENCE);
    }

    /// Files that the peer lacks.
    fn wanted(&mut self, want: &Want) -> Result<(), Ending> {
        if want.sha256.len() > limits::WIRE_WANTS.default_usize() {
            return Err(Ending { why: "it asks for more files than a revision has".to_owned(), retry: false });
        }
        let digests: Vec<[u8; 32]> =
            want.sha256.iter().filter_map(|sha256| <[u8; 32]>::try_from(sha256.as_slice()).ok()).collect();
        let judged = digests.into_iter().map(|sha256| (self.out.judge(&sha256), sha256));
        let (given, others): (Vec<_>, Vec<_>) = judged.partition(|(judged, _)| *judged == Wanted::Given);
        let withheld = others.iter().filter(|(judged, _)| *judged == Wanted::Withheld).count();
        if withheld > 0 {
            let why = format!("it asked for {withheld} files of domains that it does not serve");
            self.control.refuse("want", &self.caller.title(), &why);
        }
        self.out.want(given.into_iter().map(|(_, sha256)| sha256).collect());
        Ok(())
    }
}

/// `publication 7`, as `Target` writes it.
fn what(ack: &Ack) -> String {
    let kind = match ack.kind() {
        Kind::Publication => "publication",
        Kind::Signals => "epoch",
        Kind::Bundles => "bundles",
        Kind::Unspecified => "registrations",
    };
    format!("{kind} {}", ack.number)
}

fn kind_of(what: &str) -> &str {
    what.split(' ').next().unwrap_or_default()
}
