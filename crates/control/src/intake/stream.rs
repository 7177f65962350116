//! One stream of a peer: a batch of messages, the disk, an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use api::wire::{Piece, Received, Refused, Segment, Segments, Shipped, shipped};
use record::{Copies, CopyError, Written};
use tokio::sync::mpsc::Sender;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use types::limits;

use super::{Enforcer, Intake};

/// The longest name of a segment: a start, a lane, a number.
const NAME_MOST: usize = 128; // tidy: the grammar of names

/// Takes messages until there are no more.
///
/// # Errors
/// What the stream says, or why it is ended.
pub(super) async fn take<S>(
    intake: &Arc<Intake>,
    enforcer: &Arc<Enforcer>,
    mut shipped: S,
    out: &Sender<Result<Received, Status>>,
) -> Result<(), Status>
where
    S: Stream<Item = Result<Shipped, Status>> + Send + Unpin + 'static,
{
    let mut named = BTreeSet::new();
    loop {
        let first = tokio::select! {
            first = shipped.next() => first,
            () = out.closed() => return Ok(()),
        };
        let Some(first) = first else { return Ok(()) };
        let gone = |_| Status::unavailable("control is stopping");
        // the place before the bytes, so that what waits in memory is bounded
        let place = intake.writes.acquire().await.map_err(gone)?;
        let messages = gather(first?, &mut shipped)?;
        let batch = Batch::new(Arc::clone(intake), Arc::clone(enforcer), named);
        let worked = tokio::task::spawn_blocking(move || batch.work(messages)).await;
        drop(place);
        let (answer, names) = worked.map_err(|error| Status::internal(error.to_string()))??;
        named = names;
        if out.send(Ok(answer)).await.is_err() {
            return Ok(());
        }
    }
}

/// The first message and what has already arrived behind it.
fn gather<S>(first: Shipped, shipped: &mut S) -> Result<Vec<Shipped>, Status>
where
    S: Stream<Item = Result<Shipped, Status>> + Unpin,
{
    let mut bytes = size(&first);
    let mut messages = vec![first];
    while bytes < limits::INTAKE_BATCH_BYTES.default_usize() {
        // whoever waits next tells the stream whom to wake
        match Pin::new(&mut *shipped).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(more)) => {
                let more = more?;
                bytes = bytes.saturating_add(size(&more));
                messages.push(more);
            }
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    Ok(messages)
}

fn size(message: &Shipped) -> usize {
    /// What a name takes.
    const NAME: usize = 64;
    match &message.shipped {
        Some(shipped::Shipped::Piece(piece)) => piece.data.len().saturating_add(NAME),
        Some(shipped::Shipped::Have(have)) => have.segments.len().saturating_add(1).saturating_mul(NAME),
        None => NAME,
    }
}

/// Messages that are brought to the disk together.
struct Batch {
    intake: Arc<Intake>,
    enforcer: Arc<Enforcer>,
    /// Segments that the peer said it has.
    named: BTreeSet<String>,
    touched: BTreeSet<String>,
    refused: BTreeMap<String, String>,
    full: String,
    /// Room that was taken for it.
    reserved: u64,
    /// Whether anything of a segment was taken.
    moved: bool,
}

impl Batch {
    fn new(intake: Arc<Intake>, enforcer: Arc<Enforcer>, named: BTreeSet<String>) -> Self {
        let (touched, refused) = (BTreeSet::new(), BTreeMap::new());
        Self { intake, enforcer, named, touched, refused, full: String::new(), reserved: 0, moved: false }
    }

