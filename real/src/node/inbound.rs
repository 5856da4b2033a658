//! What has come in over the link: kept where it was read to for as long as staged pages are parts of it.
//!
//! The buffer grows as bytes come, never by what a length on the wire announces.

use crate::link::{Link, Moved};
use std::ops::Range;

/// How much is read from the link at once, bytes.
const READ_BYTES: usize = 1 << 20;

/// Bytes that were read, some of which have been decoded.
#[derive(Default)]
pub(super) struct Inbound {
    bytes: Vec<u8>,
    /// How much of `bytes` has been read to.
    filled: usize,
    /// How much of that has been decoded.
    decoded: usize,
    /// Whether the decoder may find something that it has not found yet: also where no byte is left, for a device state
    /// of no bytes is whole at once.
    is_pending: bool,
}

impl Inbound {
    /// Whether there is something to decode.
    pub(super) const fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// What is to be decoded.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.decoded..self.filled]
    }

    /// All but this much of what was to be decoded has been.
    pub(super) fn leave(&mut self, rest: usize) {
        self.decoded = self.filled - rest;
    }

    /// All of it has been decoded, or is to be forgotten: there is nothing in it until more comes.
    pub(super) fn skip(&mut self) {
        (self.decoded, self.is_pending) = (self.filled, false);
    }

    /// Forgets all of it: nothing that is staged may be a part of it.
    pub(super) fn clear(&mut self) {
        (self.filled, self.decoded, self.is_pending) = (0, 0, false);
    }

    /// Forgets what has been decoded: nothing that is staged may be a part of it.
    pub(super) fn keep_pending_only(&mut self) {
        self.bytes.copy_within(self.decoded..self.filled, 0);
        (self.filled, self.decoded) = (self.filled - self.decoded, 0);
    }

    /// Reads what is there behind what has been read.
    pub(super) fn read(&mut self, link: &mut Link) -> Moved {
        let end = self.filled + READ_BYTES;
        if self.bytes.len() < end {
            self.bytes.resize(end + self.filled / 2, 0);
        }
        let moved = link.read(&mut self.bytes[self.filled..end]);
        if let Moved::Bytes(count) = moved {
            self.filled += count;
            self.is_pending = true;
        }
        moved
    }

    /// Where these bytes are, if they are a part of what has been read: they stay there until `clear`.
    pub(super) fn place_of(&self, part: &[u8]) -> Option<Range<usize>> {
        let from = (part.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        let to = from.checked_add(part.len())?;
        (to <= self.filled).then_some(from..to)
    }

    /// What is there: a place that `place_of` has told since the last `clear`.
    pub(super) fn part(&self, place: &Range<usize>) -> &[u8] {
        assert!(place.end <= self.filled, "what is staged is kept");
        &self.bytes[place.clone()]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_stays_where_it_is_and_parts_of_it_are_known() {
        let [mut sender, mut receiver] = Link::pair(crate::LinkKind::Unix).unwrap();
        let mut inbound = Inbound::default();
        for number in 0..3_u8 {
            assert_eq!(sender.write(&[std::io::IoSlice::new(&[number; 100])]), Moved::Bytes(100));
            assert_eq!(inbound.read(&mut receiver), Moved::Bytes(100));
        }
        let place = inbound.place_of(&inbound.pending()[150..160]).unwrap();
        assert_eq!((place.clone(), inbound.part(&place)), (150..160, &[1; 10][..]));
        assert_eq!(inbound.place_of(&[1; 10]), None);
        inbound.leave(30);
        assert_eq!((inbound.pending(), inbound.part(&place)), (&[2; 30][..], &[1; 10][..]));
        inbound.clear();
        assert!(!inbound.is_pending());
    }
}
