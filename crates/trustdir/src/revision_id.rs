//! The name of a revision.
//!
//! SHA-256 over the text `countersign revision 1`, one byte 0x0a, and then for every file of the trust directory, in
//! the order of the bytes of its path:
//!
//! ```text
//! length of the path in bytes   8 bytes, big-endian
//! the path                      UTF-8, `/` between its parts, relative to the trust directory
//! SHA-256 of the content        32 bytes
//! ```
//!
//! Lengths stand before what they measure, so no two lists of files encode alike. The order in which files are listed,
//! their times and modes, ignored files (`node.yaml`, `*.md`, names that start with a dot) and empty folders make no
//! difference.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use types::RevisionId;

const FORMAT: &[u8] = b"countersign revision 1\n";

/// The name of the revision that these files make: path → SHA-256 of the content.
pub(crate) fn of(files: &BTreeMap<String, [u8; 32]>) -> RevisionId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(FORMAT);
    for (path, content) in files {
        let length = u64::try_from(path.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(path.as_bytes());
        context.update(content);
    }
    RevisionId::from_digest(to_array(&context.finish()))
}

/// SHA-256 of a file's content.
pub(crate) fn sha256(content: &[u8]) -> [u8; 32] {
    to_array(&digest::digest(&digest::SHA256, content))
}

fn to_array(digest: &digest::Digest) -> [u8; 32] {
    let mut array = [0; 32];
    // INVARIANT: SHA-256 gives 32 bytes, so every place is written.
    array.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    array
}
