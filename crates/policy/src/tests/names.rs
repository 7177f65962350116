//! The nearest name.

use crate::names::nearest;

#[test]
fn the_nearest_name_is_close_or_absent() {
    let names = || ["payments", "payroll", "portal", "ci"].map(str::to_owned).into_iter();
    for (wrong, want) in [
        ("payment", Some("payments")),
        ("paymnets", Some("payments")),
        ("payrol", Some("payroll")),
        ("portals", Some("portal")),
        ("ic", Some("ci")),
        ("treasury", None),
        ("", None),
        (&"p".repeat(300), None),
    ] {
        assert_eq!(nearest(wrong, names()).as_deref(), want, "{wrong}");
    }
}
