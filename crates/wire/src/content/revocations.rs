//! Revocations as items of a list.

use api::wire;
use prost::Message;
use signal::{Revocation, Subject};
use types::{Timestamp, TrustDomain, limits};

use super::{ContentError, check_count};

/// A revocation as the item of a list.
pub fn revocation_item(revocation: &Revocation) -> Vec<u8> {
    let item = wire::Revocation {
        subject: revocation.subject.to_string(),
        reason: revocation.reason.clone(),
        operator: revocation.operator.clone(),
        at: revocation.at.micros(),
        until: revocation.until.map(Timestamp::micros).unwrap_or_default(),
        epoch: revocation.epoch,
    };
    item.encode_to_vec()
}

/// What a list of revocations says.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// Those that this program understands.
    pub known: Vec<Revocation>,
    /// How many it does not, such as those of a kind of subject that a later release knows. They cannot be enforced here,
    /// so that the list as a whole does not count as being in force.
    pub unknown: usize,
}

/// Reads revocations.
///
/// # Errors
/// [`ContentError::TooMany`] above the limit `signals`.
pub fn read_revocations<'a>(
    items: impl ExactSizeIterator<Item = &'a [u8]>,
    organisation: &TrustDomain,
) -> Result<Revocations, ContentError> {
    check_count(items.len(), limits::SIGNALS)?;
    let mut read = Revocations::default();
    for item in items {
        match read_revocation(item, organisation) {
            Some(revocation) => read.known.push(revocation),
            None => read.unknown = read.unknown.saturating_add(1),
        }
    }
    Ok(read)
}

fn read_revocation(item: &[u8], organisation: &TrustDomain) -> Option<Revocation> {
    let item = wire::Revocation::decode(item).ok()?;
    Some(Revocation {
        subject: Subject::parse(&item.subject, organisation).ok()?,
        reason: item.reason,
        operator: item.operator,
        at: Timestamp::from_micros(item.at),
        until: (item.until != 0).then(|| Timestamp::from_micros(item.until)),
        epoch: item.epoch,
    })
}
