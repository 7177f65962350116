//! Which packages of others are built in: licences, bans and floors, as deny.toml states them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Finding;
use crate::workspace::{Metadata, Package, TextFile, output};

const POLICY: &str = "deny.toml";

/// The part of deny.toml that is checked here.
#[derive(Deserialize)]
struct Policy {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// A package that is not built, or not below a version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    name: String,
    version: Option<String>,
    reason: String,
}

/// Findings over the whole graph.
pub fn check(metadata: &Metadata, files: &[TextFile], root: &Path) -> Result<Vec<Finding>> {
    let text = files.iter().find(|file| file.path == POLICY).context("deny.toml is missing")?;
    let policy: Policy = toml::from_str(&text.text).context("cannot read deny.toml")?;
    let built = built(root)?;
    let mut findings: Vec<Finding> =
        metadata.packages.iter().filter_map(|package| check_licence(package, &policy.licenses.allow)).collect();
    for ban in &policy.bans.deny {
        findings.extend(check_ban(ban, &metadata.packages, &built));
    }
    Ok(findings)
}

/// The names of all packages that some build of the product compiles. The lockfile names more: optional dependencies
/// that nobody turns on.
fn built(root: &Path) -> Result<Vec<String>> {
    let arguments = ["tree", "--workspace", "--all-features", "--edges=normal,build", "--prefix=none", "--format={p}"];
    let text = output(root, "cargo", &arguments)?;
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    ensure!(names.iter().any(|name| name == "countersign"), "`cargo tree` does not list the product");
    Ok(names)
}

fn check_licence(package: &Package, allowed: &[String]) -> Option<Finding> {
    let licence = package.license.as_deref().unwrap_or("none");
    if is_allowed(licence, allowed) {
        return None;
    }
    let what = format!("`{}` {} is under `{licence}`", package.name, package.version);
    let why = "the licence is not among those that let others redistribute the binary freely";
    Some(Finding::error("Cargo.lock", 0, what, why, "use another package, or argue for the licence in deny.toml"))
}

/// Whether an SPDX expression can be met with allowed licences: one side of `OR`, all sides of `AND`. `/` is the old
/// way to write `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim().replace('/', " OR ");
    if let Some(parts) = split(&expression, " OR ") {
        return parts.iter().any(|part| is_allowed(part, allowed));
    }
    if let Some(parts) = split(&expression, " AND ") {
        return parts.iter().all(|part| is_allowed(part, allowed));
    }
    let bare = expression.trim();
    match bare.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.iter().any(|licence| licence == bare),
    }
}

/// Splits at an operator outside parentheses; `None` where there is none.
fn split<'a>(expression: &'a str, operator: &str) -> Option<Vec<&'a str>> {
    let outside = |at: usize| {
        let before = expression.get(..at).unwrap_or("");
        before.matches('(').count() == before.matches(')').count()
    };
    let at = expression.match_indices(operator).map(|(at, _)| at).find(|&at| outside(at))?;
    let (left, right) = (expression.get(..at)?, expression.get(at + operator.len()..)?);
    let mut parts = vec![left];
    match split(right, operator) {
        Some(more) => parts.extend(more),
        None => parts.push(right),
    }
    Some(parts)
}

fn check_ban(ban: &Ban, packages: &[Package], built: &[String]) -> Vec<Finding> {
    let Some(version) = &ban.version else {
        let what = format!("`{}` is built", ban.name);
        let fix = format!("see who brings it with `cargo tree --invert {} --edges normal,build`", ban.name);
        let is_built = built.contains(&ban.name);
        return is_built.then(|| Finding::error("Cargo.lock", 0, what, ban.reason.as_str(), fix)).into_iter().collect();
    };
    let Some(floor) = version.strip_prefix('<') else {
        let what = format!("the version `{version}` of `{}` is not a floor", ban.name);
        let fix = "write it as `<1.2.3`";
        return vec![Finding::error(POLICY, 0, what, "only floors are checked here", fix)];
    };
    let below = packages.iter().filter(|package| package.name == ban.name && parts(&package.version) < parts(floor));
    below
        .map(|package| {
            let what = format!("`{}` {} is below {floor}", package.name, package.version);
            let fix = format!("run `cargo update {}`", package.name);
            Finding::error("Cargo.lock", 0, what, ban.reason.as_str(), fix)
        })
        .collect()
}

/// The numbers of a version, for comparing. What follows `+` or `-` does not count.
fn parts(version: &str) -> Vec<u64> {
    let numbers = version.split(['+', '-']).next().unwrap_or("");
    numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ban, check_ban, check_licence, is_allowed};
    use crate::workspace::Package;

    fn package(name: &str, version: &str, license: Option<&str>) -> Package {
        Package {
            id: name.into(),
            name: name.into(),
            version: version.into(),
            license: license.map(str::to_owned),
            manifest_path: "Cargo.toml".into(),
        }
    }

    #[test]
    fn licence_expressions_are_understood() {
        let allowed = ["MIT", "Apache-2.0", "ISC"].map(str::to_owned);
        for good in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "ISC AND (MIT OR GPL-3.0)", "(MIT OR X) AND (ISC)"] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0 WITH X-exception", "(MIT OR X) AND Y", "MITX", ""] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
        assert!(check_licence(&package("x", "1.0.0", None), &allowed).is_some());
    }

    #[test]
    fn bans_are_for_what_is_built_and_floors_for_what_is_locked() {
        let ban =
            |version: Option<&str>| Ban { name: "x".into(), version: version.map(str::to_owned), reason: "r".into() };
        let locked = [package("x", "0.4.9", None), package("y", "0.1.0", None)];
        assert_eq!(check_ban(&ban(None), &locked, &["y".to_owned()]).len(), 0);
        assert_eq!(check_ban(&ban(None), &locked, &["x".to_owned()]).len(), 1);
        assert_eq!(check_ban(&ban(Some("<0.4.9")), &locked, &[]).len(), 0);
        assert_eq!(check_ban(&ban(Some("<0.4.10")), &locked, &[]).len(), 1);
        assert_eq!(check_ban(&ban(Some("0.4")), &locked, &[]).len(), 1);
    }
}
