//! Who may use whom: the edges between our crates, and the packages that only some of them may see (STYLE 3).

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use super::purity::PURE;
use crate::workspace::{Metadata, Package};

/// What each crate may use. Names are folder names; every crate of the product has a row.
const MAY_USE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("jose", &["types"]),
    ("identity", &["types", "jose"]),
    ("signal", &["types", "identity"]),
    ("policy", &["types", "identity", "signal"]),
    ("trustdir", &["types", "identity", "policy"]),
    ("record", &["types"]),
    ("api", &["types"]),
    ("runtime", &["types", "identity"]),
    ("wire", &["types", "identity", "signal", "policy", "trustdir", "record", "api", "runtime"]),
    ("issuer", &["types", "jose", "identity", "signal", "policy", "trustdir", "record", "api", "runtime"]),
    ("agent", &["types", "jose", "identity", "policy", "trustdir", "record", "api", "runtime"]),
    ("proxy", &["types", "identity", "signal", "policy", "trustdir", "record", "api", "runtime"]),
    ("control", &["types", "identity", "signal", "policy", "trustdir", "record", "api", "runtime", "wire"]),
    ("console", &["types", "api"]),
    (
        "cli",
        &[
            "types", "identity", "signal", "policy", "trustdir", "record", "api", "runtime", "wire", "issuer", "agent",
            "proxy", "control", "console",
        ],
    ),
    ("xtask", &["types"]),
    ("bench", &["types", "record", "api", "issuer"]),
];

/// Why an edge that no row allows is forbidden; the first match counts, `*` is any crate.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("*", "testkit", "test certificates and clocks must not reach the product; testkit is a dev-dependency"),
    ("*", "cli", "the binary joins the roles; what others need of it belongs into a crate of its own"),
    ("*", "console", "pages stand above everything and below the binary that serves them"),
    ("*", "xtask", "the workshop is not part of the product"),
    ("*", "fuzz", "the fuzzer is not part of the product"),
    ("*", "bench", "the measurements are not part of the product"),
    ("*", "e2e", "the whole-system tests are not part of the product"),
    (
        "bench",
        "*",
        "the measured program is the binary that users run, reached as they reach it; simulated proxies speak the wire by \
         the generated code of `api`; the issuer alone is also measured in-process, with the log that it writes to",
    ),
    ("xtask", "*", "`cargo xtask tidy` must stay quick to build; it needs the tables of `types` only"),
    ("types", "*", "everybody speaks this vocabulary, so it can know nobody"),
    ("jose", "*", "a signature is checked before anybody knows whose identity or token it belongs to"),
    ("*", "jose", "tokens and key sets are read by the crate that says what they mean; others get what it found"),
    ("identity", "*", "who calls is proved before routes, policies or the log exist, and offline in `verify`"),
    ("signal", "*", "what is held against a caller is known before policies, routes or the log are asked"),
    (
        "policy",
        "*",
        "a decision must come out the same in the data path, `test` and `explain`: from its arguments alone",
    ),
    ("trustdir", "*", "`check` reads a directory with nothing running"),
    ("record", "*", "the log knows facts, not who states them; it is also the one crate with unsafe code"),
    ("api", "*", "both ends of a connection use it: wire types, no logic"),
    ("runtime", "*", "listeners and TLS that every role shares; it decides nothing"),
    ("proxy", "wire", "the data path reads what is in force and does not know where it came from"),
    ("agent", "wire", "the agent asks `api::issuance` and does not know who answers"),
    ("issuer", "wire", "the issuer signs and mints; who asks from where is control's"),
    ("wire", "*", "what both ends of the wire share stands below the roles, and links no key of the issuer"),
    ("proxy", "control", "the data path goes on while control is away: they meet in `api`"),
    (
        "proxy",
        "issuer",
        "the process that strangers talk to must not link the code that holds CA keys: they meet in `api`",
    ),
    ("agent", "signal", "who is revoked is asked where calls are decided; the issuer answers an agent"),
    ("agent", "control", "workloads renew while control is away: they meet in `api`"),
    (
        "agent",
        "issuer",
        "the agent runs on every machine and must not link the code that holds CA keys: they meet in `api`",
    ),
    ("proxy", "agent", "roles run alone: they meet in `api`, and `cli` joins them"),
    ("agent", "proxy", "roles run alone: they meet in `api`, and `cli` joins them"),
    ("issuer", "*", "roles run alone: they meet in `api`, and `cli` joins them"),
    ("control", "*", "roles run alone: they meet in `api`, and `cli` joins them"),
    (
        "console",
        "*",
        "pages are made of what `api::admin` answers: then they show no more than an operator may ask, here or far away",
    ),
];

/// Packages that only some crates may name.
const RESERVED: &[(&str, &[&str], &str)] = &[(
    "cedar-policy",
    &["policy"],
    "Cedar changes each month and takes a minute to build; one crate follows it, and decisions have one source",
)];

/// Packages that no pure crate may reach, however far down.
const IMPURE_PACKAGES: &[&str] = &["tokio", "mio", "socket2", "hyper", "tonic", "rustls", "notify"];

/// Findings over the graph.
pub fn check(metadata: &Metadata, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in metadata.members() {
        let from = folder(member);
        let manifest = manifest(member, root);
        for dependency in metadata.dependencies(&member.id).iter().filter(|dependency| dependency.is_normal()) {
            let Some(package) = metadata.package(&dependency.pkg) else { continue };
            let is_ours = metadata.workspace_members.contains(&package.id);
            let finding = if is_ours {
                check_edge(&manifest, &from, &folder(package))
            } else {
                check_reserved(&manifest, &from, &package.name)
            };
            findings.extend(finding);
        }
        findings.extend(check_reach(metadata, member, &from, &manifest));
    }
    findings
}

