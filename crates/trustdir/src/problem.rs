//! Collecting problems: all of them, bounded, in one order, each bound to a file and a byte range.

use core::{
    cell::{OnceCell, RefCell},
    ops::Range,
};

pub use policy::{Problem, Severity};
use types::limits;

/// Line and column, both counted from 1, of a byte offset in a text. The column counts characters.
///
/// An offset past the end, or inside a character, gives the place of the nearest character before it.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let before = text.get(..end).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let lines = before.bytes().filter(|b| *b == b'\n').count();
    (lines.saturating_add(1), before.get(line_start..).unwrap_or_default().chars().count().saturating_add(1))
}

/// What all readers report to. Holds at most `problems` errors and as many warnings.
#[derive(Default)]
pub(crate) struct Sink {
    // INVARIANT: no borrow outlives a method of `Sink`, so borrowing cannot fail.
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Problems were dropped, or not looked for.
    more: bool,
    /// How many values did not read.
    unread: usize,
}

impl Sink {
    /// Keeps a problem, or only remembers that there are more.
    pub(crate) fn push(&self, problem: Problem) {
        let state = &mut *self.state.borrow_mut();
        state.unread = state.unread.saturating_add(usize::from(problem.severity == Severity::Error));
        let kept = match problem.severity {
            Severity::Error => &mut state.errors,
            Severity::Warning => &mut state.warnings,
        };
        if kept.len() < limits::PROBLEMS.default_usize() {
            kept.push(problem);
        } else {
            state.more = true;
        }
    }

    /// Whether no further error would be listed, so that it need not be looked for.
    pub(crate) fn is_full(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let full = state.errors.len() >= limits::PROBLEMS.default_usize();
        state.more |= full;
        full
    }

    /// Whether an error was reported.
    pub(crate) fn has_errors(&self) -> bool {
        !self.state.borrow().errors.is_empty()
    }

    /// Everything in the order of paths and places. Where there is too much, warnings go first, and a last entry says
    /// that there is more.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let State { errors: mut problems, mut warnings, mut more, .. } = self.state.into_inner();
        let any_errors = !problems.is_empty();
        let room = limits::PROBLEMS.default_usize().saturating_sub(problems.len());
        more |= warnings.len() > room;
        warnings.truncate(room);
        problems.append(&mut warnings);
        problems.sort_by(|a, b| place(a).cmp(&place(b)));
        problems.dedup();
        if more {
            problems.push(and_more(any_errors));
        }
        problems
    }
}

fn place(problem: &Problem) -> (&str, usize, usize, &str, &str) {
    let span = problem.span.clone().unwrap_or_default();
    (&problem.path, span.start, span.end, problem.code, &problem.message)
}

fn and_more(after_errors: bool) -> Problem {
    let more = if after_errors { Problem::error } else { Problem::warning };
    more("check.more", "", "… and more").hint("correct these first, then check again")
}

/// The text of a file, with the places of its lines once somebody asks.
#[derive(Default)]
pub(crate) struct Text {
    text: String,
    lines: OnceCell<Vec<usize>>,
}

impl Text {
    /// Wraps a text.
    pub(crate) fn new(text: String) -> Self {
        Self { text, lines: OnceCell::new() }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Unwraps the text.
    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// The line of a byte offset, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let ends = || self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        self.lines.get_or_init(ends).partition_point(|end| *end < offset).saturating_add(1)
    }
}

/// One file of the trust directory while it is read: what its problems are bound to.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    /// The path below the trust directory.
    pub(crate) path: &'a str,
    /// The content.
    pub(crate) text: &'a Text,
    /// Where problems go.
    pub(crate) sink: &'a Sink,
}

impl File<'_> {
    /// Reports an error at a byte range of this file.
    pub(crate) fn error(&self, code: &'static str, span: &Range<usize>, message: String, hint: Option<String>) {
        self.report(Severity::Error, code, span, message, hint);
    }

    /// Reports a warning at a byte range of this file.
    pub(crate) fn warn(&self, code: &'static str, span: &Range<usize>, message: String, hint: Option<String>) {
        self.report(Severity::Warning, code, span, message, hint);
    }

    /// Notes that a value is passed over whose problem was reported earlier.
    pub(crate) fn pass_over(&self) {
        let state = &mut *self.sink.state.borrow_mut();
        state.unread = state.unread.saturating_add(1);
    }

    /// Reads a part, and says whether all of it could be read: no error was reported and nothing was passed over.
    pub(crate) fn watch<T>(&self, read: impl FnOnce() -> T) -> (T, bool) {
        let unread = || self.sink.state.borrow().unread;
        let before = unread();
        let value = read();
        (value, unread() == before)
    }

    /// The line of a byte offset, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.line(offset)
    }

    fn report(
        &self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
        hint: Option<String>,
    ) {
        let (path, span) = (self.path.to_owned(), Some(span.clone()));
        self.sink.push(Problem { severity, code, path, span, message, hint });
    }
}

/// User input as messages quote it: in backticks, shortened, without control characters.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
