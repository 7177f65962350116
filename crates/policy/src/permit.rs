//! The permit: the only thing that can be recorded as an allow and, once recorded, forwarded.

use types::facts::{Facts, Outcome};
use types::{PolicyId, Recordable};

use crate::call::{self, Situated};

/// Proof that the policies of the called domain allow this call now.
///
/// INVARIANT: made only by [`crate::Policies::judge`], which consumes the [`Situated`] call it is about; so one call
/// gives at most one permit, and there is no permit without a verified peer.
#[derive(Debug)]
pub struct Permit {
    situated: Situated,
    determining: Vec<PolicyId>,
}

impl Permit {
    pub(crate) const fn new(situated: Situated, determining: Vec<PolicyId>) -> Self {
        Self { situated, determining }
    }

    /// The call that is permitted.
    pub const fn situated(&self) -> &Situated {
        &self.situated
    }

    /// The permits that decided, at least one.
    pub fn determining(&self) -> &[PolicyId] {
        &self.determining
    }
}

impl Recordable for Permit {
    fn facts(&self) -> Facts<'_> {
        let mut decision = call::facts_of_situated(&self.situated, Outcome::Allow);
        decision.determining = self.determining.iter().map(PolicyId::as_str).collect();
        Facts::Decision(decision)
    }
}
