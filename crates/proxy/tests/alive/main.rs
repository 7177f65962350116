//! A proxy in this process, with real sockets on both sides, while trust and rules change under it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests stop at the first thing that is not as it should be"
)]

mod certificates;
mod client;
mod federated;
mod keeper;
mod many;
mod plaintext;
mod publish;
mod revoke;
mod signer;
mod site;
mod stale;
mod trusted;
mod upstream;
