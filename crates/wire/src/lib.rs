//! The wire between control and its peers: what both ends share, and the end of a proxy or an agent.
//!
//! Both ends: [`fact`] (what the publisher signed), [`content`] (the lists behind facts), [`system`] (names), [`memory`]
//! and [`server`] (connections). The peer's end is [`peer`]: it follows control, keeps the last good state on its disk,
//! and puts in force only what it verified, whether that came over the wire or from the disk.

pub mod content;
pub mod fact;
pub mod memory;
pub mod peer;
pub mod server;
pub mod ship;
pub mod system;
mod words;

use api::wire::wire_client::WireClient;
use tonic::transport::Channel;
use types::limits;

pub use peer::{Config, ControlAt, Link, NoState, Peer, StartError, State, start};

/// The calls of the wire.
pub type Client = WireClient<Channel>;

/// A client with the limits of the wire. Control's service takes the same: `max_decoding_message_size` and
/// `max_encoding_message_size` of `wire_message_bytes`.
pub fn client(channel: Channel) -> Client {
    let most = limits::WIRE_MESSAGE_BYTES.default_usize();
    WireClient::new(channel).max_decoding_message_size(most).max_encoding_message_size(most)
}
