//! The fields are private.
use countersign_record::Recorded;
use types::Timestamp;

fn main() {
    let _ = Recorded { item: "permit", sequence: 0, at: Timestamp::default() };
}
