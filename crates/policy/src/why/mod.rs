//! Why: a refused call held against policies clause by clause, each clause evaluated by Cedar itself; and who can call
//! what, whatever the moment. Off the request path.

mod access;
mod lex;
mod split;
mod values;

use core::ops::Range;

use cedar_policy::{EvalResult, Expression, eval_expression};
use types::{PolicyId, limits};

use crate::judge::Question;
use crate::names;
use crate::policies::{Policies, PolicyInfo, Set};
use crate::scope::{Scope, Slot};
pub use access::{Access, Survey};
use split::{Part, Parts, Shape};
use values::Held;

/// The stack that reading clauses runs on; see the compiler, whose limits bound what is read here.
const STACK_BYTES: usize = 64 << 20;
/// How many permits come near.
const NEAREST: usize = 3;

/// One condition of a policy, held against a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clause {
    /// The clause on one line; `unless …` for a part of an `unless`, which must not be true.
    pub text: String,
    /// Whether it lets the policy match; `None` where it was not asked or could not be evaluated.
    pub holds: Option<bool>,
    /// The value that it read, such as `50`, or several with their names; what failed where it could not be evaluated;
    /// `""` where it read nothing.
    pub was: String,
    /// Its bytes in [`PolicyInfo::text`]; without the word `unless`.
    pub place: Range<usize>,
}

impl Clause {
    /// How much a permit lacks for want of this clause: three conditions of the moment are less than another caller.
    fn weight(&self) -> u32 {
        match (self.holds, self.text.contains("principal"), self.text.contains("context")) {
            (Some(true), ..) => 0,
            (_, false, true) => 1,
            (_, true, _) => 4,
            (_, false, false) => 6,
        }
    }
}

/// A policy held against a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading<'p> {
    /// The policy.
    pub policy: &'p PolicyInfo,
    /// Its clauses in the order of the text, at most `why_clauses`.
    pub clauses: Vec<Clause>,
}

/// What comes near to allowing a call.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Near<'p> {
    /// The permits that match, whatever forbids the call.
    pub permits: Vec<PolicyId>,
    /// Those that do not and come nearest, the nearest first, at most three.
    pub nearest: Vec<Reading<'p>>,
}

/// How near a permit is, the nearest first: the same route and action before the same route before the same caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Nearness {
    RouteAndAction,
    Route,
    CallerInService,
    Caller,
}

