//! What must hold: the safety properties, as the outside sees them.
//!
//! Each is judged from what VMs, link and world did, not from what the machines believe. A broken property is noted
//! in the state's world, where the checkers find it.

use crate::state::{State, small};
use colo_protocol::{ExitReason, Machine, NodeName, Operation, OutputOffset, Property, ProtocolError};

impl State {
    /// Notes what the state itself breaks.
    pub(crate) fn observe(&mut self) {
        self.world.committed = self.world.committed.max(self.committed());
        for name in NodeName::ALL {
            let side = self.side(name);
            let torn = side.vm.running && side.vm.ram != side.vm.devices;
            let moving = side.vm.running && self.is_captured(name);
            let behind = side.vm.running && self.is_behind_its_promise(name);
            let other_disk = side.vm.running && self.is_of_another_epoch(name);
            for (broken, property) in [
                (torn, Property::CheckpointAtomicity),
                (moving, Property::StillDuringCapture),
                (behind, Property::Promise),
                (other_disk, Property::Disk),
                (side.node.machine().pending_requests() > 1, Property::Coalescing),
            ] {
                if broken {
                    self.world.break_property(property);
                }
            }
        }
    }

    /// The node has been promoted.
    pub(crate) fn observe_promotion(&mut self, name: NodeName) {
        let peer = name.peer();
        // What a peer released after its own promotion is the business of single server.
        let stale = self.world.promoted[peer as usize];
        if !stale && self.world.released[peer as usize] > self.side(name).vm.shared_output() {
            self.world.break_property(Property::OutputCommit);
        }
        if self.is_of_another_epoch(name) {
            self.world.break_property(Property::Disk);
        }
        if self.is_behind_its_promise(name) {
            self.world.break_property(Property::Promise);
        }
        self.world.promoted[name as usize] = true;
        // From here on its execution is its own.
        let vm = &mut self.side_mut(name).vm;
        vm.leaves_at = vm.leaves_at.min(vm.output);
        let shared = vm.shared_output();
        if name == NodeName::Secondary {
            self.world.committed = self.world.committed.max(shared);
        }
    }

    /// The node has released its output up to here.
    pub(crate) fn observe_release(&mut self, name: NodeName, up_to: OutputOffset) {
        let up_to = small(up_to);
        let released = &mut self.world.released[name as usize];
        let onward = up_to > *released;
        *released = up_to.max(*released);
        let shared = self.side(NodeName::Secondary).vm.shared_output();
        if onward && up_to > self.world.committed.max(shared) {
            self.world.served[name as usize] = true;
        }
        if self.world.served == [true; 2] {
            self.world.break_property(Property::SingleServer);
        }
    }

    /// A node's disk is replicated from now on.
    pub(crate) fn observe_replication(&mut self, name: NodeName) {
        let secondary = self.side(NodeName::Secondary);
        if name == NodeName::Primary && secondary.alive && !secondary.disk.started {
            self.world.break_property(Property::Disk);
        }
    }

    /// A node's VM begins anew.
    pub(crate) fn observe_reset(&mut self, name: NodeName) {
        if self.is_captured(name) {
            self.world.break_property(Property::StillDuringCapture);
        }
    }

    fn is_captured(&self, name: NodeName) -> bool {
        self.side(name).in_hand.is_some_and(|in_hand| in_hand.operation == Operation::SaveState)
    }

    /// A node has told its manager that it has left COLO.
    pub(crate) fn observe_exit(&mut self, name: NodeName, reason: ExitReason) {
        if (reason == ExitReason::Request) != self.world.promoted[name as usize] {
            self.world.break_property(Property::ExitReason);
        }
    }

    /// A machine found an input wrong.
    pub(crate) fn observe_error(&mut self, error: ProtocolError) {
        if !error.is_refusal() && !self.spent.any_fault() {
            self.world.break_property(Property::NoErrorWithoutFault);
        }
    }

    /// The VM of the secondary is of a checkpoint before the one that it has promised.
    fn is_behind_its_promise(&self, name: NodeName) -> bool {
        let side = self.side(name);
        match side.node.machine() {
            Machine::Primary(_) => false,
            Machine::Secondary(secondary) => {
                let vm = side.vm.ram.checkpoint.min(side.vm.devices.checkpoint);
                u64::from(vm) < secondary.promised().0
            }
        }
    }

    /// The secondary's VM sees other disk writes than those of its memory's history. The primary's writes are all its
    /// own, and all on its disk.
    fn is_of_another_epoch(&self, name: NodeName) -> bool {
        let side = self.side(name);
        name == NodeName::Secondary && side.disk.seen != side.vm.writes
    }

    /// The end of the output that the secondary's VM holds, or will when it has loaded what it promised.
    fn committed(&self) -> u8 {
        let secondary = self.side(NodeName::Secondary);
        let staged = secondary.held[1].or(secondary.load.map(|[_, devices]| devices));
        let Machine::Secondary(machine) = secondary.node.machine() else { return 0 };
        match staged {
            Some(staged) if machine.promised().0 >= u64::from(staged.checkpoint) => {
                staged.output.max(secondary.vm.devices.output)
            }
            _ => secondary.vm.devices.output,
        }
    }
}
