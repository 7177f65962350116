//! Step 3, parse: the one canonical form of the request, or a refusal.

use http::HeaderMap;
use policy::call::{Identified, Parsed, Refused};
use types::{CanonicalRequest, Reason, limits};

/// The head of a request as its protocol gave it: framing checked, meaning not yet.
pub struct Head {
    /// The method token.
    pub method: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// The target in origin form.
    pub target: String,
    /// The header fields as they came.
    pub fields: HeaderMap,
    /// The length that the request announces for its body, if any.
    pub length: Option<u64>,
    /// A fault that the protocol layer found and that has to be answered.
    pub fault: Option<Reason>,
}

/// Bytes of a header map as HTTP/1.1 would write them.
pub fn head_bytes(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// PA-1: computed once, used for route, policy, record and forwarding.
///
/// # Errors
/// The fault of the protocol layer, `parse.head-too-large`, or the `parse.*` reason of the canonical form.
pub fn parse(identified: Identified, head: &Head) -> Result<Parsed, Refused> {
    let too_large = head.fields.len() > limits::HEADER_COUNT.default_usize()
        || head_bytes(&head.fields) > limits::HEAD_BYTES.default_usize();
    let fault = head.fault.or(too_large.then_some(Reason::ParseHeadTooLarge));
    let parsed = match fault {
        Some(reason) => Err(reason),
        None => CanonicalRequest::parse(&head.method, &head.authority, &head.target),
    };
    match parsed {
        Ok(request) => Ok(identified.parsed(request)),
        Err(reason) => Err(Refused::new(identified, reason, "")),
    }
}
