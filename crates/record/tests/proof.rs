//! `Recorded` is made by `Lane::append` alone: programs that would make one otherwise do not compile.

#[test]
fn recorded_cannot_be_made_elsewhere() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
