//! Commands that only read files, compared with their transcripts in `tests/cmd`.

#[test]
#[cfg_attr(not(feature = "demo"), ignore = "the help names the demo")]
fn transcripts_hold() {
    trycmd::TestCases::new().env("NO_COLOR", "1").env("COLUMNS", "100").case("tests/cmd/*.trycmd");
}
