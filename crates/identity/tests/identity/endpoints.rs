//! Addresses of the Workload API (WA-6).

use std::path::PathBuf;

use countersign_identity::endpoint::{Endpoint, EndpointError, parse};
use proptest::prelude::*;

use crate::vectors::{own, settle};

#[test]
fn the_endpoint_table_is_answered_as_it_says() {
    let suite = own("endpoint-socket.json");
    let cases = suite["cases"].as_array().unwrap();
    let differs = |case: &&serde_json::Value| {
        parse(case["SPIFFE_ENDPOINT_SOCKET"].as_str().unwrap()).is_ok() != case["valid"].as_bool().unwrap()
    };
    let differing = cases.iter().filter(differs).map(|case| case["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(cases.len(), 12, "the table has shrunk");
    settle("endpoint-socket", differing);
}

#[test]
fn wa_6_unix_is_an_absolute_path_without_an_authority() {
    let path = |text: &str| Ok(Endpoint::Unix(PathBuf::from(text)));
    assert_eq!(parse("unix:///run/agent.sock"), path("/run/agent.sock"));
    assert_eq!(parse("unix:/run/agent.sock"), path("/run/agent.sock"));
    assert_eq!(parse("unix:///run/a%20b"), path("/run/a b"));
    for bad in
        ["unix:run/agent.sock", "unix://run/agent.sock", "unix://", "unix:", "unix:///", "unix://h/", "unix:///a/"]
    {
        assert_eq!(parse(bad), Err(EndpointError::UnixPath), "{bad}");
    }
    for bad in
        ["unix:///a?b", "unix:///a#b", "unix:///a%", "unix:///a%2", "unix:///a%+1", "unix:///a%00", "unix:///a b"]
    {
        assert_eq!(parse(bad), Err(EndpointError::Extra), "{bad}");
    }
}

#[test]
fn wa_6_tcp_is_an_ip_address_with_a_port() {
    let address = |text: &str| Ok(Endpoint::Tcp(text.parse().unwrap()));
    assert_eq!(parse("tcp://127.0.0.1:8000"), address("127.0.0.1:8000"));
    assert_eq!(parse("tcp://[::1]:8000"), address("[::1]:8000"));
    for bad in [
        "tcp://localhost:80",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:80/",
        "tcp:127.0.0.1:80",
        "tcp://a@1.2.3.4:5",
        "tcp://1.2.3.4:0",
    ] {
        assert_eq!(parse(bad), Err(EndpointError::TcpAddress), "{bad}");
    }
}

#[test]
fn wa_6_nothing_else_is_an_address() {
    for bad in ["", "unix", "/run/agent.sock", "http://127.0.0.1:80", "UNIX:///a", "vsock://1:2", "blah"] {
        assert_eq!(parse(bad), Err(EndpointError::Scheme), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_an_address_or_refused(text in ".{0,80}", path in "[a-zA-Z0-9._/-]{1,60}") {
        let _ = parse(&text);
        if let Ok(Endpoint::Unix(found)) = parse(&format!("unix://{text}")) {
            prop_assert!(found.is_absolute());
        }
        let expected = !path.ends_with('/');
        prop_assert_eq!(parse(&format!("unix:///{path}")).is_ok(), expected);
    }
}
