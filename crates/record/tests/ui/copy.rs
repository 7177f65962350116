//! A proof cannot be copied.
use countersign_record::Recorded;

fn copy(recorded: &Recorded<u64>) -> (Recorded<u64>, Recorded<u64>) {
    let first = Recorded::clone(recorded);
    let second = *recorded;
    (first, second)
}

fn main() {
    let _ = copy;
}
