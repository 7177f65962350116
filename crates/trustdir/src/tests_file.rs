//! `domains/NAME/tests/*.yaml`: calls and what should become of them.

use core::{fmt, ops::Range};
use std::collections::HashMap;

use policy::Verdict;
use serde::Serialize;
use types::{CanonicalRequest, Method, PolicyId, Reason, Stage, Timestamp, WorkloadId, facts::Outcome};

use crate::{
    decode::{Fields, Spanned, bad_value, list, one_of, text, whole},
    problem::{File, quote},
    suggest,
    yaml::Node,
};

/// When a test happens that does not say when: Monday, 5 January 2026, 12:00 UTC.
pub(crate) const USUAL_MOMENT: Timestamp = Timestamp::from_seconds(1_767_614_400);

/// One test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestCase {
    /// The file, relative to the trust directory.
    pub file: String,
    /// The line of that file, from 1.
    pub line: usize,
    /// What it shows, in words.
    pub name: String,
    /// Who calls.
    pub caller: TestCaller,
    /// What is asked for.
    pub request: CanonicalRequest,
    /// The risk, 0 to 100; absent where the organisation's `risk_unknown` stands.
    pub risk: Option<u8>,
    /// When.
    pub at: Timestamp,
    /// What should become of it.
    pub expect: Answer,
    /// What should have decided; absent where that is open.
    pub by: Option<TestBy>,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Allowed, and nothing in shadow would refuse it. What is in observe may.
    Allow,
    /// Refused.
    Deny,
    /// Allowed only because what would refuse it is in shadow.
    WouldDeny,
}

impl Answer {
    /// What a verdict comes to.
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match (verdict.outcome, verdict.would_deny()) {
            (Outcome::Deny, _) => Self::Deny,
            (Outcome::Allow, None) => Self::Allow,
            (Outcome::Allow, Some(_)) => Self::WouldDeny,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::WouldDeny => "would-deny",
        })
    }
}

/// The caller of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TestCaller {
    /// A workload.
    Workload(WorkloadId),
    /// Nobody: a call without identity, written `nobody`.
    Nobody,
}

/// What a test expects to have decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TestBy {
    /// A policy, generated ones included, is among the determining ones, or of a would-deny among those in shadow.
    Policy(PolicyId),
    /// The call is refused for this reason, or something in shadow would refuse it for this.
    Reason(Reason),
}

/// A test and the places of its parts.
pub(crate) struct RawCase<'a> {
    pub(crate) case: TestCase,
    pub(crate) file: File<'a>,
    pub(crate) span: Range<usize>,
    pub(crate) caller: Range<usize>,
    pub(crate) request: Range<usize>,
    pub(crate) by: Option<Range<usize>>,
}

/// Reads a file.
pub(crate) fn read<'a>(root: &Node, file: File<'a>) -> Vec<RawCase<'a>> {
    let nodes = list(root, &file, "a list of tests").unwrap_or_default();
    let cases: Vec<RawCase<'a>> = nodes.iter().filter_map(|node| read_case(node, file)).collect();
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for RawCase { case, span, .. } in &cases {
        if let Some(line) = lines.get(case.name.as_str()) {
            let message = format!("two tests are named {}", quote(&case.name));
            file.error("value.duplicate", span, message, Some(format!("the other stands in line {line}")));
        }
        lines.entry(&case.name).or_insert(case.line);
    }
    cases
}

fn read_case<'a>(node: &Node, file: File<'a>) -> Option<RawCase<'a>> {
    let mut fields = Fields::open(node, &file, "a test")?;
    let name = fields.required("name", "name: payments books an entry").and_then(|node| text(node, &file, "a text"));
    let call =
        fields.required("call", "call: { as: finance/payments, request: GET https://ledger.acme.internal/entries }");
    let call = call.and_then(|node| read_call(node, &file));
    let (risk, at) = fields.take("given", read_given).unwrap_or_default();
    let expect = fields.required("expect", "expect: allow").and_then(|node| {
        let words = [("allow", Answer::Allow), ("deny", Answer::Deny), ("would-deny", Answer::WouldDeny)];
        one_of(node, &file, "`allow`, `deny` or `would-deny`", &words)
    });
    let by = fields.take("by", read_by);
    fields.finish();
    let (caller, request) = call?;
    let expect = expect?;
    if let Some(Spanned { value: TestBy::Reason(reason), span }) = by.as_ref().filter(|_| expect == Answer::Allow) {
        let hint = Some("name the policy that permits it".to_owned());
        file.error("test.by", span, format!("a call that is allowed is not refused by `{reason}`"), hint);
    }
    let case = TestCase {
        file: file.path.to_owned(),
        line: file.line(node.at.start),
        name: name?.to_owned(),
        caller: caller.value,
        request: request.value,
        risk,
        at: at.unwrap_or(USUAL_MOMENT),
        expect,
        by: by.as_ref().map(|by| by.value.clone()),
    };
    let span = node.point().clone();
    Some(RawCase { case, file, span, caller: caller.span, request: request.span, by: by.map(|by| by.span) })
}

