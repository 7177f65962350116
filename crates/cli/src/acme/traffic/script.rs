//! What each workload of the example calls in a day, as a table. `$word` in a path or body is filled in for each call.

use std::time::Duration;

use super::{Dice, client::Asked};

/// What one caller does, over and over.
#[derive(Debug)]
pub struct Script {
    /// The caller's name.
    pub name: &'static str,
    /// Tenths of a second between two calls, on average.
    pub tenths: u64,
    /// The calls.
    pub steps: &'static [Step],
}

/// One call.
#[derive(Debug)]
pub struct Step {
    /// The method.
    pub method: &'static str,
    /// The service's name, which its host begins with.
    pub service: &'static str,
    /// Path and query.
    pub target: &'static str,
    /// JSON, or `""` for none.
    pub body: &'static str,
}

const fn get(service: &'static str, target: &'static str) -> Step {
    Step { method: "GET", service, target, body: "" }
}

const fn send(method: &'static str, service: &'static str, target: &'static str, body: &'static str) -> Step {
    Step { method, service, target, body }
}

const fn script(name: &'static str, tenths: u64, steps: &'static [Step]) -> Script {
    Script { name, tenths, steps }
}

/// Everyone who calls. All of it is allowed at any hour, but for what a shadowed check would refuse, so that a refusal in
/// the stream is worth a look.
pub const SCRIPTS: &[Script] = &[
    script(
        "payments",
        40,
        &[
            get("invoices", "/invoices?status=approved"),
            get("expenses", "/reports/$report"),
            send(
                "POST",
                "ledger",
                "/entries",
                r#"{"debit":"1600","credit":"1200","cents":$cents,"text":"$supplier, invoice R$invoice"}"#,
            ),
            get("invoices", "/invoices/R$invoice"),
            get("payroll", "/runs/2026-10/total"),
            // it may read one report, and lists them all: a would-deny
            get("expenses", "/reports?colleague=$colleague"),
        ],
    ),
    script(
        "month-end",
        90,
        &[
            get("ledger", "/accounts"),
            send("POST", "ledger", "/search", r#"{"text":"$supplier","min_cents":10000}"#),
            get("ledger", "/periods"),
        ],
    ),
    script(
        "treasury",
        70,
        &[
            get("ledger", "/accounts/1200"),
            get("invoices", "/suppliers"),
            get("invoices", "/invoices?status=received"),
            get("directory", "/colleagues/$colleague"),
        ],
    ),
    script(
        "ledger",
        80,
        &[send("POST", "audit", "/events", r#"{"actor":"finance/ledger","act":"entry booked","object":"R$invoice"}"#)],
    ),
    script(
        "invoices",
        110,
        &[send(
            "POST",
            "audit",
            "/events",
            r#"{"actor":"finance/invoices","act":"invoice read","object":"R$invoice"}"#,
        )],
    ),
    script(
        "payroll",
        130,
        &[send("POST", "audit", "/events", r#"{"actor":"hr/payroll","act":"payslip shown","object":"$person"}"#)],
    ),
    script(
        "people",
        110,
        &[send("POST", "audit", "/events", r#"{"actor":"hr/people","act":"person read","object":"$person"}"#)],
    ),
    script(
        "portal",
        40,
        &[
            get("people", "/people/$person"),
            get("payroll", "/payslips/$person"),
            get("directory", "/colleagues"),
            send("PATCH", "people", "/people/$person", r#"{"address":"$street $number, Berlin"}"#),
            get("status", "/status"),
            get("status", "/incidents/3/updates"),
            get("people", "/people/$person/contact"),
            // people move desks in the portal, too, and only the intranet is permitted to write that: a would-deny
            send("PUT", "directory", "/colleagues/$colleague", r#"{"phone":"147","desk":"2.$number","about":""}"#),
        ],
    ),
    script(
        "onboarding",
        90,
        &[
            get("people", "/people?team=Platform"),
            get("directory", "/teams"),
            send("POST", "people", "/search", r#"{"text":"$colleague"}"#),
        ],
    ),
    script(
        "compensation",
        90,
        &[get("payroll", "/salaries/$person"), get("people", "/people/$person"), get("payroll", "/runs")],
    ),
    script("directory", 100, &[get("people", "/people"), get("people", "/people/$person")]),
    script(
        "search",
        60,
        &[send("POST", "people", "/search", r#"{"text":"$colleague"}"#), get("directory", "/search?q=$colleague")],
    ),
    script(
        "expenses",
        90,
        &[
            get("ledger", "/accounts/4660"),
            send(
                "POST",
                "audit",
                "/events",
                r#"{"actor":"internal-tools/expenses","act":"report filed","object":"report $report"}"#,
            ),
            get("ledger", "/accounts"),
        ],
    ),
    script(
        "intranet",
        40,
        &[
            get("directory", "/colleagues/$colleague"),
            get("status", "/status"),
            // a page of the old intranet, which nobody has listed yet: a would-deny
            get("directory", "/colleagues/$colleague/vcard"),
            get("expenses", "/reports?colleague=$colleague"),
            get("deploys", "/deploys?environment=production"),
            send(
                "POST",
                "expenses",
                "/reports",
                r#"{"colleague":"$colleague","purpose":"Train to $town and back","account":"4660","cents":$cents}"#,
            ),
        ],
    ),
    script("chatops", 80, &[get("status", "/incidents"), get("deploys", "/deploys/5"), get("status", "/status")]),
    script(
        "access",
        90,
        &[get("people", "/people"), get("audit", "/events?limit=20"), get("directory", "/colleagues")],
    ),
    script(
        "oncall",
        80,
        &[
            get("status", "/status"),
            send("POST", "audit", "/search", r#"{"act":"person left"}"#),
            send("PATCH", "status", "/incidents/3", r#"{"state":"watching","text":"Photos load again for most."}"#),
            get("deploys", "/environments"),
        ],
    ),
    script("ci", 60, &[get("deploys", "/deploys?environment=staging"), get("deploys", "/environments")]),
    script("prober", 70, &[get("status", "/healthz")]),
];

impl Script {
    /// What somebody does.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        SCRIPTS.iter().find(|script| script.name == name)
    }

    /// The time between two calls, on average.
    pub(super) const fn pause(&self) -> Duration {
        Duration::from_millis(self.tenths.saturating_mul(100))
    }
}

impl Step {
    /// The call with everything filled in.
    pub(super) fn fill(&self, dice: &mut Dice) -> Asked {
        Asked {
            method: self.method,
            host: format!("{}.{}", self.service, crate::acme::catalogue::ORGANISATION),
            authority: None,
            target: fill(self.target, dice),
            body: fill(self.body, dice),
        }
    }
}

/// Replaces each `$word` by something likely.
fn fill(text: &str, dice: &mut Dice) -> String {
    let mut pieces = text.split('$');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(piece.len());
        let (word, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        filled.push_str(&value(word, dice));
        filled.push_str(rest);
    }
    filled
}

fn value(word: &str, dice: &mut Dice) -> String {
    match word {
        "cents" => dice.below(89_000).saturating_add(1_000).to_string(),
        "number" => dice.below(120).saturating_add(1).to_string(),
        "report" => dice.below(4).saturating_add(1).to_string(),
        "invoice" => dice.below(7).saturating_add(2_036).to_string(),
        "person" => format!("p-{}", dice.below(8).saturating_add(1_001)),
        "colleague" => dice.one_of(&["mira", "jonas", "aylin", "piotr", "lena", "sam", "chiara", "emil"]).to_owned(),
        "supplier" => dice.one_of(&["Papier Maurer", "Kernfabrik", "Stadtwerke", "Reisebuero Falk"]).to_owned(),
        "street" => dice.one_of(&["Gartenweg", "Uferstrasse", "Sonnenallee", "Torstrasse"]).to_owned(),
        "town" => dice.one_of(&["Hamburg", "Leipzig", "Bremen", "Dresden"]).to_owned(),
        other => format!("${other}"),
    }
}
