//! Bytes on their way to the link: buffered, written as the socket takes them, with the middle of a transfer marked.
//!
//! Pages of the guest's memory are not copied: they go from there to the socket, while the guest stands still. Whoever
//! lets it execute before they are gone has them copied first ([`Pieces::copy_pages`]).

use crate::link::{Link, Moved};
use crate::vm::{Machine, Page};
use std::io::IoSlice;

/// The most parts of one write: what Linux takes (`IOV_MAX`).
const MAX_PARTS: usize = 1_024;

/// Bytes of a page.
const PAGE: usize = size_of::<Page>();

/// Bytes in their order, some of them pages that are where the guest has them.
#[derive(Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Behind how many of `bytes` which page comes, ascending.
    pages: Vec<(usize, u64)>,
    /// Room for copies, used before: what is touched for the first time costs more than to copy it.
    room: Vec<u8>,
}

/// How much of some pieces has been written.
#[derive(Clone, Copy, Default)]
struct Place {
    bytes: usize,
    pages: usize,
    /// Of the page that is next.
    of_page: usize,
}

/// A part of some pieces that lies in one place.
enum Part<'a> {
    Bytes(&'a [u8]),
    /// Of this page, from here to there.
    Page(u64, usize, usize),
}

impl Pieces {
    /// Where to append bytes.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a page of the guest's memory.
    pub(super) fn push_page(&mut self, page: u64) {
        self.pages.push((self.bytes.len(), page));
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pages.clear();
    }

    /// How many bytes there are in all.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.pages.len() * PAGE
    }

    /// Appends all of `other` and leaves it empty; when there is nothing yet, without copying.
    fn append(&mut self, other: &mut Self) {
        if self.len() == 0 {
            std::mem::swap(self, other);
            return;
        }
        let before = self.bytes.len();
        self.pages.extend(other.pages.drain(..).map(|(behind, page)| (before + behind, page)));
        self.bytes.append(&mut other.bytes);
    }

    /// Puts a copy in the place of each page: from now on the guest may execute.
    fn copy_pages(&mut self, machine: &Machine) -> crate::Result<()> {
        if self.pages.is_empty() {
            return Ok(());
        }
        let mut copied = std::mem::take(&mut self.room);
        copied.clear();
        copied.reserve(self.len());
        let mut from = 0;
        for (behind, page) in self.pages.drain(..) {
            copied.extend_from_slice(&self.bytes[from..behind]);
            copied.extend_from_slice(machine.page(page)?);
            from = behind;
        }
        copied.extend_from_slice(&self.bytes[from..]);
        self.room = std::mem::replace(&mut self.bytes, copied);
        Ok(())
    }

    /// The next part behind `place`, of at most `room` bytes; moves `place` behind it.
    fn next(&self, place: &mut Place, room: usize) -> Option<Part<'_>> {
        let page = self.pages.get(place.pages).copied();
        let end = page.map_or(self.bytes.len(), |(behind, _)| behind);
        if place.bytes < end {
            let from = place.bytes;
            place.bytes = end.min(from + room);
            return Some(Part::Bytes(&self.bytes[from..place.bytes]));
        }
        let (_, page) = page?;
        let from = place.of_page;
        let to = PAGE.min(from + room);
        (place.pages, place.of_page) = if to == PAGE { (place.pages + 1, 0) } else { (place.pages, to) };
        Some(Part::Page(page, from, to))
    }
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct Outgoing {
    pieces: Pieces,
    place: Place,
    written: usize,
    /// Bytes ever written.
    total: u64,
    /// Where the middle of the transfer in hand is, until it has been reached.
    middle: Option<usize>,
}

/// How far writing has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Everything is written.
    Done,
    /// The middle of the transfer has just been reached.
    Middle,
    /// The socket takes no more now.
    WouldBlock,
    /// The link is gone.
    Gone,
}

