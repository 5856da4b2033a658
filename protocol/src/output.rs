//! Withheld output: what the guest has sent, what a checkpoint covers, what the world has been given.
//!
//! Output is a stream of units (bytes, packets, replies: the environment's choice) that are counted from the start of
//! protection. [`WithheldOutput`] holds the marks inside a state machine; [`OutputBuffer`] holds the units themselves
//! for an environment; [`OutputReceiver`] is the receiver's side, which drops what a survivor sends a second time.
//! When anything is released is not decided here, but in the state machines.

use alloc::collections::VecDeque;
use alloc::collections::vec_deque::Drain;
use core::fmt;

/// The number of a checkpoint: 0 is the initial state, the first one requested is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct CheckpointNumber(pub u64);

impl CheckpointNumber {
    /// The checkpoint after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number less by `by`, which it is not below.
    pub(crate) const fn less(self, by: u64) -> Self {
        Self(self.0 - by)
    }
}

impl fmt::Display for CheckpointNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the output stream: how many units come before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct OutputOffset(pub u64);

impl fmt::Display for OutputOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The marks in one node's output stream: released <= sealed <= produced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WithheldOutput {
    produced: OutputOffset,
    sealed: OutputOffset,
    released: OutputOffset,
}

impl WithheldOutput {
    /// The end of all that the guest has sent.
    pub const fn produced(&self) -> OutputOffset {
        self.produced
    }

    /// The end of what the latest captured checkpoint covers.
    pub const fn sealed(&self) -> OutputOffset {
        self.sealed
    }

    /// The end of what has been released.
    pub const fn released(&self) -> OutputOffset {
        self.released
    }

    /// The guest has sent output up to `end`. False, and nothing changed, if that is not beyond what it had sent.
    #[must_use]
    pub(crate) fn produce(&mut self, end: OutputOffset) -> bool {
        let onward = end > self.produced;
        if onward {
            self.produced = end;
        }
        onward
    }

    /// A checkpoint has captured the VM: it covers all output so far.
    pub(crate) fn seal(&mut self) {
        self.sealed = self.produced;
        self.assert_ordered();
    }

    /// Everything that the latest captured checkpoint covers leaves.
    pub(crate) fn release_sealed(&mut self) -> OutputOffset {
        self.released = self.released.max(self.sealed);
        self.assert_ordered();
        self.released
    }

    /// What stands before `end`, as far as there is anything, leaves: the secondary has sent the same.
    pub(crate) fn release_to(&mut self, end: OutputOffset) -> OutputOffset {
        self.released = self.released.max(end.min(self.produced));
        self.sealed = self.sealed.max(self.released);
        self.assert_ordered();
        self.released
    }

    /// Everything leaves.
    pub(crate) fn release_all(&mut self) -> OutputOffset {
        self.seal();
        self.release_sealed()
    }

    /// The VM is now the one of a checkpoint that covers output up to `end`; how much of it the peer released before
    /// it died is unknown, so none counts as released and a survivor offers all that it holds again.
    pub(crate) fn restart_at(&mut self, end: OutputOffset) {
        *self = Self { produced: end, sealed: end, released: OutputOffset::default() };
    }

    fn assert_ordered(&self) {
        assert!(self.released <= self.sealed && self.sealed <= self.produced, "{self:?}");
    }
}

/// The withheld units of output themselves, in order, for an environment to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutputBuffer<T> {
    start: OutputOffset,
    units: VecDeque<T>,
}

impl<T> Default for OutputBuffer<T> {
    fn default() -> Self {
        Self::starting_at(OutputOffset::default())
    }
}

impl<T> OutputBuffer<T> {
    /// An empty buffer whose first unit will stand at `start`.
    pub const fn starting_at(start: OutputOffset) -> Self {
        Self { start, units: VecDeque::new() }
    }

    /// Where the first unit held stands.
    pub const fn start(&self) -> OutputOffset {
        self.start
    }

    /// The end of the stream so far.
    pub fn end(&self) -> OutputOffset {
        OutputOffset(self.start.0 + self.units.len() as u64)
    }

    /// The guest has sent one more unit; its end is returned, for [`crate::Input::GuestOutput`].
    pub fn push(&mut self, unit: T) -> OutputOffset {
        self.units.push_back(unit);
        self.end()
    }

    /// The units held, oldest first: what travels with a checkpoint.
    pub fn units(&self) -> impl ExactSizeIterator<Item = &T> {
        self.units.iter()
    }

    /// Takes out, oldest first, what stands before `up_to`; with it, the offset of the first of them.
    pub fn release(&mut self, up_to: OutputOffset) -> (OutputOffset, Drain<'_, T>) {
        let first = self.start;
        let held = self.units.len();
        let count = usize::try_from(up_to.0.saturating_sub(first.0)).map_or(held, |count| count.min(held));
        self.start = OutputOffset(first.0 + count as u64);
        (first, self.units.drain(..count))
    }
}

