//! There is no constructor, no default and no conversion.
use countersign_record::Recorded;

fn main() {
    let _ = Recorded::new("permit");
    let _: Recorded<&str> = Default::default();
    let _: Recorded<&str> = "permit".into();
}
