//! A browser without scripts: curl at the console, with or without a session.

use std::process::Command;

use crate::answer::Answer;
use crate::site::Site;

/// What came back.
pub type Page = Answer;

/// A client of the console.
pub struct Browser {
    address: String,
    cookie: Option<String>,
}

impl Browser {
    /// One that nobody knows.
    pub fn stranger(site: &Site) -> Self {
        Self { address: site.console().to_string(), cookie: None }
    }

    /// One that has opened a new link.
    ///
    /// # Panics
    /// When the link does not work.
    pub fn logged_in(site: &Site) -> Self {
        let mut this = Self::stranger(site);
        let link = Self::link(site);
        let entered = this.enter(&link);
        let cookie = entered.field("set-cookie").unwrap_or_else(|| panic!("no cookie: {entered:?}"));
        this.cookie = cookie.split(';').next().map(str::to_owned);
        this
    }

    /// A new link, as `countersign login` prints it.
    ///
    /// # Panics
    /// When it does not.
    pub fn link(site: &Site) -> String {
        let link = site.json(&["login", "--json"]).remove(0);
        link["url"].as_str().expect("a URL").to_owned()
    }

    /// Sends the form behind a link.
    pub fn enter(&self, link: &str) -> Page {
        let secret = link.rsplit('#').next().unwrap_or_default();
        self.post("/login", &[&format!("secret={secret}")])
    }

    /// Loads a page.
    pub fn get(&self, path: &str) -> Page {
        self.ask(path, &[])
    }

    /// Sends a form as a page of the console would.
    pub fn post(&self, path: &str, fields: &[&str]) -> Page {
        let origin = format!("Origin: http://{}", self.address);
        let mut arguments = vec!["-H", &origin, "-X", "POST"];
        for field in fields {
            arguments.extend(["--data-urlencode", field]);
        }
        if fields.is_empty() {
            arguments.extend(["--data", ""]);
        }
        self.ask(path, &arguments)
    }

    /// Asks with arguments of the test's own.
    ///
    /// # Panics
    /// When curl cannot be run.
    pub fn ask(&self, path: &str, arguments: &[&str]) -> Page {
        let mut command = Command::new("curl");
        command.args(["-q", "-sS", "--path-as-is", "--max-time", "20", "-i"]).args(arguments);
        if let Some(cookie) = &self.cookie {
            command.args(["--cookie", cookie]);
        }
        let output = command.arg(format!("http://{}{path}", self.address)).output().unwrap();
        let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        let (head, body) = output.stdout.split_at(end);
        let (body, exit) = (body.to_vec(), output.status.code().unwrap_or(-1));
        Answer { body, exit, ..Answer::of_head(&String::from_utf8_lossy(head)) }
    }
}
