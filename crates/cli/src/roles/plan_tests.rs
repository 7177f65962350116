//! What each role makes of its node.yaml.

use super::*;

const JOINS: &str = "control: { url: https://control.acme.internal, root_sha256: ";

fn env() -> Env {
    Env { state_home: Some("/state".into()), ..Env::default() }
}

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn joins(rest: &str) -> String {
    format!("name: edge-1\n{JOINS}{} {rest} }}\n", "9f".repeat(32))
}

#[test]
fn a_proxy_and_an_agent_have_usual_places() {
    let (_dir, path) = written(&joins(", token_file: /etc/token"));
    let proxy = ProxyPlan::new(&path, &env()).unwrap();
    assert_eq!(proxy.data, Path::new("/state/countersign/proxy-edge-1"));
    assert_eq!(proxy.listeners[0].address, "127.0.0.1:8443".parse().unwrap());
    let ControlAt::Remote { url, root_sha256, token_file } = proxy.control else { panic!("elsewhere") };
    assert_eq!((url.as_str(), root_sha256), ("https://control.acme.internal:8440", [0x9f; 32]));
    assert_eq!(token_file, Some("/etc/token".into()));
    let agent = AgentPlan::new(&path, &env()).unwrap();
    assert_eq!(agent.socket, Path::new("/state/countersign/agent-edge-1/workload.sock"));
    let (_dir, path) = written(&format!("data: /d\nsocket: /run/w.sock\n{}", joins("")));
    let agent = AgentPlan::new(&path, &env()).unwrap();
    assert_eq!((agent.data.as_path(), agent.socket.as_path()), (Path::new("/d"), Path::new("/run/w.sock")));
}

#[test]
fn control_takes_peers_on_loopback_unless_it_is_told_where() {
    let (_dir, path) = written("data: /d\n");
    let plan = ControlPlan::new(&path, &env(), None).unwrap().core;
    assert_eq!(plan.wire.unwrap().address, "127.0.0.1:8440".parse().unwrap());
    assert_eq!((plan.admin.address, plan.admin.tls), ("127.0.0.1:8441".parse().unwrap(), false));
    let (_dir, path) = written("listeners: [{ name: peers, kind: wire, address: \"0.0.0.0:9440\" }]\ndata: /d\n");
    let plan = ControlPlan::new(&path, &env(), None).unwrap().core;
    assert_eq!(plan.wire.unwrap().address, "0.0.0.0:9440".parse().unwrap());
    let (_dir, path) = written("{}\n");
    let nowhere = ControlPlan::new(&path, &env(), None).err().unwrap();
    assert!(nowhere.message.unwrap().ends_with("does not say where data goes"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refused = ProxyPlan::new(Path::new("/nowhere/node.yaml"), &env()).err().unwrap();
    assert!(refused.message.unwrap().starts_with("`/nowhere/node.yaml` cannot be read"));
    let (_dir, path) = written("name: edge-1\n");
    assert_eq!(ProxyPlan::new(&path, &env()).err().unwrap().exit, Exit::No);
}