impl Outgoing {
    /// Where to append.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.pieces.bytes()
    }

    /// Appends all of `pieces` and leaves them empty.
    pub(super) fn append(&mut self, pieces: &mut Pieces) {
        self.pieces.append(pieces);
    }

    /// `pump` stops once in the middle of what has been appended since there were `start` bytes.
    pub(super) fn mark_middle(&mut self, start: usize) {
        self.middle = Some(start.midpoint(self.pieces.len()));
    }

    /// How many bytes there are, written or not.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.len() == 0
    }

    /// Whether pages are still to be written from where the guest has them.
    pub(super) fn needs_memory(&self) -> bool {
        self.place.pages < self.pieces.pages.len()
    }

    /// Bytes ever written.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Forgets what has not been written.
    pub(super) fn clear(&mut self) {
        (self.place, self.written, self.middle) = (Place::default(), 0, None);
        self.pieces.clear();
    }

    /// Copies the pages that have not been written.
    pub(super) fn copy_pages(&mut self, machine: &Machine) -> crate::Result<()> {
        if !self.needs_memory() {
            return Ok(());
        }
        self.pieces.copy_pages(machine)?;
        self.place = Place { bytes: self.written, ..Place::default() };
        Ok(())
    }

    /// Writes what the socket takes, and no more than there is `room` for, or, without a link, lets all of it go nowhere;
    /// `machine` is needed while pages are to be written.
    pub(super) fn pump(
        &mut self,
        mut link: Option<&mut Link>,
        machine: Option<&Machine>,
        mut room: usize,
    ) -> crate::Result<Progress> {
        while self.written < self.pieces.len() {
            let end = self.middle.map_or(self.pieces.len(), |middle| middle.max(self.written));
            if end == self.written {
                self.middle = None;
                return Ok(Progress::Middle);
            }
            if room == 0 {
                return Ok(Progress::WouldBlock);
            }
            let parts = self.parts(room.min(end - self.written), machine)?;
            let moved = match &mut link {
                Some(link) => link.write(&parts),
                None => Moved::Bytes(parts.iter().map(|part| part.len()).sum()),
            };
            match moved {
                Moved::Bytes(count) => {
                    room = room.saturating_sub(count);
                    self.advance(count);
                }
                Moved::WouldBlock => return Ok(Progress::WouldBlock),
                Moved::Gone => return Ok(Progress::Gone),
            }
        }
        self.clear();
        Ok(Progress::Done)
    }

    /// What comes next, of at most `room` bytes, as one write takes it.
    fn parts<'a>(&'a self, mut room: usize, machine: Option<&'a Machine>) -> crate::Result<Vec<IoSlice<'a>>> {
        let mut parts = Vec::with_capacity(MAX_PARTS.min(2 * self.pieces.pages.len() + 1));
        let mut place = self.place;
        while room > 0 && parts.len() < MAX_PARTS {
            let Some(part) = self.pieces.next(&mut place, room) else { break };
            let bytes = match (part, machine) {
                (Part::Bytes(bytes), _) => bytes,
                (Part::Page(page, from, to), Some(machine)) => &machine.page(page)?[from..to],
                (Part::Page(..), None) => unreachable!("whoever has pages to write brings the memory"),
            };
            room -= bytes.len();
            parts.push(IoSlice::new(bytes));
        }
        Ok(parts)
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            left -= match self.pieces.next(&mut self.place, left) {
                Some(Part::Bytes(bytes)) => bytes.len(),
                Some(Part::Page(_, from, to)) => to - from,
                None => unreachable!("no more is written than there is"),
            };
        }
        self.written += count;
        self.total += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each byte of the pieces comes from: itself, or a page and a place in it.
    fn spelled(pieces: &Pieces, room: usize) -> Vec<(u64, usize)> {
        let (mut place, mut spelled) = (Place::default(), Vec::new());
        while let Some(part) = pieces.next(&mut place, room) {
            match part {
                Part::Bytes(bytes) => spelled.extend(bytes.iter().map(|byte| (u64::MAX, usize::from(*byte)))),
                Part::Page(page, from, to) => spelled.extend((from..to).map(|at| (page, at))),
            }
        }
        spelled
    }

    fn pieces() -> Pieces {
        let mut pieces = Pieces::default();
        pieces.push_page(7);
        pieces.bytes().extend([1, 2, 3]);
        pieces.push_page(9);
        pieces.push_page(8);
        pieces.bytes().extend([4]);
        pieces
    }

    #[test]
    fn pages_and_bytes_come_in_their_order_whatever_there_is_room_for() {
        let page = |number| (0..PAGE).map(move |at| (number, at));
        let bytes = |bytes: &'static [usize]| bytes.iter().map(|byte| (u64::MAX, *byte));
        let expected: Vec<_> =
            page(7).chain(bytes(&[1, 2, 3])).chain(page(9)).chain(page(8)).chain(bytes(&[4])).collect();
        for room in [1, 2, 1_000, PAGE - 1, PAGE, PAGE + 1, usize::MAX / 2] {
            assert_eq!(spelled(&pieces(), room), expected, "{room}");
        }
        assert_eq!(pieces().len(), expected.len());
    }

    #[test]
    fn what_is_appended_comes_behind() {
        let (mut both, mut second) = (pieces(), pieces());
        both.append(&mut second);
        let once = spelled(&pieces(), PAGE);
        assert_eq!(spelled(&both, PAGE), [once.clone(), once].concat());
        assert_eq!(second.len(), 0);
    }
}
