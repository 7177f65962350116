//! A name is not a verified peer.

use countersign_policy::call::{Accepted, Identified, Refused};
use types::SpiffeId;

fn claim(accepted: Accepted, id: SpiffeId) -> Result<Identified, Refused> {
    accepted.identified(id)
}

fn main() {}
