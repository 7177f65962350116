//! Every crate takes the workspace's lints and versions; the lockfile is part of the repository.

use toml::{Table, Value};

use super::Finding;
use crate::workspace::TextFile;

/// Findings over all manifests.
pub fn check(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        findings.extend(check_manifest(&file.path, &file.text));
    }
    if !files.iter().any(|file| file.path == "Cargo.lock") {
        let why = "without it, a build of tomorrow is another program than the one that was tested";
        findings.push(Finding::error("Cargo.lock", 0, "it is missing or ignored", why, "commit it"));
    }
    findings
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let manifest: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let what = format!("it cannot be read: {}", error.message());
            return vec![Finding::error(path, 0, what, "cargo cannot read it either", "mend it")];
        }
    };
    let inherits = |table: &str, key: Option<&str>| {
        let value = manifest.get(table);
        let value = if let Some(key) = key { value.and_then(|value| value.get(key)) } else { value };
        value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    let mut findings = Vec::new();
    if !inherits("lints", None) {
        let why = "a crate without the workspace's lints may panic, index and silence warnings unseen";
        findings.push(Finding::error(path, 0, "no `[lints] workspace = true`", why, "add it"));
    }
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherits("package", Some(key)) {
            let what = format!("`package.{key}` is not the workspace's");
            findings.push(Finding::error(
                path,
                0,
                what,
                "one binary has one version",
                format!("write `{key}.workspace = true`"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::TextFile;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    fn whats(manifest: &str, lockfile: bool) -> Vec<String> {
        let mut files = vec![TextFile { path: "crates/x/Cargo.toml".into(), text: manifest.into() }];
        if lockfile {
            files.push(TextFile { path: "Cargo.lock".into(), text: String::new() });
        }
        check(&files).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_manifest_that_goes_its_own_way_is_flagged() {
        assert_eq!(whats(GOOD, true), [""; 0]);
        assert_eq!(whats(GOOD, false), ["it is missing or ignored"]);
        let no_lints = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(whats(&no_lints, true), ["no `[lints] workspace = true`"]);
        let own_edition = GOOD.replace("edition.workspace = true", "edition = \"2021\"");
        assert_eq!(whats(&own_edition, true), ["`package.edition` is not the workspace's"]);
        assert_eq!(whats("[package", true).len(), 1);
    }
}
