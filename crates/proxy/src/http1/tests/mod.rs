//! Tests of the engine: tables for each rule, properties of the parsers, exchanges over in-memory streams, and the
//! vectors over real sockets.

mod body;
mod exchange;
mod head;
mod hop;
mod limits;
mod support;
mod vectors;
