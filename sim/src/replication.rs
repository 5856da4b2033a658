//! Block replication: the primary's disk writes on their way to the secondary, over a connection of their own that
//! shares the link's fate.
//!
//! A write is done when the secondary has it. QEMU's suspension of a VM waits for the writes that are not, and so does
//! the one here; a connection that is closed ends that wait.

use crate::agenda::Event;
use crate::guest::DiskWrite;
use crate::simulation::Simulation;
use colo_protocol::{CheckpointNumber, Effect, NodeName, Operation, Property};
use std::collections::VecDeque;

/// The writes between the two disks.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    /// On their way, oldest first.
    in_flight: VecDeque<DiskWrite>,
    /// When the last of them arrives.
    arrival_us: u64,
    /// Sent, and not known to have arrived.
    open: usize,
    /// Grows when writes in flight are lost: arrivals that were planned before mean nothing.
    epoch: u32,
}

impl Replication {
    /// What is in flight is lost, and its sender does not know.
    pub(crate) fn lose(&mut self) {
        self.in_flight.clear();
        self.epoch += 1;
    }
}

impl Simulation<'_> {
    /// What the VM of a node has written goes to the peer's disk as well, if it is replicated.
    pub(crate) fn replicate(&mut self, node: NodeName) {
        let takes = self.link.takes_both_ways() && self.sides.iter().all(|side| side.open);
        let disk = &mut self.sides[node as usize].guest.disk;
        let sent = node == NodeName::Primary && disk.replicating;
        let writes = disk.take_written();
        if !sent {
            return;
        }
        let Replication { in_flight, open, .. } = &mut self.replication;
        let before = in_flight.len();
        for write in writes {
            *open += 1;
            if takes {
                in_flight.push_back(write);
            }
        }
        let count = in_flight.len() - before;
        if count > 0 {
            let drawn_us = self.guests.within(self.guest_knobs.disk);
            // A plan that fixes an interleaving counts on no write to be late.
            let delay_us = if self.faults.has_gates() { 0 } else { drawn_us };
            self.replication.arrival_us = self.replication.arrival_us.max(self.agenda.now_us() + delay_us);
            let epoch = self.replication.epoch;
            self.agenda.at(self.replication.arrival_us, Event::DiskWrites { count, epoch });
        }
    }

    /// Writes arrive at the secondary.
    pub(crate) fn disk_writes_arrive(&mut self, count: usize, epoch: u32) {
        if epoch != self.replication.epoch {
            return;
        }
        let Replication { in_flight, open, .. } = &mut self.replication;
        let disk = &mut self.sides[NodeName::Secondary as usize].guest.disk;
        in_flight.drain(..count).for_each(|write| disk.receive(write));
        *open = open.saturating_sub(count);
        self.writes_are_done();
    }

    /// An end of the link is closed, and the connection of the disks with it. A primary waits for nothing any more, but
    /// what it has sent arrives; a secondary takes nothing any more.
    pub(crate) fn close_replication(&mut self, node: NodeName) {
        match node {
            NodeName::Primary => self.replication.open = 0,
            NodeName::Secondary => self.replication.lose(),
        }
        self.writes_are_done();
    }

    /// Whether a suspension that could end waits for writes; if so, it ends when they are done.
    pub(crate) fn waits_for_writes(&mut self, node: NodeName) -> bool {
        let waits = node == NodeName::Primary && self.replication.open > 0 && self.side(node).open;
        if let Some(in_hand) = &mut self.side_mut(node).in_hand {
            in_hand.waits_for_writes = waits;
        }
        waits
    }

    fn writes_are_done(&mut self) {
        let in_hand = self.side(NodeName::Primary).in_hand;
        let waits = in_hand.filter(|in_hand| in_hand.operation == Operation::SuspendVm);
        if let Some(waits) = waits.filter(|in_hand| in_hand.waits_for_writes && self.replication.open == 0) {
            self.agenda.after(0, Event::OperationEnd { node: NodeName::Primary, token: waits.token });
        }
    }

    /// An effect on a node's disk.
    pub(crate) fn perform_on_disk(&mut self, node: NodeName, effect: Effect) {
        let disk = &mut self.side_mut(node).guest.disk;
        match effect {
            Effect::StartReplication => {
                (disk.started, disk.replicating) = (true, true);
                self.judge_replication(node);
            }
            Effect::CheckpointDisk(_) => disk.checkpoint(),
            Effect::CommitDiskEpoch(checkpoint) => disk.commit_epoch(checkpoint),
            _ => disk.fail_over(),
        }
        if self.side(node).guest.executing {
            self.judge_disk(node);
        }
    }

    /// The initial state has been captured: a mirror of the disk goes with it.
    pub(crate) fn mirror_disk(&mut self, node: NodeName, checkpoint: CheckpointNumber) {
        let disk = &mut self.sides[node as usize].guest.disk;
        disk.captured(checkpoint);
        if checkpoint == CheckpointNumber::default() {
            self.mirror = disk.clone();
        }
    }

    fn judge_replication(&mut self, node: NodeName) {
        let secondary = self.side(NodeName::Secondary);
        if node == NodeName::Primary && secondary.alive && !secondary.guest.disk.started {
            let sentence =
                "the primary's disk is replicated, and the secondary's is not ready for it".to_owned();
            self.violated(Property::Disk, sentence);
        }
    }

    /// Whether the disk that a VM sees is that of its history. Of a torn VM no history can be told.
    pub(crate) fn judge_disk(&mut self, node: NodeName) {
        let guest = &self.side(node).guest;
        let Some(checkpoint) = guest.checkpoint() else { return };
        if guest.disk.digest() != guest.devices.disk_digest {
            let sentence = format!(
                "the {node}'s VM goes on from checkpoint {checkpoint}, and its disk is not that of its memory"
            );
            self.violated(Property::Disk, sentence);
        }
    }
}
