//! One connection's stream of state, from Hello to its end.

use std::{sync::Arc, time::Duration};

use api::wire::{JoinResponse, Offer, Pulse, RenewRequest, Report, Update, Want, Welcome, report, update};
use rcgen::KeyPair;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout},
};
use tonic::{Streaming, transport::Channel};
use types::limits;

use super::{
    connect::Target,
    held::Served,
    life::{Life, Next, Work},
    node,
    opening::{Again, Ended, farewell, hello, open, served},
};
use crate::{
    content::{self, Holdings},
    words::shown,
};

/// Reports that wait for the connection to take them. Control that does not take so many is no longer there.
const REPORTS: usize = 256; // tidy: this end's own

/// For control to read what was sent last.
const LAST_WORD: Duration = Duration::from_millis(500); // tidy: this end's own

/// Between heartbeats and between pulses.
const SECOND: Duration = Duration::from_secs(1); // tidy: the protocol's own

type Renewal = JoinHandle<Result<(JoinResponse, KeyPair), String>>;

/// A connection whose stream is open.
struct Session<'l> {
    life: &'l mut Life,
    reports: mpsc::Sender<Report>,
    channel: Channel,
    root_sha256: Option<[u8; 32]>,
    served: Served,
    work: Option<Work>,
    renewal: Option<Renewal>,
    /// What is in the hands of workloads; marked as changed until control was told.
    holdings: watch::Receiver<Option<Arc<Holdings>>>,
    /// Control was told on this connection.
    has_told: bool,
    /// When the next attempt to renew or to write is due.
    again: Instant,
}

/// Follows control over a channel until the connection ends, for whatever reason.
pub(super) async fn follow(life: &mut Life, channel: Channel, target: &mut watch::Receiver<Target>) -> Ended {
    let (reports, outgoing) = mpsc::channel(REPORTS);
    let hello = hello(life);
    if reports.try_send(Report { report: Some(report::Report::Hello(hello)) }).is_err() {
        return Ended::soon("nothing can be sent");
    }
    let patience = Duration::from_millis(limits::WIRE_CALL_TIME.default);
    let opened = timeout(patience, open(channel.clone(), outgoing)).await;
    let (updates, welcome) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::soon("control does not answer"),
    };
    let root_sha256 = match &*target.borrow() {
        Target::Memory(_) => None,
        Target::Remote(remote) => Some(remote.root_sha256),
    };
    let served = match served(life, &welcome) {
        Ok(served) => served,
        Err(ended) => return ended,
    };
    if life.serves_others(&served) {
        return Ended::at_once("the domains that this proxy may serve were changed");
    }
    let mut holdings = life.outlets.issuance.held();
    // each connection is told what is held, whoever was told before
    holdings.mark_changed();
    let (work, renewal, again, has_told) = (None, None, Instant::now(), false);
    let session = Session { life, reports, channel, root_sha256, served, work, renewal, holdings, has_told, again };
    let ended = session.run(updates, &welcome, target).await;
    life.cut();
    ended
}

