//! The double's fleet, and what waits for approval there.

use api::admin::{
    Approve, Failure, FailureCode, Need, Peer, PeerLoad, PeerLog, Proposal, Publication, PublicationKind, Published,
    Reach, Role, Withdraw,
};
use types::Timestamp;

use super::{Double, World};

impl Double {
    /// One that waits for two owners, and one that came too late.
    pub fn proposed(&self, now: Timestamp) -> Vec<Proposal> {
        let need = |folder: &str, owners: &[&str], because: &str, by: &str| Need {
            folder: self.foreign(folder),
            owners: owners.iter().map(|owner| self.foreign(owner)).collect(),
            because: vec![self.foreign(because)],
            approved_by: by.to_owned(),
        };
        let proposal = |number, digit: &str, base: &str, needs| Proposal {
            number,
            revision: digit.repeat(32),
            base: base.to_owned(),
            kind: PublicationKind::Publish,
            at: Self::before(now, 1_400),
            operator: self.foreign("carol"),
            why: self.foreign("the month-end freeze starts on the 28th"),
            changes: vec![self.foreign("policy finance/freeze-at-month-end added")],
            needs,
        };
        let current = self.publications.lock().unwrap().iter().find(|one| one.current).unwrap().revision.clone();
        let waits = vec![
            need("domains/finance", &["operator:alice", "operator:bob"], "domains/finance/policies/freeze.cedar", ""),
            need(".", &["operator:rita"], "finance: mode goes from enforce to shadow", "rita"),
        ];
        let late = vec![need("domains/hr", &["operator:dora"], "domains/hr/domain.yaml", "")];
        vec![proposal(8, "c4", &current, waits), proposal(7, "d1", &"0".repeat(64), late)]
    }

    /// Approvals of those who own something of it; the last one makes it current. `local` owns the organisation.
    pub fn approved(&self, operator: &str, request: &Approve) -> Result<Published, Failure> {
        may(operator)?;
        let mut all = self.proposals.lock().unwrap();
        let place = place_of(&all, request.number)?;
        if all[place].revision != request.revision {
            return Err(Failure::new(FailureCode::Conflict, "the proposal is of another revision", "look at it again"));
        }
        let owns = |need: &Need| operator == "local" || need.owners.contains(&format!("operator:{operator}"));
        let open = all[place].needs.iter_mut().filter(|need| need.approved_by.is_empty() && owns(need));
        if open.map(|need| need.approved_by = operator.to_owned()).count() == 0 {
            let message = format!("operator `{operator}` owns nothing that proposal {} needs", request.number);
            return Err(Failure::new(FailureCode::NotAllowed, message, ""));
        }
        if all[place].needs.iter().any(|need| need.approved_by.is_empty()) {
            return Ok(Published::Proposed { proposal: all[place].clone() });
        }
        let proposal = all.remove(place);
        let mut publications = self.publications.lock().unwrap();
        publications.iter_mut().for_each(|one| one.current = false);
        let made = Publication {
            number: publications.len() as u64 + 1,
            revision: proposal.revision,
            kind: proposal.kind,
            at: self.clock.now(),
            operator: proposal.operator,
            why: proposal.why,
            changes: proposal.changes,
            approvals: vec![operator.to_owned()],
            current: true,
        };
        publications.insert(0, made.clone());
        Ok(Published::Current { publication: made, reach: Reach::default() })
    }

    /// Takes a proposal back.
    pub fn withdrawn(&self, operator: &str, request: &Withdraw) -> Result<Proposal, Failure> {
        may(operator)?;
        let mut all = self.proposals.lock().unwrap();
        let place = place_of(&all, request.number)?;
        Ok(all.remove(place))
    }

    /// Everybody, in every state.
    pub fn peers(&self, now: Timestamp) -> Vec<Peer> {
        if self.world == World::Empty {
            return Vec::new();
        }
        let ago = |seconds| Self::before(now, seconds);
        let good = Peer {
            role: Role::Proxy,
            name: "gw-1".into(),
            address: "in this process".into(),
            version: "0.1.0".into(),
            joined: ago(260_000),
            connected: true,
            since: Some(ago(12_000)),
            heard: Some(ago(1)),
            domains: None,
            groups: None,
            publication: Some(4),
            revision: "3f9c21e3".repeat(8),
            revision_since: Some(ago(408)),
            publications_behind: 0,
            epoch: Some(4_211),
            epochs_behind: 0,
            problem: String::new(),
            clock_ahead_millis: 3,
            revoked: false,
            load: Some(PeerLoad {
                allowed: 184_221,
                would_deny: 311,
                refused: 1_204,
                open_exchanges: 12,
                open_connections: 40,
            }),
            log: Some(PeerLog { bytes: 1_288_490_188, max_bytes: 4 << 30, ..PeerLog::default() }),
        };
        let log = PeerLog {
            bytes: 700 << 20,
            max_bytes: 4 << 30,
            unshipped_bytes: 3 << 20,
            kept_bytes: 5 << 30,
            gaps: Vec::new(),
        };
        let edge =
            Peer { name: "edge-1".into(), address: "10.3.0.7:40112".into(), log: Some(log.clone()), ..good.clone() };
        let behind = Peer {
            name: self.foreign("edge-2"),
            domains: Some(vec!["finance".into(), "hr".into()]),
            publication: Some(3),
            revision: "8f9c21e8".repeat(8),
            publications_behind: 1,
            problem: self
                .foreign("it refused publication 4: the files do not compile there, its release may be too old"),
            version: self.foreign("0.0.9"),
            ..edge.clone()
        };
        let gaps = vec![self.foreign("lane worker-1: records 40,112 to 40,198 are missing")];
        let away = Peer {
            name: "edge-3".into(),
            address: String::new(),
            connected: false,
            since: Some(ago(252)),
            heard: Some(ago(253)),
            publications_behind: 1,
            epochs_behind: 2,
            clock_ahead_millis: 3_601_000,
            log: Some(PeerLog { gaps, ..log }),
            ..edge.clone()
        };
        let late = Peer { name: "edge-4".into(), epochs_behind: 1, ..edge.clone() };
        let stolen = Peer { name: "edge-5".into(), revoked: true, connected: false, address: String::new(), ..edge };
        let agent = Peer {
            role: Role::Agent,
            name: "vm-pay-1".into(),
            address: "10.3.0.9:51544".into(),
            groups: Some(vec!["vm-pay".into()]),
            publication: None,
            revision: String::new(),
            revision_since: None,
            epoch: None,
            load: None,
            log: None,
            ..good.clone()
        };
        let never = Peer {
            name: "vm-pay-2".into(),
            connected: false,
            since: None,
            heard: None,
            address: String::new(),
            version: String::new(),
            ..agent.clone()
        };
        if self.world == World::Large {
            return (0..340).map(|at| Peer { name: format!("edge-{at}"), ..good.clone() }).chain([away]).collect();
        }
        vec![good, late, behind, away, stolen, agent, never]
    }
}

/// What policies say of `vera`, who only looks.
fn may(operator: &str) -> Result<(), Failure> {
    if operator == "vera" {
        return Err(Failure::new(FailureCode::NotAllowed, "no policy permits operator `vera` to approve", ""));
    }
    Ok(())
}

fn place_of(all: &[Proposal], number: u64) -> Result<usize, Failure> {
    let place = all.iter().position(|proposal| proposal.number == number);
    place.ok_or_else(|| Failure::new(FailureCode::NotFound, format!("no proposal {number} waits for approval"), ""))
}
