//! Why bytes of a segment are not taken.

use std::io;

use thiserror::Error;

/// Why bytes of a segment are not taken.
#[derive(Debug, Error)]
pub enum CopyError {
    /// It is not named like a segment.
    #[error("it is not named like a segment")]
    Name,
    /// It would be larger than a segment can be.
    #[error("it would be larger than a segment can be")]
    TooLarge,
    /// It does not begin as a segment of its name does.
    #[error("it does not begin as a segment of its name: {0}")]
    Header(&'static str),
    /// Other bytes are held.
    #[error("byte {offset} is another than the one that was received before")]
    Other {
        /// The first byte that differs.
        offset: u64,
    },
    /// More bytes than there were when it was finished.
    #[error("more bytes came after its end")]
    Finished,
    /// An end before bytes that are held.
    #[error("its end came as {end} bytes, but {held} were received before")]
    EndsEarly {
        /// Bytes that are held.
        held: u64,
        /// Where it is said to end.
        end: u64,
    },
    /// A later segment of the lane came first.
    #[error("a later segment of its lane came before it")]
    Late,
    /// An earlier segment of the lane is not whole.
    #[error("`{0}` of its lane is not whole yet")]
    Early(String),
    /// The system does not take it.
    #[error("it cannot be written: {0}")]
    Io(#[from] io::Error),
}
