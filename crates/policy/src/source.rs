//! From a Cedar file to named policies: parsing, annotations, and where each policy stands in its file.

use core::ops::Range;
use std::collections::BTreeMap;

use cedar_policy::ffi::DetailedError;
use types::{Label, PolicyId, limits};

use crate::names;
use crate::problem::{Problem, Severity};

/// The Cedar files of a trust directory.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// `policies/*.cedar`: the organisation's guardrails.
    pub guardrails: Vec<SourceFile>,
    /// `domains/<domain>/policies/*.cedar` by domain.
    pub domains: BTreeMap<Label, Vec<SourceFile>>,
    /// `admin.cedar`.
    pub admin: Option<SourceFile>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// The path relative to the trust directory.
    pub path: String,
    /// The content.
    pub text: String,
}

/// Whose policies a file holds. It decides the prefix of their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner<'a> {
    /// The organisation: `org/NAME`.
    Guardrails,
    /// A domain: `finance/NAME`.
    Domain(&'a Label),
    /// Administration: `org/admin.NAME`; the dot keeps it apart from guardrails.
    Admin,
}

impl Owner<'_> {
    /// What stands before its policies' names.
    pub(crate) fn scope(&self) -> &str {
        match self {
            Self::Guardrails | Self::Admin => "org",
            Self::Domain(domain) => domain.as_str(),
        }
    }

    fn policy_id(self, name: &str) -> PolicyId {
        match self {
            Self::Guardrails | Self::Domain(_) => PolicyId::new(self.scope(), name),
            Self::Admin => PolicyId::new(self.scope(), &format!("admin.{name}")),
        }
    }
}

/// A policy with its name, its reason and its place.
pub(crate) struct SourcePolicy {
    pub(crate) id: PolicyId,
    /// Whether `id` is the name that is written. Otherwise it stands in for one whose problem is reported, so that the
    /// policy can be checked all the same.
    pub(crate) is_named: bool,
    /// Empty only where that is reported.
    pub(crate) reason: String,
    /// Carries `id` as its Cedar id.
    pub(crate) policy: cedar_policy::Policy,
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
    /// 1-based.
    pub(crate) line: usize,
    /// As written, annotations included.
    pub(crate) text: String,
}

impl SourcePolicy {
    /// Takes a name away that another policy bears.
    pub(crate) fn unname(&mut self, owner: Owner<'_>) {
        self.id = stand_in(owner, &self.path, &self.span);
        self.policy = self.policy.new_id(cedar_policy::PolicyId::new(self.id.as_str()));
        self.is_named = false;
    }

    /// The place of a text inside the policy, or the policy's where the text is written in another way.
    pub(crate) fn place_of(&self, needle: &str) -> Range<usize> {
        match self.text.find(needle) {
            Some(at) => self.span.start + at..self.span.start + at + needle.len(),
            None => self.span.clone(),
        }
    }
}

/// What was read of one file or of all files of an owner.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) policies: Vec<SourcePolicy>,
    /// Whether every policy and its name could be read.
    pub(crate) names_are_whole: bool,
}

/// Reads one file. What is wrong is added to `problems`; the policies that can be read are given back all the same, so
/// that everything wrong with them is found in the same run.
pub(crate) fn read(owner: Owner<'_>, file: &SourceFile, problems: &mut Vec<Problem>) -> Written {
    if let Some((message, place)) = too_much(&file.text) {
        let problem = Problem::error("cedar.size", &file.path, message).at(place);
        problems.push(problem.hint("write it as several policies, or name entities in a set"));
        return Written::default();
    }
    let set = match file.text.parse::<cedar_policy::PolicySet>() {
        Ok(set) => set,
        Err(errors) => {
            problems.extend(
                errors
                    .iter()
                    .map(|error| from_cedar(Severity::Error, "cedar.syntax", &file.path, &DetailedError::from(error))),
            );
            return Written::default();
        }
    };
    let places = statements(&file.text);
    let place = |id: &cedar_policy::PolicyId| {
        let index = generated_index(id);
        (index, places.get(index).cloned().unwrap_or(0..file.text.len()))
    };
    for template in set.templates() {
        let (_, span) = place(template.id());
        let problem = Problem::error("cedar.template", &file.path, "templates are not supported").at(span);
        problems.push(problem.hint("name the principal and the resource instead of `?principal` and `?resource`"));
    }
    let mut policies: Vec<_> = set.policies().map(|policy| (place(policy.id()), policy)).collect();
    policies.sort_by_key(|((index, _), _)| *index);
    let policies: Vec<_> =
        policies.into_iter().map(|((_, span), policy)| named(owner, file, span, policy, problems)).collect();
    let names_are_whole = set.templates().next().is_none() && policies.iter().all(|policy| policy.is_named);
    Written { policies, names_are_whole }
}

