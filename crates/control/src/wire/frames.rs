//! How large one report of a peer may be: little, until control asks to see what the peer holds.
//!
//! The length stands before each message (gRPC, "Length-Prefixed-Message"). It is read here, before anything is allocated
//! for it, so that a peer can make control hold as much as it was allowed to send and not what it says it sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as Message, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use types::limits;

/// Bytes before each message: a flag and the length.
const PREFIX: usize = 5; // tidy: gRPC says so

/// Whether a large report is expected. Whoever takes the reports of a stream has the other half.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance(Arc<AtomicBool>);

impl Allowance {
    /// The next report may be large, or may not be any more.
    pub fn set(&self, is_large: bool) {
        self.0.store(is_large, Ordering::Release);
    }

    /// Bytes of one message.
    fn most(&self) -> u64 {
        let is_large = self.0.load(Ordering::Acquire);
        if is_large { limits::WIRE_MESSAGE_BYTES.default } else { limits::WIRE_REPORT_BYTES.default }
    }
}

/// The body of a stream of reports.
pub(crate) struct Bounded {
    body: Body,
    lengths: Lengths,
}

impl Bounded {
    pub fn new(body: Body, allowance: Allowance) -> Self {
        Self { body, lengths: Lengths { allowance, prefix: [0; PREFIX], read: 0, left: 0 } }
    }
}

impl Message for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let checked = frame.and_then(|frame| match frame.data_ref() {
            Some(data) => this.lengths.take(data).map(|()| frame),
            None => Ok(frame),
        });
        Poll::Ready(Some(checked))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Follows the lengths through the bytes, wherever those are cut.
struct Lengths {
    allowance: Allowance,
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that have come.
    read: usize,
    /// Bytes of the message that have not.
    left: u64,
}

impl Lengths {
    fn take(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let skipped = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left = self.left.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
                data = data.get(skipped..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = data.split_first() else { break };
            if let Some(place) = self.prefix.get_mut(self.read) {
                *place = *first;
            }
            self.read = self.read.saturating_add(1);
            data = rest;
            if self.read == PREFIX {
                self.begin()?;
            }
        }
        Ok(())
    }

    /// A message begins.
    fn begin(&mut self) -> Result<(), Status> {
        let [_, length @ ..] = self.prefix;
        self.left = u64::from(u32::from_be_bytes(length));
        self.read = 0;
        let most = self.allowance.most();
        if self.left > most {
            return Err(Status::out_of_range(format!("a report of {} bytes came, and {most} are taken", self.left)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(allowance: &Allowance) -> Lengths {
        Lengths { allowance: allowance.clone(), prefix: [0; PREFIX], read: 0, left: 0 }
    }

    fn message(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        [&[0], &length[..], &vec![0xff; bytes]].concat()
    }

    proptest! {
        #[test]
        fn messages_that_are_small_enough_pass_however_they_are_cut(
            sizes in prop::collection::vec(0_usize..300, 0..12),
            cuts in prop::collection::vec(1_usize..40, 1..200),
        ) {
            let bytes: Vec<u8> = sizes.iter().flat_map(|size| message(*size)).collect();
            let (mut lengths, mut rest) = (lengths(&Allowance::default()), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                prop_assert!(lengths.take(now).is_ok());
                rest = later;
            }
            prop_assert_eq!((lengths.left, lengths.read), (0, 0));
        }

        #[test]
        fn a_length_that_is_too_large_is_refused_before_its_bytes(before in 0_usize..50, beyond in 1_u32..1_000_000) {
            let most = u32::try_from(limits::WIRE_REPORT_BYTES.default).unwrap();
            let prefix = [&[0], &most.saturating_add(beyond).to_be_bytes()[..]].concat();
            let mut lengths = lengths(&Allowance::default());
            prop_assert!(lengths.take(&message(before)).is_ok());
            let (head, last) = prefix.split_at(PREFIX - 1);
            prop_assert!(lengths.take(head).is_ok());
            prop_assert!(lengths.take(last).is_err());
        }
    }

    #[test]
    fn a_large_report_is_taken_where_it_was_asked_for_and_not_after() {
        let allowance = Allowance::default();
        let large = usize::try_from(limits::WIRE_REPORT_BYTES.default).unwrap() + 1;
        let mut lengths = lengths(&allowance);
        allowance.set(true);
        assert!(lengths.take(&message(large)).is_ok());
        allowance.set(false);
        assert!(lengths.take(&message(large)).is_err());
    }
}
