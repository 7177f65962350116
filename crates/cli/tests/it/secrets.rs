//! What never stands in a log, whatever the level: a system that runs at `trace` is called with secrets in every place, and
//! everything it wrote is searched for them.

use std::fs;
use std::process::{Command, Stdio};

use base64::Engine as _;

use crate::running::{Place, Up, files, upstream_answering};

/// Each in a place of its own, so that a find says where it leaked.
const BODY: &str = "body-4c1f9d2e7a";
const ANSWER: &str = "answer-9b03d5c871";
const TOKEN: &str = "token-e2f7a96b1d";
const COOKIE: &str = "cookie-71c0ad93fe";
const QUERY: &str = "query-5d8e21b7c4";
const PARAMETER: &str = "parameter-a3f60c9e15";

fn run_with_secrets(place: &Place, format: &str) -> String {
    let mut command = place.command(&["up", "shop"]);
    command.env("COUNTERSIGN_LOG", "trace").env("COUNTERSIGN_LOG_FORMAT", format);
    let mut up = Up::start(&mut command, "Ctrl-C stops it.");
    let fetched = place.run(&["identity", "fetch", "--as", "shop/storefront", "--out", "id"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let headers = [format!("Authorization: Bearer {TOKEN}"), format!("Cookie: session={COOKIE}")];
    let url = "https://orders.example.internal/orders";
    let with = |method: &str, url: &str| {
        let arguments =
            ["call", "--as", "shop/storefront", method, url, "-d", BODY, "-H", &headers[0], "-H", &headers[1]];
        place.run(&arguments)
    };
    assert_eq!(with("POST", &format!("{url}?q={QUERY}")).code, 0);
    with("GET", &format!("{url}/{PARAMETER}?q={QUERY}"));
    with("GET", &format!("{url}/{PARAMETER}/../{PARAMETER}?q={QUERY}"));
    // the same over HTTP/2, where a library reads the fields
    let line = fetched.out.lines().last().unwrap().replacen("curl ", "curl -s --http2 ", 1);
    let script = format!("{line}?q={QUERY} -H 'Authorization: Bearer {TOKEN}' -H 'Cookie: session={COOKIE}' -d {BODY}");
    let curl = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).stdout(Stdio::null()).status();
    assert!(curl.unwrap().success());
    let login = place.run(&["login", "--json"]).json();
    assert!(up.stop().success());
    let written = up.errors();
    let secret = login[0]["url"].as_str().unwrap().rsplit(['#', '=', '/']).next().unwrap().to_owned();
    assert!(secret.len() > 20 && !written.contains(&secret), "the secret of a login link is logged");
    written
}

/// A key as it might be printed: PEM or base64 of any alignment would hold a middle part of this.
fn middles(pem: &str) -> Vec<String> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    let der = base64::engine::general_purpose::STANDARD.decode(&text).unwrap();
    let middle = &der[der.len() / 2..der.len() / 2 + 12];
    let hex: String = middle.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = middle.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![text.chars().skip(text.len() / 2).take(16).collect(), hex, list]
}

#[test]
fn nothing_secret_stands_in_what_a_run_writes() {
    for format in ["text", "json"] {
        let answer = format!(r#"{{"iban":"{ANSWER}"}}"#);
        let place = Place::new().with_served_shop(upstream_answering("200 OK", "application/json", &answer));
        let written = run_with_secrets(&place, format);
        // it did write: what is searched is not empty
        assert!(written.contains("the workload socket is open"), "{written}");
        let data = place.path("state/countersign/example.internal");
        let mut secrets: Vec<String> = [BODY, ANSWER, TOKEN, COOKIE, QUERY, PARAMETER].map(str::to_owned).to_vec();
        let keys = files(&data.join("keys")).into_iter().chain([place.path("id/svid.key")]);
        let keys: Vec<String> = keys.map(|path| fs::read_to_string(path).unwrap()).collect();
        secrets.extend(keys.iter().filter(|pem| pem.contains("PRIVATE KEY")).flat_map(|pem| middles(pem)));
        assert!(secrets.len() >= 6 + 2 * 3, "keys were found");
        let kept = files(&data).into_iter().filter(|path| !path.starts_with(data.join("keys")));
        let kept: Vec<_> = kept.map(|path| (path.display().to_string(), fs::read(path).unwrap_or_default())).collect();
        assert!(kept.iter().any(|(path, bytes)| path.contains("/log/") && !bytes.is_empty()));
        for secret in &secrets {
            assert!(!written.contains(secret.as_str()), "`{secret}` is logged as {format}");
            for (path, bytes) in &kept {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "`{secret}` stands in {path}");
            }
        }
        if format == "json" {
            for line in written.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
                for key in ["timestamp", "level", "target"] {
                    assert!(line[key].is_string(), "{line}");
                }
            }
        }
    }
}