/// What a receiver makes of a unit of output, by its place in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The next one: take it.
    New,
    /// A survivor sent again what had already arrived: drop it.
    Duplicate,
    /// Units before it are missing; the stream was expected to go on here.
    Gap(OutputOffset),
}

/// The receiving end of an output stream: knows where the stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OutputReceiver {
    next: OutputOffset,
}

impl OutputReceiver {
    /// Where the stream goes on.
    pub const fn next(&self) -> OutputOffset {
        self.next
    }

    /// Judges the unit at `offset`, and moves on if it is new.
    pub fn accept(&mut self, offset: OutputOffset) -> Arrival {
        if offset < self.next {
            return Arrival::Duplicate;
        }
        if offset > self.next {
            return Arrival::Gap(self.next);
        }
        self.next = OutputOffset(offset.0 + 1);
        Arrival::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_buffer_releases_in_order_and_never_twice() {
        let mut buffer = OutputBuffer::default();
        assert_eq!(buffer.push('a'), OutputOffset(1));
        assert_eq!(buffer.push('b'), OutputOffset(2));
        assert_eq!(buffer.push('c'), OutputOffset(3));
        let (first, units) = buffer.release(OutputOffset(2));
        assert_eq!((first, units.collect::<Vec<_>>()), (OutputOffset(0), alloc::vec!['a', 'b']));
        assert_eq!(buffer.release(OutputOffset(2)).1.count(), 0);
        let (first, units) = buffer.release(OutputOffset(u64::MAX));
        assert_eq!((first, units.collect::<Vec<_>>()), (OutputOffset(2), alloc::vec!['c']));
        assert_eq!(buffer.end(), OutputOffset(3));
    }

    #[test]
    fn a_survivors_buffer_goes_on_where_the_checkpoint_stood() {
        let mut buffer = OutputBuffer::starting_at(OutputOffset(5));
        assert_eq!((buffer.start(), buffer.end()), (OutputOffset(5), OutputOffset(5)));
        assert_eq!([buffer.push('f'), buffer.push('g')], [OutputOffset(6), OutputOffset(7)]);
        assert_eq!(buffer.units().copied().collect::<Vec<_>>(), ['f', 'g']);
        // Before its start there is nothing to give.
        assert_eq!(buffer.release(OutputOffset(3)).1.count(), 0);
        let (first, units) = buffer.release(OutputOffset(6));
        assert_eq!((first, units.collect::<Vec<_>>()), (OutputOffset(5), alloc::vec!['f']));
        assert_eq!((buffer.start(), buffer.end()), (OutputOffset(6), OutputOffset(7)));
        assert_eq!(buffer.units().len(), 1);
    }

    #[test]
    fn the_marks_move_on_as_output_is_produced_sealed_and_released() {
        let mut output = WithheldOutput::default();
        let marks = |output: &WithheldOutput| (output.released().0, output.sealed().0, output.produced().0);
        assert!(output.produce(OutputOffset(4)));
        assert!(!output.produce(OutputOffset(4)), "nothing new");
        assert!(!output.produce(OutputOffset(3)), "backwards");
        assert_eq!(marks(&output), (0, 0, 4));
        // What matches leaves before a checkpoint covers it; of what has not been sent nothing can match.
        assert_eq!((output.release_to(OutputOffset(2)), marks(&output)), (OutputOffset(2), (2, 2, 4)));
        assert_eq!((output.release_to(OutputOffset(1)), marks(&output)), (OutputOffset(2), (2, 2, 4)));
        output.seal();
        assert!(output.produce(OutputOffset(6)));
        assert_eq!(marks(&output), (2, 4, 6));
        assert_eq!((output.release_sealed(), marks(&output)), (OutputOffset(4), (4, 4, 6)));
        assert_eq!((output.release_to(OutputOffset(9)), marks(&output)), (OutputOffset(6), (6, 6, 6)));
        assert!(output.produce(OutputOffset(8)));
        assert_eq!((output.release_all(), marks(&output)), (OutputOffset(8), (8, 8, 8)));
        output.restart_at(OutputOffset(7));
        assert_eq!(marks(&output), (0, 7, 7));
    }

    #[test]
    #[should_panic(expected = "sealed: OutputOffset(2)")]
    fn marks_that_are_out_of_order_do_not_go_unnoticed() {
        let mut output = WithheldOutput { sealed: OutputOffset(2), ..WithheldOutput::default() };
        output.release_sealed();
    }

    #[test]
    fn a_receiver_drops_duplicates_and_sees_gaps() {
        let mut receiver = OutputReceiver::default();
        assert_eq!(receiver.accept(OutputOffset(0)), Arrival::New);
        assert_eq!(receiver.accept(OutputOffset(0)), Arrival::Duplicate);
        assert_eq!(receiver.accept(OutputOffset(2)), Arrival::Gap(OutputOffset(1)));
        assert_eq!(receiver.accept(OutputOffset(1)), Arrival::New);
        assert_eq!(receiver.next(), OutputOffset(2));
    }
}
