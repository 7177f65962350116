//! Takes a tree apart into typed values, reporting everything that does not fit instead of stopping at the first.

use core::{hash::Hash, ops::Range, time::Duration};
use std::collections::{HashMap, HashSet};

use types::Label;

use crate::{
    problem::{File, quote},
    suggest,
    yaml::{Entry, Node, Value},
};

/// A value and the bytes it came from.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Spanned<T> {
    /// The value.
    pub(crate) value: T,
    /// Its bytes.
    pub(crate) span: Range<usize>,
}

/// The entries of a mapping whose keys are names, in the order of the file.
pub(crate) struct Named<T> {
    entries: Vec<(Spanned<Label>, T)>,
    places: HashMap<Label, usize>,
}

impl<T> Named<T> {
    /// The entry of a name.
    pub(crate) fn get(&self, name: &Label) -> Option<&T> {
        self.places.get(name).and_then(|at| self.entries.get(*at)).map(|(_, value)| value)
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Spanned<Label>, &T)> + Clone {
        self.entries.iter().map(|(name, value)| (name, value))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: HashMap::new() }
    }
}

impl<T> FromIterator<(Spanned<Label>, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (Spanned<Label>, T)>>(entries: I) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let places = entries.iter().enumerate().map(|(at, (name, _))| (name.value.clone(), at)).collect();
        Self { entries, places }
    }
}

/// What stands in a mapping and could not be read.
pub(crate) struct Unread<'n> {
    entries: &'n [Entry],
    dropped: &'n [Option<String>],
    known: Vec<&'static str>,
}

/// How the value of a key looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Map,
    List,
    /// One of many: an unknown key is not taken for this one by its value.
    Plain,
}

impl Unread<'_> {
    /// Whether something of it may have been meant to be a known key: an unknown key that looks like it, one that looks
    /// like no key but has such a value where the known one is missing, or a key that was dropped.
    pub(crate) fn may_be(&self, key: &str, shape: Shape) -> bool {
        let is_near = |written: &str| written == key || suggest::nearest(written, [key]).is_some();
        let is_missing = !self.entries.iter().any(|entry| entry.key == key);
        let like_none = |entry: &Entry| suggest::nearest(&entry.key, self.known.iter().copied()).is_none();
        let fits = |entry: &Entry| is_missing && has_shape(&entry.node.value, shape) && like_none(entry);
        let mut unknown = self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str()));
        unknown.any(|entry| is_near(&entry.key) || fits(entry))
            || self.dropped.iter().any(|written| written.as_deref().is_none_or(is_near))
    }
}

fn has_shape(value: &Value, shape: Shape) -> bool {
    match value {
        Value::Map(entries) => shape == Shape::Map && !entries.is_empty(),
        Value::List(items) => shape == Shape::List && !items.is_empty(),
        Value::Broken => shape != Shape::Plain,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
    }
}

/// The keys of one mapping. Each key is taken once; [`Fields::finish`] reports what nobody took and what is missing.
pub(crate) struct Fields<'n, 'f> {
    file: &'f File<'f>,
    what: &'static str,
    owner: Range<usize>,
    entries: &'n [Entry],
    dropped: &'n [Option<String>],
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
    missing: Vec<(&'static str, &'static str)>,
}

impl<'n, 'f> Fields<'n, 'f> {
    /// Opens a mapping. `what` names it in messages, with its article: `a service`.
    pub(crate) fn open(node: &'n Node, file: &'f File<'f>, what: &'static str) -> Option<Self> {
        let entries = mapping(node, file, what)?;
        let (owner, dropped) = (node.at.clone(), node.dropped.as_slice());
        Some(Self { file, what, owner, entries, dropped, known: Vec::new(), refused: Vec::new(), missing: Vec::new() })
    }

    /// The value of a key that may be left out.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The place of a key that belongs elsewhere, which the caller reports; `None` where it does not stand here.
    pub(crate) fn refuse(&mut self, key: &'static str) -> Option<Range<usize>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        self.refused.push(key);
        Some(entry.key_span.clone())
    }

