//! A permit cannot be written down.

use countersign_policy::{Permit, call::Situated};

fn forge(situated: Situated) -> Permit {
    Permit { situated, determining: Vec::new(), noted: Vec::new(), note: String::new() }
}

fn main() {}
