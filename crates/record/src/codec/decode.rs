//! Bytes to facts. Unknown tags are skipped; anything else that does not fit is an error, never a guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use types::{
    DecisionId, Mode, RevisionId, Timestamp,
    facts::{
        Administration, Caller, Completion, Decision, Facts, Issuance, Lifecycle, Noted, Outcome, Peer, Protocol,
        Refusals,
    },
};

use super::{encode::Stamp, kind, tag};

/// Why a payload with a right checksum cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Malformed {
    #[error("it is cut off")]
    Short,
    #[error("a number is longer than 64 bits")]
    Varint,
    #[error("its kind {0} is not known to this version")]
    Kind(u8),
    #[error("field {0} has a value that does not fit")]
    Value(u8),
    #[error("field {0} stands there twice")]
    Twice(u8),
    #[error("field {0} is missing")]
    Missing(u8),
}

/// The start of a payload.
pub(crate) struct Prefix {
    pub(crate) kind: u8,
    pub(crate) stamp: Stamp,
}

/// Reads the start of a payload and gives the rest.
pub(crate) fn prefix(payload: &[u8]) -> Result<(Prefix, &[u8]), Malformed> {
    let (kind, rest) = payload.split_first().ok_or(Malformed::Short)?;
    let (sequence, rest) = varint(rest)?;
    let (at, rest) = rest.split_first_chunk().ok_or(Malformed::Short)?;
    let at = Timestamp::from_micros(u64::from_le_bytes(*at));
    Ok((Prefix { kind: *kind, stamp: Stamp { sequence, at } }, rest))
}

/// Reads a payload.
pub(crate) fn decode(payload: &[u8]) -> Result<(Stamp, Facts<'_>), Malformed> {
    let (prefix, rest) = prefix(payload)?;
    let fields = Fields::read(rest)?;
    let facts = match prefix.kind {
        kind::DECISION => Facts::Decision(fields.decision()?),
        kind::COMPLETION => Facts::Completion(fields.completion()?),
        kind::REFUSALS => Facts::Refusals(fields.refusals()?),
        kind::ISSUANCE => Facts::Issuance(fields.issuance()?),
        kind::LIFECYCLE => Facts::Lifecycle(fields.lifecycle()),
        kind::ADMINISTRATION => Facts::Administration(fields.administration()?),
        other => return Err(Malformed::Kind(other)),
    };
    Ok((prefix.stamp, facts))
}

/// Every field this version knows, as found.
#[derive(Default)]
struct Fields<'a> {
    id: Option<DecisionId>,
    outcome: Option<Outcome>,
    reason: Option<&'a str>,
    note: Option<&'a str>,
    listener: Option<&'a str>,
    revision: Option<RevisionId>,
    source: Option<IpAddr>,
    protocol: Option<Protocol>,
    spiffe_id: Option<&'a str>,
    serial: Option<&'a str>,
    sha256: Option<[u8; 32]>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    via: Option<&'a str>,
    claimed: Option<&'a str>,
    host: Option<&'a str>,
    service: Option<&'a str>,
    method: Option<&'a str>,
    template: Option<&'a str>,
    risk: Option<u8>,
    determining: Vec<&'a str>,
    status: Option<u16>,
    micros: Option<u64>,
    request_bytes: Option<u64>,
    response_bytes: Option<u64>,
    count: Option<u64>,
    since: Option<Timestamp>,
    selectors: Option<&'a str>,
    event: Option<&'a str>,
    version: Option<&'a str>,
    noted: Vec<Noted<'a>>,
    epoch: Option<u64>,
    act: Option<&'a str>,
    operator: Option<&'a str>,
    subject: Option<&'a str>,
    why: Option<&'a str>,
    until: Option<Timestamp>,
}

impl<'a> Fields<'a> {
    fn read(mut rest: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        while let Some((tag, after)) = rest.split_first() {
            let (length, after) = varint(after)?;
            let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
            let (value, after) = after.split_at_checked(length).ok_or(Malformed::Short)?;
            fields.take(*tag, value)?;
            rest = after;
        }
        Ok(fields)
    }

