//! No call is judged unless the signals were asked about its caller.

use countersign_policy::call::{Routed, Situated};

fn situate(routed: Routed) -> Situated {
    routed.situated(20)
}

fn forge(epoch: u64) -> signal::Cleared {
    signal::Cleared { epoch }
}

fn main() {}
