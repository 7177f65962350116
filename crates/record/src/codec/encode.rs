//! Facts to bytes: the same code counts and writes, so that the length is known before the first byte is stored.

use core::mem;
use std::net::IpAddr;

use types::{
    Mode, Timestamp,
    facts::{
        Administration, Caller, Completion, Decision, Facts, Issuance, Lifecycle, Noted, Outcome, Peer, Protocol,
        Refusals,
    },
    limits,
};

use super::{kind, tag};

/// Longest reason of a completion; longer ones are cut, so that a completion always fits the room kept for it.
pub(crate) const COMPLETION_REASON_BYTES: usize = 64;

const VARINT_MAX: usize = 10;

/// The longest payload of a completion: what an allowed decision keeps free.
pub(crate) const COMPLETION_BYTES: usize =
    1 + VARINT_MAX + 8 + (2 + 16) + (2 + 2) + (2 + COMPLETION_REASON_BYTES) + (2 + 32) + 4 * (2 + VARINT_MAX);

/// Position and time of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
}

/// The exact length of what [`encode`] writes.
pub(crate) fn encoded_len(stamp: Stamp, facts: &Facts<'_>) -> usize {
    let mut count = Count(0);
    write(&mut count, stamp, facts);
    count.0
}

/// Writes a payload. `None` unless it fills `out` exactly.
pub(crate) fn encode(out: &mut [u8], stamp: Stamp, facts: &Facts<'_>) -> Option<()> {
    let mut fill = Fill { rest: out, overflow: false };
    write(&mut fill, stamp, facts);
    (fill.rest.is_empty() && !fill.overflow).then_some(())
}

trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

struct Count(usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

struct Fill<'a> {
    rest: &'a mut [u8],
    overflow: bool,
}

impl Sink for Fill<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) {
            Some((head, tail)) => {
                head.copy_from_slice(bytes);
                self.rest = tail;
            }
            None => self.overflow = true,
        }
    }
}

fn write<S: Sink>(sink: &mut S, stamp: Stamp, facts: &Facts<'_>) {
    let kind = match facts {
        Facts::Decision(_) => kind::DECISION,
        Facts::Completion(_) => kind::COMPLETION,
        Facts::Refusals(_) => kind::REFUSALS,
        Facts::Issuance(_) => kind::ISSUANCE,
        Facts::Lifecycle(_) => kind::LIFECYCLE,
        Facts::Administration(_) => kind::ADMINISTRATION,
    };
    sink.put(&[kind]);
    varint(sink, stamp.sequence);
    sink.put(&stamp.at.micros().to_le_bytes());
    match facts {
        Facts::Decision(facts) => decision(sink, facts),
        Facts::Completion(facts) => completion(sink, facts),
        Facts::Refusals(facts) => refusals(sink, facts),
        Facts::Issuance(facts) => issuance(sink, facts),
        Facts::Lifecycle(facts) => lifecycle(sink, facts),
        Facts::Administration(facts) => administration(sink, facts),
    }
}

fn decision<S: Sink>(sink: &mut S, facts: &Decision<'_>) {
    field(sink, tag::ID, facts.id.bytes());
    outcome(sink, facts.outcome);
    text(sink, tag::REASON, facts.reason);
    text(sink, tag::NOTE, cut(facts.note, limits::NOTE_BYTES.default_usize()));
    text(sink, tag::LISTENER, facts.listener);
    if let Some(revision) = &facts.revision {
        field(sink, tag::REVISION, revision.digest());
    }
    source(sink, facts.source);
    let protocol = match facts.protocol {
        Protocol::Tls => 0,
        Protocol::Http1 => 1,
        Protocol::Http2 => 2,
    };
    field(sink, tag::PROTOCOL, &[protocol]);
    match &facts.caller {
        Caller::Verified(facts) => peer(sink, facts),
        // attackers choose it: cut, so that a long one cannot keep its own refusal out of the log
        Caller::Unidentified { claimed } => {
            text(sink, tag::CLAIMED, cut(claimed, limits::SPIFFE_ID_BYTES.default_usize()));
        }
    }
    text(sink, tag::HOST, cut(facts.host, limits::HOST_BYTES.default_usize()));
    text(sink, tag::SERVICE, facts.service);
    text(sink, tag::METHOD, facts.method);
    text(sink, tag::TEMPLATE, facts.template);
    if let Some(risk) = facts.risk {
        field(sink, tag::RISK, &[risk]);
    }
    for policy in &facts.determining {
        field(sink, tag::DETERMINING, policy.as_bytes());
    }
    for refusal in &facts.noted {
        noted(sink, refusal);
    }
    if let Some(epoch) = facts.epoch {
        number(sink, tag::EPOCH, epoch);
    }
}

/// One byte of mode, then check, reason and policy, each with its length before it.
fn noted<S: Sink>(sink: &mut S, refusal: &Noted<'_>) {
    let mode = match refusal.mode {
        Mode::Observe => 0,
        Mode::Shadow => 1,
        Mode::Enforce => 2,
    };
    let texts = [refusal.check, refusal.reason, refusal.policy];
    let mut length = Count(1);
    texts.iter().for_each(|text| counted(&mut length, text));
    sink.put(&[tag::NOTED]);
    varint(sink, length.0 as u64);
    sink.put(&[mode]);
    texts.iter().for_each(|text| counted(sink, text));
}

