//! The permit: the only thing that can be recorded as an allow and, once recorded, forwarded.

use types::facts::{Facts, Outcome};
use types::{Mode, PolicyId, Recordable};

use crate::call::{self, Situated};
use crate::modes::{Noted, Relaxation};

/// Proof that this call may pass now: because the policies of the called domain allow it, or because what would refuse it
/// is relaxed there. [`Permit::basis`] says which.
///
/// INVARIANT: made only by [`crate::Policies::judge`], which consumes the [`Situated`] call it is about; so one call
/// gives at most one permit, and there is no permit for a caller against whom something is held.
#[derive(Debug)]
pub struct Permit {
    situated: Situated,
    determining: Vec<PolicyId>,
    noted: Vec<Noted>,
    note: String,
}

/// What a permit rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis<'a> {
    /// Nothing refuses.
    Allowed,
    /// Something refuses, and this relaxation lets the call pass: the first that is in shadow, or else the first.
    Tolerated(&'a Relaxation),
}

impl Permit {
    pub(crate) const fn new(situated: Situated, determining: Vec<PolicyId>, noted: Vec<Noted>, note: String) -> Self {
        Self { situated, determining, noted, note }
    }

    /// The call that is permitted.
    pub const fn situated(&self) -> &Situated {
        &self.situated
    }

    /// The permits that decided: at least one, unless `permit` is relaxed and the call is tolerated without.
    pub fn determining(&self) -> &[PolicyId] {
        &self.determining
    }

    /// The refusals that relaxed checks leave at a note, in the order of the request's life.
    pub fn noted(&self) -> &[Noted] {
        &self.noted
    }

    /// What it rests on.
    pub fn basis(&self) -> Basis<'_> {
        let shadow = self.noted.iter().find(|noted| noted.mode() == Mode::Shadow);
        match shadow.or(self.noted.first()) {
            None => Basis::Allowed,
            Some(noted) => Basis::Tolerated(noted.relaxation()),
        }
    }
}

impl Recordable for Permit {
    fn facts(&self) -> Facts<'_> {
        let mut decision = call::facts_of_situated(&self.situated, Outcome::Allow);
        decision.determining = self.determining.iter().map(PolicyId::as_str).collect();
        decision.noted = self.noted.iter().map(Noted::fact).collect();
        decision.note = &self.note;
        Facts::Decision(decision)
    }
}
