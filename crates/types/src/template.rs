//! Path templates such as `/entries/{id}`: parsing, matching, and telling when two of them compete.

use core::fmt;

use smol_str::SmolStr;
use thiserror::Error;

use crate::limits;

/// A path template. A segment is a literal or a parameter; a literal beats a parameter (DESIGN section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Template {
    text: SmolStr,
    segments: Vec<Segment>,
}

/// One segment of a template.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Segment {
    /// Matches exactly this decoded text.
    Literal(SmolStr),
    /// Matches any one segment; the name is what policies will call it.
    Parameter(SmolStr),
}

/// Why a text is not a path template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TemplateError {
    /// No leading slash.
    #[error("a path template starts with `/`")]
    NoLeadingSlash,
    /// `//`.
    #[error("a path template has no empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("a path template has no dot segment")]
    DotSegment,
    /// `{` or `}` other than around a whole segment, or an empty name.
    #[error("a parameter is a whole segment such as `{{id}}`, named with letters, digits, dash or underscore")]
    BadParameter,
    /// The same parameter twice.
    #[error("a parameter name stands twice")]
    RepeatedParameter,
    /// A character that a canonical path never holds.
    #[error("a literal segment may hold only unreserved characters and `!$&'()*+,=:@`")]
    BadCharacter,
    /// Too long or too deep.
    #[error("the template is longer than 1,024 bytes or deeper than 64 segments")]
    TooLong,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > limits::TEMPLATE_BYTES.default_usize() {
            return Err(TemplateError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoLeadingSlash)?;
        let mut segments = Vec::new();
        if !rest.is_empty() {
            let last = rest.split('/').count() - 1;
            for (at, raw) in rest.split('/').enumerate() {
                segments.push(parse_segment(raw, at == last)?);
            }
        }
        if segments.len() > limits::PATH_SEGMENTS.default_usize() {
            return Err(TemplateError::TooLong);
        }
        let mut names: Vec<_> = segments.iter().filter_map(Segment::parameter).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(TemplateError::RepeatedParameter);
        }
        Ok(Self { text: SmolStr::new(text), segments })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments; none for `/`. A trailing slash is an empty literal at the end.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether a path's decoded segments match.
    pub fn matches<'a>(&self, path: impl Iterator<Item = &'a str>) -> bool {
        let mut mine = self.segments.iter();
        for segment in path {
            match mine.next() {
                Some(Segment::Literal(literal)) if literal == segment => {}
                Some(Segment::Parameter(_)) if !segment.is_empty() => {}
                _ => return false,
            }
        }
        mine.next().is_none()
    }

    /// Which of two templates is the nearer match where both match: at the first segment in which they differ in kind
    /// the literal wins. `None` where neither decides (the same kinds throughout).
    pub fn beats(&self, other: &Self) -> Option<bool> {
        self.segments.iter().zip(&other.segments).find_map(|pair| match pair {
            (Segment::Literal(_), Segment::Parameter(_)) => Some(true),
            (Segment::Parameter(_), Segment::Literal(_)) => Some(false),
            _ => None,
        })
    }

    /// Whether some path matches both templates and neither is nearer at every differing segment: such a pair is
    /// ambiguous and fails `check`. `/{a}/x` and `/y/{b}` both match `/y/x`.
    pub fn is_ambiguous_with(&self, other: &Self) -> bool {
        if self.segments.len() != other.segments.len() {
            return false;
        }
        let (mut mine_nearer, mut theirs_nearer) = (false, false);
        for pair in self.segments.iter().zip(&other.segments) {
            match pair {
                (Segment::Literal(a), Segment::Literal(b)) if a != b => return false,
                (Segment::Literal(literal), Segment::Parameter(_)) if literal.is_empty() => return false,
                (Segment::Parameter(_), Segment::Literal(literal)) if literal.is_empty() => return false,
                (Segment::Literal(_), Segment::Parameter(_)) => mine_nearer = true,
                (Segment::Parameter(_), Segment::Literal(_)) => theirs_nearer = true,
                _ => {}
            }
        }
        mine_nearer == theirs_nearer
    }
}

impl Segment {
    fn parameter(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_segment(raw: &str, is_last: bool) -> Result<Segment, TemplateError> {
    match raw {
        "" if is_last => return Ok(Segment::Literal(SmolStr::default())),
        "" => return Err(TemplateError::EmptySegment),
        "." | ".." => return Err(TemplateError::DotSegment),
        _ => {}
    }
    if let Some(name) = raw.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        return if fits { Ok(Segment::Parameter(SmolStr::new(name))) } else { Err(TemplateError::BadParameter) };
    }
    if raw.contains(['{', '}']) {
        return Err(TemplateError::BadParameter);
    }
    if raw.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&b)) {
        Ok(Segment::Literal(SmolStr::new(raw)))
    } else {
        Err(TemplateError::BadCharacter)
    }
}
