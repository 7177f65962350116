//! Whether the installation is well: readiness, the doctor's findings, and what runs here.

use api::admin::{Failure, Finding, Severity, Status};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::Console;
use crate::answer::Ask;
use crate::rows::Mark;
use crate::session::{Frame, Visitor};
use crate::show::{When, count, number, span};

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    sentence: String,
    findings: Vec<Line>,
    status: Status,
    started: When,
    running: String,
}

struct Line {
    mark: Mark,
    subject: String,
    message: String,
    hint: String,
    /// Whether the fleet says more about it.
    is_of_fleet: bool,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>) -> Response {
    console.show(visitor.at("health"), |ask, frame| Ok::<_, Failure>(page(ask, frame))).await
}

fn page(ask: &Ask<'_>, frame: Frame) -> HealthPage {
    let mut findings = ask.admin.doctor();
    findings.sort_by_key(|finding| finding.severity);
    let status = ask.admin.status();
    let ready = ask.admin.health().ready;
    HealthPage {
        frame,
        sentence: sentence(&findings, ready),
        findings: findings.into_iter().map(line).collect(),
        started: When::full(status.started),
        running: span(ask.now.micros_since(status.started) / 1_000_000),
        status,
    }
}

fn sentence(findings: &[Finding], ready: bool) -> String {
    let of = |severity| number(findings.iter().filter(|finding| finding.severity == severity).count());
    let head = if ready { "Calls are taken and decided" } else { "Calls are not all taken or decided" };
    let problems = count(of(Severity::Problem), "problem", "problems");
    let warnings = count(of(Severity::Warning), "thing to look at", "things to look at");
    match (of(Severity::Problem), of(Severity::Warning)) {
        (0, 0) if ready => format!("{head}; everything that was looked at is well."),
        (0, 0) => format!("{head}."),
        (0, _) => format!("{head}; {warnings}."),
        (_, 0) => format!("{head}; {problems}."),
        _ => format!("{head}; {problems} and {warnings}."),
    }
}

fn line(finding: Finding) -> Line {
    let mark = match finding.severity {
        Severity::Problem => Mark { shape: "■", word: "problem", class: "deny" },
        Severity::Warning => Mark { shape: "◐", word: "look at", class: "would" },
        Severity::Good => Mark { shape: "●", word: "well", class: "allow" },
    };
    let is_of_fleet = matches!(finding.subject.as_str(), "fleet" | "backup" | "shipped logs")
        || finding.subject.starts_with("revocation in ");
    Line { mark, is_of_fleet, subject: finding.subject, message: finding.message, hint: finding.hint }
}
