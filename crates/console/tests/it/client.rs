//! A console on a port of its own, and a client that says exactly what it is told to.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use api::admin::Admin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use types::{Clock, Timestamp};

use crate::double::{Double, World};

/// A clock that stands still: 2026-11-23 09:14:02 UTC.
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_425_242_131_004)
    }
}

/// A clock that goes on from there.
pub struct Going(pub Instant);

impl Clock for Going {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(Still.now().micros() + u64::try_from(self.0.elapsed().as_micros()).unwrap())
    }
}

/// A running console.
pub struct Site {
    pub address: SocketAddr,
    pub double: Arc<Double>,
    pub finish: watch::Sender<bool>,
    pub serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let from = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.body.split_once(&from).unwrap_or_else(|| panic!("no field {name} in {}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Site {
    /// A console whose time stands still.
    pub async fn start(world: World) -> Self {
        Self::start_at(world, Arc::new(Still)).await
    }

    pub async fn start_at(world: World, clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut double = Double::new(world, clock.clone());
        double.console = address;
        let double = Arc::new(double);
        let (finish, finishing) = watch::channel(false);
        let serving = tokio::spawn(countersign_console::serve(listener, double.clone(), clock, finishing));
        Self { address, double, finish, serving }
    }

    /// A session's cookie, by the way that a browser takes.
    pub async fn log_in(&self) -> String {
        self.log_in_as("local").await
    }

    /// The same, as somebody.
    pub async fn log_in_as(&self, operator: &str) -> String {
        let url = self.double.login_link(operator).unwrap().url;
        let answer = self.redeem(url.split('#').nth(1).unwrap()).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"));
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// The secret of a new link.
    pub fn secret(&self) -> String {
        self.double.login_link("local").unwrap().url.split('#').nth(1).unwrap().to_owned()
    }

    pub async fn redeem(&self, secret: &str) -> Answer {
        let own = format!("http://{}", self.address);
        self.send("POST", "/login", &[("origin", own.as_str())], &form(&[("secret", secret)])).await
    }

    pub async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send("GET", path, &[("cookie", cookie)], "").await
    }

    /// Sends a form as a page of the console would.
    pub async fn post(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin"), ("origin", "null")];
        self.send("POST", path, &headers, &form(fields)).await
    }

    /// Sends a request with the right host, unless the headers name one.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        if method == "POST" {
            head.push_str("content-type: application/x-www-form-urlencoded\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        parse(&String::from_utf8(bytes).unwrap())
    }
}

/// Fields as a browser encodes them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    assert!(!headers.contains_key("transfer-encoding"), "bodies are of known length");
    Answer { status, headers, body: body.to_owned() }
}
