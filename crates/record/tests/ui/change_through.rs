//! What was recorded is seen and not changed.
use countersign_record::Recorded;

fn change(recorded: &mut Recorded<String>) {
    *recorded.get() = "another permit".to_owned();
}

fn main() {
    let _ = change;
}
