//! Starting, and each way in which it fails: one clear message, with what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::running::{Place, Ran, files};

/// A start that must fail, with its exit code and parts of its message.
fn refused(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.out, "", "nothing is said to be up");
    for part in parts {
        assert!(ran.err.contains(part), "`{part}` is missing: {}", ran.err);
    }
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
fn a_directory_that_does_not_validate_does_not_start() {
    let place = Place::new().with_shop();
    let domain = place.read("shop/domains/shop/domain.yaml").replace("hosts:", "hots:");
    place.write("shop/domains/shop/domain.yaml", &domain);
    let parts = ["unknown key `hots`", "did you mean `hosts`?", "error: `shop` does not validate"];
    refused(&place.run(&["up", "shop"]), 1, &parts);
    assert!(!place.path("state").exists(), "nothing was made");
    refused(&place.run(&["up", "nowhere"]), 2, &["there is no directory `nowhere`", "countersign init nowhere"]);
}

#[test]
fn node_yaml_is_read_strictly() {
    let place = Place::new().with_shop();
    place.write("shop/node.yaml", "lisseners: []\n");
    refused(&place.run(&["up", "shop"]), 1, &["unknown key `lisseners`", "shop/node.yaml:1:1"]);
    refused(&place.run(&["up", "shop", "--node", "other.yaml"]), 2, &["`other.yaml` cannot be read"]);
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let place = Place::new().with_shop();
    place.write("file", "");
    let hint = "hint: name a directory that you may write to with `--data DIR`";
    refused(&place.run(&["up", "shop", "--data", "file"]), 2, &["is not a directory", hint]);
    refused(&place.run(&["up", "shop", "--data", "file/below"]), 2, &["cannot be made", hint]);
    refused(&place.run(&["up", "shop", "--data", "/proc/nothing"]), 2, &["`/proc/nothing` cannot be made", hint]);
    let long = "x".repeat(100);
    refused(&place.run(&["up", "shop", "--data", &long]), 2, &["is too long", "Unix sockets take 107"]);
    let nowhere = place.command(&["up", "shop"]).env_remove("XDG_STATE_HOME").env_remove("HOME").output().unwrap();
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("neither XDG_STATE_HOME nor HOME is set"), "{nowhere:?}");
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let place = Place::new().with_shop();
    let mut first = place.up(&["shop"]);
    refused(&place.run(&["up", "shop"]), 2, &["is in use by process", "stop that process"]);
    assert_eq!(place.run(&["decisions"]).code, 0);
    assert!(first.stop().success());
}

#[test]
fn several_that_run_are_listed() {
    let place = Place::new().with_shop();
    let _first = place.up(&["shop"]);
    let second = place.path("state/countersign/other");
    let _second = place.up(&["shop", "--data", second.to_str().unwrap()]);
    let ran = place.run(&["decisions"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("2 countersigns are running"), "{}", ran.err);
    assert!(ran.err.contains(&format!("--data {}", second.display())), "{}", ran.err);
    assert_eq!(place.run(&["decisions", "--data", second.to_str().unwrap()]).code, 0);
}

#[test]
fn a_damaged_key_is_never_remade() {
    let place = Place::new().with_shop();
    assert!(place.up(&["shop"]).stop().success());
    let keys = files(&place.path("state/countersign/example.internal/keys"));
    assert!(keys.len() >= 2, "{keys:?}");
    for key in keys.iter().filter(|path| path.parent().is_some_and(|folder| folder.ends_with("shop"))) {
        let good = fs::read(key).unwrap();
        fs::write(key, "damaged").unwrap();
        refused(&place.run(&["up", "shop"]), 2, &[key.file_name().unwrap().to_str().unwrap(), "hint: "]);
        assert_eq!(fs::read(key).unwrap(), b"damaged");
        fs::remove_file(key).unwrap();
        refused(&place.run(&["up", "shop"]), 2, &["is missing", "never remade"]);
        fs::write(key, &good).unwrap();
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(place.up(&["shop"]).stop().success());
}

#[test]
fn a_damaged_log_is_named() {
    let place = Place::new().with_shop();
    assert!(place.up(&["shop"]).stop().success());
    let segments = files(&place.path("state/countersign/example.internal/log"));
    let segment = segments.iter().find(|path| path.to_string_lossy().contains("control")).unwrap();
    let mut bytes = fs::read(segment).unwrap();
    bytes[..64].fill(0xff);
    fs::write(segment, bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    refused(&place.run(&["up", "shop"]), 2, &[name, "is damaged", "keep the file as evidence"]);
}

#[test]
fn a_taken_port_gives_the_next_one_and_says_so() {
    let place = Place::new().with_shop();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let node = format!("listeners: [{{ name: gateway, kind: gateway, address: \"127.0.0.1:{port}\" }}]\n");
    place.write("shop/node.yaml", &node);
    let up = place.up(&["shop"]);
    assert!(up.said.contains(&format!("port {port} is taken")), "{}", up.said);
    assert!(!up.said.contains(&format!("https://127.0.0.1:{port} ")), "{}", up.said);
    place.write("shop/node.yaml", "listeners: [{ name: gateway, kind: gateway, address: \"192.0.2.1:8443\" }]\n");
    let other = place.path("other");
    let parts = ["192.0.2.1:8443 is no address of this machine", "node.yaml"];
    refused(&place.run(&["up", "shop", "--data", other.to_str().unwrap()]), 2, &parts);
}

#[test]
fn it_stops_cleanly_and_a_killed_one_starts_again() {
    let place = Place::new().with_shop();
    let data = place.path("state/countersign/example.internal");
    let mut up = place.up(&["shop"]);
    assert!(data.join("admin.sock").exists() && data.join("workload.sock").exists());
    up.signal("INT");
    assert_eq!(up.ended().code(), Some(0));
    assert!(!data.join("admin.sock").exists() && !data.join("workload.sock").exists());
    let mut up = place.up(&["shop"]);
    up.signal("KILL");
    assert_eq!(up.ended().code(), None);
    assert!(data.join("admin.sock").exists());
    assert_eq!(place.run(&["decisions"]).code, 2, "a dead socket is nobody");
    let mut up = place.up(&["shop"]);
    assert_eq!(place.run(&["decisions"]).code, 0);
    assert!(up.stop().success());
}
