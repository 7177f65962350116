//! The functions that relaxations and noted refusals are made with are not for others.

use countersign_policy::{Noted, Relaxation};

fn relax() -> Option<Relaxation> {
    Relaxation::of("permit", types::Mode::Observe)
}

fn note(relaxation: Relaxation) -> Noted {
    Noted::new(relaxation, types::Reason::PolicyNoPermit, None)
}

fn main() {}
