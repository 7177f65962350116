//! What is open on one worker: exchanges under the permit that let them begin, connections under their caller. When trust or
//! rules change, `rejudge` walks over it (DESIGN section 8).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use policy::Permit;
use record::Recorded;
use types::{Reason, RevisionId};

use crate::{body::Progress, flag::Flag, line::Line, slots::Slots, standing::Standing};

/// Why an exchange is no longer allowed, as its completion says.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The reason that a new request would be refused with.
    pub reason: Reason,
    /// The revision that says so.
    pub revision: RevisionId,
    /// The epoch of the signals then.
    pub epoch: u64,
}

/// An allowed exchange that has not ended.
pub struct Open {
    permit: Recorded<Permit>,
    caller: Option<Rc<Standing>>,
    line: Rc<Line>,
    request: Rc<Progress>,
    /// The last revision that allowed it.
    judged: Cell<RevisionId>,
    /// The response is on its way to the caller.
    begun: Cell<bool>,
    cut: Cell<Option<Cut>>,
    cut_before_answer: Flag,
}

impl Open {
    /// What let it begin.
    pub const fn permit(&self) -> &Recorded<Permit> {
        &self.permit
    }

    /// Who began it; `None` for nobody known.
    pub fn caller(&self) -> Option<&Standing> {
        self.caller.as_deref()
    }

    /// The line to its caller.
    pub const fn line(&self) -> &Rc<Line> {
        &self.line
    }

    /// What is known of its request's body.
    pub const fn request(&self) -> &Rc<Progress> {
        &self.request
    }

    /// The last revision that allowed it.
    pub const fn judged(&self) -> RevisionId {
        self.judged.get()
    }

    /// This revision allows it too.
    pub fn allowed_by(&self, revision: RevisionId) {
        self.judged.set(revision);
    }

    /// The response begins: from now on a cut has no words for the caller.
    pub fn begin_answer(&self) {
        self.begun.set(true);
    }

    /// It is no longer allowed. Nothing goes on from the caller to the upstream or back; before the answer has begun the
    /// caller is told why, after that its line is cut.
    pub fn cut(&self, cut: Cut) {
        self.cut.set(Some(cut));
        self.request.stop();
        if self.begun.get() {
            self.line.cut();
        } else {
            self.cut_before_answer.raise();
        }
    }

    /// Why it was cut, if it was.
    pub const fn is_cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// Resolves when it is cut before its answer has begun.
    pub async fn is_cut_before_answer(&self) {
        self.cut_before_answer.raised().await;
    }
}

/// A connection that has not ended.
pub struct OpenConnection {
    caller: Option<Rc<Standing>>,
    closing: Flag,
}

impl OpenConnection {
    /// Who is at the other end; `None` for nobody known.
    pub fn caller(&self) -> Option<&Standing> {
        self.caller.as_deref()
    }

    /// Takes no more requests and closes.
    pub fn close(&self) {
        self.closing.raise();
    }

    /// Resolves when it is to close.
    pub async fn is_closing(&self) {
        self.closing.raised().await;
    }
}

/// Everything open on one worker.
#[derive(Default)]
pub struct Registry {
    exchanges: RefCell<Slots<Rc<Open>>>,
    connections: RefCell<Slots<Rc<OpenConnection>>>,
}

/// Removes what it stands for when it is dropped.
pub struct Registered<T> {
    item: Rc<T>,
    slot: usize,
}

impl<T> Registered<T> {
    /// What is registered.
    pub const fn get(&self) -> &Rc<T> {
        &self.item
    }
}

impl Registry {
    /// Registers an exchange. [`Registry::end`] takes it out.
    pub fn open(
        &self,
        permit: Recorded<Permit>,
        caller: Option<Rc<Standing>>,
        line: Rc<Line>,
        request: Rc<Progress>,
    ) -> Registered<Open> {
        let judged = Cell::new(permit.get().situated().routed().revision());
        let item = Rc::new(Open {
            permit,
            caller,
            line,
            request,
            judged,
            begun: Cell::new(false),
            cut: Cell::new(None),
            cut_before_answer: Flag::default(),
        });
        let slot = self.exchanges.borrow_mut().insert(Rc::clone(&item));
        Registered { item, slot }
    }

    /// The exchange has ended.
    pub fn end(&self, exchange: &Registered<Open>) {
        self.exchanges.borrow_mut().remove(exchange.slot);
    }

    /// Registers a connection. [`Registry::closed`] takes it out.
    pub fn connect(&self, caller: Option<Rc<Standing>>) -> Registered<OpenConnection> {
        let item = Rc::new(OpenConnection { caller, closing: Flag::default() });
        let slot = self.connections.borrow_mut().insert(Rc::clone(&item));
        Registered { item, slot }
    }

    /// The connection has ended.
    pub fn closed(&self, connection: &Registered<OpenConnection>) {
        self.connections.borrow_mut().remove(connection.slot);
    }

    /// At most `count` exchanges from a position on, and the position to go on from.
    pub fn exchanges(&self, from: usize, count: usize) -> (Vec<Rc<Open>>, Option<usize>) {
        self.exchanges.borrow().slice(from, count)
    }

    /// At most `count` connections from a position on, and the position to go on from.
    pub fn connections(&self, from: usize, count: usize) -> (Vec<Rc<OpenConnection>>, Option<usize>) {
        self.connections.borrow().slice(from, count)
    }
}
