//! Decision ids, shortened to what is unique and can be pasted back: `0197a1f2…c4d1`.
//!
//! An id begins with its time, so that neighbours share the beginning; what tells them apart is the end.

use std::collections::HashMap;

use types::DecisionId;

/// Hexadecimal digits kept of the beginning.
const HEAD: usize = 8;
/// Digits kept of the end, at least.
const SHORTEST_TAIL: usize = 4;
/// Digits kept of the end where what will come is not known: one pair in 16 million within a minute looks alike.
const FOLLOWING_TAIL: usize = 6;

/// Shortens the ids of one listing, all to the same length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortener {
    tail: usize,
}

impl Shortener {
    /// Long enough to tell the given ids apart.
    pub fn telling_apart(ids: &[DecisionId]) -> Self {
        let texts: Vec<String> = ids.iter().map(digits).collect();
        let tail = (SHORTEST_TAIL..=32 - HEAD).find(|tail| is_unique(&texts, *tail)).unwrap_or(32 - HEAD);
        Self { tail }
    }

    /// For a listing whose end is open.
    pub const fn following() -> Self {
        Self { tail: FOLLOWING_TAIL }
    }

    /// The short form.
    pub fn short(self, id: &DecisionId) -> String {
        let text = digits(id);
        let head: String = text.chars().take(HEAD).collect();
        let tail: String = text.chars().skip(text.len().saturating_sub(self.tail)).collect();
        format!("{head}…{tail}")
    }
}

/// The 32 hexadecimal digits.
fn digits(id: &DecisionId) -> String {
    id.to_string().replace('-', "")
}

fn is_unique(texts: &[String], tail: usize) -> bool {
    let mut seen: HashMap<(&str, &str), &str> = HashMap::with_capacity(texts.len());
    texts.iter().all(|text| {
        let (Some(head), Some(end)) = (text.get(..HEAD), text.get(text.len().saturating_sub(tail)..)) else {
            return true;
        };
        *seen.entry((head, end)).or_insert(text) == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64, last: [u8; 3]) -> DecisionId {
        DecisionId::new(millis, [1, 2, 3, 4, 5, 6, 7, last[0], last[1], last[2]])
    }

    #[test]
    fn a_lone_id_is_short() {
        let one = id(1_795_425_242_131, [0xaa, 0xbb, 0xcc]);
        assert_eq!(Shortener::telling_apart(&[one]).short(&one), "01a207af…bbcc");
    }

    #[test]
    fn neighbours_that_look_alike_are_shown_longer() {
        let (one, two) = (id(1_795_425_242_131, [1, 0xbb, 0xcc]), id(1_795_425_242_132, [2, 0xbb, 0xcc]));
        let shortener = Shortener::telling_apart(&[one, two, one]);
        assert_ne!(shortener.short(&one), shortener.short(&two));
        assert_eq!(shortener.tail, 5);
    }
}