    /// The value of a key that must be there. `example` shows how it may look.
    pub(crate) fn required(&mut self, key: &'static str, example: &'static str) -> Option<&'n Node> {
        let found = self.optional(key);
        if found.is_none() {
            self.missing.push((key, example));
        }
        found
    }

    /// An optional key, read by a function. `None` where it is left out or does not fit.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node, &File<'_>) -> Option<T>,
    ) -> Option<T> {
        read(self.optional(key)?, self.file)
    }

    /// Reports unknown and missing keys, and gives back what could not be read. A missing key is not reported where an
    /// unknown one looks like it.
    pub(crate) fn finish(self) -> Unread<'n> {
        let mut misspelt = Vec::new();
        let is_free = |key: &&str| !self.entries.iter().any(|entry| entry.key == *key);
        let free: Vec<&str> = self.known.iter().copied().filter(is_free).collect();
        let is_told = |key: &str| self.known.contains(&key) || self.refused.contains(&key);
        for entry in self.entries.iter().filter(|entry| !is_told(&entry.key)) {
            let near = suggest::nearest(&entry.key, free.iter().copied());
            misspelt.extend(near);
            let hint = match near {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("{} takes {}", self.what, suggest::list(&self.known)),
            };
            self.file.error(
                "yaml.unknown-key",
                &entry.key_span,
                format!("unknown key {}", quote(&entry.key)),
                Some(hint),
            );
        }
        for (key, example) in self.missing.iter().filter(|(key, _)| !misspelt.contains(key)) {
            let hint = format!("{} needs it, such as `{example}`", self.what);
            self.file.error("yaml.missing-key", &self.owner, format!("missing key `{key}`"), Some(hint));
        }
        Unread { entries: self.entries, dropped: self.dropped, known: self.known }
    }
}

/// Reports a value of the wrong type.
pub(crate) fn wrong_type(node: &Node, file: &File<'_>, want: &str, hint: Option<String>) {
    if node.value == Value::Broken {
        return file.pass_over();
    }
    file.error("yaml.type", node.point(), format!("expected {want}, found {}", node.kind()), hint);
}

/// Reports a value of the right type that does not fit.
pub(crate) fn bad_value(node: &Node, file: &File<'_>, message: String, hint: &str) {
    file.error("value.bad", node.point(), message, Some(hint.to_owned()));
}

/// The entries of a mapping.
pub(crate) fn mapping<'n>(node: &'n Node, file: &File<'_>, want: &str) -> Option<&'n [Entry]> {
    if let Value::Map(entries) = &node.value {
        if !node.dropped.is_empty() {
            file.pass_over();
        }
        return Some(entries);
    }
    let hint = match &node.value {
        Value::Null => Some("write its keys below it, indented, or `{}` if there are none".to_owned()),
        _ => None,
    };
    wrong_type(node, file, &format!("the keys of {want}"), hint);
    None
}

/// The items of a list that holds at least one.
pub(crate) fn list<'n>(node: &'n Node, file: &File<'_>, want: &str) -> Option<&'n [Node]> {
    let hint = match &node.value {
        Value::List(items) if items.is_empty() => {
            file.error("value.empty", node.point(), format!("expected {want}, found an empty list"), None);
            return None;
        }
        Value::List(items) => return Some(items),
        Value::Text(text) | Value::Number(text) if text.len() < 80 => Some(format!("write `[{text}]`")),
        _ => None,
    };
    wrong_type(node, file, want, hint);
    None
}

/// The items of a list, each read by a function; what does not fit is reported and left out, and so is a repetition.
pub(crate) fn items<T: Clone + Eq + Hash>(
    node: &Node,
    file: &File<'_>,
    want: &str,
    read: impl Fn(&Node, &File<'_>) -> Option<T>,
) -> Vec<Spanned<T>> {
    let mut found: Vec<Spanned<T>> = Vec::new();
    let mut seen = HashSet::new();
    for item in list(node, file, want).unwrap_or_default() {
        let Some(value) = read(item, file) else { continue };
        if !seen.insert(value.clone()) {
            file.error("value.duplicate", item.point(), "this stands in the list twice".to_owned(), None);
            continue;
        }
        found.push(Spanned { value, span: item.point().clone() });
    }
    found
}

/// A text.
pub(crate) fn text<'n>(node: &'n Node, file: &File<'_>, want: &str) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => return Some(text),
        Value::Number(text) => wrong_type(node, file, want, Some(format!("put it in quotes: `\"{text}\"`"))),
        Value::Bool(value) => wrong_type(node, file, want, Some(format!("put it in quotes: `\"{value}\"`"))),
        _ => wrong_type(node, file, want, None),
    }
    None
}