fn read_call(node: &Node, file: &File<'_>) -> Option<(Spanned<TestCaller>, Spanned<CanonicalRequest>)> {
    let mut fields = Fields::open(node, file, "`call`")?;
    let caller = fields.required("as", "as: finance/payments").and_then(|node| read_caller(node, file));
    let request = fields.required("request", "request: GET https://ledger.acme.internal/entries");
    let request = request.and_then(|node| read_request(node, file));
    fields.finish();
    Some((caller?, request?))
}

fn read_caller(node: &Node, file: &File<'_>) -> Option<Spanned<TestCaller>> {
    let written = text(node, file, "a workload such as `finance/payments`")?;
    let value = match written.parse() {
        _ if written == "nobody" => TestCaller::Nobody,
        Ok(id) => TestCaller::Workload(id),
        Err(error) => {
            bad_value(node, file, error.to_string(), "a caller is a workload such as `finance/payments`, or `nobody`");
            return None;
        }
    };
    Some(Spanned { value, span: node.point().clone() })
}

fn read_request(node: &Node, file: &File<'_>) -> Option<Spanned<CanonicalRequest>> {
    let written = text(node, file, "a request such as `GET https://ledger.acme.internal/entries`")?;
    let refuse = |hint: String| {
        bad_value(node, file, format!("{} is not a request", quote(written)), &hint);
        None
    };
    let Some((method, url)) = written.split_once(' ') else {
        return refuse("write a method and a URL: `GET https://ledger.acme.internal/entries`".to_owned());
    };
    if method.parse::<Method>().is_err() {
        let hint = suggest::hint(method, Method::ALL.map(Method::as_str), "methods");
        return refuse(hint.unwrap_or_default());
    }
    let Some(rest) = url.trim().strip_prefix("https://") else {
        return refuse("the URL starts with `https://`".to_owned());
    };
    let (authority, target) = rest.find(['/', '?', '#']).map_or((rest, "/"), |at| rest.split_at(at));
    match CanonicalRequest::parse(method, authority, target) {
        Ok(value) => Some(Spanned { value, span: node.point().clone() }),
        Err(reason) => refuse(format!("{}: {}", reason.title(), reason.hint())),
    }
}

fn read_given(node: &Node, file: &File<'_>) -> Option<(Option<u8>, Option<Timestamp>)> {
    let mut fields = Fields::open(node, file, "`given`")?;
    let risk = fields.take("risk", |node, file| whole(node, file, 100)).and_then(|risk| u8::try_from(risk).ok());
    let at = fields.take("at", read_moment);
    fields.finish();
    Some((risk, at))
}

fn read_moment(node: &Node, file: &File<'_>) -> Option<Timestamp> {
    let written = text(node, file, "a moment such as `2026-03-02T09:00:00Z`")?;
    let micros = written.parse::<jiff::Timestamp>().ok().and_then(|moment| u64::try_from(moment.as_microsecond()).ok());
    if micros.is_none() {
        let hint = "a date, a time and an offset from UTC, from 1970 on, such as `2026-03-02T09:00:00Z`";
        bad_value(node, file, format!("{} is not a moment", quote(written)), hint);
    }
    micros.map(Timestamp::from_micros)
}

/// A policy (`finance/payments-posts-entries`) or a reason (`policy.no-permit`).
fn read_by(node: &Node, file: &File<'_>) -> Option<Spanned<TestBy>> {
    let written = text(node, file, "a policy or a reason")?;
    let span = node.point().clone();
    if let Some((scope, name)) = written.split_once('/') {
        return Some(Spanned { value: TestBy::Policy(PolicyId::new(scope, name)), span });
    }
    let shown = || Reason::ALL.iter().copied().filter(|reason| can_be_shown(*reason));
    match shown().find(|reason| reason.code() == written) {
        Some(reason) => Some(Spanned { value: TestBy::Reason(reason), span }),
        None => {
            let hint =
                suggest::nearest(written, shown().map(Reason::code)).map(|code| format!("did you mean `{code}`?"));
            let fallback =
                "name a policy such as `finance/payments-posts-entries`, or a reason such as `policy.no-permit`";
            bad_value(node, file, format!("{} decides nothing", quote(written)), &hint.unwrap_or(fallback.to_owned()));
            None
        }
    }
}

/// What happens before routing and after the decision is not shown by these tests.
const fn can_be_shown(reason: Reason) -> bool {
    matches!(reason.stage(), Stage::Route | Stage::Consent | Stage::Requires | Stage::Policy)
}
