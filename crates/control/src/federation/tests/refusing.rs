//! Answers that are not taken: what is in force stays, and operators read why.

use std::time::Duration;

use testkit::Authority;
use types::{Timestamp, limits};

use super::server::{Site, Web, svid_server};
use super::*;

/// A world of the web whose partner's first root is in force.
async fn standing_world() -> (World, Site, Web, Authority) {
    let (world, site, web) = web_world().await;
    let root = authority();
    site.gives(&document(&[&root], 5));
    fetch_all(&world).await;
    assert_eq!(roots(&world), ders(&[&root]));
    (world, site, web, root)
}

fn ok(document: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{document}", document.len()).into_bytes()
}

#[tokio::test]
async fn bu_7_redirects_are_refused_and_say_where_they_lead() {
    let (world, site, _web, root) = standing_world().await;
    for status in [301, 302, 303, 307, 308] {
        site.sends(
            format!("HTTP/1.1 {status} Elsewhere\r\nLocation: https://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n"),
            false,
        );
        fetch_all(&world).await;
        assert_eq!(
            seen(&world).problem,
            format!(
                "it answered {status} and points to `https://127.0.0.1:9/x`: redirects are not followed, so write the URL \
                 that answers"
            )
        );
    }
    assert_eq!((roots(&world), site.asked().len()), (ders(&[&root]), 6));
}

#[tokio::test]
async fn what_is_no_bundle_is_not_taken() {
    let (world, site, _web, root) = standing_world().await;
    let good = document(&[&authority()], 6);
    let huge = "x".repeat(limits::BUNDLE_BYTES.default_usize() + 1);
    let twice = good.replacen("{\"keys\":", "{\"keys\":[],\"keys\":", 1);
    let back = document(&[&root], 4);
    let encoded = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{good}", good.len());
    let not_text = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".as_slice(), &[0xff, 0xfe]].concat();
    let broken = format!("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{good}");
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{huge}\r\n0\r\n\r\n", huge.len());
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\n{{}}", "y".repeat(100_000));
    for (response, want) in [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "it answered 404"),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), "it answered 204"),
        (ok(&huge), "the answer is larger than 1048576 bytes"),
        (chunked.into_bytes(), "the answer is larger than 1048576 bytes"),
        (ok("<html>"), "not a SPIFFE bundle: "),
        (ok("{}"), "not a SPIFFE bundle: "),
        (ok(&twice), "not a SPIFFE bundle: "),
        (ok(&back), "the bundle goes back from sequence 5 to 4; the newer one is kept (BU-3)"),
        (encoded.into_bytes(), "the answer is encoded as `gzip`, which was not asked for"),
        (not_text, "the answer is not UTF-8"),
        (broken.into_bytes(), "the answer broke off: "),
        (header.into_bytes(), "the answer broke off: "),
        (b"SSH-2.0-x\r\n".to_vec(), "the answer broke off: "),
    ] {
        site.sends(response, false);
        fetch_all(&world).await;
        let problem = seen(&world).problem;
        assert!(problem.starts_with(want), "{problem}, not {want}");
        assert_eq!(roots(&world), ders(&[&root]), "{want}");
    }
    // and it recovers
    site.gives(&document(&[&root], 7));
    fetch_all(&world).await;
    assert_eq!((seen(&world).problem.as_str(), seen(&world).sequence), ("", Some(7)));
}

#[tokio::test]
async fn an_answer_that_trickles_is_given_up() {
    let (world, site, _web, root) = standing_world().await;
    for part in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"keys\":["] {
        site.sends(part, true);
        fetch_all_within(&world, Duration::from_millis(300)).await;
        assert_eq!(
            (seen(&world).problem.as_str(), roots(&world)),
            ("it took longer than 30 s", ders(&[&root])),
            "{part}"
        );
    }
}

#[tokio::test]
async fn bu_5_each_profile_accepts_its_own_proof_only() {
    let (world, site, web, root) = standing_world().await;
    let stranger = Web::new();
    for (config, want) in [
        (web.server("127.0.0.1", NOW - 1), "the TLS handshake failed: invalid peer certificate: certificate expired"),
        (
            web.server("other.example", NOW + HOUR),
            "the TLS handshake failed: invalid peer certificate: certificate not valid for name",
        ),
        // its root has the same name, and another key
        (stranger.server("127.0.0.1", NOW + HOUR), "the TLS handshake failed: invalid peer certificate: BadSignature"),
        (svid_server(&root, ENDPOINT), "the TLS handshake failed: invalid peer certificate: UnknownIssuer"),
    ] {
        site.becomes(config);
        fetch_all(&world).await;
        let problem = seen(&world).problem;
        assert!(problem.starts_with(want), "{problem}, not {want}");
        assert_eq!(roots(&world), ders(&[&root]));
    }
    assert_eq!(site.asked().len(), 1, "nobody was asked who did not prove to be the endpoint");
}

#[tokio::test]
async fn bu_7_an_endpoint_with_another_spiffe_id_is_refused() {
    let root = authority();
    let (first, other) = (document(&[&root], 1), Authority::of("other.example", Timestamp::from_seconds(NOW)));
    let web = Web::new();
    let site = Site::start(svid_server(&root, "spiffe://partner.example/web")).await;
    site.gives(&document(&[], 2));
    let world = world(&federated(&spiffe_entry(&site.url(), ENDPOINT), &[("first.json", &first)]));
    let stale = Authority::of(PARTNER, Timestamp::from_seconds(NOW));
    for (config, want) in [
        (
            svid_server(&root, "spiffe://partner.example/web"),
            "the server is not the endpoint: it is `spiffe://partner.example/web`, which `endpoint_id` does not name",
        ),
        (
            svid_server(&root, "spiffe://partner.example/bundle-endpoint/x"),
            "the server is not the endpoint: it is `spiffe://partner.example/bundle-endpoint/x`, which",
        ),
        (svid_server(&stale, ENDPOINT), "the server is not the endpoint: its certificate is refused: "),
        (
            svid_server(&other, "spiffe://other.example/bundle-endpoint"),
            "the server is not the endpoint: its certificate is refused: ",
        ),
        (web.server("127.0.0.1", NOW + HOUR), "the server is not the endpoint: its certificate is refused: "),
    ] {
        site.becomes(config);
        fetch_all(&world).await;
        let problem = seen(&world).problem;
        assert!(problem.starts_with(want), "{problem}, not {want}");
        assert_eq!(roots(&world), ders(&[&root]));
    }
    assert!(site.asked().is_empty(), "nobody was asked who did not prove to be the endpoint");
}
