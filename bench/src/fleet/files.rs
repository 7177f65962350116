//! A trust directory of the size of an organisation: ten domains with ten services each, beside the one that is called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Domains beside the measured one.
const DOMAINS: usize = 10;
/// Services of each.
const SERVICES: usize = 10;

/// The file that each publication changes.
pub const CHANGED: &str = "domains/unit-3/policies/unit-3.cedar";

/// What it holds, for people.
pub fn described() -> String {
    let services = DOMAINS * SERVICES;
    format!(
        "{} domains, {} services, {} routes, {} policies",
        DOMAINS + 1,
        services + 1,
        services * 2 + 1,
        services + 1
    )
}

/// Adds the domains to a directory.
pub fn add(trust: &Path) -> Result<()> {
    for number in 0..DOMAINS {
        let name = format!("unit-{number}");
        write(trust, &format!("domains/{name}/domain.yaml"), &domain(&name))?;
        write(trust, &format!("domains/{name}/policies/{name}.cedar"), &policies(&name))?;
    }
    Ok(())
}

/// Every file of a directory by its path, as a publication takes them.
pub fn read(trust: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut open = vec![trust.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(trust)?.to_str().context("a path that is not UTF-8")?.to_owned();
            if name != "node.yaml" {
                files.insert(name, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

fn write(trust: &Path, path: &str, text: &str) -> Result<()> {
    let path = trust.join(path);
    fs::create_dir_all(path.parent().unwrap_or(trust))?;
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn domain(name: &str) -> String {
    let mut text = format!("domain: {name}\nservices:\n");
    for service in 0..SERVICES {
        text.push_str(&format!(
            "  service-{service}:\n    hosts: [service-{service}.{name}.acme.internal]\n    upstream: {{ urls: \
             [\"http://127.0.0.1:1\"] }}\n    routes: {{ \"GET /things/{{id}}\": {{}}, \"POST /things\": {{}} }}\n"
        ));
    }
    text.push_str("workloads:\n");
    for caller in 0..SERVICES {
        text.push_str(&format!(
            "  caller-{caller}: {{ attest: {{ any: [ {{ unix: {{ path: $DATA/bin/{name}-{caller} }} }} ] }} }}\n"
        ));
    }
    text
}

fn policies(name: &str) -> String {
    let one = |service: usize| {
        format!(
            "@id(\"caller-{service}-uses-service-{service}\")\n@reason(\"It works with it.\")\npermit (\n  principal == \
             Workload::\"{name}/caller-{service}\",\n  action,\n  resource in Service::\"{name}/service-{service}\"\n) \
             when {{ context.risk < 90 }};\n\n"
        )
    };
    (0..SERVICES).map(one).collect()
}
