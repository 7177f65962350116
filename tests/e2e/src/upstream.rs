//! An upstream that writes down every byte and every request it sees, and answers as a test wants: slowly, brokenly, never.
//!
//! It reads HTTP/1.1 in the plainest way: whatever the gateway lets through in one connection is taken as it comes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::answer::shown;
use crate::wait::PATIENCE;

/// What is kept of each connection's bytes.
const KEPT: usize = 1 << 20;

/// A request as the upstream saw it.
#[derive(Clone, Default)]
pub struct Call {
    /// The connection, counted from 0.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// The target, byte for byte.
    pub target: String,
    /// Field lines in order, names as they came.
    pub fields: Vec<(String, String)>,
    /// The body without its framing, as far as it was read.
    pub body: Vec<u8>,
    /// Whether the body was read to its end.
    pub whole: bool,
    /// Whether the gateway has ended the connection meanwhile.
    pub left: bool,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("connection", &self.connection)
            .field("head", &format_args!("{} {} {:?}", self.method, self.target, self.fields))
            .field("body", &shown(&self.body))
            .field("whole", &self.whole)
            .field("left", &self.left)
            .finish()
    }
}

impl Call {
    /// The only field of that name, in either case.
    ///
    /// # Panics
    /// When it stands there more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` stands more than once: {self:?}");
        first
    }

    /// The decision that let it through.
    ///
    /// # Panics
    /// When it names none: nothing reaches an upstream without.
    pub fn decision(&self) -> String {
        self.field("countersign-decision")
            .unwrap_or_else(|| panic!("forwarded without a decision: {self:?}"))
            .to_owned()
    }
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<Call>>,
    noted: AtomicUsize,
    bytes: Mutex<Vec<Vec<u8>>>,
    changed: Condvar,
}

impl Seen {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap()
    }

    fn change(&self, call: usize, change: impl FnOnce(&mut Call)) {
        change(&mut self.calls()[call]);
        self.changed.notify_all();
    }
}

type Behaviour = dyn Fn(&mut Turn<'_>) -> After + Send + Sync;

/// A running upstream. It lives as long as the test process.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Upstream {
    /// Starts one that behaves as told, once per request.
    ///
    /// # Panics
    /// When no port is to be had.
    pub fn start(behaviour: impl Fn(&mut Turn<'_>) -> After + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let (behaviour, shared): (Arc<Behaviour>, _) = (Arc::new(behaviour), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (behaviour, shared) = (Arc::clone(&behaviour), Arc::clone(&shared));
                thread::spawn(move || serve(&stream, &*behaviour, &shared));
            }
        });
        Self { address, seen }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far.
    pub fn calls(&self) -> Vec<Call> {
        self.seen.calls().clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.seen.calls().len()
    }

    /// The latest request.
    ///
    /// # Panics
    /// When there is none.
    pub fn last(&self) -> Call {
        self.seen.calls().last().expect("a request").clone()
    }

    /// What the behaviour has noted so far, added up.
    pub fn noted(&self) -> usize {
        self.seen.noted.load(Ordering::Relaxed)
    }

    /// Waits until the behaviour notes nothing more for a while.
    pub fn until_still(&self) {
        let mut before = usize::MAX;
        while before != self.noted() {
            before = self.noted();
            // tidy: that nothing happens can only be seen by waiting
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Every byte so far, one connection after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.bytes.lock().unwrap().concat()
    }

    /// Waits until a request is as described.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Call) -> bool) -> Call {
        let mut calls = self.seen.calls();
        loop {
            if let Some(call) = calls.iter().find(|call| holds(call)) {
                return call.clone();
            }
            let (again, timed_out) = self.seen.changed.wait_timeout(calls, PATIENCE).unwrap();
            calls = again;
            assert!(!timed_out.timed_out(), "waited {PATIENCE:?} for {what}: {calls:?}");
        }
    }
}

/// One request on its way to an answer.
pub struct Turn<'a> {
    stream: &'a TcpStream,
    input: &'a mut Input,
    seen: &'a Seen,
    call: usize,
    head: Call,
}

