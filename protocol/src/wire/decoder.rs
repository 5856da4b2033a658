//! The incremental decoder: bytes in, in any pieces; frames out, the same whatever the pieces were. It may hold back
//! the beginning of one frame and nothing more; what a frame is stands in the grammar.

use super::error::{DecodeError, DecodeErrorKind};
use super::grammar::{Config, Grammar};
use super::reader::{Gap, Stop};
use super::{BlockName, Frame, MAX_FRAME_BYTES};
use alloc::vec::Vec;

/// Decodes one direction of a COLO link.
///
/// Bytes are pushed in with [`next`](Self::next) in whatever pieces they arrive; frames, their offsets and any error
/// do not depend on the pieces. A frame that is whole in the piece given borrows from it; one that straddles pieces
/// is put together in the decoder, which holds at most [`MAX_FRAME_BYTES`] whatever lengths the wire announces.
///
/// ```
/// use colo_protocol::Dialect;
/// use colo_protocol::wire::{Config, Decoder, Direction};
///
/// let mut decoder = Decoder::new(Config::new(Dialect::Current, Direction::SecondaryToPrimary));
/// let mut messages = Vec::new();
/// for piece in [&[0, 0, 0][..], &[0, 0, 0, 0, 2]] {
///     let mut rest = piece;
///     while let Some(frame) = decoder.next(&mut rest)? {
///         messages.push((frame.offset, frame.body.name()));
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(messages, [(0, "checkpoint-ready"), (4, "checkpoint-reply")]);
/// # Ok::<(), colo_protocol::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    grammar: Grammar,
    /// The beginning of the next frame, or, where `yielded`, the frame yielded last.
    held: Vec<u8>,
    /// Whether the frame in `held` has been yielded, so that its bytes are done with.
    yielded: bool,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder at the beginning of a stream, where a message comes next.
    pub fn new(config: Config) -> Self {
        let held = Vec::with_capacity(MAX_FRAME_BYTES);
        Self { grammar: Grammar::new(config), held, yielded: false, failed: None }
    }

    /// Sets the block of the record before the next, for a stream that is decoded from its middle on: the first record
    /// behind QEMU's initial migration carries CONTINUE where that migration ended with the same block.
    pub fn set_last_block(&mut self, block: Option<BlockName>) {
        self.grammar.set_block(block);
    }

    /// The next frame of the stream, which goes on with `input`; `input` is cut down to what has not been used.
    ///
    /// `None` says that all of `input` is used and no further frame is whole: call again when there are more bytes.
    /// The frame has to be done with before the next call. An error is final: every later call returns it again.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.yielded {
            self.held.clear();
            self.yielded = false;
        }
        if !self.held.is_empty() {
            return self.next_from_held(input);
        }
        match self.grammar.parse(input) {
            Ok((item, len)) => {
                *input = input.get(len..).unwrap_or_default();
                Ok(Some(self.grammar.accept(item, len)))
            }
            Err(Stop::Incomplete(_)) => {
                // Shorter than a frame, or it would not be incomplete.
                self.held.extend_from_slice(input);
                *input = &[];
                Ok(None)
            }
            Err(Stop::Invalid { at, kind }) => Err(self.fail(at, kind)),
        }
    }

    /// Says that the stream has ended: an error where it may not end, that is inside a frame or inside a
    /// checkpoint's state. The error of an earlier [`next`](Self::next), if there was one, is returned again.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let held = if self.yielded { &[][..] } else { &self.held };
        let offset = self.grammar.offset().saturating_add(held.len() as u64);
        match (self.grammar.parse(held), self.grammar.expected()) {
            (Err(Stop::Incomplete(_)), Some(expected)) if held.is_empty() => {
                Err(DecodeError { offset, kind: DecodeErrorKind::EndedBetween { expected } })
            }
            (Err(Stop::Incomplete(gap)), _) if !held.is_empty() || self.grammar.device_state().is_some() => {
                Err(DecodeError { offset, kind: self.ended_inside(gap, held.len()) })
            }
            // Between two messages; `next` has dealt with invalid bytes before.
            _ => Ok(()),
        }
    }

    /// The offset of the next frame in bytes: where the frames yielded so far end.
    pub fn offset(&self) -> u64 {
        self.grammar.offset()
    }

    /// The next frame, whose beginning is held.
    fn next_from_held<'a>(&'a mut self, input: &mut &[u8]) -> Result<Option<Frame<'a>>, DecodeError> {
        loop {
            match self.grammar.parse(&self.held) {
                Ok(_) => break,
                Err(Stop::Invalid { at, kind }) => return Err(self.fail(at, kind)),
                Err(Stop::Incomplete(gap)) => {
                    // Never beyond the part that is missing: what comes behind may not belong to this frame.
                    let missing = gap.end().saturating_sub(self.held.len());
                    let (now, later) = input.split_at_checked(missing).unwrap_or((input, &[]));
                    self.held.extend_from_slice(now);
                    *input = later;
                    if now.len() < missing {
                        return Ok(None);
                    }
                }
            }
        }
        self.yielded = true;
        match self.grammar.parse(&self.held) {
            Ok((item, len)) => Ok(Some(self.grammar.accept(item, len))),
            Err(_) => Ok(None),
        }
    }

    fn ended_inside(&self, gap: Gap, held: usize) -> DecodeErrorKind {
        let (present, len) = match self.grammar.device_state() {
            Some((done, total)) => (done.saturating_add(held as u64), total),
            None => (held.saturating_sub(gap.start) as u64, gap.len as u64),
        };
        DecodeErrorKind::EndedInside { part: gap.part, present, len }
    }

    fn fail(&mut self, at: usize, kind: DecodeErrorKind) -> DecodeError {
        let offset = self.grammar.offset().saturating_add(at as u64);
        *self.failed.insert(DecodeError { offset, kind })
    }
}