impl Policies {
    /// The permits that match a call, and those that come nearest to it: those for this route, or else those for this
    /// caller; among them those that lack least, and then by name. What depends on the moment lacks least, then that the
    /// caller is another, then that the route is. Holds no more than `why_policies` against the call.
    ///
    /// # Errors
    /// Words, where no policy can be asked about the call.
    pub fn nearest(&self, question: &Question<'_>) -> Result<Near<'_>, String> {
        stacker::grow(STACK_BYTES, || self.nearest_with_room(question))
    }

    fn nearest_with_room(&self, question: &Question<'_>) -> Result<Near<'_>, String> {
        let request = self.request(question)?;
        let held = Held { question, request: &request, entities: &self.entities };
        let Some(set) = self.domains.get(question.route.id.service().domain()) else {
            return Ok(Near::default());
        };
        let mut candidates = self.candidates(set, question, &held);
        candidates.sort_by(|(a, id), (b, other)| (a, id).cmp(&(b, other)));
        let for_route = candidates.iter().any(|(nearness, _)| *nearness <= Nearness::Route);
        candidates.retain(|(nearness, _)| !for_route || *nearness <= Nearness::Route);
        candidates.truncate(limits::WHY_POLICIES.default_usize());
        let mut permits = Vec::new();
        let mut readings = Vec::new();
        for (nearness, id) in candidates {
            let Some(reading) = self.infos.get(id).map(|info| held.read(info)) else { continue };
            match reading.clauses.iter().map(Clause::weight).sum() {
                0 => permits.push(id.clone()),
                // nobody can mend what nobody wrote
                _ if reading.policy.generated => {}
                lack => readings.push((nearness, lack, id, reading)),
            }
        }
        readings.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        let nearest = readings.into_iter().take(NEAREST).map(|(_, _, _, reading)| reading).collect();
        Ok(Near { permits, nearest })
    }

    /// The permits of a set that have anything to do with a call, judged by their scopes.
    fn candidates<'s>(&self, set: &'s Set, question: &Question<'_>, held: &Held<'_>) -> Vec<(Nearness, &'s PolicyId)> {
        let (Some(principal), Some(resource)) = (held.request.principal(), held.request.resource()) else {
            return Vec::new();
        };
        let service = question.route.id.service().to_string();
        let of_service = |slot: &Slot| {
            let named =
                slot.entity().map(|entity| entity.id().unescaped().split(' ').next().unwrap_or_default().to_owned());
            named.is_some_and(|named| named == service)
        };
        let near = |scope: &Scope| {
            let for_caller = scope.principal != Slot::Any && scope.principal.holds(principal, &self.entities);
            let for_route = scope.resource.holds(resource, &self.entities);
            match (for_route, scope.methods.contains(&question.method), for_caller) {
                (true, true, _) => Some(Nearness::RouteAndAction),
                (true, false, _) => Some(Nearness::Route),
                (false, _, true) if of_service(&scope.resource) => Some(Nearness::CallerInService),
                (false, _, true) => Some(Nearness::Caller),
                (false, _, false) => None,
            }
        };
        set.permits.iter().filter_map(|(id, scope)| Some((near(scope)?, id))).collect()
    }

    /// A policy held against a call: for a `forbid` that matched, what made it match. `None` for a policy that there is
    /// not, and where no policy can be asked about the call.
    pub fn read(&self, id: &PolicyId, question: &Question<'_>) -> Option<Reading<'_>> {
        stacker::grow(STACK_BYTES, || {
            let request = self.request(question).ok()?;
            let held = Held { question, request: &request, entities: &self.entities };
            Some(held.read(self.infos.get(id)?))
        })
    }
}

/// The name among the known ones that was probably meant: the one that takes the fewest single edits, where that is at
/// most a third of the name.
pub fn did_you_mean<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    names::nearest(wrong, known.into_iter().map(str::to_owned))
}

impl Held<'_> {
    fn read<'p>(&self, policy: &'p PolicyInfo) -> Reading<'p> {
        let mut clauses = Vec::new();
        let Parts { scope, conditions } = split::policy(policy).unwrap_or_default();
        for clause in &scope {
            self.clause(clause, true, &mut clauses);
        }
        for condition in &conditions {
            let parts = if condition.wanted { condition.body.all() } else { condition.body.any() };
            for part in parts {
                self.clause(part, condition.wanted, &mut clauses);
            }
        }
        // what an earlier clause would have kept from being evaluated has no answer of its own
        let mut failed = false;
        for clause in &mut clauses {
            if failed && clause.holds.is_none() {
                clause.was = String::new();
            }
            failed |= clause.holds == Some(false);
        }
        clauses.truncate(limits::WHY_CLAUSES.default_usize());
        Reading { policy, clauses }
    }

    /// One clause; where one part of it decides, that part.
    fn clause(&self, part: &Part<'_>, wanted: bool, clauses: &mut Vec<Clause>) {
        let outcome = self.ask(part.expression.as_ref());
        let parts = match &part.shape {
            Shape::Any(parts) if wanted => Some(parts),
            Shape::All(parts) if !wanted => Some(parts),
            _ => None,
        };
        let decides = |part: &&Part<'_>| self.ask(part.expression.as_ref()) == Ok(wanted);
        let deciding = parts.filter(|_| outcome == Ok(wanted)).and_then(|parts| parts.iter().find(decides));
        if let Some(deciding) = deciding {
            let inner = if wanted { deciding.all() } else { deciding.any() };
            for part in inner {
                self.clause(part, wanted, clauses);
            }
            return;
        }
        let text = part.line();
        clauses.push(Clause {
            text: if wanted { text } else { format!("unless {text}") },
            holds: outcome.as_ref().ok().map(|outcome| *outcome == wanted),
            was: outcome.map_or_else(|error| error, |_| self.values(&part.words)),
            place: part.place(),
        });
    }

    /// What Cedar makes of an expression.
    fn ask(&self, expression: Option<&Expression>) -> Result<bool, String> {
        let expression = expression.ok_or("it cannot be read")?;
        match eval_expression(self.request, self.entities, expression) {
            Ok(EvalResult::Bool(outcome)) => Ok(outcome),
            Ok(other) => Err(format!("it is {other}, not true or false")),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
