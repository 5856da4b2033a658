//! How requests are read: the inline form and the array of bulk strings, each bounded. Everything here comes from outside.

use alloc::vec::Vec;
use core::fmt;

/// The longest argument, bytes.
pub const BULK_BYTES_MAX: usize = 64 << 10;
/// The most arguments of a request, the command's name among them.
pub const ARGUMENTS_MAX: usize = 1024;
/// The longest request, bytes as they arrive.
pub const REQUEST_BYTES_MAX: usize = BULK_BYTES_MAX + (16 << 10);
/// The longest line: an inline request, or what announces an array or an argument.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What there is at the beginning of what was received.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Not all of a request.
    Incomplete,
    /// A request. One without arguments asks for nothing and is not answered.
    Request {
        /// The command's name, and what follows it.
        arguments: Vec<&'a [u8]>,
        /// How many bytes it takes up.
        bytes: usize,
    },
}

/// Why it is no request. Where the next begins cannot be known, and so the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of arguments is none that there may be.
    ArrayLength,
    /// Likewise of the bytes of an argument.
    BulkLength,
    /// In place of an argument there is this.
    NoBulk(u8),
    /// An argument is not followed by the end of a line.
    BulkEnd,
    /// A line without an end.
    Line,
    /// Quotes are the client's business, which has arrays to send what it likes.
    Quotes,
    /// All arguments together are too much.
    RequestLength,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::ArrayLength => write!(f, "invalid multibulk length, at most {ARGUMENTS_MAX} arguments"),
            Self::BulkLength => write!(f, "invalid bulk length, at most {BULK_BYTES_MAX} bytes"),
            Self::NoBulk(got) => write!(f, "expected '$', got '{}'", got.escape_ascii()),
            Self::BulkEnd => f.write_str("expected the end of a line behind an argument"),
            Self::Line => write!(f, "too big inline request, at most {LINE_BYTES_MAX} bytes"),
            Self::Quotes => f.write_str("no quotes in an inline request"),
            Self::RequestLength => write!(f, "too big request, at most {REQUEST_BYTES_MAX} bytes"),
        }
    }
}

/// What is still to be read, and how much has been.
struct Reader<'a> {
    received: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next line without its end, if all of it is there.
    fn line(&mut self) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = &self.received[self.at..];
        let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            return if window.len() == LINE_BYTES_MAX { Err(ProtocolError::Line) } else { Ok(None) };
        };
        self.at += end + 1;
        let line = &rest[..end];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// An argument of an array, if all of it is there.
    fn bulk(&mut self) -> Result<Option<&'a [u8]>, ProtocolError> {
        match self.received.get(self.at) {
            None => return Ok(None),
            Some(b'$') => self.at += 1,
            Some(&other) => return Err(ProtocolError::NoBulk(other)),
        }
        let Some(line) = self.line()? else { return Ok(None) };
        let length = number(line, BULK_BYTES_MAX).ok_or(ProtocolError::BulkLength)?;
        let rest = &self.received[self.at..];
        if rest.len() < length + 2 {
            return Ok(None);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(ProtocolError::BulkEnd);
        }
        self.at += length + 2;
        Ok(Some(&rest[..length]))
    }
}

/// A decimal number of at most `most`.
fn number(digits: &[u8], most: usize) -> Option<usize> {
    let digits = core::str::from_utf8(digits).ok()?;
    digits.parse().ok().filter(|&number| number <= most)
}

/// Reads the request at the beginning of what was received.
pub fn parse(received: &[u8]) -> Result<Parsed<'_>, ProtocolError> {
    let mut reader = Reader { received, at: 0 };
    let arguments = match received.first() {
        None => None,
        Some(b'*') => array(&mut reader)?,
        Some(_) => inline(&mut reader)?,
    };
    match arguments {
        Some(_) if reader.at > REQUEST_BYTES_MAX => Err(ProtocolError::RequestLength),
        Some(arguments) => Ok(Parsed::Request { arguments, bytes: reader.at }),
        None if received.len() >= REQUEST_BYTES_MAX => Err(ProtocolError::RequestLength),
        None => Ok(Parsed::Incomplete),
    }
}

