//! Hosts as services claim them: a name that a certificate and a server name can carry, and a prefix of the path.

use core::fmt;

use types::{Host, Template, template::Segment};

use crate::{
    decode::{bad_value, text},
    problem::{File, quote},
    yaml::Node,
};

/// `host` or `host/prefix`. The prefix is matched by whole segments and never stripped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPrefix {
    host: Host,
    /// Literal segments only; `/` where the whole host is claimed.
    prefix: Template,
}

impl HostPrefix {
    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The prefix with its leading slash; `""` where the whole host is claimed.
    pub fn prefix(&self) -> &str {
        if self.prefix.segments().is_empty() { "" } else { self.prefix.as_str() }
    }

    /// How many segments the prefix has. The longest matching prefix wins.
    pub fn depth(&self) -> usize {
        self.prefix.segments().len()
    }

    /// The segments of the prefix; none where the whole host is claimed.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        // INVARIANT: a prefix is read with literal segments only.
        self.prefix.segments().iter().map(|segment| match segment {
            Segment::Literal(text) | Segment::Parameter(text) => text.as_str(),
        })
    }

    /// Whether a template's paths lie under the prefix. A parameter may stand for anything, so for the prefix too.
    pub(crate) fn may_cover(&self, template: &Template) -> bool {
        let mut theirs = template.segments().iter();
        self.prefix.segments().iter().all(|mine| match (mine, theirs.next()) {
            (Segment::Literal(mine), Some(Segment::Literal(theirs))) => mine == theirs,
            (_, Some(Segment::Parameter(_))) => true,
            _ => false,
        })
    }
}

impl fmt::Display for HostPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.prefix())
    }
}

/// Reads an item of `hosts`.
pub(crate) fn read(node: &Node, file: &File<'_>) -> Option<HostPrefix> {
    let written = text(node, file, "a host such as `ledger.acme.internal`")?;
    if let Some((_, rest)) = written.split_once("://") {
        let hint = format!("write it without the scheme: `{}`", rest.trim_end_matches('/'));
        bad_value(node, file, format!("{} is not a host", quote(written)), &hint);
        return None;
    }
    let (name, prefix) = match written.find('/') {
        Some(at) => written.split_at(at),
        None => (written, ""),
    };
    Some(HostPrefix { host: read_name(node, file, name)?, prefix: read_prefix(node, file, prefix)? })
}

/// A name that fits a server name (RFC 6066 3) and a DNS name of a certificate (RFC 5280 4.2.1.6).
fn read_name(node: &Node, file: &File<'_>, name: &str) -> Option<Host> {
    let hint = match name.split_once(':') {
        Some((name, _)) => format!("write it without a port: `{name}`"),
        None => "a host is a DNS name such as `ledger.acme.internal`, not an address or a pattern".to_owned(),
    };
    let labels_fit = name.split('.').all(|label| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && !label.contains('_')
    });
    let is_address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let host = Host::parse(name).ok().filter(|_| labels_fit && !is_address);
    if host.is_none() {
        bad_value(node, file, format!("{} is not a host", quote(name)), &hint);
    }
    host
}

fn read_prefix(node: &Node, file: &File<'_>, prefix: &str) -> Option<Template> {
    let refuse = |hint: &str| {
        bad_value(node, file, format!("{} is not a prefix of paths", quote(prefix)), hint);
        None
    };
    match Template::parse(if prefix.is_empty() { "/" } else { prefix }) {
        Ok(_) if prefix.ends_with('/') => refuse("leave the slash at the end out"),
        Ok(parsed) if parsed.segments().iter().any(|segment| matches!(segment, Segment::Parameter(_))) => {
            refuse("a prefix has no parameters")
        }
        Ok(parsed) => Some(parsed),
        Err(error) => refuse(&error.to_string()),
    }
}
