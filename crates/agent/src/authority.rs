//! Makes the requests of other gRPC clients over a Unix socket acceptable.
//!
//! gRPC's C core (Python, C++, Ruby, PHP) and grpc-java name the socket's path as the `:authority` of a request:
//! `%2Frun%2Fworkload.sock`, `/run/workload.sock`. The HTTP/2 library answers that with a protocol error, because an
//! authority has no such characters. There is no setting for it, so that every such byte of that one field is replaced by
//! another before the library sees it. Nobody here reads the authority: who calls is told by the kernel.
//!
//! INVARIANT: no length changes, neither of a frame nor of a field. The table of past fields that both ends keep (RFC
//! 7541) then agrees in size, and nothing has to be encoded anew.

use bytes::BytesMut;

/// What a client sends first (RFC 9113 3.4).
const PREFACE_BYTES: usize = 24;
/// Length, type, flags, stream.
const HEAD_BYTES: usize = 9;
/// The largest frame of a client that was not told that it may send larger ones (RFC 9113 6.5.2).
const FRAME_BYTES: usize = 16_384;

const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The number of `:authority` in the static table, and its name where it is spelled out.
const AUTHORITY_INDEX: usize = 1;
const AUTHORITY: &[u8] = b":authority";

/// One direction of a connection: from the client.
#[derive(Debug)]
pub(crate) struct Requests {
    state: State,
    /// The frame that is not complete: its head, and if it holds fields all of it.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes that are passed on as they are.
    Pass(usize),
    /// A frame's head.
    Head,
    /// A frame with fields, so many bytes with its head.
    Fields(usize),
    /// Not HTTP/2 as a client speaks it. The library will say so.
    Through,
}

impl Default for Requests {
    fn default() -> Self {
        Self { state: State::Pass(PREFACE_BYTES), held: Vec::new() }
    }
}

impl Requests {
    /// Takes what was read, and appends what the library is to see of it now.
    pub fn push(&mut self, mut input: &[u8], out: &mut BytesMut) {
        while !input.is_empty() {
            input = match self.state {
                State::Through => return out.extend_from_slice(input),
                State::Pass(left) => {
                    let (passed, rest) = input.split_at_checked(left).unwrap_or((input, &[]));
                    out.extend_from_slice(passed);
                    self.pass(left.saturating_sub(passed.len()));
                    rest
                }
                State::Head => self.hold(HEAD_BYTES, input, out),
                State::Fields(whole) => self.hold(whole, input, out),
            };
        }
    }

    /// What is held back of a connection that ended in the middle of a frame.
    pub fn finish(&mut self, out: &mut BytesMut) {
        self.release(State::Through, out);
    }

    const fn pass(&mut self, left: usize) {
        self.state = if left == 0 { State::Head } else { State::Pass(left) };
    }

    /// Gathers until so many bytes are held, then goes on with them.
    fn hold<'a>(&mut self, whole: usize, input: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
        let missing = whole.saturating_sub(self.held.len());
        let (more, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.held.extend_from_slice(more);
        if self.held.len() < whole {
            return rest;
        }
        match self.state {
            State::Fields(_) => {
                make_acceptable(&mut self.held);
                self.release(State::Head, out);
            }
            _ => self.head(out),
        }
        rest
    }

    fn head(&mut self, out: &mut BytesMut) {
        let Some(&[high, middle, low, kind, ..]) = self.held.first_chunk::<HEAD_BYTES>() else { return };
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            _ if length > FRAME_BYTES => self.release(State::Through, out),
            HEADERS if length > 0 => self.state = State::Fields(HEAD_BYTES + length),
            _ => {
                self.release(State::Head, out);
                self.pass(length);
            }
        }
    }

    fn release(&mut self, next: State, out: &mut BytesMut) {
        out.extend_from_slice(&self.held);
        self.held = Vec::new();
        self.state = next;
    }
}

/// Changes the authority in a frame of fields, where it is spelled out and cannot be one. What cannot be read is left for the
/// library to refuse.
fn make_acceptable(frame: &mut [u8]) {
    let Some((head, payload)) = frame.split_first_chunk_mut::<HEAD_BYTES>() else { return };
    let [.., flags, _, _, _, _] = *head;
    let padding = if flags & PADDED == 0 { None } else { payload.first().copied().map(usize::from) };
    let before = usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let end = payload.len().saturating_sub(padding.unwrap_or(0));
    let fields = payload.get_mut(before..end);
    fields.and_then(walk);
}

/// Goes through the fields of a block (RFC 7541 6). Ends at the first that is not whole.
fn walk(mut rest: &mut [u8]) -> Option<()> {
    loop {
        rest = match *rest.first()? {
            // a field of the table
            0x80.. => number(rest, 7)?.1,
            // a new size of the table
            0x20..=0x3f => number(rest, 5)?.1,
            // spelled out, to be kept in the table or not
            first => {
                let (index, after) = number(rest, if first & 0x40 == 0 { 4 } else { 6 })?;
                let (is_authority, after) = match index {
                    0 => text(after).map(|(name, after)| (name.as_deref() == Some(AUTHORITY), after))?,
                    index => (index == AUTHORITY_INDEX, after),
                };
                let (value, after) = text(after)?;
                if let Some(value) = value.filter(|_| is_authority) {
                    replace(value);
                }
                after
            }
        };
    }
}

