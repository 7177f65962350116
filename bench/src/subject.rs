//! Countersign as it is measured: `up` on a trust directory with one service, one workload and one permit.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{Process, pinned, said};

/// The host that both proxies serve.
pub const HOST: &str = "bench.acme.internal";
/// The workload that calls.
pub const CALLER: &str = "bench/load";

/// The running program.
pub struct Subject {
    pub process: Process,
    pub address: SocketAddr,
    pub version: String,
    binary: PathBuf,
    data: PathBuf,
}

impl Subject {
    /// Writes the trust directory and starts `countersign up` on one core.
    pub fn start(binary: &Path, folder: &Path, core: usize, upstream: SocketAddr, address: SocketAddr) -> Result<Self> {
        let version = said(binary, &["--version"])?;
        let (trust, data) = (folder.join("trust"), folder.join("data"));
        write_trust_directory(&trust, upstream, address)?;
        said(binary, &["check", text(&trust)?])?;
        let printed = folder.join("countersign.out");
        let mut command = pinned(core, binary);
        command.args(["up", text(&trust)?, "--data", text(&data)?]);
        let mut process = Process::start("countersign", &mut command, &printed)?;
        process.wait_for(address, &printed)?;
        Ok(Self { process, address, version, binary: binary.to_path_buf(), data })
    }

    /// Writes a fresh SVID of the calling workload, its key and the roots into a folder. It is good for five minutes.
    pub fn fetch_identity(&self, into: &Path) -> Result<()> {
        let arguments = ["identity", "fetch", "--as", CALLER, "--data", text(&self.data)?, "--out", text(into)?];
        said(&self.binary, &arguments).map(|_| ())
    }
}

/// The binary beside this one, where none was named.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe().context("cannot tell where this program is")?.with_file_name("countersign"),
    };
    if path.is_file() {
        return Ok(path);
    }
    bail!("there is no `{}`: build it with `cargo build --profile dist -p countersign`", path.display())
}

/// Writes a directory with one service, one workload and one permit.
pub fn write_trust_directory(trust: &Path, upstream: SocketAddr, address: SocketAddr) -> Result<()> {
    let domain = format!(
        "domain: bench\n\
         services:\n\
         \x20 upstream:\n\
         \x20   hosts: [{HOST}]\n\
         \x20   upstream: {{ urls: [http://{upstream}] }}\n\
         \x20   sensitivity: internal\n\
         \x20   routes:\n\
         \x20     \"GET /answer\": {{ effect: read }}\n\
         workloads:\n\
         \x20 load: {{ attest: {{ any: [{{ unix: {{ path: $DATA/bin/load }} }}] }} }}\n"
    );
    let node = format!(
        "name: bench\n\
         listeners:\n\
         \x20 - {{ name: gateway, kind: gateway, address: \"{address}\", domains: [bench] }}\n"
    );
    let files = [
        ("countersign.yaml", "organisation: acme.internal\n".to_owned()),
        ("admin.cedar", ADMIN_POLICY.to_owned()),
        ("domains/bench/domain.yaml", domain),
        ("domains/bench/policies/bench.cedar", CALL_POLICY.to_owned()),
        ("node.yaml", node),
    ];
    for (path, text) in files {
        let path = trust.join(path);
        fs::create_dir_all(path.parent().unwrap_or(trust))?;
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("`{}` is not UTF-8", path.display()))
}

const ADMIN_POLICY: &str = r#"@id("local-operator-impersonates")
@reason("The measurement calls as the workload `bench/load`.")
permit (principal == Operator::"local", action == Action::"impersonate", resource);
"#;

const CALL_POLICY: &str = r#"@id("load-asks")
@reason("The measured call.")
permit (
  principal == Workload::"bench/load",
  action == Action::"GET",
  resource == Route::"bench/upstream GET /answer"
);
"#;
