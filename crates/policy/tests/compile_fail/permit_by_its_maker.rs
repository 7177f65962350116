//! The function that the judge makes permits with is not for others.

use countersign_policy::{Permit, call::Situated};

fn forge(situated: Situated) -> Permit {
    Permit::new(situated, Vec::new(), Vec::new(), String::new())
}

fn main() {}
