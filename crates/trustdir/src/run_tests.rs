//! Runs the tests of a revision: routed as the data path routes, answered by the policies that the data path asks.

use policy::{Noted, Principal, Question, Verdict};
use types::{Mode, facts::Outcome};

use crate::{
    revision::Revision,
    tests_file::{Answer, TestBy, TestCaller, TestCase},
};

/// What became of one test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestResult {
    /// The file, relative to the trust directory.
    pub file: String,
    /// The line of that file, from 1.
    pub line: usize,
    /// What the test shows, in words.
    pub name: String,
    /// Whether it showed that.
    pub passed: bool,
    /// What it expects.
    pub expected: Answer,
    /// What it got.
    pub got: Answer,
    /// What decided: the determining policies, or the code of the reason where no policy did; of a would-deny what would
    /// refuse.
    pub by: Vec<String>,
    /// Why it failed, and what the operator should know beyond the reason; may be empty.
    pub note: String,
}

/// Runs all tests, in the order of their files.
pub fn run_tests(revision: &Revision) -> Vec<TestResult> {
    revision.tests().iter().map(|case| result(case, &answer(case, revision))).collect()
}

fn answer(case: &TestCase, revision: &Revision) -> Verdict {
    let (_, route) = match revision.route(&case.request) {
        Ok(found) => found,
        Err(reason) => {
            let near = revision.nearest_route(&case.request);
            let note = near.map(|route| format!("the nearest route is `{route}`")).unwrap_or_default();
            return Verdict {
                outcome: Outcome::Deny,
                reason: Some(reason),
                determining: Vec::new(),
                noted: Vec::new(),
                note,
            };
        }
    };
    let principal = match &case.caller {
        TestCaller::Workload(id) => Principal::Workload(id),
        TestCaller::Nobody => Principal::Unidentified,
    };
    let risk = case.risk.unwrap_or(revision.model().risk_unknown);
    let method = case.request.method();
    revision.policies().evaluate(&Question { principal, method, route: &route, source: None, risk, at: case.at })
}

fn result(case: &TestCase, verdict: &Verdict) -> TestResult {
    let got = Answer::of(verdict);
    let by = deciding(verdict);
    let as_expected = got == case.expect;
    let decided = match &case.by {
        None => true,
        Some(TestBy::Policy(id)) => match got {
            Answer::Allow | Answer::Deny => verdict.determining.contains(id),
            Answer::WouldDeny => shadowed(verdict).any(|noted| noted.policy() == Some(id)),
        },
        Some(TestBy::Reason(reason)) => match got {
            Answer::Allow | Answer::Deny => verdict.reason == Some(*reason),
            Answer::WouldDeny => shadowed(verdict).any(|noted| noted.reason() == *reason),
        },
    };
    let mut notes = Vec::new();
    if !as_expected {
        notes.push(format!("expected {}, got {}", case.expect, words(verdict)));
    } else if !decided {
        notes.push(format!("{} as expected, but by {} instead of {}", case.expect, by.join(", "), wanted(case)));
    }
    notes.extend(Some(verdict.note.clone()).filter(|note| !note.is_empty()));
    TestResult {
        file: case.file.clone(),
        line: case.line,
        name: case.name.clone(),
        passed: as_expected && decided,
        expected: case.expect,
        got,
        by,
        note: notes.join("; "),
    }
}

/// What in shadow would refuse the call.
fn shadowed(verdict: &Verdict) -> impl Iterator<Item = &Noted> {
    verdict.noted.iter().filter(|noted| noted.mode() == Mode::Shadow)
}

/// The determining policies, or the reason where none decided; of a would-deny what would refuse.
fn deciding(verdict: &Verdict) -> Vec<String> {
    if Answer::of(verdict) == Answer::WouldDeny {
        let name = |noted: &Noted| noted.policy().map_or_else(|| noted.reason().to_string(), ToString::to_string);
        return shadowed(verdict).map(name).collect();
    }
    let mut by: Vec<String> = verdict.determining.iter().map(ToString::to_string).collect();
    if by.is_empty() {
        let noted = verdict.noted.first().map(Noted::reason);
        by.extend(verdict.reason.or(noted).map(|reason| reason.code().to_owned()));
    }
    by
}

fn words(verdict: &Verdict) -> String {
    let answer = Answer::of(verdict);
    match verdict.reason.or_else(|| verdict.would_deny().map(Noted::reason)) {
        None => answer.to_string(),
        Some(reason) => format!("{answer}: {} ({reason})", reason.title()),
    }
}

fn wanted(case: &TestCase) -> String {
    match &case.by {
        None => String::new(),
        Some(TestBy::Policy(id)) => id.to_string(),
        Some(TestBy::Reason(reason)) => reason.code().to_owned(),
    }
}
