//! Control and a proxy on machines of their own, as far as the kernel can pretend: network namespaces with a cable between.

use std::process::{Command, Output};

use super::*;

/// The two ends of the cable. Addresses of a network that is not routed anywhere.
const CONTROL: &str = "10.77.0.1";
const PROXY: &str = "10.77.0.2";

/// Two namespaces that a virtual cable joins, for as long as this lives. `None` where only root may make them.
struct Machines {
    control: String,
    proxy: String,
}

impl Machines {
    fn new() -> Option<Self> {
        let number = std::process::id();
        let this = Self { control: format!("csc{number}"), proxy: format!("csp{number}") };
        let made = ip(&["netns", "add", &this.control]) && ip(&["netns", "add", &this.proxy]);
        if !made {
            return None;
        }
        let (a, b) = (&this.control, &this.proxy);
        assert!(ip(&["link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable", "netns", b]));
        for (name, address) in [(a, CONTROL), (b, PROXY)] {
            assert!(ip(&["-n", name, "addr", "add", &format!("{address}/24"), "dev", "cable"]));
            assert!(ip(&["-n", name, "link", "set", "lo", "up"]) && ip(&["-n", name, "link", "set", "cable", "up"]));
        }
        Some(this)
    }

    /// Pulls the cable, or plugs it in again.
    fn cable(&self, state: &str) {
        assert!(ip(&["-n", &self.control, "link", "set", "cable", state]));
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in [&self.control, &self.proxy] {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// One call from the proxy's own machine: what curl prints.
fn call(machines: &Machines, fleet: &Fleet, identity: &Identity) -> String {
    let mut curl = Command::new("ip");
    curl.args(["netns", "exec", &machines.proxy, "curl", "--silent", "--max-time", "5"]);
    curl.args(["--connect-to", &format!("{API}:443:{}", fleet.gateway("edge-1"))]);
    curl.arg("--cacert").arg(fleet.data("control").join("keys/alpha/ca.pem"));
    curl.arg("--cert").arg(&identity.certificate).arg("--key").arg(&identity.key);
    let output: Output = curl.arg(format!("https://{API}/items/1")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn on_machines_of_their_own_a_pulled_cable_and_a_killed_control_cost_no_call() {
    let Some(machines) = Machines::new() else {
        countersign_e2e::say("skipped: network namespaces, for none may be made here");
        return;
    };
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::apart(&upstream, &machines.control, CONTROL, &machines.proxy);
    fleet.join_proxy("edge-1");
    let identity = fleet.identity(CALLER);
    // the service runs on neither machine: what is allowed ends with the service that cannot be reached
    let allowed = "upstream.unreachable";
    let asked = |fleet: &Fleet| call(&machines, fleet, &identity);
    for round in 0..3 {
        assert!(asked(&fleet).contains(allowed), "round {round}: {}", asked(&fleet));
        machines.cable("down");
        fleet.kill_control();
        assert!(asked(&fleet).contains(allowed), "parted, round {round}: {}", asked(&fleet));
        fleet.start_control();
        machines.cable("up");
        fleet.until_current("edge-1");
    }
    let revoked = fleet.done(["revoke", CALLER, "--reason", "taken over"]);
    assert!(revoked.contains("in force at the one enforcer"), "{revoked}");
    machines.cable("down");
    fleet.kill_peer("edge-1");
    fleet.start_peer("proxy", "edge-1");
    wait_until("it to refuse", || asked(&fleet).contains("signals.revoked"));
    machines.cable("up");
    fleet.until_current("edge-1");
    assert!(asked(&fleet).contains("signals.revoked"));
}
