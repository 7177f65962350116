//! Who can call what, whatever the moment: policies evaluated without a moment. What depends on it is left open, so that
//! the answer is exact or says that it is conditional; never the other way round.

use std::cell::RefCell;
use std::collections::HashMap;

use cedar_policy::{EntityUid, EvalResult, Request, eval_expression};
use types::{Label, Method, PolicyId, Reason, Timestamp};

use super::STACK_BYTES;
use super::lex::{Kind, Word};
use super::split::{self, Condition, Part, Shape};
use crate::judge::{Principal, Question};
use crate::model::Route;
use crate::policies::{Policies, PolicyEffect, PolicyInfo, Tier};

/// What policies make of a caller and a route when every check enforces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// Whatever the moment, by these permits.
    Allowed(Vec<PolicyId>),
    /// Where these conditions hold, each led by the policy that makes it.
    Conditional {
        /// The permits that allow it then.
        permits: Vec<PolicyId>,
        /// What must hold, in the words of the policies.
        conditions: Vec<String>,
    },
    /// Whatever the moment, for this reason and by these policies; by none where none permits.
    Refused(Reason, Vec<PolicyId>),
}

/// What an expression may come to: any of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Outcomes {
    yes: bool,
    no: bool,
    fails: bool,
}

impl Outcomes {
    const NONE: Self = Self { yes: false, no: false, fails: false };
    const YES: Self = Self { yes: true, ..Self::NONE };
    const NO: Self = Self { no: true, ..Self::NONE };
    const FAILS: Self = Self { fails: true, ..Self::NONE };

    const fn not(self) -> Self {
        Self { yes: self.no, no: self.yes, fails: self.fails }
    }

    /// `self && other`, evaluated in that order.
    const fn and(self, other: Self) -> Self {
        if !self.yes {
            return self;
        }
        Self { yes: other.yes, no: self.no || other.no, fails: self.fails || other.fails }
    }
}

/// A policy, read once.
struct Compiled<'p> {
    info: &'p PolicyInfo,
    tier: Tier,
    scope: Vec<Part<'p>>,
    conditions: Vec<Condition<'p>>,
    readable: bool,
}

/// The policies of one domain, read for asking about many calls of its services.
pub struct Survey<'p> {
    policies: &'p Policies,
    compiled: Vec<Compiled<'p>>,
    /// What the scopes said about entities before: policy, place in the scope, entity.
    known: RefCell<HashMap<(usize, usize, EntityUid), Outcomes>>,
}

impl<'p> Survey<'p> {
    /// Reads the policies of a domain: its own, the guardrails and the generated ones.
    pub fn of(policies: &'p Policies, domain: &Label) -> Self {
        let known = policies.domains.get(domain).into_iter().flat_map(|set| set.known.values());
        let mut compiled: Vec<_> = stacker::grow(STACK_BYTES, || {
            let infos = known.filter_map(|known| Some((known.tier, policies.infos.get(&known.id)?)));
            infos.map(|(tier, info)| Compiled::of(tier, info)).collect()
        });
        compiled.sort_by(|a, b| (a.tier, &a.info.id).cmp(&(b.tier, &b.info.id)));
        Self { policies, compiled, known: RefCell::default() }
    }

    /// What the policies make of one caller, method and route of the domain.
    ///
    /// # Errors
    /// Words, where no policy can be asked about such a call.
    pub fn access(&self, principal: Principal<'_>, method: Method, route: &Route) -> Result<Access, String> {
        let at = Timestamp::default();
        let question = Question { principal, method, route, source: None, risk: 0, at };
        let request = self.policies.request(&question)?;
        Ok(stacker::grow(STACK_BYTES, || self.weigh(&request)))
    }

