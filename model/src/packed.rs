//! A state as the checker keeps it: its bytes, of one size, copied without allocation.
//!
//! Nearly all of a state is nearly always nothing: queues are empty, counters small. Written with variable lengths it
//! fits a fraction of its size in memory, and two states are the same if and only if their bytes are.

use crate::state::{State, World};
use colo_protocol::Property;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The most bytes that a state takes.
const MAX_BYTES: usize = 157;

/// A state, packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// What is broken in it, to be seen without unpacking.
    broken: u16,
    length: u8,
    bytes: [u8; MAX_BYTES],
}

impl Packed {
    /// Packs a state.
    ///
    /// # Panics
    ///
    /// If it does not fit, which bounds beyond [`crate::MAX_CHECKPOINTS`] only can bring about.
    pub fn new(state: &State) -> Self {
        let mut bytes = [0; MAX_BYTES];
        match postcard::to_slice(state, &mut bytes).map(|used| u8::try_from(used.len())) {
            Ok(Ok(length)) => Self { broken: state.world.broken, length, bytes },
            problem => panic!("a state does not fit {MAX_BYTES} bytes: {problem:?}: {state:?}"),
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        match postcard::from_bytes(self.used()) {
            Ok(state) => state,
            Err(error) => unreachable!("what was packed is a state: {error}"),
        }
    }

    /// Whether a property is unbroken in it.
    pub fn holds(&self, property: Property) -> bool {
        World { broken: self.broken, ..World::default() }.holds(property)
    }

    fn used(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self.used());
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_small_and_comes_back_as_it_was() {
        assert!(size_of::<Packed>() <= 160);
        assert_eq!(Packed::new(&State::initial()).state(), State::initial());
    }
}
