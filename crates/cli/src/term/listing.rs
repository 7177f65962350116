//! Decisions, one line each, aligned, the outcome first and never by colour alone.

use api::admin::{Answer, Decision, Entry, Identity, Refusals};
use types::facts::Protocol;
use types::{DecisionId, Mode, Reason};

use super::ids::Shortener;
use super::time::Times;
use super::{Palette, Tone, duration, harmless};

/// The cells of one line.
struct Row {
    clock: String,
    outcome: &'static str,
    tone: Tone,
    caller: String,
    service: String,
    route: String,
    status: String,
    why: String,
    id: String,
}

/// How wide the columns are. They grow with what was seen and never shrink, so that a stream stays aligned.
#[derive(Clone, Copy, Debug)]
struct Widths {
    caller: usize,
    service: usize,
    route: usize,
    why: usize,
}

/// Writes lines.
#[derive(Clone, Debug)]
pub struct Listing {
    palette: Palette,
    times: Times,
    ids: Shortener,
    widths: Widths,
    /// The node that was asked: decisions of enforcers elsewhere say where.
    here: Option<String>,
}

impl Listing {
    /// For a listing whose lines are all known.
    pub fn of(palette: Palette, times: Times, entries: &[Entry]) -> Self {
        let ids: Vec<DecisionId> = entries.iter().filter_map(id_of).collect();
        let widths = Widths { caller: 0, service: 0, route: 0, why: 0 };
        let mut listing = Self { palette, times, ids: Shortener::telling_apart(&ids), widths, here: None };
        for entry in entries {
            let row = listing.row(entry);
            listing.grow(&row);
        }
        listing
    }

    /// For a stream.
    pub const fn following(palette: Palette, times: Times) -> Self {
        let widths = Widths { caller: 16, service: 15, route: 20, why: 17 };
        Self { palette, times, ids: Shortener::following(), widths, here: None }
    }

    /// With room for long names from the first line on, for a stream in which they are known to come.
    #[cfg(feature = "demo")]
    #[must_use]
    pub const fn roomy(mut self) -> Self {
        self.widths = Widths { caller: 24, service: 24, route: 24, why: 20 };
        self
    }

    /// As the node of this name tells it: what was decided elsewhere says where.
    #[must_use]
    pub fn told_by(mut self, node: &str) -> Self {
        self.here = Some(node.to_owned());
        self
    }

    /// One line, without its end.
    pub fn line(&mut self, entry: &Entry) -> String {
        let row = self.row(entry);
        self.grow(&row);
        let outcome = self.palette.paint(row.tone, &format!("{:<10}", row.outcome));
        let Widths { caller, service, route, why } = self.widths;
        let line = format!(
            "{}  {outcome}  {:<caller$}  → {:<service$}  {:<route$}  {:>3}  {:<why$}  {}{}",
            self.palette.paint(Tone::Quiet, &row.clock),
            row.caller,
            row.service,
            row.route,
            row.status,
            row.why,
            row.id,
            self.elsewhere(entry),
        );
        line.trim_end().to_owned()
    }

    /// `  at edge-1`, for what another enforcer decided.
    fn elsewhere(&self, entry: &Entry) -> String {
        match (&self.here, entry) {
            (Some(here), Entry::Decision(decision)) if decision.enforcer != *here && !decision.enforcer.is_empty() => {
                format!("  at {}", harmless(&decision.enforcer))
            }
            _ => String::new(),
        }
    }

    fn grow(&mut self, row: &Row) {
        let widen = |width: &mut usize, text: &str| *width = (*width).max(text.chars().count());
        widen(&mut self.widths.caller, &row.caller);
        widen(&mut self.widths.service, &row.service);
        widen(&mut self.widths.route, &row.route);
        widen(&mut self.widths.why, &row.why);
    }

    fn row(&self, entry: &Entry) -> Row {
        match entry {
            Entry::Decision(decision) => self.decision(decision),
            Entry::Refusals(refusals) => self.refusals(refusals),
            Entry::Damage(damage) => Self::damage(&damage.message),
        }
    }

    fn decision(&self, decision: &Decision) -> Row {
        let answer = decision.answer();
        let (outcome, tone) = word(answer);
        let (status, why) = match answer {
            Answer::Allow => ended(decision),
            Answer::WouldDeny => (ended(decision).0, would_refuse(decision)),
            Answer::Deny => (answered(decision), decision.reason.clone()),
        };
        Row {
            clock: self.times.clock(decision.at),
            outcome,
            tone,
            caller: caller(decision),
            service: or_dash(if decision.service.is_empty() { &decision.host } else { &decision.service }),
            route: route(decision),
            status,
            why: harmless(&why).into_owned(),
            id: self.ids.short(&decision.id),
        }
    }

    /// Records that are lost are part of the story.
    fn damage(message: &str) -> Row {
        Row {
            clock: "            ".to_owned(),
            outcome: "UNKNOWN",
            tone: Tone::Caution,
            caller: "–".to_owned(),
            service: "–".to_owned(),
            route: "–".to_owned(),
            status: "–".to_owned(),
            why: "–".to_owned(),
            id: harmless(message).into_owned(),
        }
    }

