//! A refusal cannot be turned into a permit: there is no bypass to call.

use countersign_policy::{Permit, call::Refused};

fn tolerate(refused: Refused) -> Permit {
    refused.into()
}

fn main() {}
