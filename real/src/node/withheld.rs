//! The output that a node withholds, and how much there may be of it: so much that a checkpoint can carry all of it, with what else
//! the guest can have sent until it stands still.
//!
//! When any of it leaves is not decided here.

use super::unit::{Unit, carried_bytes};
use super::vcpu::MAX_WAITING_UNITS;
use crate::abi::{CARD_QUEUE_ENTRIES, RING_SLOTS, Slot};
use crate::net::MAX_FRAME_BYTES;
use crate::vm::BLOB_BYTES_MAX;
use colo_protocol::{OutputBuffer, OutputOffset};

/// Units that are withheld, beyond which the guest waits until some are released.
const MOST_UNITS: usize = 1 << 17;

/// Likewise their bytes, as a checkpoint carries them.
const MOST_BYTES: usize = 32 << 20;

/// The greatest unit, as a checkpoint carries it.
const UNIT_BYTES_MAX: usize = 4 + MAX_FRAME_BYTES;

/// The most units that the guest's thread hands over at once: what waits already, and what is taken behind the last exit.
const MOST_AT_ONCE: usize = MAX_WAITING_UNITS + 1024;

const _: () = assert!(CARD_QUEUE_ENTRIES <= 1024 && RING_SLOTS <= 1024);

/// What a device state has room for beside the output: the processor and the card.
const REST_BYTES: usize = 1 << 20;

// Behind the last look that found room comes all that waited then, and all that comes until the guest stands still.
const _: () = assert!(MOST_BYTES + 2 * MOST_AT_ONCE * UNIT_BYTES_MAX + REST_BYTES <= BLOB_BYTES_MAX);
const _: () = assert!((MOST_UNITS + 2 * MOST_AT_ONCE) * size_of::<Slot>() + REST_BYTES <= BLOB_BYTES_MAX);

/// The output.
#[derive(Default)]
pub(super) struct Withheld {
    units: OutputBuffer<Unit>,
    /// How much a checkpoint that carries them has of them.
    bytes: usize,
}

impl Withheld {
    /// Whether more may be taken from the guest.
    pub(super) fn has_room(&self) -> bool {
        self.units.units().len() < MOST_UNITS && self.bytes < MOST_BYTES
    }

    /// The guest has sent one more; where it ends.
    pub(super) fn push(&mut self, unit: Unit) -> OutputOffset {
        self.bytes += carried_bytes(&unit);
        self.units.push(unit)
    }

    /// Takes out, oldest first, what stands before `up_to`; with it, where the first of them stands.
    pub(super) fn release(&mut self, up_to: OutputOffset) -> (OutputOffset, Vec<Unit>) {
        let (first, units) = self.units.release(up_to);
        let units: Vec<_> = units.collect();
        self.bytes -= units.iter().map(carried_bytes).sum::<usize>();
        (first, units)
    }

    /// Of the units only the latest so many are kept. Whoever has lost one sends it again, if it is a frame of a guest with a stack.
    pub(super) fn keep_latest(&mut self, kept: usize) {
        let surplus = self.units.units().len().saturating_sub(kept);
        self.release(OutputOffset(self.units.start().0 + surplus as u64));
    }

    /// The units themselves.
    pub(super) const fn units(&self) -> &OutputBuffer<Unit> {
        &self.units
    }
}

impl From<OutputBuffer<Unit>> for Withheld {
    fn from(units: OutputBuffer<Unit>) -> Self {
        let bytes = units.units().map(carried_bytes).sum();
        Self { units, bytes }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::unit::encode_all;
    use super::*;
    use crate::abi::Reply;
    use crate::net::Frame;

    fn frame(bytes: usize) -> Unit {
        Unit::Frame(Frame::new(&vec![7; bytes]).unwrap())
    }

    fn push_many(withheld: &mut Withheld, unit: &Unit) {
        for _ in 0..MOST_AT_ONCE {
            withheld.push(unit.clone());
        }
    }

    /// Fills it as a node does that looks for room before each handful; how many units there are then.
    fn fill(withheld: &mut Withheld, unit: &Unit) -> usize {
        while withheld.has_room() {
            push_many(withheld, unit);
        }
        // What comes until the guest stands still.
        push_many(withheld, unit);
        withheld.units().units().len()
    }

    #[test]
    fn what_is_withheld_fits_into_a_checkpoint_however_large_or_small_it_is() {
        for unit in [frame(1514), frame(14), Unit::Reply(Reply::default())] {
            let mut withheld = Withheld::default();
            let units = fill(&mut withheld, &unit);
            assert!(units <= MOST_UNITS + 2 * MOST_AT_ONCE, "{units} units");
            let mut carried = Vec::new();
            encode_all(withheld.units().units(), &mut carried);
            assert_eq!(carried.len(), withheld.bytes, "it is counted as it is carried");
            assert!(carried.len() + REST_BYTES <= BLOB_BYTES_MAX, "{} bytes", carried.len());
            let (first, released) = withheld.release(OutputOffset(units as u64 - 1));
            assert_eq!((first, released.len()), (OutputOffset(0), units - 1));
            assert_eq!((withheld.bytes, withheld.has_room()), (carried_bytes(&unit), true));
        }
    }

    #[test]
    fn what_was_loaded_counts_as_what_was_sent() {
        let mut sent = Withheld::default();
        for unit in [frame(60), frame(1514)] {
            sent.push(unit);
        }
        let loaded = Withheld::from(sent.units().clone());
        assert_eq!(loaded.bytes, 64 + 1518);
    }
}
