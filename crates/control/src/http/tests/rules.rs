//! What holds for every request: where it may come from, what it must be, and in which form refusals are told.

use super::*;

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn nothing_that_a_browser_sends_is_taken() {
    let world = World::owned();
    for endpoint in ENDPOINTS {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            world.clock.advance(1);
            let before = refusals(&world).len();
            let answer = send(&world, &user(OWNER), with(good(endpoint), name, value)).await;
            assert_eq!(answer.status, 403, "{} {name}: {answer:?}", endpoint.path);
            assert!(answer.failure().message.contains("browser"), "{answer:?}");
            let recorded = usize::from(matches!(endpoint.kind, Kind::Act(_)));
            assert_eq!(refusals(&world).len() - before, recorded, "{}", endpoint.path);
        }
        // a cookie opens nothing
        let answer = send(&world, &Door::Nobody, with(good(endpoint), "cookie", "countersign-8441=x")).await;
        assert_eq!(answer.status, 401, "{}", endpoint.path);
    }
}

#[tokio::test]
async fn an_act_is_json_or_nothing() {
    let world = World::owned();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.method == "POST") {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data", ""]
        {
            let answer = send(&world, &user(OWNER), with(good(endpoint), "content-type", kind)).await;
            assert_eq!(answer.status, 415, "{} {kind}: {answer:?}", endpoint.path);
            answer.failure();
        }
        for body in ["", "{", "[]", "7", "\"x\"", "{\"unknown\":1}", "{\"why\":\"\\ud800\"}"] {
            let answer = send(&world, &user(OWNER), request("POST", endpoint.path, body)).await;
            assert_eq!(answer.status, 400, "{} {body}: {answer:?}", endpoint.path);
            answer.failure();
        }
        let twice = with(good(endpoint), "content-type", "Application/JSON; charset=utf-8");
        assert_ne!(send(&world, &user(OWNER), twice).await.status, 415, "{}", endpoint.path);
    }
    assert_eq!(send(&world, &user(OWNER), request("POST", "/v1/login-links", "null")).await.status, 200);
}

#[tokio::test]
async fn refusals_are_told_in_one_form() {
    let world = World::owned();
    let large = format!("{{\"why\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    for (method, path, body, status) in [
        ("GET", "/v1/nothing", "", 404),
        ("POST", "/v1/nothing", "{}", 404),
        ("GET", "/", "", 404),
        ("GET", "/v1/decisions/%ff", "", 400),
        ("PUT", "/v1/status", "", 405),
        ("DELETE", "/v1/publications", "", 405),
        ("GET", "/v1/rollback", "", 405),
        ("POST", "/v1/rollback", large.as_str(), 413),
        ("GET", "/v1/status?x=1", "", 400),
        ("POST", "/v1/rollback?x=1", "{}", 400),
        ("GET", "/v1/publications?limit=1001", "", 400),
        ("GET", "/v1/publications?limit=-1", "", 400),
        ("GET", "/v1/publications?limit=1&limit=2", "", 400),
        ("GET", "/v1/counts?since=99999999999999999999999", "", 400),
        ("GET", "/v1/who-can?route=%00", "", 404),
        ("GET", "/v1/what-can?caller=%F0%9F%A6%80", "", 404),
    ] {
        let answer = send(&world, &user(OWNER), request(method, path, body)).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(!answer.failure().message.is_empty(), "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn numbers_at_the_edge_are_answered() {
    let world = World::owned();
    for path in [
        "/v1/counts?since=18446744073709551615",
        "/v1/counts?since=0&until=18446744073709551615",
        "/v1/decisions?since=18446744073709551615&limit=0",
        "/v1/decisions?limit=10000",
        "/v1/publications?limit=0",
    ] {
        assert_eq!(send(&world, &user(OWNER), request("GET", path, "")).await.status, 200, "{path}");
    }
    let most = u64::MAX;
    for (path, body) in [
        ("/v1/proposals/approve", format!(r#"{{"number":{most},"revision":"abcd","why":""}}"#)),
        ("/v1/proposals/withdraw", format!(r#"{{"number":{most},"why":""}}"#)),
    ] {
        assert_eq!(send(&world, &user(4_003), request("POST", path, &body)).await.status, 404, "{path}");
    }
    let revoke = format!(r#"{{"subject":"shop/storefront","reason":"x","seconds":{most}}}"#);
    assert_ne!(send(&world, &user(OWNER), request("POST", "/v1/revocations", &revoke)).await.status, 503);
}

#[tokio::test]
async fn whose_trust_is_taken_away_does_not_go_on_following() {
    let world = World::owned();
    let finishing = watch::Sender::new(false);
    let service = Service { control: Arc::clone(&world.control), finishing: finishing.subscribe() };
    let routes = table::router(service).layer(Extension(operator(&world, "vera")));
    let following = request("GET", "/v1/decisions?follow=true", "");
    let response = TowerToHyperService::new(routes).call(following).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut reading = tokio::spawn(axum::body::to_bytes(response.into_body(), usize::MAX));
    let early = tokio::time::timeout(std::time::Duration::from_millis(1_500), &mut reading).await;
    assert!(early.is_err(), "she may follow");
    let revoke = api::admin::Revoke { subject: "operator:vera".into(), reason: "left".into(), seconds: None };
    world.admin().revoke("local", &revoke).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), reading).await;
    assert!(ended.is_ok(), "it goes on");
}
