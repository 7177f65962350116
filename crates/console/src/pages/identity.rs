//! Identities: how long everything goes on without an issuer, the keys that all of it rests on, and who holds what.

use api::admin::{Budget, Failure, FailureCode, Keys, Rotate, Rotation, RotationAct, RotationPhase};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::Console;
use crate::answer::{self, Ask};
use crate::session::{Act, Frame, Visitor};
use crate::show::{When, count, grouped, number, span};

mod federated;
mod held;
mod rotations;

use federated::Foreign;
use held::Line;
use rotations::{KeyLine, Progress};

/// Workloads of the page, whoever needs a look first. The command lists them all.
const LISTED: usize = 300; // tidy: more is not read

/// What a form is filled in with.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Asked {
    domain: String,
    keys: String,
}

#[derive(Template)]
#[template(path = "identity.html")]
struct IdentityPage {
    frame: Frame,
    now: Now,
    keys: Vec<KeyLine>,
    domains: Vec<String>,
    asked: Asked,
    lines: Vec<Line>,
    /// How many workloads are not on the page.
    more: String,
    foreign: Vec<Foreign>,
}

#[derive(Template)]
#[template(path = "identity-now.html")]
struct NowPart {
    now: Now,
}

/// What changes while one looks.
struct Now {
    sentence: String,
    figures: Vec<(&'static str, String)>,
    first: Vec<First>,
    unknown: Vec<String>,
    rotations: Vec<Progress>,
}

/// One identity of the outage budget.
struct First {
    left: String,
    who: String,
    node: String,
    until: When,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    console.show(visitor.at("identity"), move |ask, frame| page(ask, frame, asked)).await
}

/// What changes alone, for the script that asks again and again.
pub(crate) async fn now(visitor: Visitor, State(console): State<Console>) -> Response {
    let part = |ask: &Ask<'_>, frame: Frame| {
        let registered = ask.admin.identities()?;
        Ok(NowPart { now: now_of(ask, &frame, &ask.admin.rotations()?, &held::sums(&registered))? })
    };
    console.show(visitor.at("identity"), part).await
}

fn page(ask: &Ask<'_>, frame: Frame, asked: Asked) -> Result<IdentityPage, Failure> {
    let (mut registered, rotations) = (ask.admin.identities()?, ask.admin.rotations()?);
    registered.sort_by_cached_key(held::order);
    let rest = number(registered.len().saturating_sub(LISTED));
    let mut domains: Vec<String> = rotations.iter().map(|rotation| rotation.domain.clone()).collect();
    domains.dedup();
    domains.sort();
    domains.dedup();
    Ok(IdentityPage {
        now: now_of(ask, &frame, &rotations, &held::sums(&registered))?,
        keys: rotations.iter().map(|rotation| rotations::key_line(rotation, ask.now)).collect(),
        domains,
        asked,
        lines: registered.iter().take(LISTED).map(|one| held::line(one, ask.now)).collect(),
        more: if rest == 0 { String::new() } else { count(rest, "other workload", "other workloads") },
        foreign: ask.admin.federated()?.iter().map(|one| federated::line(one, ask.now)).collect(),
        frame,
    })
}

fn now_of(ask: &Ask<'_>, frame: &Frame, rotations: &[Rotation], sums: &held::Sums) -> Result<Now, Failure> {
    let budget = ask.admin.budget()?;
    let moving: Vec<&Rotation> = rotations.iter().filter(|one| one.phase != RotationPhase::Idle).collect();
    let head = head(&budget, &frame.organisation);
    let first = budget.first.iter().map(|line| First {
        left: if line.seconds == 0 { "has run out".to_owned() } else { span(line.seconds) },
        who: short(&line.spiffe_id, &frame.organisation),
        node: line.node.clone(),
        until: When::full(line.not_after),
    });
    Ok(Now {
        sentence: format!("{head}{}.", rotations::clause(&moving)),
        figures: figures(&budget, sums, moving.len()),
        first: first.collect(),
        unknown: budget.unknown.clone(),
        rotations: moving.into_iter().map(|rotation| rotations::progress(rotation, ask.now)).collect(),
    })
}

/// How control names the node that shares its process.
const IN_PROCESS: &str = "in this process";

