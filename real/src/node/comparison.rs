//! Where both VMs execute: the requests that the primary's guest is given go to the secondary's too, the secondary's output
//! comes to the primary, and here it is compared with the primary's own. How far they are the same is only found; that
//! it leaves, or that a checkpoint is to come, is decided in the core.
//!
//! What comes over this connection may come late: a unit that a VM has sent which is no more must not be taken for its
//! successor's. So each carries the checkpoint from which its VM has gone on.

use super::driver::Driver;
use super::mirror::{Mirror, Parcel, of_incoming, of_unit, to_incoming, to_unit};
use super::peer_units::PeerUnits;
use super::unit::{Incoming, Unit};
use super::{Control, NodeError};
use crate::control::{ComparisonFigures, FromNode};
use colo_protocol::{CheckpointNumber, Compared, Failover, Input, NodeName, OutputOffset};
use std::time::{Duration, Instant};

/// How long output may wait for its like from the secondary; as in QEMU (`compare_timeout`).
const HELD_TOO_LONG: Duration = Duration::from_secs(3);

/// Frames that a secondary keeps of what its guest has sent, in case it has to send them itself. What is older has left with the
/// primary's, or its client asks for it.
const MOST_FRAMES_KEPT: usize = 4096;

/// A node's part in a comparison.
#[derive(Default)]
pub(super) struct Comparison {
    /// None once it is gone.
    pub(super) mirror: Option<Mirror>,
    /// The secondary's output, of the VM that has gone on from this checkpoint.
    peer: PeerUnits,
    from: CheckpointNumber,
    /// There is something that has not been looked at.
    is_due: bool,
    /// A difference was told, and the secondary's VM is the same since.
    differs: bool,
    /// Where output of one's own stands that cannot be compared.
    passed_over: Vec<OutputOffset>,
    /// Up to where the secondary's output has been sent.
    redirected: OutputOffset,
    /// Since when output waits, and up to where it had been released then.
    waits: Option<(Instant, OutputOffset)>,
    /// The secondary's guest has left the primary's execution since the latest load.
    has_diverged: bool,
    figures: ComparisonFigures,
}

impl Comparison {
    /// Nothing has come, of a machine that has a network card or not.
    pub(super) fn over(mirror: Mirror, has_card: bool) -> Self {
        Self { mirror: Some(mirror), peer: PeerUnits::of(has_card), ..Self::default() }
    }

    /// The node's own output has grown.
    pub(super) const fn look(&mut self) {
        self.is_due = true;
    }

    /// What one's own guest sent at `offset` cannot be compared.
    pub(super) fn passes_over(&mut self, offset: OutputOffset) {
        self.passed_over.push(offset);
    }

    /// What has come is another VM's than that of now, which goes on from this checkpoint.
    pub(super) fn forget(&mut self, from: CheckpointNumber) {
        if self.from != from {
            self.peer.forget();
            self.from = from;
        }
        (self.differs, self.waits, self.is_due) = (false, None, true);
    }

    /// A VM has been loaded which has sent output up to here; what it sends from here on is redirected.
    pub(super) const fn loaded(&mut self, output: OutputOffset) {
        (self.redirected, self.has_diverged) = (output, false);
    }

    /// A unit of the secondary's has come.
    fn take(&mut self, (from, offset, unit): (CheckpointNumber, OutputOffset, Unit), released: OutputOffset) {
        if from < self.from || self.peer.is_behind(offset, released) {
            return;
        }
        if from > self.from {
            self.peer.forget();
            (self.from, self.differs) = (from, false);
        }
        self.is_due |= self.peer.take(offset, unit);
    }

    /// When output has waited for too long, if it is not released before.
    fn held_until(&self) -> Option<Instant> {
        self.waits.map(|(since, _)| since + HELD_TOO_LONG)
    }
}

impl Driver {
    /// Something has come in from the network: both guests get it, in the same order.
    pub(super) fn comes_in(&mut self, incoming: Incoming) {
        if let Incoming::Request(request) = &incoming
            && self.marks_next_write
            && super::divergence::writes(&incoming)
        {
            self.marks_next_write = false;
            self.marked = Some((request.client, request.sequence));
        }
        let is_mirrored =
            self.comparison.is_some() && (self.name() == NodeName::Primary || self.introduction.is_some());
        let parcel = is_mirrored.then(|| of_incoming(0, &incoming));
        let Some(number) = self.vcpu.comes_in(incoming) else { return };
        self.put_on_mirror(parcel.map(|parcel| parcel.numbered(number)));
    }

