//! The secondary's output as the primary's environment has it, to compare its own with, where both VMs execute.
//!
//! Two units are the same if they are equal. How far they are is only found here; what follows from it is decided in the
//! state machines, which are told by [`crate::Input::OutputsMatch`] and [`crate::Input::OutputsDiffer`].

use crate::output::OutputOffset;
use alloc::collections::VecDeque;

/// What has come of the peer's output and has not been compared: units one behind the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerOutput<T> {
    start: OutputOffset,
    units: VecDeque<T>,
}

impl<T> Default for PeerOutput<T> {
    fn default() -> Self {
        Self { start: OutputOffset::default(), units: VecDeque::new() }
    }
}

/// How far two outputs are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compared {
    /// The end of what is.
    pub end: OutputOffset,
    /// Whether the unit behind it differs; otherwise it is missing on either side.
    pub differs: bool,
}

impl<T> PeerOutput<T> {
    /// Units held.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// A unit that stands at `offset` has come. Behind one that is missing nothing can be taken until what is held has
    /// been forgotten, or compared.
    pub fn take(&mut self, offset: OutputOffset, unit: T) {
        if self.is_empty() {
            self.start = offset;
        }
        if offset.0 == self.start.0.saturating_add(self.len() as u64) {
            self.units.push_back(unit);
        }
    }

    /// What has come is another VM's than that of now ([`crate::Effect::ForgetPeerOutput`]).
    pub fn forget(&mut self) {
        self.units.clear();
    }

    /// What stands before `offset` need not be compared any more.
    pub fn drop_before(&mut self, offset: OutputOffset) {
        while self.start < offset && self.units.pop_front().is_some() {
            self.start.0 += 1;
        }
    }

    fn at(&self, offset: u64) -> Option<&T> {
        let index = usize::try_from(offset.checked_sub(self.start.0)?).ok()?;
        self.units.get(index)
    }
}

impl<T: PartialEq> PeerOutput<T> {
    /// Compares it with the node's own output from `from` on.
    pub fn compare<'a>(&self, from: OutputOffset, own: impl Iterator<Item = &'a T>) -> Compared
    where
        T: 'a,
    {
        let mut end = from;
        for unit in own {
            match self.at(end.0) {
                Some(peers) if peers == unit => end.0 += 1,
                peers => return Compared { end, differs: peers.is_some() },
            }
        }
        Compared { end, differs: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(start: u64, units: &str) -> PeerOutput<char> {
        let mut peer = PeerOutput::default();
        (start..).zip(units.chars()).for_each(|(offset, unit)| peer.take(OutputOffset(offset), unit));
        peer
    }

    fn compared(peer: &PeerOutput<char>, from: u64, own: &str) -> (u64, bool) {
        let own: alloc::vec::Vec<_> = own.chars().collect();
        let Compared { end, differs } = peer.compare(OutputOffset(from), own.iter());
        (end.0, differs)
    }

    #[test]
    fn what_is_the_same_ends_where_something_differs_or_is_missing() {
        let peer = peer(5, "abcd");
        assert_eq!(compared(&peer, 5, "abcd"), (9, false));
        assert_eq!(compared(&peer, 5, "abcde"), (9, false), "the peer's is missing");
        assert_eq!(compared(&peer, 5, "ab"), (7, false), "one's own is missing");
        assert_eq!(compared(&peer, 5, "abXd"), (7, true));
        assert_eq!(compared(&peer, 6, "bXd"), (7, true));
        assert_eq!(compared(&peer, 4, "Xab"), (4, false), "the peer's is missing before what has come");
        assert_eq!(compared(&peer, 9, ""), (9, false));
    }

    #[test]
    fn behind_a_gap_nothing_is_taken_until_what_is_held_is_gone() {
        let mut peer = peer(0, "ab");
        peer.take(OutputOffset(3), 'd');
        peer.take(OutputOffset(1), 'X');
        assert_eq!(peer.len(), 2);
        peer.forget();
        peer.take(OutputOffset(4), 'e');
        assert_eq!(compared(&peer, 4, "e"), (5, false));
    }

    #[test]
    fn what_has_been_compared_is_dropped_and_the_rest_stays_in_its_place() {
        let mut peer = peer(0, "abc");
        peer.drop_before(OutputOffset(2));
        assert_eq!((peer.len(), compared(&peer, 2, "c")), (1, (3, false)));
        peer.drop_before(OutputOffset(u64::MAX));
        assert!(peer.is_empty());
    }

    #[test]
    fn the_end_of_all_numbers_is_no_end_of_the_world() {
        let mut peer = PeerOutput::default();
        peer.take(OutputOffset(u64::MAX), 'a');
        peer.take(OutputOffset(0), 'b');
        assert_eq!(compared(&peer, 0, "b"), (0, false));
    }
}
