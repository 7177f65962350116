//! The trust directory of the example organisation, embedded: every file of `examples/acme`.

use std::{fs, io, path::Path};

use super::catalogue::Ports;

/// Where the upstream URLs of the trust directory point to; a port follows.
const UPSTREAM: &str = "http://127.0.0.1:";

macro_rules! embedded {
    ($($path:literal)*) => {
        &[ $( ($path, include_str!(concat!("../../../../examples/acme/", $path))), )* ]
    };
}

/// Path inside the trust directory, and text, in the order of the paths.
pub const FILES: &[(&str, &str)] = embedded! {
    "README.md"
    "admin.cedar"
    "countersign.yaml"
    "domains/finance/apis/invoices.json"
    "domains/finance/apis/ledger.yaml"
    "domains/finance/domain.yaml"
    "domains/finance/policies/close.cedar"
    "domains/finance/policies/invoices.cedar"
    "domains/finance/policies/ledger.cedar"
    "domains/finance/tests/close.yaml"
    "domains/finance/tests/invoices.yaml"
    "domains/finance/tests/ledger.yaml"
    "domains/hr/domain.yaml"
    "domains/hr/policies/payroll.cedar"
    "domains/hr/policies/people.cedar"
    "domains/hr/tests/payroll.yaml"
    "domains/hr/tests/people.yaml"
    "domains/internal-tools/domain.yaml"
    "domains/internal-tools/policies/directory.cedar"
    "domains/internal-tools/policies/expenses.cedar"
    "domains/internal-tools/tests/directory.yaml"
    "domains/internal-tools/tests/expenses.yaml"
    "domains/platform/apis/audit.yaml"
    "domains/platform/apis/deploys.json"
    "domains/platform/domain.yaml"
    "domains/platform/policies/audit.cedar"
    "domains/platform/policies/deploys.cedar"
    "domains/platform/policies/status.cedar"
    "domains/platform/tests/audit.yaml"
    "domains/platform/tests/deploys.yaml"
    "domains/platform/tests/status.yaml"
    "node.yaml"
    "policies/guardrails.cedar"
};

/// The files with the upstream URLs of every `domain.yaml` pointing to `ports`; everything else as it stands.
pub fn with_ports(ports: &Ports) -> Vec<(&'static str, String)> {
    let rewritten = |(path, text): &(&'static str, &str)| {
        let text = if path.ends_with("/domain.yaml") { rewrite(text, ports) } else { (*text).to_owned() };
        (*path, text)
    };
    FILES.iter().map(rewritten).collect()
}

/// Writes the files, with `ports`, into a directory, which is made if it is missing. Files that stand there already
/// under the same names are overwritten; others are left alone.
///
/// # Errors
/// The first directory that cannot be made or file that cannot be written, with its path in the message.
pub fn write_to(directory: &Path, ports: &Ports) -> io::Result<()> {
    for (path, text) in with_ports(ports) {
        let path = directory.join(path);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = parent.and_then(|()| fs::write(&path, text));
        written.map_err(|error| io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display())))?;
    }
    Ok(())
}

/// Replaces every port in one pass, so that a port already replaced is not taken for a standard one.
fn rewrite(text: &str, ports: &Ports) -> String {
    let mut pieces = text.split(UPSTREAM);
    let mut rewritten = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (digits, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        rewritten.push_str(UPSTREAM);
        match digits.parse().ok().and_then(|standard| ports.instead_of(standard)) {
            Some(port) => rewritten.push_str(&port.to_string()),
            None => rewritten.push_str(digits),
        }
        rewritten.push_str(rest);
    }
    rewritten
}