    fn take(&mut self, tag: u8, value: &'a [u8]) -> Result<(), Malformed> {
        let field = Field { tag, value };
        match tag {
            tag::ID => field.set(&mut self.id, field.array().map(DecisionId::from_bytes)),
            tag::OUTCOME => field.set(&mut self.outcome, field.outcome()),
            tag::REASON => field.set(&mut self.reason, field.text()),
            tag::NOTE => field.set(&mut self.note, field.text()),
            tag::LISTENER => field.set(&mut self.listener, field.text()),
            tag::REVISION => field.set(&mut self.revision, field.array().map(RevisionId::from_digest)),
            tag::SOURCE => field.set(&mut self.source, field.address()),
            tag::PROTOCOL => field.set(&mut self.protocol, field.protocol()),
            tag::SPIFFE_ID => field.set(&mut self.spiffe_id, field.text()),
            tag::SERIAL => field.set(&mut self.serial, field.text()),
            tag::SHA256 => field.set(&mut self.sha256, field.array()),
            tag::NOT_BEFORE => field.set(&mut self.not_before, field.time()),
            tag::NOT_AFTER => field.set(&mut self.not_after, field.time()),
            tag::VIA => field.set(&mut self.via, field.text()),
            tag::CLAIMED => field.set(&mut self.claimed, field.text()),
            tag::HOST => field.set(&mut self.host, field.text()),
            tag::SERVICE => field.set(&mut self.service, field.text()),
            tag::METHOD => field.set(&mut self.method, field.text()),
            tag::TEMPLATE => field.set(&mut self.template, field.text()),
            tag::RISK => field.set(&mut self.risk, field.array().map(|[risk]| risk)),
            tag::DETERMINING => {
                self.determining.push(field.text().ok_or(Malformed::Value(tag))?);
                Ok(())
            }
            tag::STATUS => field.set(&mut self.status, field.array().map(u16::from_le_bytes)),
            tag::MICROS => field.set(&mut self.micros, field.number()),
            tag::REQUEST_BYTES => field.set(&mut self.request_bytes, field.number()),
            tag::RESPONSE_BYTES => field.set(&mut self.response_bytes, field.number()),
            tag::COUNT => field.set(&mut self.count, field.number()),
            tag::SINCE => field.set(&mut self.since, field.time()),
            tag::SELECTORS => field.set(&mut self.selectors, field.text()),
            tag::EVENT => field.set(&mut self.event, field.text()),
            tag::VERSION => field.set(&mut self.version, field.text()),
            tag::NOTED => {
                self.noted.push(field.noted().ok_or(Malformed::Value(tag))?);
                Ok(())
            }
            tag::EPOCH => field.set(&mut self.epoch, field.number()),
            tag::ACT => field.set(&mut self.act, field.text()),
            tag::OPERATOR => field.set(&mut self.operator, field.text()),
            tag::SUBJECT => field.set(&mut self.subject, field.text()),
            tag::WHY => field.set(&mut self.why, field.text()),
            tag::UNTIL => field.set(&mut self.until, field.time()),
            _ => Ok(()),
        }
    }

