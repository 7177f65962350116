//! A relaxation and a noted refusal cannot be written down, and so no basis that rests on them.

use countersign_policy::{Noted, Relaxation};

fn relax() -> Relaxation {
    Relaxation { check: "permit".into(), mode: types::Mode::Observe }
}

fn note(relaxation: Relaxation) -> Noted {
    Noted { relaxation, reason: types::Reason::PolicyNoPermit, policy: None }
}

fn main() {}
