//! The strict inbound HTTP/1.1 engine: heads and framing are judged on the raw bytes, by us (STANDARDS FR).
//!
//! [`serve`] runs one connection: it reads a [`Head`], gives it to a [`Handler`] together with a [`RequestBody`] that
//! reads from the same connection, and writes the response, re-framed. It is made for a current-thread runtime: the
//! body and the connection share the stream through an `Rc`, without a lock.
//!
//! The parsers (`head`, `framing`, `chunked`) are pure; [`hop`] serves HTTP/2 as well.

mod body;
mod chunked;
mod connection;
mod framing;
mod head;
pub mod hop;
mod syntax;
mod timer;
mod wire;
mod write;

pub use body::{BodyError, RequestBody};
pub use connection::{Config, Handler, serve};
pub use framing::Framing;
pub use head::{Head, HeadError};

#[cfg(test)]
mod tests;
