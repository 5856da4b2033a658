//! Effects: carried out one at a time, in the order in which the node's machine asked for them.

use crate::agenda::Event as Planned;
use crate::clients::Given;
use crate::draw::index as index_of;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::side::Staged;
use crate::simulation::Simulation;
use colo_protocol::{CheckpointNumber, Effect, Input, Message, NodeName, OutputOffset};
use colo_trace::{Event, Moment};

/// How long the clients have with a survivor alone before the run drains, microseconds.
pub(crate) const ALONE_US: u64 = 100_000;

impl Simulation<'_> {
    /// Plans when the next effect of a node is carried out, if there is one and it is not planned.
    pub(crate) fn plan_carrying(&mut self, node: NodeName) {
        let side = &mut self.sides[node as usize];
        if !side.carrying && side.ready().is_some() {
            side.carrying = true;
            let mut delay_us = self.nodes.within(self.knobs.effect);
            if side.ready().is_some_and(Effect::is_of_the_disk) {
                delay_us += self.nodes.within(self.knobs.disk);
            }
            self.agenda.after(delay_us, Planned::CarryOut(node));
        }
    }

    pub(crate) fn carry_out_planned(&mut self, node: NodeName) {
        self.side_mut(node).carrying = false;
        self.carry_out(node);
        self.plan_carrying(node);
        self.wake(node);
    }

    /// Carries out the effect that is next. A fault that strikes before it may change which one that is; then it
    /// has its turn later.
    pub(crate) fn carry_out(&mut self, node: NodeName) {
        let Some(effect) = self.side(node).ready() else { return };
        let event = Event::Effect(effect.kind());
        self.arrive(node, Moment::Before, event);
        if self.side(node).ready() != Some(effect) || self.is_asleep(node) {
            return;
        }
        let rules = self.rules;
        self.side_mut(node).node.next_effect(rules);
        if effect.is_of_the_disk() && std::mem::take(&mut self.side_mut(node).trouble.fail_disk) {
            self.marks.hit(Mark::DiskFailed);
            self.give(node, Input::DiskFailed, Basis::Node);
            return;
        }
        self.tape.effect(self.place(Some(node)), effect);
        if let Some(operation) = effect.operation() {
            self.begin_operation(node, operation, effect);
        } else {
            self.perform(node, effect);
            self.arrive(node, Moment::After, event);
            self.carry_out_what_overtakes(node);
        }
    }

    /// An effect that is done when it has been carried out.
    fn perform(&mut self, node: NodeName, effect: Effect) {
        match effect {
            Effect::Send(message) => self.send(node, message),
            Effect::DiscardStaged(_) => {
                self.side_mut(node).staged = Staged::default();
                self.marks.hit(Mark::StagedStateDiscarded);
            }
            Effect::ResumeVm => self.resume(node),
            Effect::Release(up_to) => self.release(node, up_to),
            Effect::ReleaseUncompared(up_to) => self.release_past(node, up_to),
            Effect::RedirectOutput(up_to) => self.redirect(node, up_to),
            Effect::ForgetPeerOutput => self.comparison.forget(),
            Effect::ArmCheckpointTimer { .. } => self.arm_timer(node),
            Effect::CloseLink => self.close_link(node),
            Effect::ApplyRam(checkpoint) => self.apply_ram(node, checkpoint),
            effect if effect.is_of_the_disk() => self.perform_on_disk(node, effect),
            Effect::ResetVm => self.reset(node),
            Effect::ShutDown => self.power_off(node),
            Effect::BeginFailover => self.note_deferral(node),
            Effect::TakeOver => self.take_over(node),
            Effect::Halt => self.halt(node),
            // The manager looks when the link is lost, which is when a node leaves.
            Effect::Exit(reason) => self.judge_exit(node, reason),
            _ => unreachable!("{effect} is an operation"),
        }
    }

    fn send(&mut self, node: NodeName, message: Message) {
        self.note_promise(node, message);
        let mut bytes = Vec::new();
        let encoded = self.side(node).encoder.message(&mut bytes, message);
        assert!(encoded.is_ok(), "the core speaks the dialect of its rules: {encoded:?}");
        self.put_on_link(node, &bytes);
    }

    fn resume(&mut self, node: NodeName) {
        self.judge_resume(node);
        self.side_mut(node).guest.goes_on();
        self.replicate(node);
        self.requests_flow_to(node);
    }

    /// The service keeps its store, as on a disk; what had come to it and was not executed is lost, and comes again.
    fn reset(&mut self, node: NodeName) {
        self.marks.hit(Mark::GuestReset);
        let side = self.side_mut(node);
        let end = side.inbox.end();
        side.guest.devices.taken = side.guest.devices.taken.max(end);
        // A secondary may have to go on from where its primary stood.
        if node == NodeName::Primary || side.promoted {
            side.inbox.go_on_at(end);
        }
    }

    fn power_off(&mut self, node: NodeName) {
        self.marks.hit(Mark::PoweredOff);
        self.side_mut(node).powered_off = true;
        self.halt(node);
    }

    fn arm_timer(&mut self, node: NodeName) {
        let delay_us = self.knobs.by_clock(node, self.knobs.interval_us);
        self.plan_timer(node, self.agenda.now_us() + delay_us);
    }

    /// The checkpoint timer of a node runs out then, and not before.
    pub(crate) fn plan_timer(&mut self, node: NodeName, due_us: u64) {
        let side = &mut self.sides[node as usize];
        side.timers += 1;
        side.timer_due_us = Some(due_us);
        let token = side.timers;
        self.agenda.at(due_us, Planned::Timer { node, token });
    }

    pub(crate) fn timer_ran_out(&mut self, node: NodeName, token: u32) {
        if self.side(node).alive && self.side(node).timers == token {
            self.side_mut(node).timer_due_us = None;
            self.give(node, Input::CheckpointDue, Basis::Node);
        }
    }

    /// The world is given what stands before `up_to`. It reaches the clients in the order in which it was released.
    fn release(&mut self, node: NodeName, up_to: OutputOffset) {
        let (first, units) = self.sides[node as usize].output.release(up_to);
        let count = units.len();
        let given = units.zip(first.0..);
        self.world.extend(given.map(|(reply, offset)| Given {
            offset: OutputOffset(offset),
            reply,
            early: false,
        }));
        self.given(node, count);
    }

    /// The world is given the one unit before `up_to`, past what is withheld before it.
    fn release_past(&mut self, node: NodeName, up_to: OutputOffset) {
        let output = &self.side(node).output;
        let Some(index) = up_to.0.checked_sub(output.start().0 + 1) else { return };
        let Some(reply) = output.units().nth(index_of(index)).copied() else { return };
        self.world.push_back(Given { offset: OutputOffset(up_to.0 - 1), reply, early: true });
        self.given(node, 1);
    }

    /// The last so many units of what is on its way to the clients have just been let go by a node.
    fn given(&mut self, node: NodeName, count: usize) {
        if count == 0 {
            return;
        }
        self.judge_release(node, count);
        let delay_us = self.network.within(self.knobs.client_latency);
        self.world_us = self.world_us.max(self.agenda.now_us() + delay_us);
        self.agenda.at(self.world_us, Planned::Output { units: count });
    }

    fn take_over(&mut self, node: NodeName) {
        self.judge_promotion(node);
        self.failovers += 1;
        if self.replacements.came > 0 {
            self.marks.hit(Mark::FailedOverAgain);
        }
        self.marks.hit(match node {
            NodeName::Primary => Mark::PrimaryTookOver,
            NodeName::Secondary => Mark::SecondaryTookOver,
        });
        let side = self.side_mut(node);
        side.promoted = true;
        side.guest.memory.keep_no_pages();
        self.awaits_replacement();
    }

    /// A checkpoint is in the secondary, whole.
    pub(crate) fn count_checkpoint(&mut self, checkpoint: CheckpointNumber) {
        if checkpoint > CheckpointNumber::default() {
            self.checkpoints += 1;
        }
        if self.checkpoints == self.replacements.target {
            self.agenda.after(0, Planned::Drain);
        }
    }
}