    /// To a replacement go the requests, too, that have come and that the guest has not been given.
    pub(super) fn mirror_what_waits(&mut self) {
        let waiting = self.vcpu.waiting();
        self.put_on_mirror(waiting.iter().map(|(number, incoming)| of_incoming(*number, incoming)));
    }

    /// The secondary's output up to here goes to the primary.
    pub(super) fn redirect(&mut self, up_to: OutputOffset) {
        let Some(comparison) = &mut self.comparison else { return };
        let output = self.output.units();
        let from = std::mem::replace(&mut comparison.redirected, up_to).max(output.start());
        let skipped = usize::try_from(from.0 - output.start().0).unwrap_or(usize::MAX);
        let checkpoint = self.node.machine().serves_from();
        let units = (from.0..up_to.0).zip(output.units().skip(skipped));
        let parcels: Vec<_> =
            units.map(|(offset, unit)| of_unit(checkpoint, OutputOffset(offset), unit)).collect();
        self.put_on_mirror(parcels);
        if self.port.is_some() {
            self.output.keep_latest(MOST_FRAMES_KEPT);
        }
    }

    fn put_on_mirror(&mut self, parcels: impl IntoIterator<Item = Parcel>) {
        if let Some(mirror) = self.comparison.as_mut().and_then(|comparison| comparison.mirror.as_mut()) {
            parcels.into_iter().for_each(|parcel| mirror.put(&parcel));
            self.write_mirror();
        }
    }

    /// Writes what the connection takes. It shares the fate of the link.
    pub(super) fn write_mirror(&mut self) {
        if self.is_stalled() {
            return;
        }
        let Some(comparison) = &mut self.comparison else { return };
        if let Some(mirror) = &mut comparison.mirror {
            if self.end.unheard {
                mirror.forget();
            } else if !mirror.write() {
                comparison.mirror = None;
            }
        }
    }

    /// Takes in what has come over the connection.
    pub(super) fn read_mirror(&mut self) {
        let Some(comparison) = &mut self.comparison else { return };
        let mut parcels = Vec::new();
        let is_there = comparison.mirror.as_mut().is_some_and(|mirror| mirror.read(&mut parcels));
        if !is_there {
            comparison.mirror = None;
        }
        let released = self.node.machine().output().released();
        let is_primary = self.config.name == NodeName::Primary || self.introduction.is_some();
        let has_card = self.config.workload.card().is_some();
        for parcel in parcels {
            // What it could not have been sent is not there; that something is missing shows.
            if is_primary {
                if let Some(unit) = to_unit(&parcel, has_card) {
                    comparison.take(unit, released);
                }
            } else if let Some((number, incoming)) = to_incoming(&parcel, has_card) {
                self.vcpu.mirrored(number, incoming);
            }
        }
    }

    /// One's own output up to here leaves, because it is the same or because a checkpoint covers it.
    pub(super) fn leaves(&mut self, up_to: OutputOffset) {
        if !self.compares() {
            // Nobody will ask what it was.
            return;
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.peer.released(up_to, self.output.units());
        }
    }

    /// Compares, if there is something to compare and the core may be told what comes of it. Whether it was told anything.
    pub(super) fn compare(&mut self, control: &mut Control) -> Result<bool, NodeError> {
        if !self.compares() || !self.node.queue().has_room() {
            return Ok(false);
        }
        let released = self.node.machine().output().released();
        let output = self.output.units();
        let skipped = released.0.saturating_sub(output.start().0);
        let own = output.units().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        let Some(comparison) = self.comparison.as_mut().filter(|comparison| comparison.is_due) else {
            return Ok(false);
        };
        let known =
            own.zip(released.0..).take_while(|(_, at)| !comparison.passed_over.contains(&OutputOffset(*at)));
        let known = known.map(|(unit, _)| unit);
        let Compared { end, differs } = comparison.peer.compare(released, known);
        let input = if end > released {
            Input::OutputsMatch { end }
        } else if differs && !comparison.differs {
            Input::OutputsDiffer
        } else {
            comparison.is_due = false;
            return Ok(false);
        };
        if self.input_is_held(input.kind()) {
            return Ok(false);
        }
        self.count(input, end.0 - released.0);
        self.give(input, control)?;
        self.tell_compared(control)?;
        Ok(true)
    }

    fn count(&mut self, input: Input, same: u64) {
        let Some(comparison) = &mut self.comparison else { return };
        let figures = &mut comparison.figures;
        figures.compared += same;
        figures.released += same;
        match input {
            Input::OutputsMatch { end } => comparison.peer.released(end, self.output.units()),
            Input::OutputsDiffer => {
                figures.compared += 1;
                figures.differences += 1;
                comparison.differs = true;
            }
            _ => figures.held_too_long += 1,
        }
    }