fn replace(authority: &mut [u8]) {
    if !authority.iter().any(|byte| matches!(byte, b'%' | b'/')) {
        return;
    }
    for byte in authority {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_') {
            *byte = b'x';
        }
    }
}

/// An integer whose first byte has so many bits of it (RFC 7541 5.1), and what follows.
fn number(bytes: &mut [u8], bits: u32) -> Option<(usize, &mut [u8])> {
    let (first, mut rest) = bytes.split_first_mut()?;
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first_mut()?;
        value = value.checked_add((usize::from(*byte) & 0x7f) << shift)?;
        rest = after;
        if *byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// A text (RFC 7541 5.2), and what follows. `None` for its bytes where they are in Huffman's code, which no client of those
/// above uses for a short text.
fn text(bytes: &mut [u8]) -> Option<(Option<&mut [u8]>, &mut [u8])> {
    let is_coded = *bytes.first()? & 0x80 != 0;
    let (length, rest) = number(bytes, 7)?;
    let (text, rest) = rest.split_at_mut_checked(length)?;
    Some(((!is_coded).then_some(text), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, _, _, _, _, high, middle, low] = (payload.len() as u64).to_be_bytes();
        [&[high, middle, low, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn spelled(first: &[u8], value: &str) -> Vec<u8> {
        [first, &[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
    }

    /// What comes out when the input arrives in pieces of this size.
    fn through(input: &[u8], size: usize) -> Vec<u8> {
        let (mut requests, mut out) = (Requests::default(), BytesMut::new());
        for piece in input.chunks(size) {
            requests.push(piece, &mut out);
        }
        requests.finish(&mut out);
        out.to_vec()
    }

    /// The preface, some other frames, and one with these fields before another request.
    fn connection(flags: u8, fields: &[u8]) -> Vec<u8> {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let path = spelled(&[0x04], "/SpiffeWorkloadAPI/FetchX509SVID");
        let rest = frame(0, 1, b"\0\0\0\0\0");
        [preface, frame(4, 0, &[0; 36]), frame(4, 1, b""), frame(1, flags, &[fields, &path].concat()), rest].concat()
    }

    const PATH: &str = "%2Frun%2Fx-1_y%2Fworkload.sock";
    const CLEAN: &str = "x2Frunx2Fx-1_yx2Fworkload.sock";

    #[test]
    fn an_authority_that_is_a_path_becomes_one_of_the_same_length() {
        let named = [&[0x40, 10][..], b":authority"].concat();
        for first in [&[0x41][..], &[0x01], &[0x11], &named] {
            let (before, after) = (spelled(first, PATH), spelled(first, CLEAN));
            for prefix in [&[0x83, 0x86][..], &[], &[0x3f, 0xe1, 0x1f]] {
                let wrap = |field: &[u8]| connection(4, &[prefix, field].concat());
                for size in [1, 2, 9, 10, 31, 1000] {
                    assert_eq!(through(&wrap(&before), size), wrap(&after), "{first:?} {prefix:?} {size}");
                }
            }
        }
        let java = |value: &str| connection(4, &spelled(&[0x41], value));
        assert_eq!(through(&java("/run/a:b.sock"), 7), java("xrunxaxb.sock"));
    }

    #[test]
    fn padding_and_priority_are_not_taken_for_fields() {
        let wrap = |value: &str| {
            let fields = [&[3, 0x80, 0, 0, 0, 16][..], &spelled(&[0x41], value), &[0; 3]].concat();
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(1, 4 | PADDED | PRIORITY, &fields)].concat()
        };
        assert_eq!(through(&wrap(PATH), 5), wrap(CLEAN));
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        let coded = [&[0x41, 0x80 | 3][..], b"%%%"].concat();
        let other = spelled(&[0x04], PATH);
        let named = [&[0x40, 4][..], b"path", &[30], PATH.as_bytes()].concat();
        let usual = spelled(&[0x41], "localhost:80");
        let cut = [&[0x41, 100][..], PATH.as_bytes()].concat();
        let long = [&[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff][..], PATH.as_bytes()].concat();
        for fields in [coded, other, named, usual, cut, long] {
            let input = connection(4, &fields);
            assert_eq!(through(&input, 3), input, "{fields:?}");
        }
        let large = [&connection(4, b"")[..], &frame(1, 4, &vec![0; FRAME_BYTES + 1])].concat();
        assert_eq!(through(&large, 100), large);
        for input in [&b"GET / HTTP/1.1\r\nHost: %2F\r\n\r\n"[..], b"", b"PRI"] {
            assert_eq!(through(input, 4), input);
        }
    }

    /// Whatever comes, as many bytes go out, and nothing panics.
    #[test]
    fn no_byte_is_lost_or_made_of_noise() {
        let mut state = 7u64;
        for length in 0..400 {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as u8
                })
                .collect();
            let fields = connection(4 | (state >> 60) as u8, &noise);
            assert_eq!(through(&noise, 13).len(), noise.len());
            assert_eq!(through(&fields, 13).len(), fields.len());
        }
    }
}
