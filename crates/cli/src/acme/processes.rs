//! Starts the services as processes of their own, waits until each answers, and ends them.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{
    catalogue::{Ports, SERVICES},
    install::Installed,
    serve::PORT_TAKEN,
};

/// How long all services together may take until they answer: they fill a small database each.
const START: Duration = Duration::from_secs(15);
/// How long a service may take to end after its stdin did; a little more than it gives its open connections.
const STOP: Duration = Duration::from_secs(3);
/// How often a service that does not answer yet is asked again, and one that is to end is looked at.
const AGAIN: Duration = Duration::from_millis(20);
/// How long one attempt to ask may take.
const ASK: Duration = Duration::from_millis(500);

/// Why the services are not all running. Those that were started are ended.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The directory for logs, or a log file, could not be made.
    #[error("cannot write the log `{}`", path.display())]
    Log {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process could not be started; perhaps it is not installed.
    #[error("cannot start `{}`", path.display())]
    Start {
        /// The executable.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process ended before it answered.
    #[error("`acme-{name}` ended before it answered ({status}); its log is `{}`", log.display())]
    Ended {
        /// The service.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
    },
    /// The process runs but does not answer.
    #[error("`acme-{name}` did not answer on port {port} within {} s; its log is `{}`", START.as_secs(), log.display())]
    Silent {
        /// The service.
        name: &'static str,
        /// The port on 127.0.0.1.
        port: u16,
        /// Its log file.
        log: PathBuf,
    },
}

impl SpawnError {
    /// Whether it failed because another program took a port between its choice and its use.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { status, .. } if status.code() == Some(i32::from(PORT_TAKEN)))
    }
}

/// The running services. They end when this is dropped, and when this process dies in whatever way.
#[derive(Debug)]
pub struct Services {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    port: u16,
    log: PathBuf,
    child: Child,
}

impl Services {
    /// Name, address and process id of each service.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, SocketAddr, u32)> {
        self.running.iter().map(|one| (one.name, address(one.port), one.child.id()))
    }

    /// The first service found to have ended by itself, with its log file; for whoever watches over them.
    pub fn ended(&mut self) -> Option<(&'static str, ExitStatus, &Path)> {
        self.running.iter_mut().find_map(|one| {
            let status = one.child.try_wait().ok().flatten()?;
            Some((one.name, status, one.log.as_path()))
        })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        end(self.running.iter_mut().map(|one| &mut one.child));
    }
}

/// Asks processes to end, waits for them, and ends those that do not.
pub(super) fn end<'a>(children: impl Iterator<Item = &'a mut Child>) {
    let mut children: Vec<&mut Child> = children.collect();
    for child in &mut children {
        // The end of its stdin asks a process to stop.
        drop(child.stdin.take());
    }
    let deadline = Instant::now() + STOP;
    for child in children {
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(AGAIN);
        }
        // Both fail only for a process that has ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Starts every service of the example organisation from `DATA/bin/acme-<name>` on its port of 127.0.0.1, with its
/// database and its log, `<name>.log`, in `DATA/acme`, and waits until each answers. Blocks for a second
/// or so, at most 15; call it from a thread that may block.
///
/// # Errors
/// See [`SpawnError`].
pub fn spawn_services(data_dir: &Path, ports: &Ports) -> Result<Services, SpawnError> {
    let mut services = Services { running: Vec::new() };
    for service in SERVICES {
        let port = ports.get(service.name).unwrap_or(service.port);
        services.running.push(start(data_dir, service.name, port)?);
    }
    let deadline = Instant::now() + START;
    for one in &mut services.running {
        wait_until_it_answers(one, deadline)?;
    }
    Ok(services)
}

fn start(data_dir: &Path, name: &'static str, port: u16) -> Result<Running, SpawnError> {
    let state = state(data_dir);
    let arguments = [address(port).to_string().into(), state.clone().into_os_string()];
    let log = state.join(format!("{name}.log"));
    let child = spawn(data_dir, name, &arguments, &log, Stdio::null())?;
    Ok(Running { name, port, log, child })
}

/// Where the example's own files are: databases and logs.
pub(super) fn state(data_dir: &Path) -> PathBuf {
    data_dir.join("acme")
}

/// Starts a process from its own path. It ends with its stdin, which is held in the child that is returned.
pub(super) fn spawn(
    data_dir: &Path,
    name: &str,
    arguments: &[OsString],
    log: &Path,
    stdout: Stdio,
) -> Result<Child, SpawnError> {
    let unwritable = |source| SpawnError::Log { path: log.to_owned(), source };
    let made = log.parent().map_or(Ok(()), fs::create_dir_all);
    made.map_err(unwritable)?;
    let output = File::options().create(true).append(true).open(log).map_err(unwritable)?;
    let path = Installed::under(data_dir).path_of(name);
    Command::new(&path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(output)
        // Its own group: Ctrl-C on the terminal reaches us, and we end what we started when we have drained.
        .process_group(0)
        .spawn()
        .map_err(|source| SpawnError::Start { path, source })
}

fn wait_until_it_answers(one: &mut Running, deadline: Instant) -> Result<(), SpawnError> {
    loop {
        if let Ok(Some(status)) = one.child.try_wait() {
            return Err(SpawnError::Ended { name: one.name, status, log: one.log.clone() });
        }
        if answers(one.name, one.port).is_ok_and(|yes| yes) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(SpawnError::Silent { name: one.name, port: one.port, log: one.log.clone() });
        }
        thread::sleep(AGAIN);
    }
}

/// Whether the service of that name, and not another program, answers on the port.
fn answers(name: &str, port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address(port), ASK)?;
    stream.set_read_timeout(Some(ASK))?;
    stream.set_write_timeout(Some(ASK))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("{{\"service\":\"{name}\"}}")))
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
