//! A verified peer cannot be written down.

fn forge() -> identity::VerifiedPeer {
    identity::VerifiedPeer(std::sync::Arc::default())
}

fn main() {}
