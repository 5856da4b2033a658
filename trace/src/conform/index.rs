//! The index beside a capture: when which bytes of a stream passed.
//!
//! A line for each piece as somebody on the link read it: microseconds since the start of the recording, the piece's
//! offset in the stream, its length in bytes; length 0 is the end of the stream. Pieces follow each other.

use std::io::{BufRead, Read};
use thiserror::Error;

/// The longest line, bytes.
const MAX_LINE_BYTES: u64 = 128;

/// The most lines that are read.
const MAX_LINES: usize = 1 << 22;

/// When which bytes of a stream passed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    /// Of each piece, where it ends and when it passed.
    pieces: Vec<(u64, u64)>,
}

/// An index that cannot be read.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Index {
    /// Reads an index.
    pub fn read(mut input: impl BufRead) -> Result<Self, IndexError> {
        let mut index = Self::default();
        for line in 1.. {
            let mut text = Vec::new();
            Read::take(&mut input, MAX_LINE_BYTES).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                break;
            }
            let text = String::from_utf8_lossy(&text);
            let piece = index.piece(&text).filter(|_| line <= MAX_LINES);
            let problem =
                || "expected microseconds, an offset where the piece before ends, and a length".to_owned();
            index.pieces.push(piece.ok_or_else(|| IndexError::Line { line, problem: problem() })?);
        }
        Ok(index)
    }

    /// The next piece, if the line is one.
    fn piece(&self, line: &str) -> Option<(u64, u64)> {
        let mut numbers = line.split_whitespace().map(str::parse);
        let [time_us, offset, bytes] = [(); 3].map(|()| numbers.next().and_then(Result::ok));
        let (time_us, offset, bytes): (u64, u64, u64) = (time_us?, offset?, bytes?);
        let follows = self.pieces.last().is_none_or(|(end, before)| *end == offset && *before <= time_us);
        let end = offset.checked_add(bytes)?;
        (follows && numbers.next().is_none()).then_some((end, time_us))
    }

    /// Where the stream ends.
    pub fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    /// When the stream had passed up to here.
    pub(super) fn time_us(&self, end: u64) -> Option<u64> {
        let first = self.pieces.partition_point(|(piece, _)| *piece < end);
        self.pieces.get(first).map(|(_, time_us)| *time_us)
    }

    /// When the last piece, or the end, was seen.
    pub(super) fn last_us(&self) -> Option<u64> {
        self.pieces.last().map(|(_, time_us)| *time_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_has_passed_with_the_piece_that_has_its_last_byte() {
        let index = Index::read(&b"10 100 4\n20 104 8\n30 112 0\n"[..]).unwrap();
        assert_eq!(index.end(), 112);
        assert_eq!(
            [100, 104, 105, 112, 113].map(|end| index.time_us(end)),
            [Some(10), Some(10), Some(20), Some(20), None]
        );
        assert_eq!(index.last_us(), Some(30));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [
            ("10 0 4\n20 5 4\n", 2),
            ("10 0 4\n9 4 4\n", 2),
            ("10 0\n", 1),
            ("10 0 4 4\n", 1),
            ("10 18446744073709551615 1\n", 1),
            ("\n", 1),
        ] {
            let error = Index::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{text:?}: {error}");
        }
        let long = "1".repeat(1000);
        assert!(Index::read(long.as_bytes()).is_err());
    }
}
