//! The roles apart, for tests: a control, and proxies and agents that join it, each a process of its own.

use std::net::SocketAddr;
use std::process::Command;

use crate::running::{Place, Ran, Up, upstream};

/// What a role says when it is up.
const UP: &str = "Ctrl-C stops it.";

/// A control, and the place that everything of one test lives in.
pub struct Apart {
    pub place: Place,
    pub control: Up,
    /// Where peers connect to: the same after a restart.
    pub peers: SocketAddr,
}

impl Apart {
    /// The example of `init` with orders served, a node group `vm`, and a control that publishes it.
    pub fn new() -> Self {
        let place = Place::new().with_served_shop(upstream());
        let organisation = place.read("shop/countersign.yaml");
        place.write(
            "shop/countersign.yaml",
            &format!("{organisation}\nnodes: {{ vm: {{ join: token }}, lab: {{ join: token }} }}\n"),
        );
        std::fs::remove_file(place.path("shop/node.yaml")).unwrap();
        place.write("control.yaml", &control_yaml(&place, "127.0.0.1:0".parse().unwrap()));
        let control = Up::start(&mut place.command(&["control", "-c", "control.yaml", "shop"]), UP);
        let peers = address(&control.said, "peers");
        place.write("control.yaml", &control_yaml(&place, peers));
        Self { place, control, peers }
    }

    /// Asks control.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.place.command(arguments);
        command.env("COUNTERSIGN_DATA", self.place.path("control"));
        Ran::of(&command.output().unwrap())
    }

    /// Starts control again, on the same port.
    pub fn control_again(&mut self) {
        self.control = Up::start(&mut self.place.command(&["control", "-c", "control.yaml"]), UP);
    }

    /// Makes a token, and writes what a proxy joins with.
    pub fn invite_proxy(&self, name: &str) {
        let token = self.run(&["join-token", "--proxy", name, "--json"]);
        self.write_node(name, &token, "listeners: [{ name: gateway, kind: gateway, address: \"127.0.0.1:0\" }]\n");
    }

    /// Makes a token, and writes what an agent of a group joins with.
    pub fn invite_agent(&self, name: &str, group: &str) {
        let token = self.run(&["join-token", "--agent", name, "--group", group, "--json"]);
        self.write_node(name, &token, "");
    }

    fn write_node(&self, name: &str, token: &Ran, more: &str) {
        assert_eq!(token.code, 0, "{token:?}");
        let made = &token.json()[0];
        self.place.write(&format!("{name}.token"), made["token"].as_str().unwrap());
        self.write_node_with(name, made["root_sha256"].as_str().unwrap(), self.peers, more);
    }

    /// The node.yaml of somebody who joins.
    pub fn write_node_with(&self, name: &str, root: &str, peers: SocketAddr, more: &str) {
        let data = self.place.path(name);
        let token = self.place.path(&format!("{name}.token"));
        let (data, token) = (data.display(), token.display());
        let control = format!("control: {{ url: \"https://{peers}\", root_sha256: {root}, token_file: {token} }}");
        self.place.write(&format!("{name}.yaml"), &format!("name: {name}\ndata: {data}\n{control}\n{more}"));
    }

    /// Starts a role that was invited, and waits until it serves.
    pub fn start(&self, role: &str, name: &str) -> Up {
        Up::start(&mut self.command(role, name), UP)
    }

    /// The command that starts it.
    pub fn command(&self, role: &str, name: &str) -> Command {
        self.place.command(&[role, "-c", &format!("{name}.yaml")])
    }

    /// One call as the storefront, through a gateway.
    pub fn call(&self, gateway: SocketAddr) -> Ran {
        let url = "https://orders.example.internal/orders";
        let gateway = gateway.to_string();
        self.run(&["call", "--as", "shop/storefront", "--gateway", &gateway, "POST", url, "-d", "{}"])
    }

    /// A curl line that calls as the storefront for the next five minutes, without control.
    pub fn curl(&self, gateway: SocketAddr) -> Command {
        let gateway = gateway.to_string();
        let arguments = ["identity", "fetch", "--as", "shop/storefront", "--out", "id", "--gateway", &gateway];
        let fetched = self.run(&arguments);
        assert_eq!(fetched.code, 0, "{fetched:?}");
        let line = format!("{} -s -o /dev/null -w '%{{http_code}}'", fetched.out.lines().last().unwrap());
        let mut curl = Command::new("sh");
        curl.args(["-c", &line]).current_dir(self.place.path(""));
        curl
    }

    /// One peer of the listing.
    pub fn peer(&self, name: &str) -> Option<serde_json::Value> {
        self.run(&["fleet", "--json"]).json().into_iter().find(|peer| peer["name"] == name)
    }
}

fn control_yaml(place: &Place, peers: SocketAddr) -> String {
    let data = place.path("control");
    format!(
        "name: main\ndata: {}\nlisteners: [{{ name: wire, kind: wire, address: \"{peers}\" }}]\nadmin: {{ address: \
         \"127.0.0.1:0\" }}\n",
        data.display()
    )
}

/// The address on the line of a name: `  peers       https://127.0.0.1:40001   …`.
pub fn address(said: &str, name: &str) -> SocketAddr {
    let line =
        said.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{name}: {said}"));
    let url = line.split_whitespace().nth(1).unwrap();
    url.trim_start_matches("https://").trim_start_matches("http://").parse().unwrap()
}

/// What a curl command printed: the status.
pub fn status(curl: &mut Command) -> String {
    String::from_utf8(curl.output().unwrap().stdout).unwrap()
}