impl Turn<'_> {
    /// The request's head.
    pub fn head(&self) -> &Call {
        &self.head
    }

    /// Which of the upstream's requests it is, counted from 0.
    pub fn number(&self) -> usize {
        self.call
    }

    /// Reads the rest of the body. False when it does not come whole.
    pub fn read_body(&mut self) -> bool {
        let (stream, seen, call) = (self.stream, self.seen, self.call);
        if seen.calls()[call].whole {
            return true;
        }
        let took = |bytes: &[u8]| seen.change(call, |call| call.body.extend_from_slice(bytes));
        let whole = match (self.head.field("transfer-encoding"), self.head.field("content-length")) {
            (Some("chunked"), None) => self.input.chunked(stream, took),
            (None, Some(length)) => length.parse().is_ok_and(|length| self.input.exactly(stream, length, took)),
            (None, None) => true,
            odd => panic!("the gateway framed a request as {odd:?}"),
        };
        seen.change(call, |call| {
            call.whole = whole;
            call.left |= !whole;
        });
        whole
    }

    /// Writes bytes; false when the gateway has gone.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let mut stream = self.stream;
        stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
    }

    /// Answers with a body of known length.
    pub fn reply(&mut self, status: &str, fields: &[(&str, &str)], body: &[u8]) -> After {
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        if self.write(head.as_bytes()) && (self.head.method == "HEAD" || self.write(body)) {
            After::Keep
        } else {
            After::Close
        }
    }

    /// Waits until the gateway ends the connection.
    pub fn until_left(&mut self) -> After {
        while self.input.more(self.stream) {}
        After::Close
    }

    /// Adds to what the test sees by [`Upstream::noted`].
    pub fn note(&self, amount: usize) {
        self.seen.noted.fetch_add(amount, Ordering::Relaxed);
    }

    /// Does nothing for a while: what a slow service looks like.
    pub fn dawdle(&self, time: Duration) {
        // tidy: slowness is what is tested
        thread::sleep(time);
    }
}

/// Answers any request with what it was.
pub fn echo(turn: &mut Turn<'_>) -> After {
    if !turn.read_body() {
        return After::Close;
    }
    let length = turn.seen.calls()[turn.call].body.len();
    let text = format!("{} {} {length}\n", turn.head.method, turn.head.target);
    turn.reply("200 OK", &[("Content-Type", "text/plain")], text.as_bytes())
}

fn serve(stream: &TcpStream, behaviour: &Behaviour, seen: &Arc<Seen>) {
    let connection = {
        let mut bytes = seen.bytes.lock().unwrap();
        bytes.push(Vec::new());
        bytes.len() - 1
    };
    stream.set_nodelay(true).unwrap();
    let mut input = Input { buffer: Vec::new(), seen: Arc::clone(seen), connection };
    while let Some(head) = input.head(stream) {
        let head = Call { connection, ..head };
        let call = {
            let mut calls = seen.calls();
            calls.push(head.clone());
            calls.len() - 1
        };
        seen.changed.notify_all();
        let mut turn = Turn { stream, input: &mut input, seen, call, head };
        let after = behaviour(&mut turn);
        if after == After::Close || !turn.read_body() {
            seen.change(call, |call| call.left |= !input.is_open(stream));
            break;
        }
    }
    // the gateway has gone, or shall see the end
    let _ = stream.shutdown(Shutdown::Both);
}

/// What was read of a connection and not yet taken.
struct Input {
    buffer: Vec<u8>,
    seen: Arc<Seen>,
    connection: usize,
}

impl Input {
    /// Reads some more; false at the end.
    fn more(&mut self, mut stream: &TcpStream) -> bool {
        let mut chunk = [0; 16 * 1024];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.keep(&chunk[..read]);
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
        }
    }

    fn keep(&self, read: &[u8]) {
        let mut bytes = self.seen.bytes.lock().unwrap();
        let kept = &mut bytes[self.connection];
        let room = KEPT.saturating_sub(kept.len()).min(read.len());
        kept.extend_from_slice(&read[..room]);
    }

    fn is_open(&mut self, stream: &TcpStream) -> bool {
        let mut byte = [0];
        stream.set_nonblocking(true).unwrap();
        let open = match stream.peek(&mut byte) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        stream.set_nonblocking(false).unwrap();
        open
    }

    /// Everything up to and with `end`.
    fn up_to(&mut self, stream: &TcpStream, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.more(stream) {
                return None;
            }
        }
    }

    fn head(&mut self, stream: &TcpStream) -> Option<Call> {
        let head = self.up_to(stream, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let mut start = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (start.next().unwrap_or_default(), start.next().unwrap_or_default());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Some(Call { method: method.to_owned(), target: target.to_owned(), fields, ..Call::default() })
    }

    fn exactly(&mut self, stream: &TcpStream, length: usize, took: impl Fn(&[u8])) -> bool {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() && !self.more(stream) {
                return false;
            }
            let take = left.min(self.buffer.len());
            let taken: Vec<u8> = self.buffer.drain(..take).collect();
            took(&taken);
            left -= take;
        }
        true
    }

    fn chunked(&mut self, stream: &TcpStream, took: impl Fn(&[u8])) -> bool {
        loop {
            let Some(line) = self.up_to(stream, b"\r\n") else { return false };
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("a chunk of size {line:?}"));
            if size > 0 && !self.exactly(stream, size, &took) {
                return false;
            }
            let Some(end) = self.up_to(stream, b"\r\n") else { return false };
            if size == 0 {
                assert_eq!(end, b"\r\n", "a trailer was forwarded");
                return true;
            }
        }
    }
}
