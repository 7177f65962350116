//! Reads the strict subset of YAML 1.2 (and so JSON) that a trust directory is written in, into a tree in which
//! everything knows its bytes.
//!
//! One document; no anchors, aliases, tags, merge keys or directives; a key once per mapping; nesting and size bounded.
//! Plain scalars are typed by the core schema (YAML 1.2.2 10.3.2): `yes` is a text, `0x10` a number.

use core::ops::Range;
use std::collections::{HashMap, hash_map};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};
use types::limits;

use crate::problem::{File, quote};

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    /// The bytes of the value; of a collection, from its first byte to its last.
    pub(crate) span: Range<usize>,
    /// What to underline when the value as a whole is meant: the key before it, or its own first key or bytes.
    pub(crate) at: Range<usize>,
    /// What it is.
    pub(crate) value: Value,
    /// The keys of a mapping that are not among its entries because their problem is reported: each with its text where
    /// it stands twice, and `None` where it is no text.
    pub(crate) dropped: Vec<Option<String>>,
}

/// What a node holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or a float, as written.
    Number(String),
    /// A text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
    /// Something whose problem is already reported. Whoever meets it stays silent.
    Broken,
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// The key's text, whatever type it would have as a value.
    pub(crate) key: String,
    /// The key's bytes.
    pub(crate) key_span: Range<usize>,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    const fn new(span: Range<usize>, at: Range<usize>, value: Value) -> Self {
        Self { span, at, value, dropped: Vec::new() }
    }

    /// What to underline: a scalar itself, a collection's key.
    pub(crate) const fn point(&self) -> &Range<usize> {
        match &self.value {
            Value::List(_) | Value::Map(_) => &self.at,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Broken => &self.span,
        }
    }

    /// What the node is, in words.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(text) => format!("the number {}", quote(text)),
            Value::Text(text) => format!("the text {}", quote(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Broken => "something unreadable".to_owned(),
        }
    }

    /// The value of a key, where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// Reads a file. `None` where there is no tree to go on with; every problem is reported.
pub(crate) fn read(file: &File<'_>) -> Option<Node> {
    let depth = limits::YAML_DEPTH.default_usize();
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: depth,
        block_nesting_limit: depth,
    };
    let mut builder = Builder { file, stack: Vec::new(), root: None, documents: 0, nodes: 0 };
    for next in Parser::new_from_str_with_options(file.text.as_str(), options) {
        match next {
            Ok((event, span)) => {
                if builder.take(event, &span).is_err() {
                    return None;
                }
            }
            Err(error) => {
                syntax_error(file, &error);
                return None;
            }
        }
    }
    if builder.root.is_none() {
        file.error("yaml.empty", &(0..0), "the file is empty".to_owned(), None);
    }
    builder.root
}

/// Reading stops; the problem is reported.
struct Stop;

enum Frame {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, map: Map, key: Option<Key> },
}

/// A mapping while it is read.
#[derive(Default)]
struct Map {
    entries: Vec<Entry>,
    dropped: Vec<Option<String>>,
    seen: HashMap<String, usize>,
}

/// A key that waits for its value.
enum Key {
    Good {
        text: String,
        span: Range<usize>,
    },
    /// Its problem is reported: the value is dropped. With the text where that is known.
    Bad(Option<String>),
}

struct Builder<'f> {
    file: &'f File<'f>,
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let bytes = span.byte_range().unwrap_or_default();
        match event {
            Event::DocumentStart(..) => self.document(&bytes)?,
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let value = scalar(&text, style, bytes.is_empty());
                self.complete(Node::new(bytes.clone(), bytes, value), Some(&text))?;
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(Frame::List { start: bytes.start, items: Vec::new() }, &bytes)?;
            }
            Event::MappingStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(Frame::Map { start: bytes.start, map: Map::default(), key: None }, &bytes)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(bytes.end)?,
            Event::Anchor(..) => {
                self.refuse("yaml.anchor", &bytes, "anchors are not read", "write the value where it is used")
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse("yaml.anchor", &bytes, "aliases are not read", "write the value out");
                self.complete(Node::new(bytes.clone(), bytes, Value::Broken), None)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Comment(..) => {}
            // A kind of event that did not exist when this was written may carry structure: not to be skipped.
            _ => {
                self.refuse("yaml.syntax", &bytes, "this is not read", "write plain keys and values");
                return Err(Stop);
            }
        }
        Ok(())
    }

    fn refuse(&self, code: &'static str, span: &Range<usize>, message: &str, hint: &str) {
        self.file.error(code, span, message.to_owned(), Some(hint.to_owned()));
    }

    fn refuse_tag(&self, tagged: bool, span: &Span) {
        if tagged {
            let tag = span.tag_span().and_then(|span| span.byte_range()).or_else(|| span.byte_range());
            let hint = "leave it out; quotes make a text of anything";
            self.refuse("yaml.tag", &tag.unwrap_or_default(), "tags are not read", hint);
        }
    }

    fn document(&mut self, span: &Range<usize>) -> Result<(), Stop> {
        self.documents = self.documents.saturating_add(1);
        if self.documents > 1 {
            self.refuse("yaml.documents", span, "a second document starts here", "a file holds one document");
            return Err(Stop);
        }
        Ok(())
    }

    fn count(&mut self, span: &Range<usize>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > limits::YAML_NODES.default_usize() {
            let message = format!("the file holds more than {} values", limits::YAML_NODES.default);
            self.file.error("yaml.too-large", span, message, None);
            return Err(Stop);
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame, span: &Range<usize>) -> Result<(), Stop> {
        if self.stack.len() >= limits::YAML_DEPTH.default_usize() {
            self.file.error("yaml.too-deep", span, too_deep(), None);
            return Err(Stop);
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Stop> {
        let node = match self.stack.pop() {
            Some(Frame::List { start, items }) => {
                let at = items.first().map_or(start..end, |first| first.at.clone());
                Node::new(start..end, at, Value::List(items))
            }
            Some(Frame::Map { start, map: Map { entries, dropped, .. }, .. }) => {
                let at = entries.first().map_or(start..end, |first| first.key_span.clone());
                Node { dropped, ..Node::new(start..end, at, Value::Map(entries)) }
            }
            None => return Err(Stop),
        };
        self.complete(node, None)
    }

    /// Puts a finished node where it belongs. `key_text` is its raw text where it is a scalar and so may be a key.
    fn complete(&mut self, mut node: Node, key_text: Option<&str>) -> Result<(), Stop> {
        self.count(&node.span.clone())?;
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { map, key, .. }) => match key.take() {
                None => *key = Some(check_key(self.file, &node, key_text, &mut map.seen)),
                Some(Key::Bad(text)) => map.dropped.push(text),
                Some(Key::Good { text, span }) => {
                    node.at = span.clone();
                    if node.span.is_empty() {
                        node.span = span.clone();
                    }
                    map.entries.push(Entry { key: text, key_span: span, node });
                }
            },
        }
        Ok(())
    }
}

