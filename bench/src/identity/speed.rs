//! What `openssl speed` signs in a second.

use std::path::Path;

use anyhow::{Context, Result};

use crate::process::said;

/// P-256 signatures a second on one core.
pub fn signatures(core: usize) -> Result<f64> {
    let core = core.to_string();
    let arguments = ["--cpu-list", &core, "openssl", "speed", "-seconds", "1", "ecdsap256"];
    let text = said(Path::new("taskset"), &arguments)?;
    read(&text).with_context(|| format!("`openssl speed` said something unknown:\n{text}"))
}

/// The third figure of the line of the curve: seconds for a signature and a verification, signatures and verifications a
/// second.
fn read(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("(nistp256)") && line.trim_start().starts_with("256 bits"))?;
    let (_, figures) = line.split_once("(nistp256)")?;
    figures.split_whitespace().nth(2)?.parse().ok().filter(|rate: &f64| *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_line_of_the_curve_is_read() {
        let text = "Doing 256 bits sign ecdsa's for 1s: 43210 256 bits ECDSA signs in 1.00s\n\
                    \x20                             sign    verify    sign/s verify/s\n\
                    \x20256 bits ecdsa (nistp256)   0.0000s   0.0001s  43210.5  15321.0\n";
        assert_eq!(read(text), Some(43210.5));
        assert_eq!(read("384 bits ecdsa (nistp384)   0.0006s   0.0005s   1700.0   2000.0"), None);
        assert_eq!(read(""), None);
    }
}