/// The folder that holds a package of ours.
fn folder(package: &Package) -> String {
    let folder = package.manifest_path.parent().and_then(Path::file_name);
    folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn manifest(package: &Package, root: &Path) -> String {
    let path = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
    path.to_string_lossy().into_owned()
}

fn check_edge(manifest: &str, from: &str, to: &str) -> Option<Finding> {
    // these exist to see everything
    let is_outside = matches!(from, "testkit" | "e2e" | "fuzz");
    let allowed = MAY_USE.iter().find(|(name, _)| *name == from).is_some_and(|(_, may)| may.contains(&to));
    if allowed || (is_outside && to != "cli") {
        return None;
    }
    let what = format!("`{from}` uses `{to}`");
    let reason = reason(from, to).unwrap_or("the table of edges has no row for it, and every edge is a decision");
    let fix = "turn the edge around, or meet in a crate below; the table is xtask/src/tidy/edges.rs";
    Some(Finding::error(manifest, 0, what, reason, fix))
}

fn reason(from: &str, to: &str) -> Option<&'static str> {
    let matches = |pattern: &str, name: &str| pattern == "*" || pattern == name;
    FORBIDDEN.iter().find(|(a, b, _)| matches(a, from) && matches(b, to)).map(|(_, _, why)| *why)
}

fn check_reserved(manifest: &str, from: &str, package: &str) -> Option<Finding> {
    let (_, _, why) = RESERVED.iter().find(|(name, may, _)| package.starts_with(name) && !may.contains(&from))?;
    let what = format!("`{from}` uses the package `{package}`");
    Some(Finding::error(manifest, 0, what, *why, "use what the owning crate offers"))
}

/// A pure crate whose dependencies pull in sockets is not pure.
fn check_reach(metadata: &Metadata, member: &Package, name: &str, manifest: &str) -> Vec<Finding> {
    if !PURE.contains(&name) {
        return Vec::new();
    }
    let mut seen = BTreeSet::from([member.id.as_str()]);
    let mut open = vec![member.id.as_str()];
    while let Some(id) = open.pop() {
        let next = metadata.dependencies(id).iter().filter(|dependency| dependency.is_normal());
        open.extend(next.map(|dependency| dependency.pkg.as_str()).filter(|id| seen.insert(id)));
    }
    let reached = seen.into_iter().filter_map(|id| metadata.package(id));
    reached
        .filter(|package| IMPURE_PACKAGES.contains(&package.name.as_str()))
        .map(|package| {
            let what = format!("the pure crate `{name}` reaches the package `{}`", package.name);
            let why = "a pure crate cannot open a socket or wait, not even through others";
            let fix = format!("see the way with `cargo tree --package {} --invert {}`", member.name, package.name);
            Finding::error(manifest, 0, what, why, fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MAY_USE, check, check_edge, check_reserved, reason};
    use crate::workspace::{Dependency, DependencyKind, Metadata, Node, Package, Resolve};
    use std::path::Path;

    #[test]
    fn every_edge_is_allowed_or_has_a_reason_against_it() {
        for (from, may) in MAY_USE {
            for (to, _) in MAY_USE {
                let decided = from == to || may.contains(to) || reason(from, to).is_some();
                assert!(decided, "{from} → {to}");
            }
        }
    }

    #[test]
    fn the_table_has_no_circle() {
        for (index, (from, may)) in MAY_USE.iter().enumerate() {
            let above = MAY_USE.iter().skip(index).map(|(name, _)| name);
            assert!(above.clone().all(|name| !may.contains(name)), "{from} uses a crate that stands after it");
        }
    }

    #[test]
    fn forbidden_edges_are_flagged_with_their_reason() {
        assert!(check_edge("m", "proxy", "types").is_none());
        assert!(check_edge("m", "proxy", "issuer").unwrap().why.contains("CA keys"));
        assert!(check_edge("m", "issuer", "testkit").unwrap().why.contains("dev-dependency"));
        assert!(check_edge("m", "newcomer", "types").unwrap().why.contains("no row"));
        assert!(check_reserved("m", "trustdir", "cedar-policy").is_some());
        assert!(check_reserved("m", "policy", "cedar-policy-core").is_none());
    }

    #[test]
    fn a_pure_crate_does_not_reach_sockets_and_tests_may() {
        let package = |id: &str, path: &str| Package {
            id: id.into(),
            name: id.into(),
            version: "1.0.0".into(),
            license: None,
            manifest_path: path.into(),
        };
        let edge = |to: &str, kind: Option<&str>| Dependency {
            pkg: to.into(),
            dep_kinds: vec![DependencyKind { kind: kind.map(str::to_owned) }],
        };
        let graph = |kind: Option<&str>| Metadata {
            packages: vec![package("p", "/w/crates/policy/Cargo.toml"), package("a", "/r/a"), package("tokio", "/r/t")],
            workspace_members: vec!["p".into()],
            resolve: Resolve {
                nodes: vec![
                    Node { id: "p".into(), deps: vec![edge("a", kind)] },
                    Node { id: "a".into(), deps: vec![edge("tokio", None)] },
                ],
            },
        };
        let found = check(&graph(None), Path::new("/w"));
        assert_eq!(found.first().unwrap().what, "the pure crate `policy` reaches the package `tokio`");
        assert_eq!(found.first().unwrap().file, "crates/policy/Cargo.toml");
        assert_eq!(check(&graph(Some("dev")), Path::new("/w")), []);
    }
}
