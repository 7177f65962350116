//! A policy taken apart into its clauses: the three of its scope, and its conditions at `&&` and `||`.

use std::str::FromStr;

use cedar_policy::Expression;
use core::ops::Range;

use super::lex::{self, Word};
use crate::policies::PolicyInfo;

/// A policy in parts.
#[derive(Default)]
pub(super) struct Parts<'t> {
    /// Principal, action and resource, where the scope says anything about them.
    pub(super) scope: Vec<Part<'t>>,
    pub(super) conditions: Vec<Condition<'t>>,
}

/// A `when` or `unless`.
pub(super) struct Condition<'t> {
    /// What the body must be for the policy to match: true for `when`, false for `unless`.
    pub(super) wanted: bool,
    pub(super) body: Part<'t>,
}

/// A part of a condition. Round brackets around the whole of it are left out.
pub(super) struct Part<'t> {
    pub(super) words: Vec<Word<'t>>,
    /// What Cedar reads there; `None` where it reads nothing, which no policy that compiled has.
    pub(super) expression: Option<Expression>,
    pub(super) shape: Shape<'t>,
}

/// What a part is made of.
pub(super) enum Shape<'t> {
    /// Nothing that is told apart.
    Leaf,
    /// Parts that must all hold.
    All(Vec<Part<'t>>),
    /// Parts of which one must hold.
    Any(Vec<Part<'t>>),
}

impl Part<'_> {
    /// It as one line.
    pub(super) fn line(&self) -> String {
        lex::line(&self.words)
    }

    /// Its bytes in the policy's text.
    pub(super) fn place(&self) -> Range<usize> {
        lex::place(&self.words)
    }

    /// The parts of a conjunction, or itself.
    pub(super) fn all(&self) -> &[Self] {
        match &self.shape {
            Shape::All(parts) => parts,
            Shape::Leaf | Shape::Any(_) => core::slice::from_ref(self),
        }
    }

    /// The parts of a disjunction, or itself.
    pub(super) fn any(&self) -> &[Self] {
        match &self.shape {
            Shape::Any(parts) => parts,
            Shape::Leaf | Shape::All(_) => core::slice::from_ref(self),
        }
    }
}

/// Takes a policy apart. `None` for a text that is no policy.
pub(super) fn policy(info: &PolicyInfo) -> Option<Parts<'_>> {
    let words = lex::words(&info.text);
    let effect = words.iter().position(|word| word.names(info.effect.as_str()) && !is_annotation(&words, word))?;
    let (scope, mut rest) = lex::bracketed(words.get(effect + 1..)?)?;
    let scope = lex::split(scope, ",").into_iter().filter(|clause| clause.len() > 1).map(part).collect();
    let mut conditions = Vec::new();
    while let Some(keyword) = rest.first().filter(|word| word.names("when") || word.names("unless")) {
        let (body, after) = lex::bracketed(rest.get(1..)?)?;
        conditions.push(Condition { wanted: keyword.names("when"), body: part(body) });
        rest = after;
    }
    rest.first().is_some_and(|word| word.is(";")).then_some(Parts { scope, conditions })
}

/// Whether a word is the name of an annotation: `@permit` is one.
fn is_annotation(words: &[Word<'_>], word: &Word<'_>) -> bool {
    words.iter().take_while(|before| before.at.start < word.at.start).last().is_some_and(|before| before.is("@"))
}

/// Takes an expression apart. The stack that this needs is bounded by `cedar_depth`, to which every policy is held.
fn part<'t>(words: &[Word<'t>]) -> Part<'t> {
    let words = unwrapped(words);
    let shape = shape(words);
    Part { words: words.to_vec(), expression: Expression::from_str(&lex::line(words)).ok(), shape }
}

/// Without brackets around all of it.
fn unwrapped<'w, 't>(words: &'w [Word<'t>]) -> &'w [Word<'t>] {
    match lex::bracketed(words) {
        Some((inner, [])) if words.first().is_some_and(|first| first.is("(")) => unwrapped(inner),
        _ => words,
    }
}

/// `||` binds weaker than `&&`, and the last branch of an `if` takes everything that follows.
fn shape<'t>(words: &[Word<'t>]) -> Shape<'t> {
    if words.first().is_some_and(|word| word.names("if")) {
        return Shape::Leaf;
    }
    let any = lex::split(words, "||");
    if any.len() > 1 {
        let parts = any.into_iter().map(part);
        return whole(Shape::Any(parts.flat_map(spread_any).collect()));
    }
    let all = lex::split(words, "&&");
    if all.len() > 1 {
        return whole(Shape::All(all.into_iter().map(part).flat_map(spread_all).collect()));
    }
    Shape::Leaf
}

/// A shape whose parts Cedar can all read; otherwise none.
fn whole(shape: Shape<'_>) -> Shape<'_> {
    let readable = |parts: &[Part<'_>]| parts.iter().all(|part| part.expression.is_some());
    match &shape {
        Shape::All(parts) | Shape::Any(parts) if !readable(parts) => Shape::Leaf,
        _ => shape,
    }
}

/// `(a || b) || c` is `a || b || c`.
fn spread_any(part: Part<'_>) -> Vec<Part<'_>> {
    match part.shape {
        Shape::Any(parts) => parts,
        Shape::Leaf | Shape::All(_) => vec![part],
    }
}

/// `(a && b) && c` is `a && b && c`.
fn spread_all(part: Part<'_>) -> Vec<Part<'_>> {
    match part.shape {
        Shape::All(parts) => parts,
        Shape::Leaf | Shape::Any(_) => vec![part],
    }
}
