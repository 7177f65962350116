//! The grammar that heads, chunk extensions and trailers share (RFC 9110 5, RFC 9112 5).

use super::head::HeadError;

/// RFC 9110 5.6.2 `tchar`.
const fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0_u8;
    loop {
        // the index is a byte and the table has 256 places
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[b as usize] = is_tchar(b);
        }
        if b == u8::MAX {
            break table;
        }
        b += 1;
    }
};

/// Whether `text` is a token: at least one `tchar`, nothing else.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| TCHAR.get(usize::from(*b)).copied().unwrap_or(false))
}

/// Whether a byte may start a request line; what may not is not HTTP/1.1, whatever follows.
pub(super) const fn starts_request(b: u8) -> bool {
    is_tchar(b)
}

/// RFC 9110 5.5: visible characters, spaces, tabs and obs-text; no other control byte.
pub(super) const fn is_value_byte(b: u8) -> bool {
    (b >= b' ' && b != 0x7f) || b == b'\t'
}

/// Optional whitespace (RFC 9110 5.6.3).
pub(super) const fn is_ows(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Without the optional whitespace around it.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((first, rest)) = text.split_first().filter(|(first, _)| is_ows(**first)) {
        let _ = first;
        text = rest;
    }
    while let Some((last, rest)) = text.split_last().filter(|(last, _)| is_ows(**last)) {
        let _ = last;
        text = rest;
    }
    text
}

/// A line without its CRLF.
///
/// # Errors
/// A bare line feed at the end, or a bare carriage return inside (FR-4).
pub(super) fn without_crlf(line: &[u8]) -> Result<&[u8], HeadError> {
    let text = line.strip_suffix(b"\r\n").ok_or(HeadError::syntax("FR-4", "a line ends with a bare line feed"))?;
    if text.contains(&b'\r') {
        return Err(HeadError::syntax("FR-4", "a bare carriage return"));
    }
    Ok(text)
}

/// A field line: name and value, which are slices of `line`.
///
/// # Errors
/// Everything that RFC 9112 5 does not allow, and obs-fold (FR-4).
pub(super) fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    if line.first().is_some_and(|b| is_ows(*b)) {
        return Err(HeadError::syntax("FR-4", "a line starts with whitespace"));
    }
    let colon = line.iter().position(|b| *b == b':');
    let (name, rest) = colon
        .and_then(|at| line.split_at_checked(at))
        .ok_or(HeadError::syntax("FR-4", "a field line without a colon"))?;
    if name.last().is_some_and(|b| is_ows(*b)) {
        return Err(HeadError::syntax("FR-4", "whitespace before the colon"));
    }
    if !is_token(name) {
        return Err(HeadError::syntax("FR-4", "a field name that is not a token"));
    }
    let value = trim(rest.strip_prefix(b":").unwrap_or(rest));
    if !value.iter().copied().all(is_value_byte) {
        return Err(HeadError::syntax("FR-4", "a control character in a field value"));
    }
    Ok((name, value))
}