/// `If issuance stopped now, finance/payments on vm-pay-1 would be the first to fail, in 29 min`.
fn head(budget: &Budget, organisation: &str) -> String {
    let Some(first) = budget.first.first() else {
        return "Nobody holds an identity: nothing would fail if issuance stopped now".to_owned();
    };
    let name = short(&first.spiffe_id, organisation);
    let who = if first.node == IN_PROCESS { name } else { format!("{name} on {}", first.node) };
    match first.seconds {
        0 => format!("{who} has run out, and was not renewed"),
        left => format!("If issuance stopped now, {who} would be the first to fail, in {}", span(left)),
    }
}

fn figures(budget: &Budget, sums: &held::Sums, moving: usize) -> Vec<(&'static str, String)> {
    let mut figures = Vec::new();
    figures.extend(budget.seconds.map(|seconds| ("Outage budget", span(seconds))));
    figures.push(("Identities held", grouped(budget.counted)));
    figures.push(("Workloads that hold one", format!("{} of {}", grouped(sums.holding), grouped(sums.registered))));
    if sums.failing > 0 {
        figures.push(("Renewals that fail", grouped(sums.failing)));
    }
    if moving > 0 {
        figures.push(("Keys that rotate", grouped(number(moving))));
    }
    figures
}

/// `finance/payments` for `spiffe://finance.acme.internal/payments`; what is not ours stays whole.
pub(crate) fn short(spiffe_id: &str, organisation: &str) -> String {
    let parts = spiffe_id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
    let own = parts.and_then(|(domain, path)| {
        let domain = domain.strip_suffix(organisation)?.strip_suffix('.')?;
        Some(format!("{domain}/{path}"))
    });
    own.unwrap_or_else(|| spiffe_id.to_owned())
}

pub(crate) async fn rotate(State(console): State<Console>, act: Act) -> Response {
    let (frame, operator) = (act.visitor.at("identity"), act.visitor.operator());
    let request = match request(&act.field("domain"), &act.field("keys"), &act.field("act"), act.field("reason")) {
        Ok(request) => request,
        Err((message, hint)) => {
            return answer::failed(frame, &Failure::new(FailureCode::BadRequest, message, hint));
        }
    };
    console.act(frame, "/identity", move |admin| admin.rotate(&operator, &request).map(drop)).await
}

/// What a form asks for, or what is missing in it and what to do.
fn request(domain: &str, keys: &str, act: &str, reason: String) -> Result<Rotate, (&'static str, &'static str)> {
    let keys = match keys {
        "x509" => Keys::X509,
        "jwt" => Keys::Jwt,
        _ => return Err(("say which keys", "choose the root or the JWT key")),
    };
    let act = match act {
        "start" => RotationAct::Start,
        "back" => RotationAct::Back,
        "emergency" => RotationAct::Emergency,
        _ => return Err(("say what to do", "start it, take it back, or declare an emergency")),
    };
    if domain.is_empty() {
        return Err(("say of which domain", "choose one of the list"));
    }
    if act == RotationAct::Emergency && reason.is_empty() {
        return Err(("say why", "an emergency ends what the old key signed; the record keeps the reason"));
    }
    Ok(Rotate { domain: domain.to_owned(), keys, act, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_organisation_are_short_and_others_whole() {
        assert_eq!(short("spiffe://finance.acme.internal/payments", "acme.internal"), "finance/payments");
        assert_eq!(short("spiffe://finance.acme.internal/_gateway/gw-1", "acme.internal"), "finance/_gateway/gw-1");
        for other in ["spiffe://cluster.local/ns/a/sa/web", "spiffe://evilacme.internal/x", "nothing", ""] {
            assert_eq!(short(other, "acme.internal"), other);
        }
    }

    #[test]
    fn a_form_says_what_it_asks_for() {
        let ask = |domain, keys, act, reason: &str| request(domain, keys, act, reason.to_owned());
        let asked = ask("finance", "jwt", "start", "").unwrap();
        assert_eq!((asked.keys, asked.act), (Keys::Jwt, RotationAct::Start));
        for (domain, keys, act, reason) in [
            ("", "x509", "start", ""),
            ("finance", "", "start", ""),
            ("finance", "x509", "", ""),
            ("finance", "x509", "forward", ""),
            ("finance", "x509", "emergency", ""),
        ] {
            assert!(ask(domain, keys, act, reason).is_err(), "{domain} {keys} {act}");
        }
        assert!(ask("finance", "x509", "emergency", "stolen").is_ok());
    }
}
