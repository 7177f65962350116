//! The harness of the whole-system tests: the real binary as a process of its own, a trust directory, an upstream that
//! writes down what it sees, and clients that speak as callers do.
//!
//! Nothing of the program is linked in: what these tests know, a user can see.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test harness: what fails shall stop the test"
)]
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "test harness: what fails shall stop the test")]
#![expect(clippy::disallowed_methods, reason = "test harness: it has the environment and the clock of its machine")]

mod answer;
mod binary;
mod certificates;
mod client;
mod console;
mod curl;
mod drip;
mod evidence;
mod fleet;
mod http2;
mod load;
mod log;
mod process;
mod raw;
mod readme;
mod relay;
mod site;
mod stopwatch;
mod streams;
mod upstream;
mod wait;

pub use answer::Answer;
pub use binary::{alone, caller, countersign, is_beside, workload};
pub use certificates::{Authority, Identity, now};
pub use client::Dial;
pub use console::{Browser, Page};
pub use curl::Curl;
pub use drip::Drip;
pub use evidence::Refused;
pub use fleet::Fleet;
pub use http2::{Http2, body_of, streamed};
pub use load::{Caller, Load, Told};
pub use log::{Logged, read_log};
pub use process::{Ended, Process};
pub use raw::{Raw, Rest, plain};
pub use readme::{Block, Reader, Transcript, blocks, matches, transcripts};
pub use relay::{Network, Relay};
pub use site::{Site, closed_port, edit};
pub use stopwatch::{Stopwatch, say};
pub use streams::{Streams, Watched};
pub use upstream::{After, Call, Turn, Upstream, echo};
pub use wait::{PATIENCE, wait_for, wait_until, wait_within};
