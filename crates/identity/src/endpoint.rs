//! Where a Workload API is: the value of `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint 4; WA-6).

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// The address of a Workload API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
    /// A TCP address. The name of a host is never one.
    Tcp(SocketAddr),
}

/// Why a text is not the address of a Workload API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum EndpointError {
    /// Neither `unix` nor `tcp`.
    #[error("the address starts with neither `unix:` nor `tcp:`")]
    Scheme,
    /// `unix` with an authority, or without an absolute path.
    #[error("a `unix` address is `unix://` and an absolute path, such as `unix:///run/agent.sock`")]
    UnixPath,
    /// `tcp` with anything but an address and a port.
    #[error("a `tcp` address is `tcp://`, an IP address and a port, such as `tcp://127.0.0.1:8000`, and nothing else")]
    TcpAddress,
    /// A part that neither form has.
    #[error("the address holds a query, a fragment, a control character or a broken escape")]
    Extra,
}

/// Reads an address.
///
/// # Errors
/// [`EndpointError`].
pub fn parse(address: &str) -> Result<Endpoint, EndpointError> {
    if address.contains(['?', '#']) || address.chars().any(|c| c.is_control() || c == ' ') {
        return Err(EndpointError::Extra);
    }
    match address.split_once(':') {
        Some(("unix", rest)) => unix(rest),
        Some(("tcp", rest)) => tcp(rest),
        _ => Err(EndpointError::Scheme),
    }
}

fn unix(rest: &str) -> Result<Endpoint, EndpointError> {
    let path = match rest.strip_prefix("//") {
        // what stands before the path would be an authority
        Some(after) if after.starts_with('/') => after,
        Some(_) => return Err(EndpointError::UnixPath),
        None => rest,
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(EndpointError::UnixPath);
    }
    Ok(Endpoint::Unix(PathBuf::from(unescape(path)?)))
}

fn tcp(rest: &str) -> Result<Endpoint, EndpointError> {
    let address = rest.strip_prefix("//").and_then(|rest| rest.parse::<SocketAddr>().ok());
    address.filter(|address| address.port() != 0).map(Endpoint::Tcp).ok_or(EndpointError::TcpAddress)
}

/// RFC 3986 2.1, to text without control characters.
fn unescape(path: &str) -> Result<String, EndpointError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(EndpointError::Extra)?;
        let digits = core::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(EndpointError::Extra)?;
        bytes.push(byte);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| EndpointError::Extra)?;
    if text.chars().any(char::is_control) { Err(EndpointError::Extra) } else { Ok(text) }
}