    fn refusals(&self, refusals: &Refusals) -> Row {
        Row {
            clock: self.times.clock(refusals.at),
            outcome: "DENY",
            tone: Tone::Bad,
            caller: "(no identity)".to_owned(),
            service: "–".to_owned(),
            route: format!("{} more", super::grouped(usize::try_from(refusals.count).unwrap_or(usize::MAX))),
            status: status_of(&refusals.reason),
            why: harmless(&refusals.reason).into_owned(),
            id: String::new(),
        }
    }
}

/// An answer as a listing shows it: the word says it, the tone underlines it.
pub const fn word(answer: Answer) -> (&'static str, Tone) {
    match answer {
        Answer::Allow => ("allow", Tone::Good),
        Answer::WouldDeny => ("would-deny", Tone::Caution),
        Answer::Deny => ("DENY", Tone::Bad),
    }
}

/// The checks in shadow that would have refused, as `modes` names them, each once.
fn would_refuse(decision: &Decision) -> String {
    let mut checks: Vec<&str> = Vec::new();
    for noted in decision.noted.iter().filter(|noted| noted.mode == Mode::Shadow) {
        if !checks.contains(&noted.check.as_str()) {
            checks.push(&noted.check);
        }
    }
    checks.join(", ")
}

fn id_of(entry: &Entry) -> Option<DecisionId> {
    match entry {
        Entry::Decision(decision) => Some(decision.id),
        Entry::Refusals(_) | Entry::Damage(_) => None,
    }
}

/// `finance/payments`, with the operator where one impersonates.
pub fn caller(decision: &Decision) -> String {
    match &decision.identity {
        Identity::Verified(certificate) if certificate.via.is_empty() => harmless(&decision.caller).into_owned(),
        Identity::Verified(certificate) => {
            harmless(&format!("{} via {}", decision.caller, certificate.via)).into_owned()
        }
        Identity::Unidentified { .. } => "(no identity)".to_owned(),
    }
}

