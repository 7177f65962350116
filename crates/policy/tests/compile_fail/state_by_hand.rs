//! A state cannot be written down: the caller of a routed request is the one that its peer proves.

use std::sync::Arc;

use countersign_policy::call::{Parsed, Routed, Situated};
use countersign_policy::model::{Route, Service};
use types::{RevisionId, WorkloadId};

fn route(parsed: Parsed, revision: RevisionId, workload: WorkloadId, service: Arc<Service>, route: Arc<Route>) -> Routed {
    Routed { parsed, revision, workload, service, route }
}

fn situate(routed: Routed) -> Situated {
    Situated { routed, risk: 0 }
}

fn main() {}
