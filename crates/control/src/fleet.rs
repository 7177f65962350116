//! The fleet: who runs what elsewhere, who may join it, and who is forgotten.

use std::time::Duration;

use api::admin::{Failure, FailureCode, JoinToken, MakeJoinToken, Peer, PeerLog, Reach, Retire, Role};
use policy::Act;
use types::facts::{Administration, Outcome};
use types::{Label, Timestamp, limits};

use crate::acts::{self, count};
use crate::login;
use crate::peers::{Seen, Target, load_of, title};
use crate::service::Control;
use crate::store::{NewToken, Numbered, Place, SecretHash};
use crate::wire::hub::sha256;

/// How tokens begin, so that whoever finds one in a place where it should not be knows what it is.
const TOKEN_PREFIX: &str = "csj_";
/// A connected peer that is behind for so long is not only late.
const LATE_MICROS: u64 = 5_000_000;

impl Control {
    /// See [`api::admin::Admin::fleet`].
    pub(crate) fn peers(&self) -> Result<Vec<Peer>, Failure> {
        let now = self.parts.clock.now();
        Ok(self.hub.peers.all().iter().map(|seen| self.shown_peer(seen, now)).collect())
    }

    fn shown_peer(&self, seen: &Seen, now: Timestamp) -> Peer {
        let truth = self.hub.snapshot().truth;
        let Seen { place, last, line, .. } = seen;
        let is_proxy = place.role == Role::Proxy;
        let names = |labels: &[Label]| labels.iter().map(Label::to_string).collect();
        let groups = (!is_proxy && !seen.in_process()).then(|| names(place.group.as_slice()));
        let in_process = || "in this process".to_owned();
        let address = line.as_ref().map(|line| line.address.map_or_else(in_process, |address| address.to_string()));
        let behind = |held: Option<u64>, current: u64| {
            if is_proxy { current.saturating_sub(held.unwrap_or_default()) } else { 0 }
        };
        Peer {
            role: place.role,
            name: place.name.to_string(),
            address: address.unwrap_or_default(),
            version: last.version.clone(),
            joined: seen.joined,
            connected: seen.is_connected(),
            since: seen.since.or(last.heard),
            heard: last.heard,
            domains: place.domains.as_deref().map(names),
            groups,
            publication: last.publication,
            revision: last.revision.map(|revision| revision.to_string()).unwrap_or_default(),
            revision_since: last.revision_since,
            publications_behind: behind(last.publication, truth.publication),
            epoch: last.epoch,
            epochs_behind: behind(last.epoch, truth.epoch),
            problem: self.problem_of(seen, now),
            clock_ahead_millis: seen.clock_ahead / 1_000,
            revoked: self.untrusted(seen, None, now).is_some(),
            load: seen.load.as_ref().filter(|_| is_proxy).map(load_of),
            log: is_proxy.then(|| self.log_of(seen)),
        }
    }

    /// Why a peer does not run what is current; `""` where it does, or is only late.
    pub(crate) fn problem_of(&self, seen: &Seen, now: Timestamp) -> String {
        if let Some(why) = self.untrusted(seen, None, now) {
            return why;
        }
        if !seen.ahead.is_empty() {
            return seen.ahead.clone();
        }
        if let Some(refused) = &seen.refused {
            return format!("it refused {} ({}): {}", refused.what, refused.word, refused.why);
        }
        let truth = self.hub.snapshot().truth;
        let has = |held: Option<u64>, current: u64| held.is_some_and(|held| held >= current);
        let current = has(seen.last.publication, truth.publication) && has(seen.last.epoch, truth.epoch);
        let settled = seen.since.is_some_and(|since| now.micros_since(since) > LATE_MICROS);
        if !seen.is_connected() {
            return seen.sent_away.clone();
        }
        if seen.place.role == Role::Proxy && !current && settled && self.hub.epoch_age(now) > LATE_MICROS {
            return "it is connected and has not confirmed what is current".to_owned();
        }
        String::new()
    }

