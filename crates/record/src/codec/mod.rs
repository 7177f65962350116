//! The payload of a record: kind, sequence, time, then tagged fields. See `docs/log-format.md`.

mod decode;
mod encode;

pub(crate) use decode::{Malformed, decode, prefix};
pub(crate) use encode::{COMPLETION_BYTES, Stamp, encode, encoded_len};

/// The first byte of a payload.
pub(crate) mod kind {
    pub(crate) const DECISION: u8 = 1;
    pub(crate) const COMPLETION: u8 = 2;
    pub(crate) const REFUSALS: u8 = 3;
    pub(crate) const ISSUANCE: u8 = 4;
    pub(crate) const LIFECYCLE: u8 = 5;
    pub(crate) const ADMINISTRATION: u8 = 6;
}

/// The tags of fields. One meaning each, whatever the kind of the record; never used again for another.
pub(crate) mod tag {
    pub(crate) const ID: u8 = 1;
    pub(crate) const OUTCOME: u8 = 2;
    pub(crate) const REASON: u8 = 3;
    pub(crate) const NOTE: u8 = 4;
    pub(crate) const LISTENER: u8 = 5;
    pub(crate) const REVISION: u8 = 6;
    pub(crate) const SOURCE: u8 = 7;
    pub(crate) const PROTOCOL: u8 = 8;
    pub(crate) const SPIFFE_ID: u8 = 9;
    pub(crate) const SERIAL: u8 = 10;
    pub(crate) const SHA256: u8 = 11;
    pub(crate) const NOT_BEFORE: u8 = 12;
    pub(crate) const NOT_AFTER: u8 = 13;
    pub(crate) const VIA: u8 = 14;
    pub(crate) const CLAIMED: u8 = 15;
    pub(crate) const SERVICE: u8 = 16;
    pub(crate) const METHOD: u8 = 17;
    pub(crate) const TEMPLATE: u8 = 18;
    pub(crate) const RISK: u8 = 19;
    pub(crate) const DETERMINING: u8 = 20;
    pub(crate) const STATUS: u8 = 21;
    pub(crate) const MICROS: u8 = 22;
    pub(crate) const REQUEST_BYTES: u8 = 23;
    pub(crate) const RESPONSE_BYTES: u8 = 24;
    pub(crate) const COUNT: u8 = 25;
    pub(crate) const SINCE: u8 = 26;
    pub(crate) const SELECTORS: u8 = 27;
    pub(crate) const EVENT: u8 = 28;
    pub(crate) const VERSION: u8 = 29;
    pub(crate) const HOST: u8 = 30;
    pub(crate) const NOTED: u8 = 31;
    pub(crate) const EPOCH: u8 = 32;
    pub(crate) const ACT: u8 = 33;
    pub(crate) const OPERATOR: u8 = 34;
    pub(crate) const SUBJECT: u8 = 35;
    pub(crate) const WHY: u8 = 36;
    pub(crate) const UNTIL: u8 = 37;
}