/// `GET /people`, as far as it is known.
pub fn route(decision: &Decision) -> String {
    match (decision.method.as_str(), decision.template.as_str()) {
        ("", _) => "–".to_owned(),
        (method, "") => format!("{method} (no route)"),
        (method, template) => harmless(&format!("{method} {template}")).into_owned(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { harmless(text).into_owned() }
}

/// What a refused caller was answered; `TLS` where the handshake failed, whatever the reason is answered with later.
pub fn answered(decision: &Decision) -> String {
    if decision.protocol == Protocol::Tls { "TLS".to_owned() } else { status_of(&decision.reason) }
}

/// The status that a refusal was answered with; `TLS` where the handshake failed instead.
fn status_of(reason: &str) -> String {
    match Reason::from_code(reason).map(Reason::status) {
        Some(0) => "TLS".to_owned(),
        Some(status) => status.to_string(),
        None => "–".to_owned(),
    }
}

/// Status, and how long it took or why it did not end well.
fn ended(decision: &Decision) -> (String, String) {
    let Some(completion) = &decision.completion else {
        return ("…".to_owned(), "open".to_owned());
    };
    let status = completion.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    match completion.reason.as_str() {
        "" => (status, duration::precise(completion.duration_micros)),
        reason => {
            let own = Reason::from_code(reason).map(|reason| reason.status().to_string());
            (completion.status.map_or(own.unwrap_or(status), |status| status.to_string()), reason.to_owned())
        }
    }
}

#[cfg(test)]
pub mod tests {
    use api::admin::{Certificate, Completion, Noted};
    use types::Timestamp;
    use types::facts::Outcome;

    use super::*;

    /// A decision of a test: denied with a reason, or allowed with `""`.
    pub fn decision(caller: &str, route: (&str, &str, &str), reason: &str, last: u8) -> Decision {
        let (service, method, template) = route;
        let certificate = Certificate {
            spiffe_id: format!("spiffe://test/{caller}"),
            serial: "5c1e08".into(),
            sha256: "9f".repeat(32),
            not_before: Timestamp::from_seconds(1_795_423_242),
            not_after: Timestamp::from_seconds(1_795_426_842),
            via: String::new(),
        };
        Decision {
            id: DecisionId::new(1_795_425_242_131, [1, 2, 3, 4, 5, 6, 7, 8, 0xa1, last]),
            at: Timestamp::from_micros(1_795_425_242_131_004),
            outcome: if reason.is_empty() { Outcome::Allow } else { Outcome::Deny },
            reason: reason.into(),
            note: String::new(),
            caller: caller.into(),
            identity: if caller.is_empty() {
                Identity::Unidentified { claimed: String::new() }
            } else {
                Identity::Verified(certificate)
            },
            listener: "gateway".into(),
            protocol: Protocol::Http1,
            source: None,
            host: "host.acme.internal".into(),
            service: service.into(),
            method: method.into(),
            template: template.into(),
            risk: Some(50),
            determining: Vec::new(),
            noted: Vec::new(),
            epoch: Some(0),
            revision: Some("3f9c21e".to_owned() + &"0".repeat(57)),
            enforcer: "local".into(),
            lane: "worker-0".into(),
            sequence: 4211,
            completion: reason.is_empty().then(|| Completion {
                status: Some(201),
                reason: String::new(),
                duration_micros: 3_149,
                request_bytes: 32,
                response_bytes: 64,
                revision: None,
                epoch: None,
            }),
        }
    }

    /// A refusal of a check that does not enforce.
    pub fn noted(check: &str, mode: Mode, reason: &str) -> Noted {
        Noted { check: check.into(), mode, reason: reason.into(), policy: String::new() }
    }

    #[test]
    fn what_was_decided_elsewhere_says_where() {
        let entry =
            Entry::Decision(Box::new(decision("finance/payments", ("finance/ledger", "GET", "/entries"), "", 1)));
        let line = |node: &str| Listing::following(Palette::plain(), Times::utc()).told_by(node).line(&entry);
        assert!(!line("local").contains("  at "), "{}", line("local"));
        assert!(line("main").ends_with("  at local"), "{}", line("main"));
    }

    #[test]
    fn what_only_shadow_lets_pass_names_the_checks_that_would_have_refused() {
        let mut call = decision("internal/search", ("hr/people", "GET", "/people"), "", 0x02);
        call.noted = vec![
            noted("requires.token_binding", Mode::Shadow, "requires.token-binding"),
            noted("permit", Mode::Observe, "policy.no-permit"),
            noted("consent", Mode::Shadow, "consent.provider"),
            noted("consent", Mode::Shadow, "consent.consumer"),
        ];
        let entry = Entry::Decision(Box::new(call.clone()));
        let line = Listing::following(Palette::plain(), Times::utc()).line(&entry);
        assert!(line.starts_with("09:14:02.131  would-deny  internal/search   → hr/people "), "{line}");
        assert!(line.contains("  201  requires.token_binding, consent  01a207af…"), "{line}");
        call.noted.retain(|noted| noted.mode == Mode::Observe);
        let line = Listing::following(Palette::plain(), Times::utc()).line(&Entry::Decision(Box::new(call)));
        assert!(
            line.contains("  allow       ") && line.contains("  201  3.1 ms"),
            "observe counts for nothing: {line}"
        );
    }

    #[test]
    fn lines_are_aligned_with_the_outcome_first() {
        let entries = [
            decision("finance/payments", ("finance/ledger", "POST", "/entries"), "", 0xc4),
            decision("platform/ci", ("hr/payroll", "GET", "/salaries/{id}"), "policy.no-permit", 0xc9),
            decision("", ("", "", ""), "identity.missing", 0x0b),
        ]
        .map(|decision| Entry::Decision(Box::new(decision)));
        let mut listing = Listing::of(Palette::plain(), Times::utc(), &entries);
        let lines: Vec<String> = entries.iter().map(|entry| listing.line(entry)).collect();
        assert_eq!(
            lines,
            [
                "09:14:02.131  allow       finance/payments  → finance/ledger      POST /entries       201  3.1 ms            01a207af…a1c4",
                "09:14:02.131  DENY        platform/ci       → hr/payroll          GET /salaries/{id}  403  policy.no-permit  01a207af…a1c9",
                "09:14:02.131  DENY        (no identity)     → host.acme.internal  –                   TLS  identity.missing  01a207af…a10b",
            ]
        );
    }

    #[test]
    fn what_was_only_counted_is_shown_as_a_count() {
        let refusals = Refusals {
            at: Timestamp::from_micros(1_795_425_242_131_004),
            since: Timestamp::from_seconds(1_795_425_242),
            listener: "gateway".into(),
            reason: "identity.missing".into(),
            source: None,
            count: 1_204,
        };
        let line = Listing::following(Palette::plain(), Times::utc()).line(&Entry::Refusals(refusals));
        assert!(line.contains("DENY        (no identity)") && line.contains("1,204 more"), "{line}");
    }

    #[test]
    fn an_impersonated_call_says_so() {
        let mut call = decision("finance/payments", ("finance/ledger", "GET", "/entries"), "", 1);
        if let Identity::Verified(certificate) = &mut call.identity {
            certificate.via = "local".into();
        }
        assert_eq!(caller(&call), "finance/payments via local");
    }

    #[test]
    fn an_upstream_that_failed_is_not_a_duration() {
        let mut call = decision("finance/payments", ("finance/ledger", "GET", "/entries"), "", 1);
        call.completion =
            call.completion.map(|end| Completion { status: None, reason: "upstream.unreachable".into(), ..end });
        assert_eq!(ended(&call), ("502".to_owned(), "upstream.unreachable".to_owned()));
        call.completion = None;
        assert_eq!(ended(&call), ("…".to_owned(), "open".to_owned()));
    }
}
