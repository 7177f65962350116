//! Hop-by-hop fields are taken out before anybody adds an identity field (FR-7, FR-8), for both protocols.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields of one connection, whatever `Connection` says. Framing is always made anew, so its fields belong here too.
static HOP_BY_HOP: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::EXPECT,
];

/// The fields of a request that go on to the upstream: without what `Connection` names, without fields of the
/// connection, without framing and without Host, which the caller of this function writes anew.
pub fn end_to_end(fields: HeaderMap) -> HeaderMap {
    let mut fields = end_to_end_response(fields);
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::HOST);
    fields
}

/// The fields of a response that go on to the caller. A Content-Length stays: it is information in the answer to HEAD.
pub fn end_to_end_response(mut fields: HeaderMap) -> HeaderMap {
    for name in named_by_connection(&fields) {
        fields.remove(name);
    }
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
    fields
}

fn named_by_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    let values = fields.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let options = values.flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    options.filter_map(|option| HeaderName::from_bytes(option).ok()).collect()
}
