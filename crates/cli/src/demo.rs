//! `demo`: the example organisation with live services, and three calls to make. It leaves nothing behind.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::{MissedTickBehavior, interval};

use crate::acme::processes::Services;
use crate::acme::{self, Ports};
use crate::admin_client::AdminClient;
use crate::args::Up;
use crate::call;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::load::{self, counts, in_words};
use crate::term::{Palette, Tone, harmless};
use crate::up::{self, Plan, Signals, System};
use crate::{paths, shell};

/// The directory's name below the state directory.
const NAME: &str = "demo";
/// The file that says that the directory is a demo's and may be removed.
const MARKER: &str = "made-by-countersign-demo";
/// How often the services are looked at.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(env: &Env) -> Outcome {
    writeln!(io::stdout(), "starting the example organisation …")?;
    crate::tasks::serve(async {
        // from here on Ctrl-C is ours to answer, before there is anything to leave behind
        let mut signals = Signals::new()?;
        let folder = Folder::make(&paths::state_base(env)?.join(NAME))?;
        let ports = Ports::available().map_err(|error| Failed::new(format!("no ports for the services: {error}")))?;
        let plan = plan(&folder, &ports, env)?;
        let mut starting = std::pin::pin!(async { tokio::try_join!(services(&folder, ports), up::start(plan)) });
        let (services, system) = tokio::select! {
            started = &mut starting => started?,
            () = signals.first() => {
                // what is half started would write into the directory that is being removed
                drop(starting.await);
                return Ok(Exit::Yes);
            }
        };
        show(&folder, &services, &system, env).await?;
        let shown = tokio::spawn(crate::decisions::stream(system.data().to_owned(), env.clone()));
        let services = watch(services, &mut signals).await;
        shown.abort();
        up::stop(system, &mut signals).await;
        drop(services);
        Ok(Exit::Yes)
    })?
}

/// The demo's data directory, removed with everything in it at the end.
struct Folder {
    path: PathBuf,
    /// Locked while the demo lives, so that another one does not take it for a dead one's.
    _marker: File,
}

impl Folder {
    /// Makes it, after removing what a demo that was killed left behind.
    fn make(path: &Path) -> Result<Self, Failed> {
        let failed = |error: io::Error| {
            Failed::new(format!("the demo's directory `{}` cannot be made: {error}", path.display()))
                .hint("set XDG_STATE_HOME to a directory that you may write to")
        };
        paths::check_socket_paths(path)?;
        if path.exists() {
            remove_old(path)?;
        }
        fs::create_dir_all(path).map_err(failed)?;
        let marker = File::create_new(path.join(MARKER)).map_err(failed)?;
        flock(&marker, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { path: path.to_owned(), _marker: marker })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the demo's directory stays behind");
        }
    }
}

/// What a dead demo left is removed; what lives, or is not a demo's, is not touched.
fn remove_old(path: &Path) -> Result<(), Failed> {
    let shown = path.display();
    let Ok(marker) = File::open(path.join(MARKER)) else {
        return Err(Failed::new(format!("`{shown}` is there and was not made by a demo")).hint("move it away"));
    };
    if flock(&marker, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Failed::new("a demo is running already").hint(format!("stop it, or ask it: --data {shown}")));
    }
    fs::remove_dir_all(path).map_err(|error| Failed::new(format!("`{shown}` cannot be removed: {error}")))
}

/// A copy of the example, with its services on ports that are free here.
fn plan(folder: &Folder, ports: &Ports, env: &Env) -> Result<Plan, Failed> {
    let dir = folder.path.join("trust");
    acme::files::write_to(&dir, ports).map_err(|error| Failed::new(error.to_string()))?;
    let (revision, loaded) = load::revision(&dir, env)?;
    let args = Up { dir, data: Some(folder.path.clone()), node: None, decisions: true };
    Plan::new(&args, env, revision, loaded)
}

/// Starts the services as processes of their own, each from its own path.
async fn services(folder: &Folder, ports: Ports) -> Result<Services, Failed> {
    let data = folder.path.clone();
    let start = move || {
        let own =
            std::env::current_exe().map_err(|error| Failed::new(format!("this program cannot be found: {error}")))?;
        acme::install(&data, &own).map_err(|error| Failed::new(error.to_string()))?;
        acme::spawn_services(&data, &ports).map_err(|error| Failed::new(error.to_string()))
    };
    let started = tokio::task::spawn_blocking(start).await;
    started.unwrap_or_else(|error| Err(Failed::new(format!("starting the services failed: {error}"))))
}