    fn log_of(&self, seen: &Seen) -> PeerLog {
        let load = seen.load.unwrap_or_default();
        let (kept_bytes, gaps) = crate::intake::kept(self, &seen.place.name);
        PeerLog {
            bytes: load.log_bytes,
            max_bytes: load.log_max_bytes,
            unshipped_bytes: load.log_unshipped_bytes,
            kept_bytes,
            gaps,
        }
    }

    /// See [`api::admin::Admin::join_token`].
    pub(crate) fn new_join_token(&self, operator: &str, request: &MakeJoinToken) -> Result<JoinToken, Failure> {
        let subject = subject(request.role, &request.name);
        let revision = self.parts.revision.load_full();
        acts::judge(&self.parts.ledger, &revision, operator, Act::JoinToken, &subject, "")?;
        let place = self.place(request)?;
        let life = life(request.seconds)?;
        let token = format!("{TOKEN_PREFIX}{}", login::secret()?);
        let now = self.parts.clock.now();
        let until = now.plus_seconds(life);
        let note = what_it_gives(&place);
        let act = Administration {
            act: Act::JoinToken.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &subject,
            why: "",
            note: &note,
            revision: None,
            until: Some(until),
        };
        let new = NewToken { hash: SecretHash::of(&token), place: &place, made_by: operator, now, until };
        let taken = self.hub.peers.get(&(place.role, place.name.clone())).is_some();
        let added = !taken && {
            let added = self.parts.store.add_token(&new, || self.parts.ledger.administration(&act));
            added.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))?
        };
        if !added {
            let title = title(place.role, &place.name);
            let hint = format!("take another name, or forget the one that has it: countersign retire {title}");
            return Err(Failure::new(FailureCode::Conflict, format!("{title} has joined already"), hint));
        }
        let root = sha256(&self.parts.roles.system_root());
        let root_sha256 = root.iter().map(|byte| format!("{byte:02x}")).collect();
        let address = self.parts.wire.map(|address| format!("https://{address}")).unwrap_or_default();
        Ok(JoinToken { token, root_sha256, address, until })
    }

    /// What a token would give, where everything in it exists.
    fn place(&self, request: &MakeJoinToken) -> Result<Place, Failure> {
        let revision = self.parts.revision.load_full();
        let bad = |message: String, hint: &str| Failure::new(FailureCode::BadRequest, message, hint);
        let label = |text: &str| {
            let hint = "lower-case letters, digits and hyphens, such as `edge-1`";
            Label::parse(text).map_err(|error| bad(error.to_string(), hint))
        };
        let MakeJoinToken { role, name, group, domains, seconds: _ } = request;
        let group = group.as_deref().map(label).transpose()?;
        let domains =
            domains.as_deref().map(|names| names.iter().map(|name| label(name)).collect::<Result<Vec<_>, _>>());
        let mut domains = domains.transpose()?;
        match (role, &group, &mut domains) {
            (Role::Agent, None, _) => {
                return Err(bad(
                    "an agent joins a node group".to_owned(),
                    "name a key of `nodes` in countersign.yaml with --group",
                ));
            }
            (Role::Agent, _, Some(_)) => {
                return Err(bad(
                    "an agent serves no domains".to_owned(),
                    "leave out --domains; `runs_on` says what runs where",
                ));
            }
            (Role::Proxy, Some(_), _) => {
                return Err(bad(
                    "a proxy belongs to no node group".to_owned(),
                    "leave out --group; --domains says what it serves",
                ));
            }
            (Role::Agent, Some(group), None) => known("node group", group, revision.nodes().keys())?,
            (Role::Proxy, None, Some(domains)) => {
                if domains.is_empty() {
                    return Err(bad(
                        "a proxy serves at least one domain".to_owned(),
                        "leave out --domains for all of them",
                    ));
                }
                domains.sort();
                domains.dedup();
                domains.iter().try_for_each(|domain| known("domain", domain, revision.domains().keys()))?;
            }
            (Role::Proxy, None, None) => {}
        }
        Ok(Place { role: *role, name: label(name)?, group, domains })
    }

    /// See [`api::admin::Admin::retire`].
    pub(crate) fn retire_peer(&self, operator: &str, request: &Retire) -> Result<Peer, Failure> {
        let why = acts::words(&request.why)?;
        let subject = subject(request.role, &request.name);
        let revision = self.parts.revision.load_full();
        acts::judge(&self.parts.ledger, &revision, operator, Act::Retire, &subject, why)?;
        let hint = "`countersign fleet` lists those that joined";
        let shown = subject.trim_start_matches("node:");
        let missing = || Failure::new(FailureCode::NotFound, format!("there is no {shown}"), hint);
        let name = (request.role, Label::parse(&request.name).map_err(|_| missing())?);
        let mut seen = self.hub.peers.get(&name).ok_or_else(missing)?;
        if seen.in_process() {
            let message = format!("{} shares control's process", seen.title());
            return Err(Failure::new(FailureCode::BadRequest, message, "it goes with the process"));
        }
        let act = Administration {
            act: Act::Retire.as_str(),
            outcome: Outcome::Allow,
            operator,
            subject: &subject,
            why,
            note: "",
            revision: None,
            until: None,
        };
        let turn = self.hub.peers.turn();
        let gone = self.parts.store.retire(name.0, &name.1, || self.parts.ledger.administration(&act));
        if !gone.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))? {
            return Err(missing());
        }
        self.hub.peers.remove(&name, "it was retired");
        drop(turn);
        seen.line = None;
        Ok(self.shown_peer(&seen, self.parts.clock.now()))
    }

    /// How far a publication has come, after a moment in which enforcers that are connected take it.
    pub(crate) fn reach_publication(&self, number: u64) -> Reach {
        self.hub.peers.reach(Target::Publication(number), Duration::from_millis(limits::REACH_TIME.default))
    }

    /// As [`Self::reach_publication`], for signals.
    pub(crate) fn reach_epoch(&self, epoch: u64) -> Reach {
        self.hub.peers.reach(Target::Epoch(epoch), Duration::from_millis(limits::REACH_TIME.default))
    }

    /// The publication that the fleet runs and this store does not know, since it was restored from an older copy. Until
    /// something is published nobody is given anything, and what is current here is not what decides.
    pub(crate) fn is_behind_fleet(&self) -> Option<Numbered> {
        let ahead = self.parts.store.fleet_ahead();
        ahead.inspect_err(|error| tracing::error!(%error, "the store cannot be read")).ok().flatten()
    }
}

