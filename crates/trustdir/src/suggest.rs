//! "Did you mean …?": the nearest of the known names.

use std::borrow::Borrow;

/// Longest name that is compared; longer ones are no typing mistakes.
const LONGEST: usize = 128;

/// The known name nearest to what was written, if it is near enough to be a slip.
pub fn nearest<'k, K: Borrow<str> + ?Sized + 'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k K>,
) -> Option<&'k str> {
    let folded = fold(written);
    if folded.len() > LONGEST {
        return None;
    }
    let allowed = (folded.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(Borrow::borrow)
        .filter(|name: &&str| *name != written && name.len().abs_diff(written.len()) <= allowed)
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(away, _)| *away <= allowed && *away < folded.len())
        .min()
        .map(|(_, name)| name)
}

/// The hint for a name that is not known: the nearest one, or a list of all where they are few.
pub(crate) fn hint<'k, K: Borrow<str> + ?Sized + 'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k K> + Clone,
    nouns: &str,
) -> Option<String> {
    if let Some(name) = nearest(written, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let names: Vec<&str> = known.into_iter().map(Borrow::borrow).collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("the only {} is `{only}`", nouns.strip_suffix('s').unwrap_or(nouns))),
        few if few.len() <= 12 => Some(format!("the {nouns} are {}", list(few))),
        _ => None,
    }
}

/// `a`, `b` and `c`.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Upper case, dashes and underscores are the commonest slips: they cost nothing.
fn fold(name: &str) -> Vec<char> {
    name.chars().take(LONGEST.saturating_add(1)).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours between two names (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    if b.len() > LONGEST {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_char = None;
    for (row, from) in a.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        let mut left = row.saturating_add(1);
        for (column, to) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column).saturating_add(usize::from(from != to));
            let deleted = at(&last, column.saturating_add(1)).saturating_add(1);
            let mut best = replaced.min(deleted).min(left.saturating_add(1));
            let swapped = column > 0 && previous_char == Some(to) && b.get(column.wrapping_sub(1)) == Some(from);
            if swapped {
                best = best.min(at(&before_last, column.wrapping_sub(1)).saturating_add(1));
            }
            current.push(best);
            left = best;
        }
        before_last = core::mem::replace(&mut last, current);
        previous_char = Some(from);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let known = ["hosts", "upstream", "unlisted_routes", "api", "limits"];
        for (written, want) in [
            ("host", Some("hosts")),
            ("hsots", Some("hosts")),
            ("Upstream", Some("upstream")),
            ("upstraem", Some("upstream")),
            ("unlisted-routes", Some("unlisted_routes")),
            ("apis", Some("api")),
            ("limit", Some("limits")),
            ("owners", None),
            ("mode", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), want, "{written}");
        }
    }

    #[test]
    fn distances_count_swaps_once() {
        let of = |a: &str, b: &str| distance(&fold(a), &fold(b));
        for (a, b, want) in [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(of(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn few_names_are_listed() {
        assert_eq!(hint("x", ["read", "write"], "values"), Some("the values are `read` and `write`".to_owned()));
        assert_eq!(hint("x", ["required"], "values"), Some("the only value is `required`".to_owned()));
        assert_eq!(hint("raed", ["read", "write"], "values"), Some("did you mean `read`?".to_owned()));
    }
}
