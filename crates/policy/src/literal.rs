//! The entity literals of a policy: each must name something, and a resource must be one of the policy's own domain.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lost::Lost;
use crate::model::Model;
use crate::names::{self, Resolved};
use crate::problem::Problem;
use crate::source::{Owner, SourcePolicy};

/// Which variable of the request a literal is compared with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Principal,
    Resource,
    /// Neither, or more than one.
    Other,
}

/// A literal such as `Route::"finance/ledger POST /entries"`.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Literal {
    entity_type: String,
    id: String,
    side: Side,
}

impl Literal {
    /// The literal as it is usually written.
    fn source(&self) -> String {
        format!("{}::\"{}\"", self.entity_type, self.id)
    }
}

/// Checks every literal of a policy, but for those that may name something that is lost.
pub(crate) fn check(model: &Model, lost: &Lost, owner: Owner<'_>, policy: &SourcePolicy, problems: &mut Vec<Problem>) {
    let json = match policy.policy.to_json() {
        Ok(json) => json,
        Err(error) => {
            let message = format!("the policy cannot be examined: {error}");
            problems.push(Problem::error("cedar.internal", &policy.path, message).at(policy.span.clone()));
            return;
        }
    };
    let mut literals = BTreeSet::new();
    collect(&json, Side::Other, &mut literals);
    problems.extend(literals.iter().filter_map(|literal| problem_with(model, lost, owner, policy, literal)));
}

fn problem_with(
    model: &Model,
    lost: &Lost,
    owner: Owner<'_>,
    policy: &SourcePolicy,
    literal: &Literal,
) -> Option<Problem> {
    let place = policy.place_of(&literal.source());
    match names::resolve(model, &literal.entity_type, &literal.id)? {
        Resolved::Unknown(_) if lost.may_hold(model, &literal.entity_type, &literal.id) => None,
        Resolved::Unknown(nearest) if literal.entity_type == "Operator" => {
            Some(unknown_operator(policy, literal, nearest).at(place))
        }
        Resolved::Unknown(nearest) => {
            let (kind, shown) = (literal.entity_type.to_lowercase(), literal.id.chars().take(200).collect::<String>());
            let message = format!("there is no {kind} `{shown}`");
            let problem = Problem::error("cedar.unknown-literal", &policy.path, message).at(place);
            Some(match nearest {
                Some(nearest) => problem.hint(format!("did you mean `{nearest}`?")),
                None => problem.hint(format!("a {kind} is written like `{}`", example(&literal.entity_type))),
            })
        }
        Resolved::Known(home) => {
            let Owner::Domain(domain) = owner else { return None };
            let of_resource = literal.side == Side::Resource || literal.entity_type == "Route";
            let foreign = home.filter(|home| of_resource && home != domain && !lost.owners.contains(domain))?;
            let message = format!("policies of {domain} do not apply to `{}`, which belongs to {foreign}", literal.id);
            let problem = Problem::error("cedar.foreign-resource", &policy.path, message).at(place);
            Some(problem.hint(format!("move it to domains/{foreign}/policies, or to policies/ if it is a guardrail")))
        }
    }
}

/// No error: a policy about nobody permits nothing. One that forbids may not forbid what it was meant to.
fn unknown_operator(policy: &SourcePolicy, literal: &Literal, nearest: Option<String>) -> Problem {
    let shown = literal.id.chars().take(200).collect::<String>();
    let message = format!("there is no operator `{shown}`: nobody can act under this name");
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "add it to `operators` in countersign.yaml".to_owned(),
    };
    Problem::warning("cedar.unknown-operator", &policy.path, message).hint(hint)
}

fn example(entity_type: &str) -> &'static str {
    match entity_type {
        "Role" => "owner",
        "Domain" => "finance",
        "Service" => "finance/ledger",
        "Route" => "finance/ledger POST /entries",
        _ => "finance/payments",
    }
}

/// Walks a policy in Cedar's JSON form. Literals are `{"type": …, "id": …}` in the scope and `{"__entity": …}` of the
/// same shape in conditions; an operator node has `left` and `right`, and a variable is `{"Var": …}`.
fn collect(value: &Value, side: Side, literals: &mut BTreeSet<Literal>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, side, literals)),
        Value::Object(fields) => {
            if let (Some(Value::String(entity_type)), Some(Value::String(id))) = (fields.get("type"), fields.get("id"))
            {
                literals.insert(Literal { entity_type: entity_type.clone(), id: id.clone(), side });
                return;
            }
            let compared = if fields.contains_key("left") { compared_with(fields.values()) } else { side };
            for (key, field) in fields {
                let side = match key.as_str() {
                    "principal" if field.get("op").is_some() => Side::Principal,
                    "resource" if field.get("op").is_some() => Side::Resource,
                    _ => compared,
                };
                collect(field, side, literals);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The variable among the operands of an operator.
fn compared_with<'a>(operands: impl Iterator<Item = &'a Value>) -> Side {
    let sides =
        operands.filter_map(|operand| operand.get("Var").and_then(Value::as_str)).map(|variable| match variable {
            "principal" => Side::Principal,
            "resource" => Side::Resource,
            _ => Side::Other,
        });
    let mut sides: Vec<_> = sides.collect();
    sides.dedup();
    match sides.as_slice() {
        [side] => *side,
        _ => Side::Other,
    }
}