fn check_key(file: &File<'_>, node: &Node, text: Option<&str>, seen: &mut HashMap<String, usize>) -> Key {
    let span = if node.span.is_empty() { node.at.clone() } else { node.span.clone() };
    let refused = |code, message: String, hint: Option<String>| {
        file.error(code, &span, message, hint);
        Key::Bad(None)
    };
    let Some(text) = text.filter(|_| node.value != Value::Null) else {
        if node.value == Value::Broken {
            return Key::Bad(None);
        }
        return refused(
            "yaml.key",
            format!("{} cannot be a key", node.kind()),
            Some("a key is a plain word".to_owned()),
        );
    };
    if text == "<<" {
        let hint = Some("write the keys out".to_owned());
        return refused("yaml.merge-key", "merge keys are not read".to_owned(), hint);
    }
    match seen.entry(text.to_owned()) {
        hash_map::Entry::Vacant(free) => free.insert(span.start),
        hash_map::Entry::Occupied(first) => {
            let hint = Some(format!("it stands first in line {}", file.line(*first.get())));
            refused("yaml.duplicate-key", format!("the key {} stands twice", quote(text)), hint);
            return Key::Bad(Some(text.to_owned()));
        }
    };
    Key::Good { text: text.to_owned(), span }
}

/// YAML 1.2.2 10.3.2.
fn scalar(text: &str, style: ScalarStyle, absent: bool) -> Value {
    match text {
        _ if style != ScalarStyle::Plain => Value::Text(text.to_owned()),
        _ if absent => Value::Null,
        "null" | "Null" | "NULL" | "~" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(rest) = text.strip_prefix("0o") {
        return digits(rest, 8);
    }
    if let Some(rest) = text.strip_prefix("0x") {
        return digits(rest, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") || is_decimal(unsigned)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

fn too_deep() -> String {
    format!("nested deeper than {} levels", limits::YAML_DEPTH.default)
}

/// Says what the parser says, in our words where the mistake is a common one.
fn syntax_error(file: &File<'_>, error: &ScanError) {
    let hint = |text: &str| Some(text.to_owned());
    let (message, hint) = match error.kind() {
        ErrorKind::MappingValueNotAllowed => (
            "a `:` is not expected here".to_owned(),
            hint("quote the text if it holds `: `; check the indentation of this line and the one above"),
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => ("a tab cannot indent".to_owned(), hint("use spaces")),
        ErrorKind::ExpectedFlowMappingSeparator => {
            ("a `,` or `}` is expected here".to_owned(), hint("the `{` before it is not closed"))
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a `,` or `]` is expected here".to_owned(), hint("the `[` before it is not closed"))
        }
        ErrorKind::UnclosedFlowCollection { open } => (format!("this `{open}` is never closed"), None),
        ErrorKind::UnclosedQuotedScalar => ("this quote is never closed".to_owned(), None),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => (format!("`{open}` is closed by `{close}`"), None),
        ErrorKind::DirectiveDisallowed => ("directives are not read".to_owned(), hint("leave the `%` line out")),
        ErrorKind::RecursionLimitExceeded => (too_deep(), None),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a key without its `:`".to_owned(), hint("write `key: value`"))
        }
        ErrorKind::ExpectedBlockMappingKey => {
            ("a key is expected here".to_owned(), hint("keys of one mapping start in the same column"))
        }
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("the character `{}` cannot start a value", character.escape_default()), hint("quote the text"))
        }
        _ => (plain(&error.info()), None),
    };
    file.error("yaml.syntax", &one_char(file.text.as_str(), error.marker().byte_offset()), message, hint);
}

fn plain(info: &str) -> String {
    format!("this is not YAML: {}", info.replace("EOF", "end of the file").replace("YAML ", ""))
}

/// The character at an offset; empty at the end of the text.
fn one_char(text: &str, offset: Option<usize>) -> Range<usize> {
    let start = offset.unwrap_or_default().min(text.len());
    let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    start..start.saturating_add(length)
}

#[cfg(test)]
mod tests;
