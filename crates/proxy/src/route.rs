//! Step 4, route: server name, host and path lead to one route of one service, and the caller to one workload.

use std::sync::Arc;

use policy::call::{Parsed, Refused, Routed};
use trustdir::{Revision, Service};
use types::{Host, Label, Reason};

use crate::accept::Connection;

/// The ports that a Host may leave out.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

const NOT_HERE: &str = "the host is not served by this listener";

/// SNI and Host must agree where there is SNI, plaintext only be spoken where it is tolerated, the host must be served, the
/// caller registered, the route listed or judged as `*`.
///
/// # Errors
/// `route.*`, `identity.plaintext`, `identity.unknown-workload`, `identity.not-a-caller`.
pub fn route(parsed: Parsed, connection: &Connection, revision: &Revision) -> Result<(Routed, Arc<Service>), Refused> {
    let refuse = |parsed: Parsed, reason, note: String| Refused::new(parsed, reason, note).with_revision(revision.id());
    if let Err((reason, note)) = door(&parsed, connection, revision) {
        return Err(refuse(parsed, reason, note));
    }
    match revision.route(parsed.request()) {
        Ok((service, route)) => {
            let routed = parsed.routed(revision.id(), revision.model(), Arc::clone(&service.model), route)?;
            Ok((routed, service))
        }
        Err(reason) => {
            let nearest = revision.nearest_route(parsed.request()).map(|route| format!("nearest: {route}"));
            let service = revision.service_for(parsed.request()).map(|service| Arc::clone(&service.model));
            let refused = refuse(parsed, reason, nearest.unwrap_or_default());
            Err(match service {
                Some(service) => refused.with_service(service),
                None => refused,
            })
        }
    }
}

/// Whether the request came in by a door that leads to its host in this revision. A connection may outlive the revision
/// under which its server name was served here.
fn door(parsed: &Parsed, connection: &Connection, revision: &Revision) -> Result<(), (Reason, String)> {
    let request = parsed.request();
    let usual = match &connection.server_name {
        Some(name) if name != request.host() => {
            return Err((Reason::RouteServerNameMismatch, format!("the connection was opened for {name}")));
        }
        Some(_) => HTTPS,
        None => HTTP,
    };
    if request.port().is_some_and(|port| port != usual && port != connection.port) {
        return Err((Reason::RouteUnknownHost, "the Host names a port that is not the listener's".to_owned()));
    }
    match revision.find_host(request.host()) {
        Some(domain) if !serves(connection, domain) => Err((Reason::RouteUnknownHost, NOT_HERE.to_owned())),
        Some(domain) if connection.server_name.is_none() && !revision.serves_plaintext(domain) => {
            Err((Reason::IdentityPlaintext, format!("domain {domain} enforces the identity of its callers")))
        }
        None if connection.server_name.is_none() => Err((Reason::RouteUnknownHost, NOT_HERE.to_owned())),
        Some(_) | None => Ok(()),
    }
}

fn serves(connection: &Connection, domain: &Label) -> bool {
    connection.domains.as_ref().is_none_or(|domains| domains.contains(domain))
}

/// Whether a host may be called without TLS.
pub fn may_be_plaintext(revision: &Revision, host: &Host) -> bool {
    revision.find_host(host).is_some_and(|domain| revision.serves_plaintext(domain))
}
