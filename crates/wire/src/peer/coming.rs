//! The file whose pieces are coming. Its pieces are told apart from those of others by what began, not by what is wanted
//! when they arrive: a newer publication may want what the one before it did not, in the middle of a file.

use api::{protocol::refusals, wire::Blob};
use types::limits;

use super::held::Refused;

/// A file that has begun and not ended.
#[derive(Default)]
pub(super) struct Coming(Option<Begun>);

struct Begun {
    sha256: [u8; 32],
    /// `None` where nobody wanted it when it began.
    content: Option<Vec<u8>>,
}

/// A file that has ended.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Came {
    pub(super) sha256: [u8; 32],
    /// As [`Begun::content`].
    pub(super) content: Option<Vec<u8>>,
}

impl Coming {
    /// Takes a piece; the file, where this was its last one.
    pub(super) fn take(
        &mut self,
        piece: Blob,
        is_wanted: impl FnOnce(&[u8; 32]) -> bool,
    ) -> Result<Option<Came>, Refused> {
        let sha256 = <[u8; 32]>::try_from(piece.sha256.as_slice())
            .map_err(|_| Refused::new(refusals::CONTENT, "a file's digest does not have 32 bytes"))?;
        let mut begun = match self.0.take() {
            Some(begun) if begun.sha256 == sha256 => begun,
            Some(_) => return Err(Refused::new(refusals::CONTENT, "the pieces of two files are mixed")),
            None => Begun { sha256, content: is_wanted(&sha256).then(Vec::new) },
        };
        if let Some(content) = &mut begun.content {
            if content.len().saturating_add(piece.data.len()) > limits::FILE_BYTES.default_usize() {
                return Err(Refused::new(refusals::TOO_LARGE, "a file is larger than `file_bytes`"));
            }
            content.extend_from_slice(&piece.data);
        }
        if piece.last {
            return Ok(Some(Came { sha256, content: begun.content }));
        }
        self.0 = Some(begun);
        Ok(None)
    }

    /// The connection ended: what comes next begins anew.
    pub(super) fn cut(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(of: u8, data: &str, last: bool) -> Blob {
        Blob { sha256: vec![of; 32], data: data.into(), last }
    }

    #[test]
    fn pieces_make_a_file() {
        let mut coming = Coming::default();
        assert_eq!(coming.take(piece(1, "a", false), |_| true), Ok(None));
        let came = coming.take(piece(1, "b", true), |_| true).unwrap().unwrap();
        assert_eq!(came, Came { sha256: [1; 32], content: Some(b"ab".to_vec()) });
        assert!(coming.take(piece(2, "c", true), |_| true).unwrap().is_some());
    }

    #[test]
    fn what_began_unwanted_ends_unwanted() {
        let mut coming = Coming::default();
        assert_eq!(coming.take(piece(1, "a", false), |_| false), Ok(None));
        let came = coming.take(piece(1, "b", true), |_| true).unwrap().unwrap();
        assert_eq!(came, Came { sha256: [1; 32], content: None });
    }

    #[test]
    fn mixed_and_endless_files_are_refused() {
        let mut coming = Coming::default();
        coming.take(piece(1, "a", false), |_| true).unwrap();
        assert_eq!(coming.take(piece(2, "b", true), |_| true).unwrap_err().word, refusals::CONTENT);
        let large = Blob { sha256: vec![1; 32], data: vec![0; limits::FILE_BYTES.default_usize()], last: false };
        coming.take(large, |_| true).unwrap();
        assert_eq!(coming.take(piece(1, "a", false), |_| true).unwrap_err().word, refusals::TOO_LARGE);
    }
}