/// A text that a function understands; the error's words become the message.
pub(crate) fn parsed<T, E: core::fmt::Display>(
    node: &Node,
    file: &File<'_>,
    want: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(text(node, file, want)?) {
        Ok(value) => Some(value),
        Err(error) => {
            file.error("value.bad", node.point(), error.to_string(), None);
            None
        }
    }
}

/// One of a few words.
pub(crate) fn one_of<T: Copy>(node: &Node, file: &File<'_>, want: &str, words: &[(&'static str, T)]) -> Option<T> {
    let written = text(node, file, want)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = suggest::hint(written, known.iter().copied(), "values");
    file.error("value.unknown", node.point(), format!("unknown value {}", quote(written)), hint);
    None
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node, file: &File<'_>) -> Option<bool> {
    if let Value::Bool(value) = node.value {
        return Some(value);
    }
    let hint = match &node.value {
        Value::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "yes" | "on" | "y" | "true") => {
            Some("write `true`")
        }
        Value::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "no" | "off" | "n" | "false") => {
            Some("write `false`")
        }
        _ => None,
    };
    wrong_type(node, file, "`true` or `false`", hint.map(str::to_owned));
    None
}

/// A whole number up to `most`, in plain decimal digits: leading zeros mean octal to some readers and are refused.
pub(crate) fn whole(node: &Node, file: &File<'_>, most: u64) -> Option<u64> {
    let want = format!("a whole number from 0 to {most}");
    let Value::Number(text) = &node.value else {
        wrong_type(node, file, &want, None);
        return None;
    };
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = text.parse().ok().filter(|number| plain && *number <= most);
    if number.is_none() {
        bad_value(node, file, format!("{} is not {want}", quote(text)), "use plain decimal digits");
    }
    number
}

/// A length of time such as `15m`: one number and one of `ms s m h d`, from 1 ms to 3,650 days.
pub(crate) fn duration(node: &Node, file: &File<'_>) -> Option<Duration> {
    let written = quantity(node, file, "a duration")?;
    let duration = parse_duration(&written);
    if duration.is_none() {
        bad_value(node, file, format!("{} is not a duration", quote(&written)), DURATION_HINT);
    }
    duration
}

/// A length of time, or `none`.
pub(crate) fn duration_or_none(node: &Node, file: &File<'_>) -> Option<Option<Duration>> {
    let written = quantity(node, file, "a duration or `none`")?;
    if written == "none" {
        return Some(None);
    }
    let duration = parse_duration(&written);
    if duration.is_none() {
        let hint = format!("{DURATION_HINT}; or it is `none`");
        bad_value(node, file, format!("{} is not a duration", quote(&written)), &hint);
    }
    duration.map(Some)
}

const DURATION_HINT: &str = "a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `15m`";

fn parse_duration(written: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    const LONGEST: u64 = 3_650 * 86_400_000;
    scaled(written, &UNITS).filter(|millis| (1..=LONGEST).contains(millis)).map(Duration::from_millis)
}

/// A number of bytes such as `1MiB`: one number and one of `B KiB MiB GiB TiB`, at least 1.
pub(crate) fn size(node: &Node, file: &File<'_>) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let written = quantity(node, file, "a size")?;
    let bytes = scaled(&written, &UNITS).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        let hint = "a size is a whole number with `B`, `KiB`, `MiB`, `GiB` or `TiB`, such as `1MiB`";
        bad_value(node, file, format!("{} is not a size", quote(&written)), hint);
    }
    bytes
}

/// Numbers without a unit are read too, so that the message can speak of the unit.
fn quantity(node: &Node, file: &File<'_>, want: &str) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        _ => {
            wrong_type(node, file, want, None);
            None
        }
    }
}

fn scaled(written: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = written.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = written.split_at_checked(digits)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}