/// Until a signal. A service that ends by itself is told, once.
async fn watch(mut services: Services, signals: &mut Signals) -> Services {
    let mut told = false;
    let mut second = interval(LOOK_AFTER);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signals.first() => return services,
            _ = second.tick() => {}
        }
        if let Some((name, status, log)) = services.ended().filter(|_| !told) {
            told = true;
            let log = log.display().to_string();
            tracing::error!(service = name, %status, log, "a service of the example ended");
        }
    }
}

async fn show(folder: &Folder, services: &Services, system: &System, env: &Env) -> Result<(), Failed> {
    let client = AdminClient::new(&folder.path);
    let calls = Calls::new(folder, &client, env).await?;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    let revision = system.revision();
    let name = palette.paint(Tone::Strong, revision.model().organisation.as_str());
    writeln!(out, "{name} is up, revision {}: {}", revision.id().short(), in_words(counts(revision)))?;
    let services: Vec<String> = services.iter().map(|(name, at, _)| format!("{name} :{}", at.port())).collect();
    writeln!(out, "its services run on 127.0.0.1: {}", services.join(", "))?;
    writeln!(out, "its files are in {}\n", harmless(&folder.path.join("trust").display().to_string()))?;
    for (tone, title, line) in calls.in_order() {
        writeln!(out, "{}", palette.paint(tone, title))?;
        writeln!(out, "  {line}\n")?;
    }
    writeln!(
        out,
        "Paste one into another terminal. Decisions appear here as they happen; Ctrl-C stops and removes all.\n"
    )?;
    out.flush()?;
    Ok(())
}

/// The three calls, ready to be pasted.
struct Calls {
    allowed: String,
    refused: String,
    unidentified: String,
}

impl Calls {
    async fn new(folder: &Folder, client: &AdminClient, env: &Env) -> Result<Self, Failed> {
        let own = |arguments: &str| format!("{} call {}{arguments}", shell::program(env), which(folder, env));
        let entry = r#"{"debit":"1600","credit":"1200","cents":21985,"text":"Papier Maurer, invoice R2040"}"#;
        let ledger = "https://ledger.acme.internal/entries";
        Ok(Self {
            allowed: own(&format!("--as finance/payments POST {ledger} -d {}", shell::quote(entry))),
            refused: own("--as hr/portal GET https://payroll.acme.internal/salaries/p-1003"),
            unidentified: without_certificate(folder, client, ledger).await?,
        })
    }

    fn in_order(&self) -> [(Tone, &'static str, &str); 3] {
        [
            (Tone::Good, "allowed: payments books a settled payment", &self.allowed),
            (Tone::Bad, "refused by policy: the portal shows payslips, never salaries", &self.refused),
            (Tone::Bad, "refused for want of identity: curl without a certificate", &self.unidentified),
        ]
    }
}

/// The data directory has to be named only where the commands would not find it by themselves.
fn which(folder: &Folder, env: &Env) -> String {
    let base = paths::state_base(env).unwrap_or_default();
    if env.data.is_none() && paths::live_below(&base) == [folder.path.clone()] {
        return String::new();
    }
    format!("--data {} ", shell::quote(&folder.path.display().to_string()))
}

/// A curl line that knows whom to trust and has nothing to show for itself.
async fn without_certificate(folder: &Folder, client: &AdminClient, url: &str) -> Result<String, Failed> {
    let status = client.status().await?;
    let host = types::Host::parse("ledger.acme.internal").map_err(|reason| Failed::new(reason.title()))?;
    let (domain, address) = call::find(&status, &host)?;
    let roots = folder.path.join(format!("{domain}.pem"));
    let written = fs::write(&roots, client.bundle(&domain).await?.roots);
    written.map_err(|error| Failed::new(format!("`{}` cannot be written: {error}", roots.display())))?;
    let roots = shell::quote(&roots.display().to_string());
    Ok(format!("curl -sS --cacert {roots} --connect-to {host}:443:{address} {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_made_and_removed_and_only_a_demos_own() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(NAME);
        let folder = Folder::make(&path).unwrap();
        fs::write(path.join("left"), "").unwrap();
        assert_eq!(Folder::make(&path).err().unwrap().message.unwrap(), "a demo is running already");
        let killed = std::mem::ManuallyDrop::new(folder);
        flock(&killed._marker, FlockOperation::Unlock).unwrap();
        let folder = Folder::make(&path).unwrap();
        assert!(!path.join("left").exists(), "what a killed demo left is removed");
        drop(folder);
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        let error = Folder::make(&path).err().unwrap();
        assert!(error.message.unwrap().ends_with("was not made by a demo"));
        assert!(path.exists());
    }
}
