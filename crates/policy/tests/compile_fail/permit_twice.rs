//! One judged call gives one permit.

use countersign_policy::Permit;

fn twice(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
