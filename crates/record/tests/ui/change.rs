//! What was recorded cannot be exchanged under its proof.
use countersign_record::Recorded;

fn exchange(recorded: &mut Recorded<String>) {
    recorded.item = "another permit".to_owned();
}

fn main() {
    let _ = exchange;
}
