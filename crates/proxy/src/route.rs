//! Step 4, route: server name, host and path lead to one route of one service, and the caller to one workload.

use std::sync::Arc;

use policy::call::{Parsed, Refused, Routed};
use trustdir::{Revision, Service};
use types::Reason;

use crate::accept::Connection;

/// The port that a Host may leave out.
const HTTPS: u16 = 443;

/// SNI and Host must agree, the host must be served, the caller registered, the route listed or judged as `*`.
///
/// # Errors
/// `route.*`, `identity.unknown-workload`, `identity.not-a-caller`.
pub fn route(parsed: Parsed, connection: &Connection, revision: &Revision) -> Result<(Routed, Arc<Service>), Refused> {
    let refuse =
        |parsed: Parsed, reason, note: String| Err(Refused::new(parsed, reason, note).with_revision(revision.id()));
    let request = parsed.request();
    if *request.host() != connection.server_name {
        let note = format!("the connection was opened for {}", connection.server_name);
        return refuse(parsed, Reason::RouteServerNameMismatch, note);
    }
    if request.port().is_some_and(|port| port != HTTPS && port != connection.port) {
        return refuse(parsed, Reason::RouteUnknownHost, "the Host names a port that is not the listener's".to_owned());
    }
    match revision.route(request) {
        Ok((service, route)) => {
            let routed = parsed.routed(revision.id(), revision.model(), Arc::clone(&service.model), route)?;
            Ok((routed, service))
        }
        Err(reason) => {
            let nearest = revision.nearest_route(request).map(|route| format!("nearest: {route}"));
            refuse(parsed, reason, nearest.unwrap_or_default())
        }
    }
}
