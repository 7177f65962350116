//! One record is one forward: a proof is used up.
use countersign_record::Recorded;

fn forward(_: Recorded<&str>) {}

fn again(recorded: Recorded<&str>) {
    forward(recorded);
    forward(recorded);
}

fn main() {
    let _ = again;
}
