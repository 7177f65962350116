//! An HTTP answer as a client saw it.

use std::fmt;

use serde_json::Value;

/// What came back.
#[derive(Clone, Default)]
pub struct Answer {
    /// The status; 0 where there was no HTTP answer.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// `""`, or why the transfer was not whole.
    pub broken: String,
    /// The exit code of curl; 0 for other clients.
    pub exit: i32,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("fields", &self.fields)
            .field("body", &shown(&self.body))
            .field("broken", &self.broken)
            .field("exit", &self.exit)
            .finish()
    }
}

/// As much of a body as helps to understand a failed test.
pub(crate) fn shown(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    if body.len() > SHOWN { format!("{text}… ({} bytes)", body.len()) } else { text }
}

impl Answer {
    /// Takes a head apart: status line, or nothing for HTTP/2, then fields.
    pub(crate) fn of_head(head: &str) -> Self {
        let mut lines = head.lines().map(str::trim_end);
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { status: status.unwrap_or(0), fields, ..Self::default() }
    }

    /// The only field of that name.
    ///
    /// # Panics
    /// When it stands there more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` stands more than once: {self:?}");
        first
    }

    /// The decision that the answer names.
    ///
    /// # Panics
    /// When it names none, or what is no UUIDv7.
    pub fn decision(&self) -> String {
        let id = self.field("countersign-decision").unwrap_or_else(|| panic!("no decision named: {self:?}"));
        let is_uuid = id.len() == 36
            && id.chars().enumerate().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                14 => c == '7',
                _ => c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
            });
        assert!(is_uuid, "`{id}` is no UUIDv7");
        id.to_owned()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem details, after looking that they have the shape that every refusal of ours has.
    ///
    /// # Panics
    /// When they have another.
    pub fn problem(&self) -> Value {
        assert_eq!(self.broken, "", "{self:?}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.field("cache-control"), Some("no-store"), "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let mut members: Vec<&str> = problem.as_object().expect("an object").keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["decision", "status", "title", "type"], "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["decision"], self.decision(), "{self:?}");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:countersign:reason:")), "{self:?}");
        problem
    }

    /// The reason that the problem details name.
    pub fn reason(&self) -> String {
        let kind = self.problem()["type"].as_str().unwrap_or_default().to_owned();
        kind.trim_start_matches("urn:countersign:reason:").to_owned()
    }
}
