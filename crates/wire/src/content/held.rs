//! What an agent holds, as control is told it: the outage budget is counted from it.

use api::{
    issuance::HeldSvid,
    wire::{self, Holding},
};
use prost::Message;
use types::{SpiffeId, Timestamp, limits};

use super::{ContentError, check_count, malformed};
use crate::words::shown;

/// The longest serial number, in hexadecimal digits.
const SERIAL_DIGITS: usize = 40; // tidy: 20 octets (RFC 5280 4.1.2.2)

/// Bytes beside each of them in a message.
const OVERHEAD: usize = 8; // tidy: a tag and a length

/// The SVIDs that an agent holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// Those that end first, the first of them first.
    pub held: Vec<HeldSvid>,
    /// How many more there are.
    pub more: u64,
}

impl Holdings {
    /// Of everything that is held: what ends first is listed, up to the limit `held_svids` and half of
    /// `wire_report_bytes`.
    pub fn of(mut held: Vec<HeldSvid>) -> Self {
        held.sort_by(|a, b| (a.not_after, a).cmp(&(b.not_after, b)));
        held.dedup();
        let (all, mut bytes) = (held.len(), 0_usize);
        let fits = held.iter().take(limits::HELD_SVIDS.default_usize()).take_while(|svid| {
            bytes = bytes.saturating_add(message(svid).encoded_len()).saturating_add(OVERHEAD);
            bytes <= limits::WIRE_REPORT_BYTES.default_usize() / 2
        });
        let fits = fits.count();
        held.truncate(fits);
        Self { held, more: u64::try_from(all.saturating_sub(fits)).unwrap_or(u64::MAX) }
    }
}

fn message(held: &HeldSvid) -> Holding {
    Holding {
        spiffe_id: held.spiffe_id.as_str().to_owned(),
        serial: held.serial.clone(),
        not_after: held.not_after.micros(),
        failures: held.failures,
    }
}

/// What is held, for control.
pub fn holdings_message(holdings: &Holdings) -> wire::Holdings {
    wire::Holdings { held: holdings.held.iter().map(message).collect(), more: holdings.more }
}

/// Reads what is held.
///
/// # Errors
/// An id or a serial number that is none; [`ContentError::TooMany`] above the limit `held_svids`.
pub fn read_holdings(message: &wire::Holdings) -> Result<Holdings, ContentError> {
    check_count(message.held.len(), limits::HELD_SVIDS)?;
    let held = message.held.iter().map(|holding| {
        let spiffe_id = SpiffeId::parse(&holding.spiffe_id)
            .map_err(|error| malformed(&format!("`{}` is no SPIFFE ID: {error}", shown(&holding.spiffe_id))))?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if holding.serial.len() > SERIAL_DIGITS || !holding.serial.bytes().all(hex) {
            return Err(malformed("a serial number is none"));
        }
        let not_after = Timestamp::from_micros(holding.not_after);
        Ok(HeldSvid { spiffe_id, serial: holding.serial.clone(), not_after, failures: holding.failures })
    });
    let mut read = Holdings { held: held.collect::<Result<_, _>>()?, more: message.more };
    read.held.sort_by(|a, b| (a.not_after, a).cmp(&(b.not_after, b)));
    Ok(read)
}
