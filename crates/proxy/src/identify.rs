//! Step 2, identify: the peer of the connection is the caller, as long as its certificate is valid and the bundles vouch
//! for it; or nobody is, and whether nobody may call is judged.

use policy::call::{Accepted, Identified, Refused};

use crate::{accept::Connection, trusted::Trusted};

/// The chain was verified at the handshake. It is verified again where other bundles came into force since, and the
/// validity is compared again for each request, since a connection may outlive both.
///
/// # Errors
/// `identity.expired`, `identity.untrusted`, `identity.no-bundle`.
pub fn identify(accepted: Accepted, connection: &Connection, trusted: &Trusted) -> Result<Identified, Refused> {
    let Some(caller) = &connection.caller else { return Ok(accepted.unidentified()) };
    match caller.check(trusted, accepted.at) {
        Ok(()) => accepted.identified(caller.peer().clone()),
        Err(refusal) => {
            let claimed = caller.peer().spiffe_id().clone();
            Err(Refused::new(accepted, refusal.reason, refusal.to_string()).with_claimed(claimed))
        }
    }
}
