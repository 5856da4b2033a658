//! What one machine can take in an environment that keeps its word, whatever its peer does: found by running it.
//!
//! Its word is what [`Input`] says of each input: a disk fails when it is asked for something, a guest acts when its VM
//! may execute, a stream is bad where something could come, what ends has begun. What a check of a whole pair should
//! have taken comes from here; nothing is decided here, and the pair's model is another matter.

use crate::effect::Effect;
use crate::failover::Failover;
use crate::input::{Input, InputKind};
use crate::node::{Machine, NodeName};
use crate::rules::Rules;
use crate::table::inputs;
use crate::transition::Transition;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// A machine, and what its last step asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Situation {
    machine: Machine,
    /// Whether the disk was asked for something.
    disk_asked: bool,
    /// Whether an operation was asked for, behind what else was: it has not begun.
    operation_asked: bool,
    /// Whether what was asked for has been dropped, and the operation with it: it never ends.
    dropped: bool,
}

/// The transitions of a machine that begins as `node`, is given inputs of some kinds only, and takes no more than two
/// checkpoints and one unit of output.
pub fn transitions(
    node: NodeName,
    rules: &Rules,
    is_given: impl Fn(InputKind) -> bool,
) -> BTreeSet<Transition> {
    let mut found = BTreeSet::new();
    let mut situations = beginnings(node, is_given(InputKind::Protect));
    let mut next = 0;
    while let Some(before) = situations.get(next).copied() {
        next += 1;
        for input in inputs(&before.machine).filter(|input| is_given(input.kind())) {
            if !before.allows(rules, input) {
                continue;
            }
            let Some((transition, after)) = before.take(rules, input) else { continue };
            found.insert(transition);
            // A survivor that is protected again is a primary: its transitions are that one's.
            let same_role = transition.from.node() == transition.to.node();
            if same_role && !situations.contains(&after) {
                situations.push(after);
            }
        }
    }
    found
}

/// A secondary is there from the beginning, or comes to a survivor.
fn beginnings(node: NodeName, with_replacements: bool) -> Vec<Situation> {
    let mut machines = vec![Machine::new(node)];
    if node == NodeName::Secondary && with_replacements {
        machines.push(Machine::replacement());
    }
    machines.into_iter().map(Situation::beginning).collect()
}

impl Situation {
    fn beginning(machine: Machine) -> Self {
        Self { machine, disk_asked: false, operation_asked: false, dropped: false }
    }

    fn take(&self, rules: &Rules, input: Input) -> Option<(Transition, Self)> {
        let mut machine = self.machine;
        let step = machine.step(rules, input);
        let transition = Transition::of(&self.machine, input, &step, &machine)?;
        let asked = |what: fn(Effect) -> bool| step.effects.iter().any(|effect| what(*effect));
        // A disk fails before anything that is asked for behind it.
        let waits = self.operation_asked && input == Input::DiskFailed;
        let after = Self {
            machine,
            disk_asked: asked(Effect::is_of_the_disk),
            operation_asked: asked(|effect| effect.operation().is_some()),
            dropped: self.dropped || (waits && asked(|effect| effect == Effect::Halt)),
        };
        Some((transition, after))
    }

    /// Whether an environment that keeps its word may give this input now.
    fn allows(&self, rules: &Rules, input: Input) -> bool {
        match input {
            _ if self.dropped && input.kind().ends().is_some() => false,
            Input::DiskFailed => self.disk_asked,
            Input::GuestShutdown => self.machine.vm_may_execute(),
            Input::FailoverBegins => self.machine.failover() == Failover::Require,
            Input::BadStream => self.listens(rules),
            Input::OutputsMatch { .. } | Input::OutputsDiffer | Input::OutputHeldTooLong => {
                let output = self.machine.output();
                rules.is_hybrid() && output.released() < output.produced()
            }
            _ => true,
        }
    }

    /// Whether there is anything that could come from the peer.
    fn listens(&self, rules: &Rules) -> bool {
        let comes = |input: &Input| {
            matches!(input, Input::Message(_) | Input::RamReceived | Input::DeviceStateReceived)
        };
        inputs(&self.machine).filter(comes).any(|input| self.take(rules, input).is_some())
    }
}
