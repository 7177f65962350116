//! What a running process does on signals, and what it tells its service manager.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::running::{PATIENCE, Place, Up, eventually, upstream};

const ORDERS: &str = "https://orders.example.internal/orders";

/// A service that takes half a second for each answer, and counts what it was asked.
fn slow_upstream() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                use std::io::{Read, Write};
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // tidy: the service's own slowness, which the test is about
                    std::thread::sleep(Duration::from_millis(500));
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

#[test]
fn a_stop_under_load_lets_every_call_in_flight_finish() {
    let (address, asked) = slow_upstream();
    let place = Place::new().with_served_shop(address);
    let mut up = place.up(&["shop"]);
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let mut call = place.command(&["call", "--as", "shop/storefront", "GET", ORDERS]);
            call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    eventually("all calls are in flight", || asked.load(Ordering::SeqCst) >= 6);
    up.signal("TERM");
    for call in calls {
        let ended = call.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&ended.stdout).starts_with("200 OK\nok\n"), "{ended:?}");
    }
    assert_eq!(up.ended().code(), Some(0));
}

#[test]
fn a_hangup_publishes_what_the_directory_holds_now_or_says_why_not() {
    let place = Place::new().with_served_shop(upstream());
    let mut up = place.up(&["shop"]);
    let published = |place: &Place| place.run(&["revisions", "--json"]).json();
    assert_eq!(published(&place).len(), 1);
    let policy = "shop/domains/shop/policies/orders.cedar";
    let good = place.read(policy);
    place.write(policy, &good.replace("Customers order in the storefront.", "Another reason."));
    up.signal("HUP");
    eventually("it is published", || published(&place).len() == 2);
    let latest = &published(&place)[0];
    assert_eq!((latest["why"].as_str(), latest["current"].as_bool()), (Some("SIGHUP"), Some(true)), "{latest}");
    place.write(policy, "permit (principal, action, resource);");
    up.signal("HUP");
    eventually("it says why not", || up.errors().contains("what ran goes on"));
    let told = up.errors();
    assert!(told.contains("domains/shop/policies/orders.cedar:1:1"), "which file and line: {told}");
    assert_eq!(published(&place).len(), 2);
    assert_eq!(place.run(&["call", "--as", "shop/storefront", "GET", ORDERS]).code, 0, "what ran goes on");
    assert!(up.stop().success());
}

/// A service manager that only listens.
fn manager(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_service_manager_is_told_what_happens() {
    let place = Place::new().with_served_shop(upstream());
    let socket = manager(&place.path("notify"));
    let mut command = place.command(&["up", "shop"]);
    command.env("NOTIFY_SOCKET", place.path("notify"));
    let mut up = Up::start(&mut command, "Ctrl-C stops it.");
    let ready = told(&socket);
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.contains("STATUS=example.internal runs revision "), "{ready}");
    assert_eq!(place.run(&["decisions"]).code, 0, "whoever is told that it is ready can ask");
    up.signal("HUP");
    let reloading = told(&socket);
    assert!(reloading.lines().any(|line| line == "RELOADING=1"), "{reloading}");
    let moment = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(moment.parse::<u64>().unwrap() > 0);
    assert!(told(&socket).contains("READY=1"));
    up.signal("TERM");
    assert!(told(&socket).contains("STOPPING=1"));
    assert!(up.ended().success());
}

#[test]
fn a_watchdog_is_fed_at_half_its_patience() {
    let place = Place::new().with_shop();
    let socket = manager(&place.path("notify"));
    let mut command = place.command(&["up", "shop"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut up = Up::start(&mut command, "Ctrl-C stops it.");
    assert!(told(&socket).contains("READY=1"));
    let start = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(told(&socket).trim_end(), "WATCHDOG=1");
    }
    assert!(start.elapsed() >= Duration::from_millis(500), "not more often than it has to");
    assert!(up.stop().success());
}

#[test]
fn the_unit_file_is_one_that_systemd_takes() {
    let unit = include_str!("../../../../docs/countersign.service");
    let place = Place::new();
    place.write("countersign.service", &unit.replace("/usr/local/bin/countersign", env!("CARGO_BIN_EXE_countersign")));
    match Command::new("systemd-analyze").arg("verify").arg(place.path("countersign.service")).output() {
        Ok(verified) => assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}"),
        // nothing to ask here: at least the program that it starts takes these arguments
        Err(_) => assert!(unit.contains("countersign up /etc/countersign --data /var/lib/countersign")),
    }
}
