//! The way to a control: the admin socket of this machine's process, or mutual TLS to one elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::args::Target;
use crate::credentials::Credentials;
use crate::env::Env;
use crate::exit::Failed;

/// The port of a control's admin API where the URL names none.
const PORT: u16 = 8441;

/// Where to ask.
#[derive(Clone, Debug)]
pub enum Way {
    /// The process of this machine.
    Socket(PathBuf),
    /// A control elsewhere.
    Server(Elsewhere),
}

/// A control elsewhere, and who asks there.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// Whether the command line, or else the environment, names a control elsewhere.
///
/// # Errors
/// When the URL is none, nobody says who asks, or the credentials cannot be used.
pub fn elsewhere(env: &Env, target: &Target) -> Result<Option<Elsewhere>, Failed> {
    if target.data.is_some() {
        return Ok(None);
    }
    let Some(url) = target.server.as_ref().or(env.server.as_ref()) else {
        return match &target.credentials {
            None => Ok(None),
            Some(_) => Err(Failed::usage("--credentials says who asks, and nothing says where")
                .hint("add `--server https://CONTROL:8441`")),
        };
    };
    if target.server.is_none() && env.data.is_some() {
        return Err(Failed::usage(
            "COUNTERSIGN_SERVER and COUNTERSIGN_DATA are both set, and name different processes",
        )
        .hint("unset one, or say --server URL or --data DIR"));
    }
    let credentials = target.credentials.as_ref().or(env.credentials.as_ref()).ok_or_else(|| {
        Failed::usage(format!("nothing says who asks `{url}`"))
            .hint("add `--credentials FILE`; `countersign operator certificate NAME --out FILE` on control's machine writes one")
    })?;
    Elsewhere::new(url, &Credentials::read(credentials)?).map(Some)
}

impl Elsewhere {
    fn new(url: &str, credentials: &Credentials) -> Result<Self, Failed> {
        let wrong = |what: &str| {
            Failed::usage(format!("`{url}` {what}")).hint("write it like https://control.acme.internal:8441")
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("is not an https URL"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path, and the address alone is wanted"));
        }
        let host = uri.host().ok_or_else(|| wrong("names no host"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare.clone()).map_err(|_| wrong("names no host"))?;
        let config = credentials.config()?;
        Ok(Self { host: bare, port: uri.port_u16().unwrap_or(PORT), name, config: Arc::new(config) })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Way {
    /// Connects.
    ///
    /// # Errors
    /// Where it failed, why, and what to do.
    pub async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Failed> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unreached(&error))?;
                self.speak(stream).await
            }
            Self::Server(server) => {
                let address = (server.host.as_str(), server.port);
                let tcp = TcpStream::connect(address).await.map_err(|error| self.unreached(&error))?;
                let _ = tcp.set_nodelay(true);
                let tls = TlsConnector::from(Arc::clone(&server.config)).connect(server.name.clone(), tcp).await;
                self.speak(tls.map_err(|error| self.unreached(&error))?).await
            }
        }
    }

    async fn speak<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| self.unreached(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// For messages.
    pub fn name(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Server(server) => format!("https://{}", server.authority()),
        }
    }

    /// For the field `Host`.
    pub fn host(&self) -> String {
        match self {
            Self::Socket(_) => "admin".to_owned(),
            Self::Server(server) => server.authority(),
        }
    }

    /// It could not be asked.
    pub fn unreached(&self, error: &dyn std::fmt::Display) -> Failed {
        let hint = match self {
            Self::Socket(_) => "is the process still running? its own output says why not",
            Self::Server(_) => {
                "is control running there, with `admin: { address: …, tls: true }` in its node.yaml, and are the \
                 credentials still good? `countersign operator certificate` writes new ones"
            }
        };
        Failed::new(format!("asking {} failed: {error}", self.name())).hint(hint)
    }

    /// It was asked and did not answer: in TLS 1.3 a server refuses a client's certificate after the client has sent.
    pub fn unanswered(&self, error: &hyper::Error) -> Failed {
        self.unreached(&crate::term::causes(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(server: Option<&str>, target: &Target) -> Result<bool, String> {
        let env = Env { server: server.map(str::to_owned), data: Some("/data".into()), ..Env::default() };
        elsewhere(&env, target).map(|found| found.is_some()).map_err(|failed| failed.message.unwrap())
    }

    #[test]
    fn what_the_command_line_says_comes_before_the_environment() {
        let data = Target { data: Some("/d".into()), ..Target::default() };
        assert_eq!(asked(Some("https://c:1"), &data), Ok(false));
        assert_eq!(asked(None, &Target::default()), Ok(false));
        let both = asked(Some("https://c:1"), &Target::default()).unwrap_err();
        assert!(both.contains("are both set"), "{both}");
        let server = Target { server: Some("https://c:1".into()), ..Target::default() };
        assert_eq!(asked(None, &server).unwrap_err(), "nothing says who asks `https://c:1`");
        let credentials = Target { credentials: Some("/c".into()), ..Target::default() };
        assert_eq!(asked(None, &credentials).unwrap_err(), "--credentials says who asks, and nothing says where");
    }
}