impl Session<'_> {
    async fn run(
        mut self,
        mut updates: Streaming<Update>,
        welcome: &Welcome,
        target: &mut watch::Receiver<Target>,
    ) -> Ended {
        self.begin(welcome);
        let place = target.borrow_and_update().clone();
        let silence = Duration::from_millis(limits::WIRE_SILENCE_TIME.default);
        let mut pulse = seconds();
        let mut heard = Instant::now();
        loop {
            let handled = tokio::select! {
                update = updates.message() => {
                    heard = Instant::now();
                    match update {
                        Ok(Some(update)) => self.take(update).await,
                        Ok(None) => Err(Ended::soon("control ended the stream")),
                        Err(status) => Err(Ended::by(&status)),
                    }
                }
                _ = pulse.tick() => self.pulse().await,
                // the first word at once, changes with the pulse
                Ok(()) = self.holdings.changed(), if !self.has_told => self.tell_held(),
                () = sleep_until(heard + silence) => Err(Ended::soon("control is silent")),
                Some(compiled) = done(&mut self.work) => {
                    self.work = None;
                    match compiled {
                        Ok((assembly, finished)) => {
                            let next = self.life.compiled(&assembly, finished);
                            self.all(next)
                        }
                        Err(error) => Err(Ended::soon(format!("compiling ended early: {error}"))),
                    }
                }
                Some(renewed) = done(&mut self.renewal) => {
                    self.renewal = None;
                    self.renewed(renewed.unwrap_or_else(|error| Err(error.to_string())))
                }
                changed = target.changed() => match changed {
                    Ok(()) if place.is_same_place(&target.borrow()) => Ok(()),
                    Ok(()) => Err(Ended::at_once("the address of control was changed")),
                    Err(_) => Err(Ended::soon("the peer is finishing")),
                },
            };
            if let Err(ended) = handled {
                return self.end(ended, updates).await;
            }
        }
    }

    /// What is being compiled is put in force all the same, and where this end ends the stream, control hears the last word.
    async fn end(mut self, ended: Ended, mut updates: Streaming<Update>) -> Ended {
        if ended.again == Again::AtOnce {
            let (closed, _) = mpsc::channel(1);
            self.reports = closed;
            let _ = timeout(LAST_WORD, async { while let Ok(Some(_)) = updates.message().await {} }).await;
        }
        if let Some(work) = self.work.take()
            && let Ok((assembly, finished)) = work.await
        {
            self.life.compiled(&assembly, finished);
        }
        ended
    }

    fn begin(&self, welcome: &Welcome) {
        let now = self.life.now();
        tracing::info!(control = %shown(&welcome.control), version = %shown(&welcome.version), "connected to control");
        self.life.outlets.opened(self.channel.clone());
        self.life.outlets.connected(shown(&welcome.control), now);
    }

    async fn take(&mut self, update: Update) -> Result<(), Ended> {
        let Some(update) = update.update else { return Ok(()) };
        let next = match update {
            update::Update::Welcome(_) => return Err(Ended::malformed("a second Welcome")),
            update::Update::Manifest(manifest) => self.life.take_manifest(manifest, &self.served),
            update::Update::Blob(piece) => self.life.take_blob(piece),
            update::Update::Signals(signals) => self.life.take_signals(signals).await,
            update::Update::Bundles(bundles) => self.life.take_bundles(bundles).await,
            update::Update::Registrations(registrations) => self.life.take_registrations(&registrations),
            update::Update::Heartbeat(heartbeat) => {
                self.life.take_heartbeat(heartbeat);
                Next::Wait
            }
            update::Update::Ask(ask) => {
                let offer: Offer = self.life.held.offer(ask);
                return self.send(report::Report::Offer(offer));
            }
            update::Update::Goodbye(goodbye) => return Err(farewell(&goodbye)),
        };
        self.all([next])
    }

    fn all(&mut self, next: impl IntoIterator<Item = Next>) -> Result<(), Ended> {
        next.into_iter().try_for_each(|next| match next {
            Next::Ack(ack) => self.send(report::Report::Ack(ack)),
            Next::Want(sha256) => self.send(report::Report::Want(Want { sha256 })),
            Next::Compile => {
                if self.work.is_none() {
                    self.work = self.life.compile();
                }
                Ok(())
            }
            Next::Wait => Ok(()),
            Next::Again(ack) => {
                self.send(report::Report::Ack(ack))?;
                Err(Ended::at_once("something has to come whole"))
            }
        })
    }

    fn send(&self, report: report::Report) -> Result<(), Ended> {
        let sent = self.reports.try_send(Report { report: Some(report) });
        sent.map_err(|_| Ended::soon("control does not take what is sent"))
    }

    /// Once a second: the pulse, and what is due.
    async fn pulse(&mut self) -> Result<(), Ended> {
        let load = (self.life.config.load)();
        self.send(report::Report::Pulse(Pulse { clock: self.life.now().micros(), load: Some(load) }))?;
        if self.holdings.has_changed().unwrap_or(false) {
            self.tell_held()?;
        }
        if Instant::now() < self.again {
            return Ok(());
        }
        self.again = Instant::now() + Duration::from_millis(limits::RENEWAL_RETRY_TIME.default);
        self.renew();
        let next = self.life.keep_again().await;
        self.all(next)
    }

    /// Tells what is held, where anybody said so.
    fn tell_held(&mut self) -> Result<(), Ended> {
        let Some(held) = self.holdings.borrow_and_update().clone() else { return Ok(()) };
        self.has_told = true;
        self.send(report::Report::Holdings(content::holdings_message(&held)))
    }

    /// Asks for another certificate at half of the life of the one there is.
    fn renew(&mut self) {
        let Some(own) = self.life.node.own() else { return };
        if self.renewal.is_some() || self.life.now() < own.renew_at() {
            return;
        }
        let (key, channel) = (own.key(), self.channel.clone());
        self.renewal = Some(tokio::spawn(async move {
            let key = key?;
            let request = RenewRequest { csr: node::request(&key)? };
            let patience = Duration::from_millis(limits::WIRE_CALL_TIME.default);
            let mut client = crate::client(channel);
            let answer = timeout(patience, client.renew(request)).await;
            let answer = answer.map_err(|_| "control did not answer in time".to_owned())?;
            answer.map(|answer| (answer.into_inner(), key)).map_err(|status| shown(status.message()))
        }));
    }

    fn renewed(&mut self, renewed: Result<(JoinResponse, KeyPair), String>) -> Result<(), Ended> {
        let Some(root_sha256) = self.root_sha256 else { return Ok(()) };
        let now = self.life.now();
        let taken = renewed.and_then(|(answer, key)| self.life.node.take(answer, &key, &root_sha256, None, now));
        let until = self.life.node.own().map(|own| own.not_after().to_string()).unwrap_or_default();
        match taken {
            Ok(()) => {
                tracing::info!(%until, "the node's certificate was renewed");
                Err(Ended::at_once("the node's certificate was renewed"))
            }
            Err(why) => {
                tracing::warn!(why, usable_until = %until, "the node's certificate could not be renewed; the old one stays in use");
                Ok(())
            }
        }
    }
}

fn seconds() -> Interval {
    let mut interval = interval(SECOND);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The result of a task that may not be there; `None` where it is not, at once.
async fn done<T>(task: &mut Option<JoinHandle<T>>) -> Option<Result<T, tokio::task::JoinError>> {
    match task {
        Some(task) => Some(task.await),
        None => None,
    }
}
