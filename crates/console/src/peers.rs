//! Peers as pages name them: how one is in a word, what it runs, how far it is behind, and where its page is.

use api::admin::{Peer, Role};

use crate::rows::Mark;
use crate::show::{Segment, count, grouped, short_revision};

/// From how far on two clocks are said to be apart, in milliseconds.
const APART_MILLIS: u64 = 2_000;

/// How a peer is. The order is that of listings: whoever needs a look comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum State {
    /// Its trust is taken away.
    Revoked,
    /// It is connected and does not take what is current.
    Refuses,
    /// Not connected.
    Away,
    /// Joined, and never heard since.
    NeverHeard,
    /// Connected, and running what was current before.
    Behind,
    /// Connected, and running what is current.
    InForce,
    /// Connected; agents run no revision.
    Connected,
}

impl State {
    /// Of a peer.
    pub fn of(peer: &Peer) -> Self {
        let is_behind = peer.publication.is_none() || peer.publications_behind > 0 || peer.epochs_behind > 0;
        match (peer.connected, peer.role) {
            _ if peer.revoked => Self::Revoked,
            (false, _) if peer.heard.is_none() => Self::NeverHeard,
            (false, _) => Self::Away,
            (true, _) if !peer.problem.is_empty() => Self::Refuses,
            (true, Role::Agent) => Self::Connected,
            (true, Role::Proxy) if is_behind => Self::Behind,
            (true, Role::Proxy) => Self::InForce,
        }
    }

    /// Shape and word.
    pub const fn mark(self) -> Mark {
        let (shape, word, class) = match self {
            Self::Revoked => ("■", "revoked", "deny"),
            Self::Refuses => ("■", "refuses", "deny"),
            Self::Away => ("○", "away", "unknown"),
            Self::NeverHeard => ("○", "never heard", "unknown"),
            Self::Behind => ("◐", "behind", "would"),
            Self::InForce => ("●", "in force", "allow"),
            Self::Connected => ("●", "connected", "allow"),
        };
        Mark { shape, word, class }
    }

    /// What follows one name in a sentence.
    pub const fn of_one(self) -> &'static str {
        match self {
            Self::Revoked => "is revoked",
            Self::Refuses => "does not take what is current",
            Self::Away => "has not been heard",
            Self::NeverHeard => "joined and was never heard",
            Self::Behind => "is behind",
            Self::InForce => "runs what is current",
            Self::Connected => "is connected",
        }
    }

    /// What follows a number in a sentence.
    pub const fn of_many(self) -> &'static str {
        match self {
            Self::Revoked => "are revoked",
            Self::Refuses => "do not take what is current",
            Self::Away => "are away",
            Self::NeverHeard => "joined and were never heard",
            Self::Behind => "are behind",
            Self::InForce => "run what is current",
            Self::Connected => "are connected",
        }
    }
}

/// `proxy/edge-1`, as commands take it.
pub(crate) fn title(peer: &Peer) -> String {
    format!("{}/{}", peer.role.as_str(), peer.name)
}

/// The address of its page.
pub(crate) fn path(peer: &Peer) -> String {
    format!("/fleet/{}/{}", peer.role.as_str(), Segment(&peer.name))
}

/// The revision that it runs, shortened; `–` for none.
pub(crate) fn runs(peer: &Peer) -> String {
    match (peer.revision.is_empty(), peer.role) {
        (false, _) => short_revision(&peer.revision),
        (true, Role::Proxy) => "nothing yet".to_owned(),
        (true, Role::Agent) => "–".to_owned(),
    }
}

/// The domains of a proxy, the node groups of an agent.
pub(crate) fn serves(peer: &Peer) -> String {
    let (some, all) = match peer.role {
        Role::Proxy => (&peer.domains, "all domains"),
        Role::Agent => (&peer.groups, "all groups"),
    };
    some.as_ref().map_or_else(|| all.to_owned(), |names| names.join(", "))
}

/// `1 publication, 2 epochs`; `""` for not behind.
pub(crate) fn behind(publications: u64, epochs: u64) -> String {
    let of = |some: u64, one, many| (some > 0).then(|| count(some, one, many));
    let both = [of(publications, "publication", "publications"), of(epochs, "epoch", "epochs")];
    both.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What is to be said of its clock, where it matters and is known.
pub(crate) fn apart(peer: &Peer) -> Option<String> {
    let millis = peer.clock_ahead_millis.unsigned_abs();
    let way = if peer.clock_ahead_millis > 0 { "ahead of" } else { "behind" };
    let told = peer.heard.is_some() && millis > APART_MILLIS;
    let tenths = if millis < 10_000 { format!(".{}", millis % 1_000 / 100) } else { String::new() };
    told.then(|| format!("its clock is {}{tenths} s {way} control's", grouped(millis / 1_000)))
}
