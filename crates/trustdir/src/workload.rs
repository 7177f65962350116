//! A workload of `domain.yaml`: which processes are it.

use types::{AttestRule, Label, PathRule, UnixRule, attest::UnixParts};

use crate::{
    decode::{Fields, Spanned, bad_value, items, text, whole},
    group,
    problem::{File, quote},
    yaml::{Node, Value},
};

/// A workload as written.
pub(crate) struct RawWorkload {
    /// Any of these makes a process this workload. Empty only where that is reported.
    pub(crate) rules: Vec<Spanned<AttestRule>>,
    /// The node groups it may run on; absent where nothing is said.
    pub(crate) runs_on: Option<Vec<Spanned<Label>>>,
}

/// Reads a workload.
pub(crate) fn read(node: &Node, file: &File<'_>) -> RawWorkload {
    let Some(mut fields) = Fields::open(node, file, "a workload") else {
        return RawWorkload { rules: Vec::new(), runs_on: None };
    };
    let attest = fields.required("attest", "attest: { any: [ { unix: { uid: 1001, path: /opt/payments/bin } } ] }");
    let rules = attest.map(|node| read_attest(node, file)).unwrap_or_default();
    let runs_on = fields.take("runs_on", group::runs_on);
    fields.finish();
    RawWorkload { rules, runs_on }
}

fn read_attest(node: &Node, file: &File<'_>) -> Vec<Spanned<AttestRule>> {
    let Some(mut fields) = Fields::open(node, file, "`attest`") else { return Vec::new() };
    let any = fields.required("any", "any: [ { unix: { uid: 1001 } } ]");
    fields.finish();
    if let Some(node) = any.filter(|node| node.value == Value::List(Vec::new())) {
        let hint = Some("add a rule such as `{ unix: { uid: 1001 } }`".to_owned());
        file.error("attest.empty", node.point(), "no rule: nothing would ever be this workload".to_owned(), hint);
        return Vec::new();
    }
    any.map(|node| items(node, file, "a list of rules", read_rule)).unwrap_or_default()
}

fn read_rule(node: &Node, file: &File<'_>) -> Option<AttestRule> {
    let mut fields = Fields::open(node, file, "a rule")?;
    let unix = fields.required("unix", "unix: { uid: 1001, path: /opt/payments/bin }");
    let rule = unix.and_then(|node| read_unix(node, file));
    fields.finish();
    rule.map(AttestRule::from)
}

fn read_unix(node: &Node, file: &File<'_>) -> Option<UnixRule> {
    let mut fields = Fields::open(node, file, "a unix rule")?;
    let named = matches!(&node.value, Value::Map(entries) if !entries.is_empty());
    let uid = fields.optional("uid").map(|node| id(node, file));
    let gid = fields.optional("gid").map(|node| id(node, file));
    let path = fields.optional("path").map(|node| read_path(node, file));
    let sha256 = fields.optional("sha256").map(|node| read_sha256(node, file));
    fields.finish();
    // A part that is there but does not fit is reported; the rule without it would be a weaker one.
    let parts = UnixParts {
        uid: all_fit(uid)?,
        gid: all_fit(gid)?,
        path: all_fit(path)?,
        sha256: all_fit(sha256)?,
        ..UnixParts::default()
    };
    match UnixRule::new(parts) {
        Ok(rule) => Some(rule),
        Err(error) => {
            if !named {
                let hint = Some("without one of them every local process would be this workload".to_owned());
                file.error("attest.empty", node.point(), error.to_string(), hint);
            }
            None
        }
    }
}

/// Left out, or there and fitting; `None` for there and not fitting.
fn all_fit<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    part.map_or(Some(None), |read| read.map(Some))
}

/// A user or group id. The highest means "no change" to the system calls that take one.
fn id(node: &Node, file: &File<'_>) -> Option<u32> {
    whole(node, file, u64::from(u32::MAX - 1)).and_then(|id| u32::try_from(id).ok())
}

fn read_path(node: &Node, file: &File<'_>) -> Option<PathRule> {
    let written = text(node, file, "a path such as `/opt/payments/bin`")?;
    let rule = PathRule::parse(written).ok();
    if rule.is_none() {
        let hint = "an absolute path such as `/opt/payments/bin`, or `$DATA/…` below the agent's data directory; without \
                    `.`, `..`, `//` or a slash at the end";
        bad_value(node, file, format!("{} is not the path of an executable", quote(written)), hint);
    }
    rule
}

fn read_sha256(node: &Node, file: &File<'_>) -> Option<[u8; 32]> {
    let written = match &node.value {
        // A digest of digits alone is a number to YAML.
        Value::Number(text) => text,
        _ => text(node, file, "64 hexadecimal digits")?,
    };
    let digest = written.parse::<types::RevisionId>().ok().map(|parsed| *parsed.digest());
    if digest.is_none() {
        let message = format!("{} is not a SHA-256", quote(written));
        bad_value(node, file, message, "64 hexadecimal digits, as `sha256sum` prints them");
    }
    digest
}
