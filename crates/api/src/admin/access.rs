//! Who can do what, and what was missing: answers that policies give without a call.

use serde::{Deserialize, Serialize};
use types::Mode;

/// Whether a caller may call a route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessResult {
    /// Whatever the moment.
    Allowed,
    /// Under conditions of the moment, such as risk or time.
    Conditional,
    /// Never.
    Refused,
}

/// One caller and one route: a line of `who-can` and `what-can`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Access {
    /// The workload, or `(anyone)` where a route asks for no identity.
    pub caller: String,
    /// The route, such as `finance/ledger POST /entries`.
    pub route: String,
    /// The answer.
    pub result: AccessResult,
    /// The policies that permit it, or for a refusal those that forbid it.
    pub policies: Vec<String>,
    /// The conditions that must hold, in the words of the policies.
    pub conditions: Vec<String>,
    /// The reason code of a refusal, `""` otherwise.
    pub reason: String,
}

/// A permit that comes near to allowing a refused call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NearPermit {
    /// Its id.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
    /// The file it stands in.
    pub path: Option<String>,
    /// The line at which it begins, from 1.
    pub line: Option<usize>,
    /// Its source text.
    pub source: String,
    /// Its clauses in the order of the text.
    pub clauses: Vec<Clause>,
}

/// One condition of a permit, held against a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Clause {
    /// The clause as it is written, such as `context.risk < 40`.
    pub text: String,
    /// Whether it held; absent where that is not known.
    pub holds: Option<bool>,
    /// The value that it read, such as `50`; `""` where it read none.
    pub was: String,
    /// Its first byte in [`NearPermit::source`] and the byte after its last; equal where it stands nowhere.
    pub span: (usize, usize),
}

/// A refusal that did not refuse.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// The check, as `modes` names it.
    pub check: String,
    /// Observe or shadow.
    pub mode: Mode,
    /// The reason code that the refusal would have.
    pub reason: String,
    /// The policy that would refuse, `""` for none.
    pub policy: String,
}

/// A domain on the map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MapDomain {
    /// The name.
    pub name: String,
    /// Its mode: what its checks do where `modes` names no exception.
    pub mode: Mode,
    /// The relaxations that `check` lists, such as `requires.identity: shadow`.
    pub relaxed: Vec<String>,
    /// Its services.
    pub services: Vec<MapService>,
    /// Its workloads that are no services.
    pub workloads: Vec<String>,
}

/// A service on the map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MapService {
    /// The name within its domain.
    pub name: String,
    /// `public`, `internal`, `confidential` or `restricted`.
    pub sensitivity: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Its routes, such as `POST /entries`.
    pub routes: Vec<String>,
}