/// Cedar names the statements of a file `policy0`, `policy1` and so on, in order.
fn generated_index(id: &cedar_policy::PolicyId) -> usize {
    AsRef::<str>::as_ref(id).strip_prefix("policy").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

fn named(
    owner: Owner<'_>,
    file: &SourceFile,
    span: Range<usize>,
    policy: &cedar_policy::Policy,
    problems: &mut Vec<Problem>,
) -> SourcePolicy {
    let misspelt = refuse_unknown_annotations(file, &span, policy, problems);
    let name = if misspelt.contains(&"id") { None } else { checked_name(file, &span, policy, problems) };
    let reason = policy.annotation("reason").map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_none() && !misspelt.contains(&"reason") {
        let problem = Problem::error("cedar.reason", &file.path, "the policy has no `@reason`").at(span.clone());
        problems.push(
            problem.hint("say in a sentence why it exists, such as `@reason(\"Payments books every payment.\")`"),
        );
    }
    let id = name.map_or_else(|| stand_in(owner, &file.path, &span), |name| owner.policy_id(name));
    let policy = policy.new_id(cedar_policy::PolicyId::new(id.as_str()));
    let (is_named, reason) = (name.is_some(), reason.unwrap_or_default().to_owned());
    let line = file.text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1;
    let text = file.text.get(span.clone()).unwrap_or_default().to_owned();
    SourcePolicy { id, is_named, reason, policy, path: file.path.clone(), span, line, text }
}

/// A name that nobody can write, and each policy has its own.
fn stand_in(owner: Owner<'_>, path: &str, span: &Range<usize>) -> PolicyId {
    PolicyId::new(owner.scope(), &format!("?{path}?{}", span.start))
}

/// An annotation that nothing reads is a misspelt one, or a wish for something that would not happen. Gives back the
/// annotations that are missing and were probably meant.
fn refuse_unknown_annotations(
    file: &SourceFile,
    span: &Range<usize>,
    policy: &cedar_policy::Policy,
    problems: &mut Vec<Problem>,
) -> Vec<&'static str> {
    let mut misspelt = Vec::new();
    let mut unknown: Vec<_> =
        policy.annotations().map(|(key, _)| key).filter(|key| !matches!(*key, "id" | "reason")).collect();
    unknown.sort_unstable();
    for key in unknown {
        let place = locate(&file.text, span, &format!("@{key}"));
        let problem = Problem::error("cedar.annotation", &file.path, format!("`@{key}` is not known here")).at(place);
        let looks_like =
            |known: &&str| names::nearest(&key.to_lowercase(), [(*known).to_owned()].into_iter()).is_some();
        let meant = ["id", "reason"].into_iter().filter(|known| policy.annotation(known).is_none()).find(looks_like);
        misspelt.extend(meant);
        problems.push(problem.hint(match meant {
            Some(known) => format!("did you mean `@{known}`?"),
            None => "the annotations are `@id` and `@reason`; use a comment for anything else".to_owned(),
        }));
    }
    misspelt
}

/// The name: `a-z 0-9 -`. Generated names hold a dot, so that the two never collide.
fn checked_name<'p>(
    file: &SourceFile,
    span: &Range<usize>,
    policy: &'p cedar_policy::Policy,
    problems: &mut Vec<Problem>,
) -> Option<&'p str> {
    let Some(name) = policy.annotation("id").filter(|name| !name.is_empty()) else {
        let problem = Problem::error("cedar.id", &file.path, "the policy has no `@id`").at(span.clone());
        problems.push(problem.hint("decisions name it by its id, such as `@id(\"payments-posts-entries\")`"));
        return None;
    };
    let fits = name.len() <= limits::LABEL_BYTES.default_usize()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        return Some(name);
    }
    let place = locate(&file.text, span, "@id");
    let shown: String = name.chars().take(80).collect();
    let problem = Problem::error("cedar.id", &file.path, format!("`{shown}` is not a policy id")).at(place);
    problems.push(problem.hint("use 1 to 63 of a-z, 0-9 and dash"));
    None
}

