//! Where a bundle is fetched.

use core::fmt;
use std::net::IpAddr;

use types::limits;

use crate::upstream::{UpstreamHost, parse_authority};

/// `https://HOST[:PORT]/PATH`, without user name and fragment (BU-6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FederationUrl {
    host: UpstreamHost,
    port: u16,
    target: String,
}

impl FederationUrl {
    /// The host.
    pub const fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// The port; 443 where the URL names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query, starting with a slash.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port as a request names them; without the port that is meant where none is written.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            UpstreamHost::Address(IpAddr::V6(address)) => format!("[{address}]"),
            UpstreamHost::Address(IpAddr::V4(address)) => address.to_string(),
            UpstreamHost::Name(name) => name.to_string(),
        };
        if self.port == PORT { host } else { format!("{host}:{}", self.port) }
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, as a hint.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest =
            text.strip_prefix("https://").ok_or("a bundle is fetched at `https://HOST/PATH`, never in plain text")?;
        if text.len() > limits::FEDERATION_URL_BYTES.default_usize() {
            return Err("the URL is too long");
        }
        if rest.contains('#') {
            return Err("a URL to fetch has no fragment");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL has no spaces, and other characters than ASCII are percent-encoded");
        }
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(split).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("the URL of a bundle has no user name: its endpoint asks nobody who they are");
        }
        let (host, port) = parse_authority(authority, PORT)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { host, port, target })
    }
}

impl fmt::Display for FederationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.target)
    }
}

/// The port of https.
const PORT: u16 = 443;
