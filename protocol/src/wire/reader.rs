//! A cursor over the bytes of one frame that may not all be there yet. It may not look past what it was given, and
//! says exactly how much more it needs.

use super::error::{DecodeErrorKind, Part};

/// Reads one frame from its first byte on.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a frame could not be read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The bytes given end inside this part.
    Incomplete(Gap),
    /// The bytes given are wrong, `at` bytes into the frame, whatever follows.
    Invalid { at: usize, kind: DecodeErrorKind },
}

/// The part of a frame that is not all there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap {
    pub(super) part: Part,
    /// Where in the frame the part begins.
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Gap {
    /// How long the frame has to be for the part to be whole.
    pub(super) fn end(&self) -> usize {
        self.start.saturating_add(self.len)
    }
}

impl<'a> Reader<'a> {
    /// At the first byte of a frame; `bytes` may go on beyond it.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read: the frame's length once it is whole.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next `len` bytes, which are `part`.
    pub(super) fn take(&mut self, len: usize, part: Part) -> Result<&'a [u8], Stop> {
        match self.rest().split_at_checked(len) {
            Some((taken, _)) => Ok(self.advance(taken)),
            None => Err(self.gap(len, part)),
        }
    }

    /// The next `N` bytes, which are `part`.
    pub(super) fn array<const N: usize>(&mut self, part: Part) -> Result<&'a [u8; N], Stop> {
        match self.rest().first_chunk::<N>() {
            Some(taken) => {
                self.at += N;
                Ok(taken)
            }
            None => Err(self.gap(N, part)),
        }
    }

    pub(super) fn u8(&mut self, part: Part) -> Result<u8, Stop> {
        self.array(part).map(|&[byte]| byte)
    }

    pub(super) fn be16(&mut self, part: Part) -> Result<u16, Stop> {
        self.array(part).map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn be32(&mut self, part: Part) -> Result<u32, Stop> {
        self.array(part).map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn be64(&mut self, part: Part) -> Result<u64, Stop> {
        self.array(part).map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, taken: &'a [u8]) -> &'a [u8] {
        self.at += taken.len();
        taken
    }

    fn gap(&self, len: usize, part: Part) -> Stop {
        Stop::Incomplete(Gap { part, start: self.at, len })
    }
}

/// The error `kind` about what stands `at` bytes into the frame.
pub(super) fn invalid<T>(at: usize, kind: DecodeErrorKind) -> Result<T, Stop> {
    Err(Stop::Invalid { at, kind })
}
