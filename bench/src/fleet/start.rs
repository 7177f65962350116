//! How long a real proxy takes from its start to its first decision while control is away: it has its last good state only.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::control::Control;
use crate::arguments::Load;
use crate::load;
use crate::process::{Process, free_address, pinned, said};
use crate::subject::CALLER;

/// A start that takes longer than this has failed.
const MOST: Duration = Duration::from_secs(30);

/// A proxy that joined once.
pub struct Proxy {
    binary: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    load: Load,
}

impl Proxy {
    /// Lets it join, fetches an identity for the call, and waits until it decides.
    pub fn join(binary: &Path, folder: &Path, core: usize, control: &Control) -> Result<Self> {
        let (folder, name) = (folder.join("proxy"), "edge-real");
        fs::create_dir_all(&folder)?;
        let (token, root) = control.token(name)?;
        let (address, token_file) = (free_address()?, folder.join("token"));
        fs::write(&token_file, token)?;
        let config = folder.join("proxy.yaml");
        let yaml = format!(
            "name: {name}\ndata: {}\ncontrol: {{ url: \"https://{}\", root_sha256: {root}, token_file: {} }}\nlisteners: [{{ \
             name: gateway, kind: gateway, address: \"{address}\" }}]\n",
            folder.join("data").display(),
            control.wire,
            token_file.display()
        );
        fs::write(&config, yaml)?;
        let identity = folder.join("identity");
        fetch(binary, control, &identity, address)?;
        let load = Load {
            address,
            roots: identity.join("bundle.pem"),
            identity,
            connections: 1,
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
        };
        let this = Self { binary: binary.to_path_buf(), config, folder, address, load };
        let process = this.start(core, "first.out")?.0;
        // its last good state is whole when control hears that it runs what is current
        let heard = crate::process::until(MOST, || Ok(control.current()? >= 1))?;
        ensure!(heard, "control never heard that the proxy runs what is current");
        std::thread::sleep(Duration::from_secs(2));
        process.kill();
        Ok(this)
    }

    /// One start, in milliseconds, while nobody else is there.
    pub fn again(&self, core: usize, round: usize) -> Result<f64> {
        let (process, took) = self.start(core, &format!("start-{round}.out"))?;
        process.kill();
        Ok(took.as_secs_f64() * 1e3)
    }

    /// Starts it and waits for the answer to a call.
    fn start(&self, core: usize, printed: &str) -> Result<(Process, Duration)> {
        let mut command: Command = pinned(core, &self.binary);
        command.arg("proxy").arg("-c").arg(&self.config);
        let started = Instant::now();
        let process = Process::start("countersign proxy", &mut command, &self.folder.join(printed))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        runtime.block_on(async {
            loop {
                let error = match load::first_answer(&self.load).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                let said = || fs::read_to_string(self.folder.join(printed)).unwrap_or_default();
                ensure!(started.elapsed() < MOST, "no decision at {}: {error:#}\n{}", self.address, said());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })?;
        Ok((process, started.elapsed()))
    }
}

/// A certificate for the calling workload, good for five minutes.
pub fn fetch(binary: &Path, control: &Control, into: &Path, gateway: SocketAddr) -> Result<()> {
    let (data, into, gateway) = (control.data.display().to_string(), into.display().to_string(), gateway.to_string());
    let arguments = ["identity", "fetch", "--as", CALLER, "--data", &data, "--out", &into, "--gateway", &gateway];
    said(binary, &arguments).map(|_| ())
}