fn counted<S: Sink>(sink: &mut S, text: &str) {
    varint(sink, text.len() as u64);
    sink.put(text.as_bytes());
}

fn peer<S: Sink>(sink: &mut S, peer: &Peer<'_>) {
    text(sink, tag::SPIFFE_ID, peer.spiffe_id);
    text(sink, tag::SERIAL, peer.serial);
    field(sink, tag::SHA256, &peer.sha256);
    time(sink, tag::NOT_BEFORE, peer.not_before);
    time(sink, tag::NOT_AFTER, peer.not_after);
    text(sink, tag::VIA, peer.via);
}

fn completion<S: Sink>(sink: &mut S, facts: &Completion<'_>) {
    field(sink, tag::ID, facts.id.bytes());
    if let Some(status) = facts.status {
        field(sink, tag::STATUS, &status.to_le_bytes());
    }
    text(sink, tag::REASON, cut(facts.reason, COMPLETION_REASON_BYTES));
    number(sink, tag::MICROS, facts.micros);
    number(sink, tag::REQUEST_BYTES, facts.request_bytes);
    number(sink, tag::RESPONSE_BYTES, facts.response_bytes);
    if let Some(revision) = &facts.revision {
        field(sink, tag::REVISION, revision.digest());
    }
    if let Some(epoch) = facts.epoch {
        number(sink, tag::EPOCH, epoch);
    }
}

fn refusals<S: Sink>(sink: &mut S, facts: &Refusals<'_>) {
    text(sink, tag::LISTENER, facts.listener);
    text(sink, tag::REASON, facts.reason);
    source(sink, facts.source);
    number(sink, tag::COUNT, facts.count);
    time(sink, tag::SINCE, facts.since);
}

fn issuance<S: Sink>(sink: &mut S, facts: &Issuance<'_>) {
    outcome(sink, facts.outcome);
    text(sink, tag::NOTE, cut(facts.note, limits::NOTE_BYTES.default_usize()));
    text(sink, tag::SPIFFE_ID, facts.spiffe_id);
    text(sink, tag::SERIAL, facts.serial);
    if let Some(not_after) = facts.not_after {
        time(sink, tag::NOT_AFTER, not_after);
    }
    text(sink, tag::SELECTORS, facts.selectors);
    text(sink, tag::VIA, facts.via);
}

fn lifecycle<S: Sink>(sink: &mut S, facts: &Lifecycle<'_>) {
    text(sink, tag::EVENT, facts.event);
    text(sink, tag::VERSION, facts.version);
    if let Some(revision) = &facts.revision {
        field(sink, tag::REVISION, revision.digest());
    }
}

fn administration<S: Sink>(sink: &mut S, facts: &Administration<'_>) {
    text(sink, tag::ACT, facts.act);
    outcome(sink, facts.outcome);
    text(sink, tag::OPERATOR, facts.operator);
    text(sink, tag::SUBJECT, cut(facts.subject, limits::SPIFFE_ID_BYTES.default_usize()));
    text(sink, tag::WHY, cut(facts.why, limits::NOTE_BYTES.default_usize()));
    text(sink, tag::NOTE, cut(facts.note, limits::NOTE_BYTES.default_usize()));
    if let Some(revision) = &facts.revision {
        field(sink, tag::REVISION, revision.digest());
    }
    if let Some(until) = facts.until {
        time(sink, tag::UNTIL, until);
    }
}

#[inline]
fn field<S: Sink>(sink: &mut S, tag: u8, value: &[u8]) {
    sink.put(&[tag]);
    varint(sink, value.len() as u64);
    sink.put(value);
}

#[inline]
fn text<S: Sink>(sink: &mut S, tag: u8, value: &str) {
    if !value.is_empty() {
        field(sink, tag, value.as_bytes());
    }
}

fn number<S: Sink>(sink: &mut S, tag: u8, value: u64) {
    sink.put(&[tag, (64 - (value | 1).leading_zeros()).div_ceil(7) as u8]);
    varint(sink, value);
}

fn time<S: Sink>(sink: &mut S, tag: u8, value: Timestamp) {
    field(sink, tag, &value.micros().to_le_bytes());
}

fn outcome<S: Sink>(sink: &mut S, outcome: Outcome) {
    let value = match outcome {
        Outcome::Deny => 0,
        Outcome::Allow => 1,
    };
    field(sink, tag::OUTCOME, &[value]);
}

fn source<S: Sink>(sink: &mut S, source: Option<IpAddr>) {
    match source {
        Some(IpAddr::V4(address)) => field(sink, tag::SOURCE, &address.octets()),
        Some(IpAddr::V6(address)) => field(sink, tag::SOURCE, &address.octets()),
        None => {}
    }
}

/// LEB128: seven bits a byte, the lowest first, the top bit set on all but the last.
#[inline]
fn varint<S: Sink>(sink: &mut S, mut value: u64) {
    while value >= 0x80 {
        sink.put(&[(value & 0x7f) as u8 | 0x80]);
        value >>= 7;
    }
    sink.put(&[value as u8]);
}

/// The longest start of `text` that is at most `bytes` long and ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
