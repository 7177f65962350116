//! Services as processes. What is installed here are scripts; those that stand for a service run this very test program
//! with one test chosen, [`a_service_process`], which is then the service.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::acme::{
    catalogue::SERVICES,
    processes::{Services, SpawnError},
    serve::PORT_TAKEN,
    service_main, spawn_services,
};

/// Says in the environment what a chosen [`a_service_process`] is to be: name, address and directory.
const ROLE: &str = "ACME_TEST_SERVICE";
const THIS_TEST: &str = "acme::tests::processes::a_service_process";

#[test]
fn a_service_process() {
    #[expect(clippy::disallowed_methods, reason = "a test program that runs itself has no other way to be told")]
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut words = role.split(' ');
    let name = words.next().unwrap();
    let code = service_main(name, words.map(Into::into));
    if format!("{code:?}") == format!("{:?}", std::process::ExitCode::from(PORT_TAKEN)) {
        std::process::exit(PORT_TAKEN.into());
    }
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A data directory in which every service is installed, but for those given other scripts.
fn data_with(others: &[(&str, &str)]) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let bin = data.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let this = std::env::current_exe().unwrap();
    for service in SERVICES {
        let name = service.name;
        let runs = format!("{ROLE}=\"{name} $1 $2\" exec '{}' --exact {THIS_TEST} --nocapture", this.display());
        let script = others.iter().find(|(other, _)| *other == name).map_or(runs.as_str(), |(_, script)| script);
        write_script(&bin.join(format!("acme-{name}")), script);
    }
    data
}

fn is_running(pid: u32) -> bool {
    // A process that nobody has waited for yet is shown as a zombie.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits, at most ten seconds, until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn pids(services: &Services) -> Vec<u32> {
    services.iter().map(|(_, _, pid)| pid).collect()
}

#[test]
fn services_answer_when_they_are_spawned_and_end_when_dropped() {
    let data = data_with(&[]);
    let ports = super::ports();
    let mut services = spawn_services(data.path(), &ports).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let addresses: Vec<_> = services.iter().map(|(name, address, _)| (name, address)).collect();
    assert_eq!(addresses.len(), SERVICES.len());
    for (name, address) in addresses {
        let (status, health) = runtime.block_on(super::call(address, "GET", "/healthz", None));
        assert_eq!((status, &health["service"]), (200, &name.into()));
    }
    assert!(services.ended().is_none());
    assert!(!data.path().join("log").exists(), "that is the decision log's");
    assert!(data.path().join("acme/ledger.sqlite3").is_file());
    assert!(fs::read_to_string(data.path().join("acme/ledger.log")).unwrap().contains("acme-ledger listens on"));
    let running = pids(&services);
    assert!(running.iter().all(|pid| is_running(*pid)));
    drop(services);
    assert!(!running.iter().any(|pid| is_running(*pid)));
}

#[test]
fn a_service_that_ends_later_is_found() {
    let data = data_with(&[]);
    let mut services = spawn_services(data.path(), &super::ports()).unwrap();
    let (name, _, pid) = services.iter().nth(3).unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(10);
    let (found, log) = loop {
        if let Some((found, _, log)) = services.ended() {
            break (found, log.to_owned());
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!((found, log), (name, data.path().join(format!("acme/{name}.log"))));
}

#[test]
fn a_service_that_ends_at_once_is_named_with_its_log_and_the_others_end() {
    let data = data_with(&[("payroll", "echo out of luck >&2; exit 7")]);
    let error = spawn_services(data.path(), &super::ports()).unwrap_err();
    let words = error.to_string();
    assert!(!error.is_port_taken());
    let SpawnError::Ended { name, status, log } = error else { panic!("{words}") };
    assert_eq!((name, status.code()), ("payroll", Some(7)));
    assert_eq!(fs::read_to_string(&log).unwrap(), "out of luck\n");
    assert!(words.contains(log.to_str().unwrap()), "{words}");
    let data = data.path().to_str().unwrap().to_owned();
    eventually("the others end", || !somebody_runs_with(&data));
}

fn somebody_runs_with(argument: &str) -> bool {
    let commands = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    let role = format!("{ROLE}=");
    commands
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .any(|c| c.contains(&role) && c.contains(argument))
}

#[test]
fn a_port_that_another_program_holds_is_a_clear_error() {
    let data = data_with(&[]);
    let ports = super::ports();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.get("people").unwrap())).unwrap();
    let error = spawn_services(data.path(), &ports).unwrap_err();
    let words = error.to_string();
    assert!(error.is_port_taken(), "{words}");
    let SpawnError::Ended { name: "people", log, .. } = error else { panic!("{words}") };
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("cannot listen on 127.0.0.1:"), "{log}");
}

#[test]
fn a_service_that_is_not_installed_is_named() {
    let data = tempfile::tempdir().unwrap();
    let error = spawn_services(data.path(), &super::standard_ports()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot start `{}`", data.path().join("bin/acme-ledger").display()));
}

/// Starts one service outside of [`spawn_services`].
fn start_ledger(data: &Path) -> (Child, PathBuf) {
    let log = data.join("ledger.log");
    let child = Command::new(data.join("bin/acme-ledger"))
        .args(["127.0.0.1:0", data.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    eventually("the service listens", || fs::read_to_string(&log).unwrap().contains("listens on"));
    (child, log)
}

fn ends_in_order(mut child: Child, log: &Path) {
    // Not `wait`, which would end the service's stdin.
    eventually("the service ends", || child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
    assert!(fs::read_to_string(log).unwrap().contains("acme-ledger stops"));
}

#[test]
fn a_service_ends_in_order_on_sigterm() {
    let data = data_with(&[]);
    let (child, log) = start_ledger(data.path());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    ends_in_order(child, &log);
}

#[test]
fn a_service_ends_in_order_with_its_stdin() {
    let data = data_with(&[]);
    let (mut child, log) = start_ledger(data.path());
    drop(child.stdin.take());
    ends_in_order(child, &log);
}

#[test]
fn wrong_arguments_are_usage_and_a_bad_directory_is_not() {
    let code = |arguments: &[&str]| format!("{:?}", service_main("ledger", arguments.iter().map(Into::into)));
    let usage = format!("{:?}", std::process::ExitCode::from(64));
    assert_eq!(code(&[]), usage);
    assert_eq!(code(&["127.0.0.1:0"]), usage);
    assert_eq!(code(&["somewhere", "/tmp"]), usage);
    assert_eq!(code(&["127.0.0.1:0", "/tmp", "more"]), usage);
    assert_eq!(code(&["127.0.0.1:0", "/dev/null/nowhere"]), format!("{:?}", std::process::ExitCode::from(2)));
}
