//! The values that a clause read, in words.

use cedar_policy::{Entities, EntityUid, EvalResult, Request, eval_expression};

use super::lex::{Kind, Word};
use crate::judge::Question;
use crate::model::Sensitivity;
use crate::names::NOBODY;

/// How many values of a clause are named.
const NAMED: usize = 4;

/// What a clause reads.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Read {
    /// A variable, and the type of what it is compared with.
    Variable { name: String, against: Option<String> },
    /// A variable's type.
    Type { name: String },
    /// An attribute, such as `context.risk`.
    Attribute { path: String },
    /// Whether there is an attribute.
    Has { path: String },
}

/// A call that clauses are held against.
pub(super) struct Held<'a> {
    pub(super) question: &'a Question<'a>,
    pub(super) request: &'a Request,
    pub(super) entities: &'a Entities,
}

impl Held<'_> {
    /// What these words read: the bare value where it is one, or each with its name; `""` for none.
    pub(super) fn values(&self, words: &[Word<'_>]) -> String {
        let mut reads: Vec<Read> = Vec::new();
        for read in reads_of(words) {
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        let named = |read: &Read| format!("{} {}", name(read), self.value(read));
        match reads.as_slice() {
            [] => String::new(),
            [only] => self.value(only),
            [first, rest @ ..] if rest.iter().all(|read| name(read) == name(first)) => self.value(first),
            many => {
                let mut texts: Vec<String> = many.iter().take(NAMED).map(named).collect();
                texts.dedup();
                if many.len() > NAMED {
                    texts.push("…".to_owned());
                }
                texts.join(", ")
            }
        }
    }

    fn value(&self, read: &Read) -> String {
        match read {
            Read::Variable { name, against } => self.variable(name, against.as_deref()),
            Read::Type { name } => self.uid(name).map_or_else(String::new, |uid| uid.type_name().to_string()),
            Read::Has { path } => self.presence(path),
            Read::Attribute { path } => self.attribute(path),
        }
    }

    fn uid(&self, variable: &str) -> Option<&EntityUid> {
        match variable {
            "principal" => self.request.principal(),
            "action" => self.request.action(),
            _ => self.request.resource(),
        }
    }

    /// The name of the entity, or of what it is in where it is compared with something of that kind.
    fn variable(&self, name: &str, against: Option<&str>) -> String {
        let Some(uid) = self.uid(name) else { return String::new() };
        let kind = against.filter(|kind| *kind != uid.type_name().to_string());
        let above = kind
            .and_then(|kind| self.entities.ancestors(uid)?.find(|ancestor| ancestor.type_name().to_string() == kind));
        let id = above.unwrap_or(uid).id().unescaped().to_owned();
        if id == NOBODY { "nobody identified".to_owned() } else { id }
    }

    /// `no address`, or what there is.
    fn presence(&self, path: &str) -> String {
        match self.evaluate(path) {
            Some(_) => self.attribute(path),
            None => format!("no {}", last(path)),
        }
    }

    fn attribute(&self, path: &str) -> String {
        let Some(value) = self.evaluate(path) else { return format!("no {}", last(path)) };
        match (path, &value) {
            ("context.now", _) => self.now(),
            ("context.ip", _) => self.question.source.map_or_else(String::new, |ip| ip.to_canonical().to_string()),
            ("context.minute_of_day", EvalResult::Long(minute)) => {
                format!("{minute} ({:02}:{:02})", minute / 60, minute % 60)
            }
            ("context.weekday", EvalResult::Long(day)) => format!("{day} ({})", weekday(*day)),
            (_, EvalResult::Long(level)) if last(path) == "sensitivity" => {
                let named = Sensitivity::ALL.into_iter().find(|known| i64::from(known.level()) == *level);
                named.map_or_else(|| level.to_string(), |known| format!("{level} ({})", known.as_str()))
            }
            (_, EvalResult::EntityUid(uid)) => uid.id().unescaped().to_owned(),
            (_, value) => value.to_string(),
        }
    }

    /// The moment to the second.
    fn now(&self) -> String {
        let text = self.question.at.to_string();
        text.get(..19).map_or_else(|| text.clone(), |text| format!("{} UTC", text.replace('T', " ")))
    }

    /// The value at a path; `None` where there is none.
    fn evaluate(&self, path: &str) -> Option<EvalResult> {
        eval_expression(self.request, self.entities, &path.parse().ok()?).ok()
    }
}

/// What a read is called.
fn name(read: &Read) -> &str {
    match read {
        Read::Variable { name, .. } | Read::Type { name } => name,
        Read::Attribute { path } | Read::Has { path } => path,
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn weekday(day: i64) -> &'static str {
    match day {
        1 => "Monday",
        2 => "Tuesday",
        3 => "Wednesday",
        4 => "Thursday",
        5 => "Friday",
        6 => "Saturday",
        _ => "Sunday",
    }
}

/// Everything that the words read, in their order.
fn reads_of(words: &[Word<'_>]) -> Vec<Read> {
    let mut reads = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let is_variable =
            word.kind == Kind::Name && matches!(word.text, "principal" | "action" | "resource" | "context");
        if is_variable && !before.is_some_and(|before| before.is(".") || before.is("::")) {
            reads.extend(read_at(words.get(at..).unwrap_or_default()));
        }
    }
    reads
}

/// What is read from the variable on with which these words begin.
fn read_at(words: &[Word<'_>]) -> Option<Read> {
    let (variable, mut rest) = words.split_first()?;
    let mut path = variable.text.to_owned();
    while let [dot, attribute, after @ ..] = rest {
        let is_call = after.first().is_some_and(|next| next.is("("));
        if !dot.is(".") || attribute.kind != Kind::Name || is_call {
            break;
        }
        path = format!("{path}.{}", attribute.text);
        rest = after;
    }
    let bare = path == variable.text;
    match rest {
        [has, attribute, ..] if has.names("has") => Some(Read::Has { path: format!("{path}.{}", attribute.text) }),
        [is, _, within, ..] if bare && is.names("is") && !within.names("in") => Some(Read::Type { name: path }),
        [is, _] if bare && is.names("is") => Some(Read::Type { name: path }),
        _ if bare && variable.text == "context" => None,
        _ if bare => Some(Read::Variable { name: path, against: literal_type(rest) }),
        _ => Some(Read::Attribute { path }),
    }
}

/// The type of the first entity that is named before the comparison ends.
fn literal_type(words: &[Word<'_>]) -> Option<String> {
    let comparison = words.split(|word| word.is("&&") || word.is("||")).next()?;
    let colons = comparison.iter().position(|word| word.is("::"))?;
    let named = comparison.get(colons.checked_sub(1)?)?;
    Some(named.text.to_owned())
}
