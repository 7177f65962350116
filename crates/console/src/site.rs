//! Where the console is served, as browsers name it.

use std::net::SocketAddr;

/// The port that addresses leave out.
const HTTPS: u16 = 443;

/// An address of the console, and whether it is reached over TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    port: u16,
    tls: bool,
    /// What a request may name as its host, in lower case, with the port where one belongs there.
    hosts: Vec<String>,
}

impl Site {
    /// Plain HTTP on a loopback address.
    pub fn loopback(address: SocketAddr) -> Self {
        let hosts = vec![address.to_string(), format!("localhost:{}", address.port())];
        Self { port: address.port(), tls: false, hosts }
    }

    /// TLS on a port, under the names of the server's certificate.
    pub fn tls(port: u16, names: impl IntoIterator<Item = String>) -> Self {
        let with_port = |name: String| {
            let name = name.to_ascii_lowercase();
            let with = format!("{name}:{port}");
            if port == HTTPS { vec![name, with] } else { vec![with] }
        };
        Self { port, tls: true, hosts: names.into_iter().flat_map(with_port).collect() }
    }

    /// Whether nobody between the browser and us can read or change anything.
    pub(crate) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether a host as a request names it is this site.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether an origin as a browser names it is this site.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let scheme = if self.tls { "https" } else { "http" };
        self.hosts.iter().any(|own| origin == format!("{scheme}://{own}"))
    }

    /// The name of the session's cookie. Cookies are shared by all ports of a host: with the port in its name, two
    /// installations keep their own. The prefix makes a browser take it over TLS only, and from no other host.
    pub(crate) fn cookie(&self) -> String {
        let prefix = if self.tls { "__Host-" } else { "" };
        format!("{prefix}countersign-{}", self.port)
    }

    /// What is said of the cookie beside its life.
    pub(crate) const fn cookie_attributes(&self) -> &'static str {
        if self.tls { "Path=/; HttpOnly; SameSite=Strict; Secure" } else { "Path=/; HttpOnly; SameSite=Strict" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_the_names_of_the_certificate_are_the_site() {
        let site = Site::tls(8441, ["Control.acme.internal".to_owned()]);
        assert!(site.is_host("control.acme.internal:8441") && site.is_host("CONTROL.acme.internal:8441"));
        assert!(site.is_origin("https://control.acme.internal:8441"));
        for bad in ["control.acme.internal", "evil.example:8441", "127.0.0.1:8441", "localhost:8441", ""] {
            assert!(!site.is_host(bad), "{bad}");
        }
        for bad in ["http://control.acme.internal:8441", "https://evil.example:8441", "null"] {
            assert!(!site.is_origin(bad), "{bad}");
        }
        assert_eq!(site.cookie(), "__Host-countersign-8441");
        assert!(site.cookie_attributes().ends_with("; Secure"));
        let usual = Site::tls(443, ["control.acme.internal".to_owned()]);
        assert!(usual.is_host("control.acme.internal") && usual.is_origin("https://control.acme.internal"));
    }
}
