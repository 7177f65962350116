//! Promise 1: no forward without a permit, and no permit but from the judge. Each case must not compile.

#[test]
fn no_forward_without_a_permit() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