    /// Blocks until everything is on the disk. Gives back what the peer named.
    fn work(mut self, messages: Vec<Shipped>) -> Result<(Received, BTreeSet<String>), Status> {
        let enforcer = Arc::clone(&self.enforcer);
        let worked = enforcer.with(|copies| {
            let before = copies.bytes();
            for message in messages {
                self.message(copies, message)?;
            }
            if let Err(error) = copies.commit() {
                self.full = format!("the disk of control does not take it: {error}");
            }
            let grown = copies.bytes().saturating_sub(before);
            self.intake.give_back(self.reserved.saturating_sub(grown));
            Ok::<_, Status>(self.answer(copies))
        });
        let answer = match worked {
            Ok(answer) => answer?,
            Err(error) => {
                self.full = format!("control cannot keep it: {error}");
                Received { segments: Vec::new(), full: self.full.clone(), refused: Vec::new() }
            }
        };
        for (name, why) in &self.refused {
            enforcer.refuse(name, why);
        }
        if self.moved || !self.refused.is_empty() {
            enforcer.changed();
        }
        if !self.full.is_empty() {
            self.intake.recount();
            self.intake.tell_full(Some(self.full));
        } else if self.reserved > 0 {
            self.intake.tell_full(None);
        }
        Ok((answer, self.named))
    }

    fn message(&mut self, copies: &mut Copies, message: Shipped) -> Result<(), Status> {
        match message.shipped {
            Some(shipped::Shipped::Have(have)) => self.have(have),
            Some(shipped::Shipped::Piece(piece)) => self.piece(copies, piece),
            None => Err(Status::invalid_argument("a message without content")),
        }
    }

    fn have(&mut self, have: Segments) -> Result<(), Status> {
        let most = limits::INTAKE_NAMED.default_usize();
        if self.named.len().saturating_add(have.segments.len()) > most {
            return Err(Status::invalid_argument(format!("more than {most} segments were named")));
        }
        if have.segments.iter().any(|segment| segment.name.len() > NAME_MOST) {
            return Err(Status::invalid_argument("a segment has a name that is none"));
        }
        for segment in have.segments {
            self.touched.insert(segment.name.clone());
            self.named.insert(segment.name);
        }
        Ok(())
    }

    fn piece(&mut self, copies: &mut Copies, piece: Piece) -> Result<(), Status> {
        let most = limits::WIRE_PIECE_BYTES.default_usize();
        if piece.data.len() > most || piece.name.len() > NAME_MOST {
            return Err(Status::invalid_argument(format!("a piece of more than {most} bytes, or whose name is none")));
        }
        if !self.full.is_empty() || self.refused.contains_key(&piece.name) {
            return Ok(());
        }
        self.leave_behind(copies, &piece.name);
        let growth = copies.growth(&piece.name, piece.offset, piece.data.len());
        if growth > 0 && !self.intake.reserve(growth) {
            self.touched.insert(piece.name);
            self.full = self.intake.no_room();
            return Ok(());
        }
        self.reserved = self.reserved.saturating_add(growth);
        match copies.write(&piece.name, piece.offset, &piece.data, piece.finished) {
            Ok(written) => {
                self.moved |= written == Written::Held;
                self.touched.insert(piece.name);
            }
            Err(CopyError::Io(error)) => {
                self.touched.insert(piece.name);
                self.full = format!("the disk of control does not take it: {error}");
            }
            Err(error) => {
                // what is held stays as it came first, and the lane goes on behind it
                copies.give_up(&piece.name);
                self.refused.insert(piece.name, error.to_string());
            }
        }
        Ok(())
    }

    /// The end of an earlier segment of the lane never comes where the peer does not have it any more.
    fn leave_behind(&self, copies: &mut Copies, name: &str) {
        if copies.held(name).is_none()
            && let Some(earlier) = copies.unfinished_before(name)
            && !self.named.contains(&earlier)
        {
            self.enforcer.refuse(&earlier, "its end was lost before it was shipped");
            copies.give_up(&earlier);
        }
    }

    fn answer(&self, copies: &Copies) -> Received {
        let segment = |name: &String| match copies.held(name) {
            Some(held) => Segment { name: held.name, bytes: held.bytes, finished: held.finished },
            None => Segment { name: name.clone(), bytes: 0, finished: false },
        };
        let refused = |(name, why): (&String, &String)| Refused { name: name.clone(), why: why.clone() };
        Received {
            segments: self.touched.iter().map(segment).collect(),
            full: self.full.clone(),
            refused: self.refused.iter().map(refused).collect(),
        }
    }
}
