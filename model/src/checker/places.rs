//! The states that have been seen, each at its place: a fingerprint, and from where it was reached first.
//!
//! States themselves are not kept. The index is a table of places only, so it takes five bytes for a state and some
//! air; vectors grow by a quarter, not by doubling, for the same reason.

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash};

/// The parent of a state without one, and the target of a step to a state that has no place.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The states seen so far, numbered in the order in which they were met.
#[derive(Default)]
pub(crate) struct Places {
    index: HashTable<u32>,
    fingerprints: Vec<u64>,
    parents: Vec<u32>,
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        self.fingerprints.len()
    }

    pub(crate) fn find(&self, fingerprint: u64) -> Option<u32> {
        self.index.find(fingerprint, |place| self.fingerprints[*place as usize] == fingerprint).copied()
    }

    /// Gives a state that has none a place, if there is one left.
    pub(crate) fn add(&mut self, fingerprint: u64, parent: u32) -> Option<u32> {
        let place = u32::try_from(self.len()).ok().filter(|place| *place != NOWHERE)?;
        make_room(&mut self.fingerprints, 1);
        make_room(&mut self.parents, 1);
        self.fingerprints.push(fingerprint);
        self.parents.push(parent);
        let fingerprints = &self.fingerprints;
        self.index.insert_unique(fingerprint, place, |place| fingerprints[*place as usize]);
        Some(place)
    }

    pub(crate) fn fingerprint(&self, place: u32) -> u64 {
        self.fingerprints[place as usize]
    }

    pub(crate) fn parent(&self, place: u32) -> Option<u32> {
        Some(self.parents[place as usize]).filter(|parent| *parent != NOWHERE)
    }

    /// The parents alone; index and fingerprints are freed.
    pub(crate) fn into_parents(self) -> Vec<u32> {
        self.parents
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        room(&self.fingerprints) + room(&self.parents) + self.index.allocation_size()
    }
}

/// The fingerprint of a state: the same in every run.
pub(crate) fn fingerprint<S: Hash>(state: &S) -> u64 {
    FixedState::default().hash_one(state)
}

/// Makes room for more elements, a quarter at a time: doubling would waste half of what is needed in the end.
pub(crate) fn make_room<T>(elements: &mut Vec<T>, more: usize) {
    if elements.capacity() - elements.len() < more {
        elements.reserve_exact(more.max(elements.len() / 4).max(1 << 10));
    }
}

/// The memory that elements take with the room that [`make_room`] may have made. It is a function of their number
/// alone: what is limited by it is limited at the same state however many threads there are.
pub(crate) fn room<T>(elements: &[T]) -> usize {
    size_of_val(elements) + size_of_val(elements) / 4
}
