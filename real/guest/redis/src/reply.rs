//! How answers are written: RESP, version 2.

use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Where formatted text goes in an answer; that it is bytes is all that there is to it.
struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A line that begins with `mark`.
fn line(out: &mut Vec<u8>, mark: char, text: fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = write!(Text(out), "{mark}{text}\r\n");
}

/// `+text`: the request has been done.
pub(crate) fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, '+', format_args!("{text}"));
}

/// `-text`: it has not.
pub(crate) fn error(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    line(out, '-', text);
}

/// A number.
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    line(out, ':', format_args!("{value}"));
}

/// A number of things.
pub(crate) fn count(out: &mut Vec<u8>, value: usize) {
    line(out, ':', format_args!("{value}"));
}

/// Bytes.
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, '$', format_args!("{}", bytes.len()));
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// That there is no such thing.
pub(crate) fn nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

/// That so many answers follow, which are one.
pub(crate) fn array(out: &mut Vec<u8>, items: usize) {
    line(out, '*', format_args!("{items}"));
}
