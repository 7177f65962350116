//! The beginning of a connection, Hello and Welcome, and the ways in which one ends.

use std::collections::BTreeSet;

use api::{
    admin::Role,
    protocol,
    wire::{Goodbye, Hello, Report, Update, Welcome, update},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use types::Label;

use super::{held::Served, life::Life};
use crate::words::shown;

/// Why a connection ended, and when it makes sense to come again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    pub(super) why: String,
    pub(super) again: Again,
}

/// When to come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Again {
    /// Almost at once: this end ended it, and nothing is wrong.
    AtOnce,
    /// After a pause that grows.
    Soon,
    /// After a long pause: control does not want this peer.
    Later,
}

impl Ended {
    pub(super) fn soon(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Again::Soon }
    }

    pub(super) fn at_once(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Again::AtOnce }
    }

    /// Control answered with a failure.
    pub(super) fn by(status: &Status) -> Self {
        let is_refusal = matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated);
        let why = match status.message() {
            "" => format!("control ended the connection ({:?})", status.code()),
            words => shown(words),
        };
        Self { why, again: if is_refusal { Again::Later } else { Again::Soon } }
    }

    pub(super) fn malformed(what: &str) -> Self {
        Self::soon(format!("control sent {what}"))
    }
}

pub(super) fn hello(life: &mut Life) -> Hello {
    Hello {
        oldest: protocol::OLDEST,
        newest: protocol::NEWEST,
        version: life.config.version.clone(),
        started: life.started.micros(),
        have: Some(life.have()),
        clock: life.now().micros(),
    }
}

pub(super) async fn open(
    channel: Channel,
    outgoing: mpsc::Receiver<Report>,
) -> Result<(Streaming<Update>, Welcome), Ended> {
    let mut client = crate::client(channel);
    let response = client.follow(ReceiverStream::new(outgoing)).await.map_err(|status| Ended::by(&status))?;
    let mut updates = response.into_inner();
    match updates.message().await.map_err(|status| Ended::by(&status))?.and_then(|first| first.update) {
        Some(update::Update::Welcome(welcome)) => check_version(&welcome).map(|()| (updates, welcome)),
        Some(update::Update::Goodbye(goodbye)) => Err(farewell(&goodbye)),
        Some(_) => Err(Ended::malformed("something else before Welcome")),
        None => Err(Ended::soon("control ended the stream at once")),
    }
}

fn check_version(welcome: &Welcome) -> Result<(), Ended> {
    let ours = protocol::OLDEST..=protocol::NEWEST;
    if ours.contains(&welcome.protocol) {
        return Ok(());
    }
    Err(Ended {
        why: format!(
            "control speaks version {} of the protocol and this program {} to {}; control is release {}, update the older of \
             both",
            welcome.protocol,
            protocol::OLDEST,
            protocol::NEWEST,
            shown(&welcome.version)
        ),
        again: Again::Later,
    })
}

pub(super) fn farewell(goodbye: &Goodbye) -> Ended {
    let again = if goodbye.retry { Again::Soon } else { Again::Later };
    Ended { why: format!("control says goodbye: {}", shown(&goodbye.why)), again }
}

/// The domains that this proxy may serve. Listeners that name others are told.
pub(super) fn served(life: &Life, welcome: &Welcome) -> Result<Served, Ended> {
    if life.config.role == Role::Agent || welcome.every_domain {
        return Ok(None);
    }
    let domains = welcome.domains.iter().map(|domain| Label::parse(domain)).collect::<Result<BTreeSet<Label>, _>>();
    let domains = domains.map_err(|_| Ended::malformed("a name that is no domain"))?;
    let beyond = life.config.served.iter().flatten().filter(|domain| !domains.contains(*domain));
    for domain in beyond {
        tracing::warn!(%domain, "a listener names a domain that this proxy may not serve; join with a token that names it");
    }
    Ok(Some(domains))
}