/// `node:proxy/edge-1`, as far as a record takes it.
fn subject(role: Role, name: &str) -> String {
    acts::bounded(&format!("node:{}/{name}", role.as_str()), &limits::NOTE_BYTES)
}

fn known<'a>(what: &str, name: &Label, mut all: impl Iterator<Item = &'a Label> + Clone) -> Result<(), Failure> {
    let names: Vec<&str> = all.clone().map(Label::as_str).collect();
    if all.any(|one| one == name) {
        return Ok(());
    }
    let hint = match trustdir::nearest(name.as_str(), names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("the running revision has no {what} at all"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(Failure::new(FailureCode::NotFound, format!("there is no {what} `{name}`"), hint))
}

/// Seconds.
fn life(asked: Option<u64>) -> Result<u64, Failure> {
    let most = limits::JOIN_TOKEN_LONGEST.default / 1_000;
    let seconds = asked.unwrap_or(limits::JOIN_TOKEN_TIME.default / 1_000);
    if (1..=most).contains(&seconds) {
        return Ok(seconds);
    }
    let hint = format!("from a second up to {}", count(usize::try_from(most / 86_400).unwrap_or(0), "day", "days"));
    Err(Failure::new(FailureCode::BadRequest, format!("a join token is not good for {seconds} seconds"), hint))
}

fn what_it_gives(place: &Place) -> String {
    match (&place.group, &place.domains) {
        (Some(group), _) => format!("for the node group {group}"),
        (None, Some(domains)) => {
            format!("for the domains {}", domains.iter().map(Label::as_str).collect::<Vec<_>>().join(", "))
        }
        (None, None) => "for every domain".to_owned(),
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
