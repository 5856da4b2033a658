//! The normal form of a state: what only counts on is counted from the lowest that is left.
//!
//! What follows from a state depends on the order of its checkpoints' numbers, and on whether one of them is the initial
//! state's; on which disk writes are in which history, and not on how many there have been. Without the counts the
//! states are finitely many, however many checkpoints come, and what holds in all of them holds for any number.

use crate::state::{Packet, Side, Snapshot, State};
use colo_protocol::NodeName;

impl State {
    /// Counts checkpoints and disk writes from the lowest that is left.
    pub fn normalise(&mut self) {
        let checkpoints = self.lowest_checkpoint().saturating_sub(1);
        let writes = self.lowest_write();
        if (checkpoints, writes) == (0, 0) {
            return;
        }
        for side in self.sides.iter_mut().filter(|side| side.alive) {
            side.node.renumber(checkpoints.into());
            side.count_less(checkpoints, writes);
        }
        self.secondary_counts_less(checkpoints, writes);
    }

    /// 1 more than what can be taken off every checkpoint's number.
    fn lowest_checkpoint(&self) -> u8 {
        let nodes = self.sides.iter().filter(|side| side.alive).map(|side| {
            let snapshots = side.snapshots().map(|snapshot| snapshot.checkpoint);
            let own = u8::try_from(side.node.lowest_number().0).unwrap_or(u8::MAX);
            snapshots.chain([own]).min().unwrap_or(own)
        });
        let secondary = self.side(NodeName::Secondary);
        let vm = [secondary.vm.ram, secondary.vm.devices].map(|snapshot| snapshot.checkpoint);
        nodes.chain(vm.into_iter().filter(|_| secondary.alive)).min().unwrap_or(0)
    }

    fn lowest_write(&self) -> u8 {
        let sides = self.sides.iter().filter(|side| side.alive);
        let in_sight =
            sides.flat_map(|side| side.snapshots().map(|snapshot| snapshot.writes).chain([side.vm.writes]));
        let secondary = self.side(NodeName::Secondary);
        let [ram, devices] = [secondary.vm.ram, secondary.vm.devices].map(|snapshot| snapshot.writes);
        let of_secondary = [ram, devices, secondary.disk.received, secondary.disk.seen];
        in_sight.chain(of_secondary.into_iter().filter(|_| secondary.alive)).min().unwrap_or(0)
    }

    /// The secondary's VM is of a checkpoint, and its disk has the primary's writes; the primary's VM is its own.
    fn secondary_counts_less(&mut self, checkpoints: u8, writes: u8) {
        let secondary = self.side_mut(NodeName::Secondary);
        if !secondary.alive {
            return;
        }
        for snapshot in [&mut secondary.vm.ram, &mut secondary.vm.devices] {
            snapshot.count_less(checkpoints, writes);
        }
        secondary.disk.received -= writes;
        secondary.disk.seen -= writes;
    }
}

impl Side {
    /// The states that are on their way: held, being loaded, on the link.
    fn snapshots(&self) -> impl Iterator<Item = Snapshot> {
        let held = self.held.iter().flatten().copied();
        let loading = self.load.iter().flatten().copied();
        held.chain(loading).chain(self.inbox.iter().filter_map(|packet| match packet {
            Packet::Message(_) => None,
            Packet::Ram(snapshot) | Packet::DeviceState(snapshot) => Some(*snapshot),
        }))
    }

    fn count_less(&mut self, checkpoints: u8, writes: u8) {
        self.vm.writes -= writes;
        let held = self.held.iter_mut().flatten();
        let on_link = self.inbox.iter_mut().filter_map(|packet| match packet {
            Packet::Message(_) => None,
            Packet::Ram(snapshot) | Packet::DeviceState(snapshot) => Some(snapshot),
        });
        for snapshot in held.chain(self.load.iter_mut().flatten()).chain(on_link) {
            snapshot.count_less(checkpoints, writes);
        }
    }
}

impl Snapshot {
    fn count_less(&mut self, checkpoints: u8, writes: u8) {
        self.checkpoint -= checkpoints;
        self.writes -= writes;
    }
}