    fn tell_compared(&self, control: &mut Control) -> Result<(), NodeError> {
        let figures = self.comparison.as_ref().map(|comparison| comparison.figures);
        figures.map_or(Ok(()), |figures| control.tell(&FromNode::Compared(figures)))
    }

    /// Whether it is the node that compares, and goes on doing so: not once a failover has been accepted.
    fn compares(&self) -> bool {
        let is_primary = self.config.name == NodeName::Primary;
        is_primary && self.comparison.is_some() && self.node.machine().failover() == Failover::None
    }

    /// When output has waited for its like for too long, if some waits, on either side.
    pub(super) fn held_until(&mut self, now: Instant) -> Option<Instant> {
        let output = self.node.machine().output();
        let compares = self.compares();
        let comparison = self.comparison.as_mut()?;
        // What the secondary has sent, and the primary does not, is a difference as well: one by omission. It is found out here
        // only where nothing else leaves meanwhile.
        let waits = compares && (output.released() < output.produced() || comparison.peer.is_ahead());
        let unmoved = comparison.waits.filter(|(_, released)| *released == output.released());
        comparison.waits = waits.then(|| unmoved.unwrap_or((now, output.released())));
        comparison.held_until()
    }

    /// Tells the core when output has waited for its like for too long, and again when it has waited as long once more.
    pub(super) fn mind_what_waits(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let now = Instant::now();
        let is_over = self.held_until(now).is_some_and(|until| now >= until);
        let input = Input::OutputHeldTooLong;
        if !is_over || !self.node.queue().has_room() || self.input_is_held(input.kind()) {
            return Ok(());
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.waits = None;
        }
        self.count(input, 0);
        self.give(input, control)?;
        self.tell_compared(control)
    }

    /// Tells the harness when the guest has gone its own way.
    pub(super) fn tell_divergence(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let lost = self.vcpu.take_lost();
        if lost == 0 {
            return Ok(());
        }
        let comparison = self.comparison.as_mut();
        let anew =
            comparison.is_some_and(|comparison| !std::mem::replace(&mut comparison.has_diverged, true));
        control.tell(&FromNode::Diverged { lost, anew })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Reply;

    const NOTHING: OutputOffset = OutputOffset(0);

    /// A unit of a VM that has gone on from checkpoint `from`; its serial says whose it is.
    fn unit(from: u64, offset: u64) -> (CheckpointNumber, OutputOffset, Unit) {
        (CheckpointNumber(from), OutputOffset(offset), of(from))
    }

    fn of(from: u64) -> Unit {
        Unit::Reply(Reply { serial: from, ..Reply::default() })
    }

    /// From which VM the units are that stand at `from` and behind it.
    fn held(comparison: &Comparison, from: u64) -> Option<u64> {
        let is_of =
            |of: &u64| comparison.peer.compare(OutputOffset(from), [self::of(*of)].iter()).end.0 > from;
        (0..4).find(is_of)
    }

    #[test]
    fn a_unit_of_a_vm_that_is_no_more_is_not_taken_for_its_successors() {
        let mut comparison = Comparison::default();
        comparison.take(unit(0, 5), NOTHING);
        assert_eq!(held(&comparison, 5), Some(0));
        comparison.forget(CheckpointNumber(1));
        assert_eq!(held(&comparison, 5), None);
        comparison.take(unit(0, 5), NOTHING);
        assert_eq!(held(&comparison, 5), None, "it came late");
        comparison.take(unit(1, 5), NOTHING);
        assert_eq!(held(&comparison, 5), Some(1));
    }

    #[test]
    fn a_unit_that_comes_before_its_vm_is_known_is_kept() {
        let mut comparison = Comparison::default();
        comparison.take(unit(0, 5), NOTHING);
        comparison.take(unit(1, 7), NOTHING);
        assert_eq!((held(&comparison, 5), held(&comparison, 7)), (None, Some(1)));
        comparison.forget(CheckpointNumber(1));
        assert_eq!(held(&comparison, 7), Some(1));
    }

    #[test]
    fn what_has_left_is_not_kept() {
        let mut comparison = Comparison::default();
        comparison.take(unit(0, 3), OutputOffset(4));
        assert_eq!((held(&comparison, 3), comparison.is_due), (None, false));
        comparison.take(unit(0, 4), OutputOffset(4));
        assert_eq!((held(&comparison, 4), comparison.is_due), (Some(0), true));
    }
}
