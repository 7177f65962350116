//! Step 5, situate: what is known about the moment, the announced size included.

use policy::call::{Refused, Routed, Situated};
use trustdir::{Revision, Service};
use types::Reason;

/// A body that announces more than the service takes is refused before it is read. The risk of every caller is the
/// organisation's `risk_unknown`.
///
/// # Errors
/// `limits.body`.
pub fn situate(
    routed: Routed,
    service: &Service,
    revision: &Revision,
    length: Option<u64>,
) -> Result<Situated, Refused> {
    match length {
        Some(length) if length > service.limits.body => {
            let note = format!("{length} bytes announced, {} allowed", service.limits.body);
            Err(Refused::new(routed, Reason::LimitsBody, note))
        }
        _ => Ok(routed.situated(revision.model().risk_unknown)),
    }
}