    fn decision(self) -> Result<Decision<'a>, Malformed> {
        Ok(Decision {
            id: need(self.id, tag::ID)?,
            outcome: need(self.outcome, tag::OUTCOME)?,
            reason: self.reason.unwrap_or_default(),
            note: self.note.unwrap_or_default(),
            listener: self.listener.unwrap_or_default(),
            revision: self.revision,
            source: self.source,
            protocol: need(self.protocol, tag::PROTOCOL)?,
            caller: self.caller()?,
            host: self.host.unwrap_or_default(),
            service: self.service.unwrap_or_default(),
            method: self.method.unwrap_or_default(),
            template: self.template.unwrap_or_default(),
            risk: self.risk,
            determining: self.determining,
            noted: self.noted,
            epoch: self.epoch,
        })
    }

    /// A caller is verified exactly where the digest of a certificate stands.
    fn caller(&self) -> Result<Caller<'a>, Malformed> {
        let Some(sha256) = self.sha256 else {
            return Ok(Caller::Unidentified { claimed: self.claimed.unwrap_or_default() });
        };
        Ok(Caller::Verified(Peer {
            spiffe_id: self.spiffe_id.unwrap_or_default(),
            serial: self.serial.unwrap_or_default(),
            sha256,
            not_before: need(self.not_before, tag::NOT_BEFORE)?,
            not_after: need(self.not_after, tag::NOT_AFTER)?,
            via: self.via.unwrap_or_default(),
        }))
    }

    fn completion(self) -> Result<Completion<'a>, Malformed> {
        Ok(Completion {
            id: need(self.id, tag::ID)?,
            status: self.status,
            reason: self.reason.unwrap_or_default(),
            micros: need(self.micros, tag::MICROS)?,
            request_bytes: need(self.request_bytes, tag::REQUEST_BYTES)?,
            response_bytes: need(self.response_bytes, tag::RESPONSE_BYTES)?,
            revision: self.revision,
            epoch: self.epoch,
        })
    }

    fn refusals(self) -> Result<Refusals<'a>, Malformed> {
        Ok(Refusals {
            listener: self.listener.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            source: self.source,
            count: need(self.count, tag::COUNT)?,
            since: need(self.since, tag::SINCE)?,
        })
    }

    fn issuance(self) -> Result<Issuance<'a>, Malformed> {
        Ok(Issuance {
            outcome: need(self.outcome, tag::OUTCOME)?,
            note: self.note.unwrap_or_default(),
            spiffe_id: self.spiffe_id.unwrap_or_default(),
            serial: self.serial.unwrap_or_default(),
            not_after: self.not_after,
            selectors: self.selectors.unwrap_or_default(),
            via: self.via.unwrap_or_default(),
        })
    }

    fn administration(self) -> Result<Administration<'a>, Malformed> {
        Ok(Administration {
            act: self.act.unwrap_or_default(),
            outcome: need(self.outcome, tag::OUTCOME)?,
            operator: self.operator.unwrap_or_default(),
            subject: self.subject.unwrap_or_default(),
            why: self.why.unwrap_or_default(),
            note: self.note.unwrap_or_default(),
            revision: self.revision,
            until: self.until,
        })
    }

    fn lifecycle(self) -> Lifecycle<'a> {
        Lifecycle {
            event: self.event.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            revision: self.revision,
        }
    }
}

fn need<T>(value: Option<T>, tag: u8) -> Result<T, Malformed> {
    value.ok_or(Malformed::Missing(tag))
}

/// One field as it stands in the payload. The readers give `None` where the value does not fit.
#[derive(Clone, Copy)]
struct Field<'a> {
    tag: u8,
    value: &'a [u8],
}

impl<'a> Field<'a> {
    fn set<T>(self, slot: &mut Option<T>, value: Option<T>) -> Result<(), Malformed> {
        let value = value.ok_or(Malformed::Value(self.tag))?;
        match slot.replace(value) {
            Some(_) => Err(Malformed::Twice(self.tag)),
            None => Ok(()),
        }
    }

    fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.value.try_into().ok()
    }

    fn text(self) -> Option<&'a str> {
        core::str::from_utf8(self.value).ok()
    }

    fn time(self) -> Option<Timestamp> {
        self.array().map(|bytes| Timestamp::from_micros(u64::from_le_bytes(bytes)))
    }

    fn number(self) -> Option<u64> {
        varint(self.value).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
    }

    fn outcome(self) -> Option<Outcome> {
        match self.value {
            [0] => Some(Outcome::Deny),
            [1] => Some(Outcome::Allow),
            _ => None,
        }
    }

    fn protocol(self) -> Option<Protocol> {
        match self.value {
            [0] => Some(Protocol::Tls),
            [1] => Some(Protocol::Http1),
            [2] => Some(Protocol::Http2),
            _ => None,
        }
    }

    fn noted(self) -> Option<Noted<'a>> {
        let (mode, rest) = self.value.split_first()?;
        let mode = match mode {
            0 => Mode::Observe,
            1 => Mode::Shadow,
            2 => Mode::Enforce,
            _ => return None,
        };
        let (check, rest) = counted(rest)?;
        let (reason, rest) = counted(rest)?;
        let (policy, rest) = counted(rest)?;
        rest.is_empty().then_some(Noted { check, mode, reason, policy })
    }

    fn address(self) -> Option<IpAddr> {
        let v4 = self.array().map(|octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets)));
        v4.or_else(|| self.array().map(|octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets))))
    }
}

/// A text with its length before it, and what follows.
fn counted(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = varint(bytes).ok()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((core::str::from_utf8(text).ok()?, rest))
}

/// Reads a LEB128 number of at most 64 bits.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (mut value, mut rest) = (0u64, bytes);
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(Malformed::Short)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Malformed::Varint);
        }
        value |= bits << shift;
        rest = after;
        if byte & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(Malformed::Varint)
}
