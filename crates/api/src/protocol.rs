//! The versions of the wire protocol, and the words that its two ends agree on.

/// The oldest version that this program speaks. A release speaks its own version and the one before it.
pub const OLDEST: u32 = 1;
/// The version of this program.
pub const NEWEST: u32 = 1;

/// Before the bytes of a signed fact.
pub const FACT_CONTEXT: &[u8] = b"countersign fact 1\n";
/// Before the items of a list whose digest a fact holds.
pub const LIST_CONTEXT: &[u8] = b"countersign list 1\n";
/// Before what a peer signs to come back after its certificate expired.
pub const REJOIN_CONTEXT: &[u8] = b"countersign rejoin 1\n";
/// Before what the key of a certificate signs to be its predecessor's holder (docs/token-binding.md).
pub const PREDECESSOR_CONTEXT: &[u8] = b"countersign predecessor 1\n";
/// Before what an outgoing root signs about the one that follows.
pub const SUCCESSION_CONTEXT: &[u8] = b"countersign succession 1\n";
/// The path of the identity whose key signs facts, in the trust domain `system.<organisation>`.
pub const PUBLISHER: &str = "/publisher";

/// Why a peer refuses an update: the words of an acknowledgement.
pub mod refusals {
    /// The signature, the signer or the organisation is not right.
    pub const FORGED: &str = "forged";
    /// It is older than what the peer has.
    pub const OLDER: &str = "older";
    /// The content is not what was signed, or a piece of it is missing.
    pub const CONTENT: &str = "content";
    /// The files do not compile here: the peer's release may be older than what they need.
    pub const INVALID: &str = "invalid";
    /// It cannot be kept on the peer's disk.
    pub const NOT_KEPT: &str = "not-kept";
    /// It is larger than the peer takes.
    pub const TOO_LARGE: &str = "too-large";
}

/// The version that two ends speak, where there is one: the newest of both.
pub const fn agree(oldest: u32, newest: u32) -> Option<u32> {
    let common = if newest < NEWEST { newest } else { NEWEST };
    if common >= oldest && common >= OLDEST { Some(common) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_agree_and_strangers_do_not() {
        assert_eq!(agree(1, 1), Some(1));
        assert_eq!(agree(1, 2), Some(1));
        assert_eq!(agree(0, 1), Some(1));
        assert_eq!(agree(2, 3), None);
        assert_eq!(agree(0, 0), None);
    }
}
