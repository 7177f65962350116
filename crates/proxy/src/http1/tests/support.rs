//! A handler that answers with what it was asked, and small helpers.

use std::{cell::RefCell, future::Future, rc::Rc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt};
use types::{CanonicalRequest, Reason};

use crate::http1::{BodyError, Config, Handler, Head, HeadError, RequestBody, connection::End, hop, serve};

/// What a test handler saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests that were handled with their whole body: method, target, fields to forward, body.
    pub requests: Vec<(String, String, HeaderMap, Bytes)>,
    /// Heads that were given to the handler.
    pub heads: usize,
    /// What was refused, except what was only cut short.
    pub refusals: Vec<String>,
    /// What was cut short by the end of the bytes.
    pub cut_short: usize,
}

/// Reads the whole body, then answers `METHOD target\n` and the body.
#[derive(Clone, Default)]
pub struct Echo(pub Rc<RefCell<Seen>>);

impl Echo {
    fn refuse(&self, reason: Reason, detail: &str) -> Response<Full<Bytes>> {
        self.0.borrow_mut().refusals.push(format!("{reason}: {detail}"));
        answer(reason.status(), detail.to_owned())
    }

    fn body_failed(&self, error: BodyError) -> Response<Full<Bytes>> {
        if matches!(error, BodyError::Truncated | BodyError::Gone) {
            self.0.borrow_mut().cut_short += 1;
            return answer(408, error.to_string());
        }
        self.refuse(error.reason().unwrap_or(Reason::LimitsBodyIncomplete), &error.to_string())
    }
}

impl Handler for Echo {
    type Body = Full<Bytes>;

    async fn call(&self, head: Head, body: RequestBody) -> Response<Full<Bytes>> {
        self.0.borrow_mut().heads += 1;
        let whole = match body.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(error) => return self.body_failed(error),
        };
        if let Err(reason) = CanonicalRequest::parse(head.method.as_str(), &head.authority, &head.target) {
            return self.refuse(reason, "canonical form");
        }
        let text = format!("{} {}\n", head.method, head.target);
        let fields = hop::end_to_end(head.fields);
        self.0.borrow_mut().requests.push((head.method.to_string(), head.target, fields, whole.clone()));
        let mut echoed = BytesMut::from(text.as_bytes());
        echoed.extend_from_slice(&whole);
        Response::new(Full::new(echoed.freeze()))
    }

    fn malformed(&self, error: &HeadError) -> Response<Full<Bytes>> {
        if error.detail == "the head was cut short" {
            self.0.borrow_mut().cut_short += 1;
            return answer(error.reason.status(), error.to_string());
        }
        self.refuse(error.reason, &error.to_string())
    }
}

/// A response with a status and a body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Serves one end of an in-memory stream while `client` uses the other.
pub async fn run<H: Handler, T, F: Future<Output = T>>(
    handler: &H,
    config: &Config,
    client: impl FnOnce(tokio::io::DuplexStream) -> F,
) -> (End, T) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::join!(serve(ours, handler, config, std::future::pending()), client(theirs))
}

/// Reads until the text ends with `end`, or until the stream does.
pub async fn read_until<R: AsyncRead + Unpin>(stream: &mut R, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(0) | Err(_) => break,
            Ok(_) => text.push(byte[0]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads to the end of the stream.
pub async fn read_all<R: AsyncRead + Unpin>(stream: &mut R) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// The status codes in what a connection answered; `HTTP/1.1` stands in no body of these tests.
pub fn statuses(text: &str) -> Vec<u16> {
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect()
}

/// Standard base64 with padding.
pub fn base64(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for b in text.bytes().filter(|b| *b != b'=') {
        bits = (bits << 6 | u32::from(value(b).unwrap())) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    out
}
