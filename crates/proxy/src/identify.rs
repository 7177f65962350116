//! Step 2, identify: the peer of the connection is the caller, as long as its certificate is valid; or nobody is, and
//! whether nobody may call is judged.

use policy::call::{Accepted, Identified, Refused};

use crate::accept::Connection;

/// The chain was verified at the handshake; the validity is compared again for each request, since a connection may
/// outlive its certificate.
///
/// # Errors
/// `identity.expired`.
pub fn identify(accepted: Accepted, connection: &Connection) -> Result<Identified, Refused> {
    match &connection.peer {
        Some(peer) => accepted.identified(peer.clone()),
        None => Ok(accepted.unidentified()),
    }
}