    fn weigh(&self, request: &Request) -> Access {
        let outcomes: Vec<_> =
            self.compiled.iter().enumerate().map(|(at, policy)| (policy, self.outcomes(at, policy, request))).collect();
        let that = |effect: PolicyEffect, fits: fn(&Outcomes) -> bool| -> Vec<&(&Compiled<'p>, Outcomes)> {
            outcomes.iter().filter(|(policy, outcomes)| policy.info.effect == effect && fits(outcomes)).collect()
        };
        let ids = |found: &[&(&Compiled<'p>, Outcomes)]| {
            found.iter().map(|(policy, _)| policy.info.id.clone()).collect::<Vec<_>>()
        };
        let broken: Vec<_> = outcomes.iter().filter(|(_, outcomes)| *outcomes == Outcomes::FAILS).collect();
        if !broken.is_empty() {
            return Access::Refused(Reason::PolicyError, ids(&broken));
        }
        let forbidding = that(PolicyEffect::Forbid, |outcomes| *outcomes == Outcomes::YES);
        if let Some((first, _)) = forbidding.first() {
            return Access::Refused(reason_of(first.tier), ids(&forbidding));
        }
        let permitting = that(PolicyEffect::Permit, |outcomes| outcomes.yes);
        if permitting.is_empty() {
            return Access::Refused(Reason::PolicyNoPermit, Vec::new());
        }
        let certain: Vec<_> = permitting.iter().copied().filter(|(_, outcomes)| *outcomes == Outcomes::YES).collect();
        let open = that(PolicyEffect::Forbid, |outcomes| outcomes.yes);
        let mut conditions = Vec::new();
        if certain.is_empty() {
            let said: Vec<_> = permitting.iter().map(|(policy, _)| self.said(policy, request, true)).collect();
            conditions.push(said.join(", or "));
        }
        conditions.extend(open.iter().map(|(policy, _)| self.said(policy, request, false)));
        let may_fail = outcomes.iter().filter(|(_, outcomes)| outcomes.fails);
        conditions.extend(may_fail.map(|(policy, _)| format!("{}: it can be evaluated", policy.info.id)));
        if conditions.is_empty() {
            Access::Allowed(ids(&certain))
        } else {
            Access::Conditional { permits: ids(&permitting), conditions }
        }
    }

    fn outcomes(&self, at: usize, policy: &Compiled<'p>, request: &Request) -> Outcomes {
        if !policy.readable {
            return Outcomes { yes: true, no: true, fails: true };
        }
        let mut outcomes = Outcomes::YES;
        for (place, part) in policy.scope.iter().enumerate() {
            outcomes = outcomes.and(self.scope(at, place, part, request));
        }
        for condition in &policy.conditions {
            if !outcomes.yes {
                break;
            }
            let body = self.part(&condition.body, request);
            outcomes = outcomes.and(if condition.wanted { body } else { body.not() });
        }
        outcomes
    }

    /// A clause of the scope reads one variable, so that what it said of the same entity is remembered.
    fn scope(&self, at: usize, place: usize, part: &Part<'p>, request: &Request) -> Outcomes {
        let entity = part.words.first().and_then(|variable| match variable.text {
            "principal" => request.principal(),
            "action" => request.action(),
            _ => request.resource(),
        });
        let Some(entity) = entity else { return self.part(part, request) };
        let key = (at, place, entity.clone());
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        let outcomes = self.part(part, request);
        self.known.borrow_mut().insert(key, outcomes);
        outcomes
    }

    fn part(&self, part: &Part<'p>, request: &Request) -> Outcomes {
        match &part.shape {
            Shape::All(parts) => self.all(parts, request),
            // `a || b` is `!(!a && !b)`
            Shape::Any(parts) => {
                let none = parts.iter().fold(Outcomes::YES, |so_far, part| {
                    if so_far.yes { so_far.and(self.part(part, request).not()) } else { so_far }
                });
                none.not()
            }
            Shape::Leaf if depends_on_moment(&part.words) => {
                Outcomes { yes: true, no: true, fails: may_fail(&part.words) }
            }
            Shape::Leaf => {
                let Some(expression) = &part.expression else { return Outcomes { yes: true, no: true, fails: true } };
                match eval_expression(request, &self.policies.entities, expression) {
                    Ok(EvalResult::Bool(true)) => Outcomes::YES,
                    Ok(EvalResult::Bool(false)) => Outcomes::NO,
                    Ok(_) | Err(_) => Outcomes::FAILS,
                }
            }
        }
    }

    fn all(&self, parts: &[Part<'p>], request: &Request) -> Outcomes {
        parts.iter().fold(
            Outcomes::YES,
            |so_far, part| {
                if so_far.yes { so_far.and(self.part(part, request)) } else { so_far }
            },
        )
    }

    /// What must hold for a permit to match, or for a forbid not to: what is open of it, led by its name.
    fn said(&self, policy: &Compiled<'p>, request: &Request, permits: bool) -> String {
        if !policy.readable {
            return format!("{}: its text cannot be taken apart", policy.info.id);
        }
        let open = policy.conditions.iter().filter_map(|condition| {
            let outcomes = self.part(&condition.body, request);
            let certain = outcomes == if condition.wanted { Outcomes::YES } else { Outcomes::NO };
            (!certain).then(|| (condition.wanted == permits, self.open(&condition.body, request)))
        });
        let words: Vec<_> = open
            .map(|(plain, (text, is_simple))| match (plain, is_simple) {
                (true, _) => text,
                (false, true) => format!("not {text}"),
                (false, false) => format!("not ({text})"),
            })
            .collect();
        let joint = if permits { " && " } else { " || " };
        format!("{}: {}", policy.info.id, words.join(joint))
    }

    /// What is open of a part, and whether that is a single clause.
    fn open(&self, part: &Part<'p>, request: &Request) -> (String, bool) {
        let (parts, joint, settled) = match &part.shape {
            Shape::Leaf => return (part.line(), true),
            Shape::All(parts) => (parts, " && ", Outcomes::YES),
            Shape::Any(parts) => (parts, " || ", Outcomes::NO),
        };
        let open: Vec<_> = parts.iter().filter(|part| self.part(part, request) != settled).collect();
        match open.as_slice() {
            [only] => self.open(only, request),
            many => {
                let texts = many.iter().map(|part| match self.open(part, request) {
                    (text, true) => text,
                    (text, false) => format!("({text})"),
                });
                (texts.collect::<Vec<_>>().join(joint), false)
            }
        }
    }
}

impl<'p> Compiled<'p> {
    fn of(tier: Tier, info: &'p PolicyInfo) -> Self {
        let parts = split::policy(info);
        let readable = parts.is_some();
        let split::Parts { scope, conditions } = parts.unwrap_or_default();
        Self { info, tier, scope, conditions, readable }
    }
}

/// The reason of a refusal by a forbid of this tier.
const fn reason_of(tier: Tier) -> Reason {
    match tier {
        Tier::Provider => Reason::ConsentProvider,
        Tier::Consumer => Reason::ConsentConsumer,
        Tier::Requires => Reason::RequiresIdentity,
        Tier::Written => Reason::PolicyForbidden,
        Tier::Permit => Reason::PolicyNoPermit,
    }
}

/// Whether an expression speaks of the moment; also where only an attribute is called so.
fn depends_on_moment(words: &[Word<'_>]) -> bool {
    words.iter().any(|word| word.names("context"))
}

/// Whether an expression that validates may fail all the same: arithmetic may overflow, of numbers and of times.
fn may_fail(words: &[Word<'_>]) -> bool {
    let sign = |word: &Word<'_>| word.is("+") || word.is("-") || word.is("*");
    let call = |word: &Word<'_>| {
        word.kind == Kind::Name && matches!(word.text, "offset" | "durationSince" | "toDate" | "toTime" | "getTag")
    };
    words.iter().any(|word| sign(word) || call(word))
}
