//! What holds for every request and every response, whoever asks: the host it names, and the headers it gets.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::{Console, Site, answer};

/// No page of ours loads anything from elsewhere, runs inline scripts or styles, is framed, or posts elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

static HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Refuses requests that name another host, and dresses every response.
pub(crate) async fn guard(State(console): State<Console>, request: Request, next: Next) -> Response {
    let mut response = if names_us(request.headers(), &console.site) {
        inside(&console.site, request, next).await
    } else {
        answer::plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this host is not served here: open the address that `countersign login` prints\n",
        )
    };
    for (name, value) in &HEADERS {
        response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

/// What machines ask without a login is told whole on the machine itself. From elsewhere they learn whether it lives and is
/// ready; why not, and figures, are for operators.
async fn inside(site: &Site, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !site.is_tls() || !matches!(path, "/metrics" | "/readyz") {
        return next.run(request).await;
    }
    if path == "/metrics" {
        return answer::plain(StatusCode::NOT_FOUND, "figures are at /v1/metrics, for operators\n");
    }
    match next.run(request).await.status() {
        StatusCode::OK => answer::plain(StatusCode::OK, "ready\n"),
        other => answer::plain(other, "not ready\n"),
    }
}

/// A page of another site may make a name of its own point at us; the browser then sends that name (DNS rebinding).
fn names_us(headers: &HeaderMap, site: &Site) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(|host| site.is_host(host))
}

/// Whether a request that acts comes from a page of ours. Browsers say `same-origin`; an older one that does not
/// names the origin, and with `no-referrer` in force some name `null` beside `same-origin`.
pub(crate) fn comes_from_us(headers: &HeaderMap, site: &Site) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => site.is_origin(origin),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn site() -> Site {
        Site::loopback(([127, 0, 0, 1], 8441).into())
    }

    #[test]
    fn only_the_own_address_is_a_host() {
        for good in ["127.0.0.1:8441", "localhost:8441", "LOCALHOST:8441"] {
            assert!(names_us(&headers(&[("host", good)]), &site()), "{good}");
        }
        for bad in
            ["127.0.0.1", "127.0.0.1:80", "evil.example:8441", "127.0.0.2:8441", "localhost.evil.example:8441", ""]
        {
            assert!(!names_us(&headers(&[("host", bad)]), &site()), "{bad}");
        }
        assert!(!names_us(&headers(&[]), &site()));
        assert!(names_us(&headers(&[("host", "[::1]:8441")]), &Site::loopback("[::1]:8441".parse().unwrap())));
    }

    #[test]
    fn acts_come_from_own_pages() {
        let from = |pairs: &[(&'static str, &'static str)]| comes_from_us(&headers(pairs), &site());
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8441")]));
        assert!(from(&[("origin", "http://localhost:8441")]));
        for bad in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:8442")],
            &[("origin", "https://127.0.0.1:8441")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8441")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:8441")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
        ] {
            assert!(!from(bad), "{bad:?}");
        }
    }
}
