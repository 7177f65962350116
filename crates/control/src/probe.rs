//! Whether upstreams answer, and whether they answer where they should not: around the gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use api::admin::{Finding, Severity};
use trustdir::{Revision, UpstreamHost, UpstreamUrl};
use types::limits;

use crate::acts::count;
use crate::doctor::PROBE;

/// A name is looked up within so long, beside the attempt itself.
const RESOLVING: Duration = PROBE;

/// What was found at one upstream.
struct Found {
    place: usize,
    answers: Result<(), String>,
    /// Addresses of this machine, beside loopback, at which a loopback upstream answers too.
    around: Vec<SocketAddr>,
}

/// Tries every upstream of a revision, side by side.
pub fn upstreams(revision: &Revision) -> Vec<Finding> {
    let mut users: BTreeMap<String, (UpstreamUrl, Vec<String>)> = BTreeMap::new();
    for (name, service) in revision.services() {
        for url in &service.upstream.urls {
            let entry = users.entry(url.to_string()).or_insert_with(|| (url.clone(), Vec::new()));
            entry.1.push(name.to_string());
        }
    }
    let most = limits::PROBES.default_usize();
    let tried: Vec<(&String, &(UpstreamUrl, Vec<String>))> = users.iter().take(most).collect();
    let found = probe_all(tried.iter().map(|(_, (url, _))| url.clone()).collect());
    let mut findings = Vec::new();
    for (place, (text, (url, services))) in tried.iter().enumerate() {
        let services = services.join(", ");
        match found.iter().find(|found| found.place == place) {
            Some(found) => tell(text, url, &services, found, &mut findings),
            None => findings.push(silent(text, &services, "no answer in time")),
        }
    }
    if users.len() > most {
        let message = format!("{} of {} were tried", most, users.len());
        findings.push(finding(Severity::Warning, message, "ask the others with a tool of your own"));
    }
    if findings.is_empty() && !users.is_empty() {
        let message = format!("{}, and only from where they should", count(users.len(), "answers", "answer"));
        findings.push(finding(Severity::Good, message, ""));
    }
    findings
}

fn tell(text: &str, url: &UpstreamUrl, services: &str, found: &Found, findings: &mut Vec<Finding>) {
    if let Err(why) = &found.answers {
        findings.push(silent(text, services, why));
        return;
    }
    if let Some(around) = found.around.first() {
        let message =
            format!("{text} ({services}) also answers on {around}: whoever reaches that goes around the gateway");
        findings.push(finding(Severity::Warning, message, "let the service listen on 127.0.0.1 only"));
    } else if !url.is_loopback() {
        let message =
            format!("{text} ({services}) is called over the network: whoever reaches it goes around the gateway");
        findings.push(finding(Severity::Warning, message, "let a firewall admit the gateway's address only"));
    }
}

fn silent(text: &str, services: &str, why: &str) -> Finding {
    let message = format!("{text} ({services}) does not answer: {why}");
    finding(Severity::Problem, message, "start the service, or correct `upstream` in domain.yaml")
}

fn finding(severity: Severity, message: String, hint: &str) -> Finding {
    Finding { severity, subject: "upstreams".to_owned(), message, hint: hint.to_owned() }
}

/// Each on a thread of its own; what has not answered in time is left behind and ends by itself.
fn probe_all(urls: Vec<UpstreamUrl>) -> Vec<Found> {
    let (sender, receiver) = mpsc::channel();
    let mut waiting = 0_usize;
    let ours = own_addresses();
    for (place, url) in urls.into_iter().enumerate() {
        let (sender, ours) = (sender.clone(), ours.clone());
        let probe = move || {
            // nobody listens any more to one that comes too late
            let _ = sender.send(probe_one(place, &url, &ours));
        };
        let spawned = thread::Builder::new().name("probe".to_owned()).spawn(probe);
        waiting = waiting.saturating_add(usize::from(spawned.is_ok()));
    }
    let deadline = Instant::now() + PROBE + PROBE + RESOLVING;
    let mut found = Vec::new();
    while found.len() < waiting {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(one) => found.push(one),
            Err(_) => break,
        }
    }
    found
}

fn probe_one(place: usize, url: &UpstreamUrl, ours: &[IpAddr]) -> Found {
    let answers = addresses(url).and_then(|addresses| {
        let mut last = Err("its name has no address".to_owned());
        for address in addresses {
            last = TcpStream::connect_timeout(&address, PROBE).map(drop).map_err(|error| error.to_string());
            if last.is_ok() {
                break;
            }
        }
        last
    });
    let tried = ours.iter().map(|address| SocketAddr::new(*address, url.port()));
    let around = match (&answers, url.is_loopback()) {
        (Ok(()), true) => tried.filter(|address| TcpStream::connect_timeout(address, PROBE).is_ok()).collect(),
        _ => Vec::new(),
    };
    Found { place, answers, around }
}

fn addresses(url: &UpstreamUrl) -> Result<Vec<SocketAddr>, String> {
    match url.host() {
        UpstreamHost::Address(address) => Ok(vec![SocketAddr::new(*address, url.port())]),
        UpstreamHost::Name(name) => {
            let found = (name.as_str(), url.port()).to_socket_addrs();
            found.map(Iterator::collect).map_err(|error| error.to_string())
        }
    }
}

/// The addresses with which this machine speaks to others. Connecting a datagram socket chooses the address and sends
/// nothing; the targets are those of documentation (RFC 5737, RFC 3849).
fn own_addresses() -> Vec<IpAddr> {
    let target = |text: &str| text.parse::<SocketAddr>().ok();
    let chosen = |(local, remote): (IpAddr, Option<SocketAddr>)| {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).ok()?;
        socket.connect(remote?).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    };
    let families = [
        (IpAddr::from(Ipv4Addr::UNSPECIFIED), target("192.0.2.1:9")),
        (IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED), target("[2001:db8::1]:9")),
    ];
    families.into_iter().filter_map(chosen).collect()
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
