//! A refusal is no proof, and what cannot be recorded is not taken.
use countersign_record::{Lane, NotRecorded, Recorded};

fn forward(_: Recorded<&str>) {}

fn refused(refusal: NotRecorded<&str>) {
    forward(refusal);
}

fn not_recordable(lane: &mut Lane) {
    let _ = lane.append("permit");
}

fn main() {
    let _ = (refused, not_recordable);
}
