//! A state cannot be written down: the caller of a routed request is the one that its peer proves.

use std::sync::Arc;

use countersign_policy::call::{Parsed, Routed, Situated};
use countersign_policy::model::{Route, Service};
use types::{RevisionId, WorkloadId};

fn route(
    parsed: Parsed,
    revision: RevisionId,
    workload: Option<WorkloadId>,
    service: Arc<Service>,
    route: Arc<Route>,
) -> Routed {
    Routed { parsed, revision, workload, service, route, unlisted: None }
}

fn situate(routed: Routed) -> Situated {
    Situated { routed, epoch: 0, cleared: true, risk: 0 }
}

fn main() {}