/// The place of `needle` inside a span, or the span where the text is written in another way.
pub(crate) fn locate(text: &str, span: &Range<usize>, needle: &str) -> Range<usize> {
    match text.get(span.clone()).and_then(|inside| inside.find(needle)) {
        Some(at) => span.start + at..span.start + at + needle.len(),
        None => span.clone(),
    }
}

/// Turns one of Cedar's messages into ours.
pub(crate) fn from_cedar(severity: Severity, code: &'static str, path: &str, error: &DetailedError) -> Problem {
    let label = error.source_locations.first();
    Problem {
        severity,
        code,
        path: path.to_owned(),
        span: label.map(|label| label.loc.start..label.loc.end),
        message: error.message.clone(),
        hint: error.help.clone().or_else(|| label.and_then(|label| label.label.clone())),
    }
}

/// What a byte of Cedar text belongs to. Cedar has strings with `\` escapes and `//` comments, and nothing else in which
/// a `;` or a bracket would not be one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    String,
    Comment,
}

/// The bytes of the text that are code, with their places; the quote that opens a string stands for the string.
fn code_bytes(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut within = Within::Code;
    let mut escaped = false;
    let next = text.bytes().skip(1).map(Some).chain([None]);
    text.bytes().zip(next).enumerate().filter_map(move |(at, (byte, next))| {
        let before = within;
        within = match (before, byte) {
            (Within::Code, b'"') => Within::String,
            (Within::Code, b'/') if next == Some(b'/') => Within::Comment,
            (Within::String, b'"') if !escaped => Within::Code,
            (Within::Comment, b'\n' | b'\r') => Within::Code,
            (same, _) => same,
        };
        escaped = before == Within::String && byte == b'\\' && !escaped;
        (before == Within::Code && within != Within::Comment).then_some((at, byte))
    })
}

/// The places of the statements of a file, each from its first code byte to its semicolon.
fn statements(text: &str) -> Vec<Range<usize>> {
    let mut start = None;
    let ends = code_bytes(text).filter(|(_, byte)| !byte.is_ascii_whitespace()).filter_map(|(at, byte)| {
        let from = *start.get_or_insert(at);
        (byte == b';').then(|| {
            start = None;
            from..at + 1
        })
    });
    ends.collect()
}

/// What is too much for one policy, and where. Cedar's parser and type checker recurse on brackets and on chains of
/// operators without looking at their stack, and a pushed policy may never end the process (STYLE 21).
fn too_much(text: &str) -> Option<(String, Range<usize>)> {
    let (mut depth, mut operators, mut word, mut last) = (0_u64, 0_u64, 0_u32, b' ');
    code_bytes(text).find_map(|(at, byte)| {
        // The last three bytes of the word, enough to know the keyword `if`.
        let ended = core::mem::take(&mut word);
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            word = (ended << 8 | u32::from(byte)) & 0x00ff_ffff;
        } else if ended == u32::from_be_bytes([0, 0, b'i', b'f']) {
            operators += 1;
        }
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => operators = 0,
            _ => {}
        }
        let doubled = matches!(byte, b'&' | b'|') && last == byte;
        operators += u64::from(doubled || matches!(byte, b'.' | b'!' | b'+' | b'-' | b'*' | b'['));
        last = byte;
        let too_deep = depth > limits::CEDAR_DEPTH.default;
        let too_long = operators > limits::CEDAR_OPERATORS.default;
        let message = match (too_deep, too_long) {
            (true, _) => format!("brackets are nested more than {} deep", limits::CEDAR_DEPTH.default),
            (_, true) => format!("the policy has more than {} operators", limits::CEDAR_OPERATORS.default),
            _ => return None,
        };
        Some((message, at..at + 1))
    })
}