/// `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`
fn array<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, ProtocolError> {
    reader.at += 1;
    let Some(line) = reader.line()? else { return Ok(None) };
    // A negative length announces nothing, as none does.
    let items = if line.starts_with(b"-") { Some(0) } else { number(line, ARGUMENTS_MAX) };
    let mut arguments = Vec::new();
    for _ in 0..items.ok_or(ProtocolError::ArrayLength)? {
        let Some(argument) = reader.bulk()? else { return Ok(None) };
        arguments.push(argument);
    }
    Ok(Some(arguments))
}

/// `GET k\r\n`
fn inline<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, ProtocolError> {
    let Some(line) = reader.line()? else { return Ok(None) };
    if line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return Err(ProtocolError::Quotes);
    }
    Ok(Some(line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// A request as an array.
    fn written(arguments: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    fn request(received: &[u8]) -> (Vec<&[u8]>, usize) {
        match parse(received) {
            Ok(Parsed::Request { arguments, bytes }) => (arguments, bytes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_inline_request_is_words_in_a_line() {
        assert_eq!(request(b"SET  a 1\r\nGET"), (Vec::from([&b"SET"[..], b"a", b"1"]), 10));
        assert_eq!(request(b"PING\n"), (Vec::from([&b"PING"[..]]), 5));
        assert_eq!(request(b"\r\n"), (Vec::new(), 2));
    }

    #[test]
    fn arrays_of_nothing_ask_for_nothing() {
        assert_eq!(request(b"*0\r\n"), (Vec::new(), 4));
        assert_eq!(request(b"*-1\r\n"), (Vec::new(), 5));
    }

    #[test]
    fn what_is_no_request_is_said_as_redis_says_it() {
        for (received, said) in [
            (&b"*x\r\n"[..], "ERR Protocol error: invalid multibulk length, at most 1024 arguments"),
            (b"*1025\r\n", "ERR Protocol error: invalid multibulk length, at most 1024 arguments"),
            (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length, at most 65536 bytes"),
            (b"*1\r\n$65537\r\n", "ERR Protocol error: invalid bulk length, at most 65536 bytes"),
            (b"*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'"),
            (b"*1\r\n$1\r\nabc", "ERR Protocol error: expected the end of a line behind an argument"),
            (b"SET a \"b\"\r\n", "ERR Protocol error: no quotes in an inline request"),
            (&[b'a'; 4096], "ERR Protocol error: too big inline request, at most 4096 bytes"),
        ] {
            assert_eq!(parse(received).map_err(|error| format!("{error}")), Err(said.into()));
        }
    }

    #[test]
    fn all_arguments_together_are_bounded_and_the_longest_value_fits() {
        let set = |value| [b"SET".to_vec(), b"key".to_vec(), alloc::vec![b'v'; value]];
        assert_eq!(request(&written(&set(BULK_BYTES_MAX))).0[2].len(), BULK_BYTES_MAX);
        let two = [alloc::vec![b'v'; BULK_BYTES_MAX], alloc::vec![b'v'; BULK_BYTES_MAX]];
        assert_eq!(parse(&written(&two)), Err(ProtocolError::RequestLength));
        assert_eq!(parse(&written(&two)[..REQUEST_BYTES_MAX]), Err(ProtocolError::RequestLength));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_no_part_of_it_is_a_request(
            arguments in vec(vec(any::<u8>(), 0..40), 0..8), behind in vec(any::<u8>(), 0..20), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = written(&arguments);
            let length = bytes.len();
            prop_assert_eq!(parse(&bytes[..cut.index(length)]), Ok(Parsed::Incomplete));
            bytes.extend_from_slice(&behind);
            let arguments = arguments.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(parse(&bytes), Ok(Parsed::Request { arguments, bytes: length }));
        }

        #[test]
        fn nothing_that_can_be_received_is_read_beyond_its_end(
            received in vec(prop_oneof![any::<u8>(), prop::sample::select(&b"*$-\r\n0123456789"[..])], 0..200),
        ) {
            if let Ok(Parsed::Request { arguments, bytes }) = parse(&received) {
                prop_assert!(bytes <= received.len());
                prop_assert!(arguments.iter().map(|argument| argument.len()).sum::<usize>() <= bytes);
            }
        }
    }
}
