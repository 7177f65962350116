//! FR-7 and FR-8: what is of the connection does not go on.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http1::hop::{end_to_end, end_to_end_response};

fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn names(fields: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_connection_names_is_removed_in_every_line() {
    let mut given =
        fields(&[("connection", "close, Authorization"), ("authorization", "Bearer x"), ("x-b", "1"), ("x-c", "2")]);
    given.append("connection", HeaderValue::from_static(" ,X-B"));
    assert_eq!(names(&end_to_end(given)), ["x-c"]);
}

#[test]
fn connection_fields_and_framing_are_removed_unnamed() {
    let given = fields(&[
        ("connection", "upgrade"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("expect", "100-continue"),
        ("content-length", "3"),
        ("host", "a"),
        ("accept", "*/*"),
    ]);
    assert_eq!(names(&end_to_end(given.clone())), ["accept"]);
    assert_eq!(names(&end_to_end_response(given)), ["accept", "content-length", "host"]);
}
