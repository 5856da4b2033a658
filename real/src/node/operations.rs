//! Operations on the VM and transfers: begun by an effect, advanced in stages, ended by an input.

use super::driver::{Driver, InHand, Joining};
use super::inbound::Inbound;
use super::ram_cache::apply_ram;
use super::staging::StagedDevices;
use super::unit::encode_all;
use super::{Control, NodeError};
use crate::control::FromNode;
use crate::vm::{Machine, encode};
use colo_protocol::{CheckpointNumber, Input, InputKind, Message, Operation, OutputBuffer, OutputOffset};
use colo_trace::{Event, Kind, Moment};
use std::time::{Duration, Instant};

/// What is no more than this is sent together with what comes next, bytes.
const LITTLE: usize = 1 << 16;

/// How long a guest that is told to stop may take until the node does something else meanwhile: more than it ever takes
/// that waits for nothing.
const SUSPENDS_WITHIN: Duration = Duration::from_millis(2);

impl Driver {
    pub(super) fn begin(&mut self, operation: Operation, control: &mut Control) -> Result<(), NodeError> {
        self.in_hand = Some(InHand { operation, halfway: false });
        match operation {
            Operation::SuspendVm => {
                self.times.suspended = Some(Instant::now());
                if let Some(entry) = &mut self.entry {
                    entry.suspended = self.times.suspended;
                }
                self.during(operation, control)
            }
            Operation::SaveState | Operation::LockVm => self.during(operation, control),
            Operation::AskArbiter => {
                control.tell(&FromNode::AskArbiter)?;
                self.during(operation, control)
            }
            Operation::LoadState => {
                let Some(devices) = self.staged.take() else {
                    return Err(NodeError::Internal("a load of a checkpoint that is not whole".to_owned()));
                };
                self.loading = Some((std::mem::take(&mut self.staging), devices));
                Ok(())
            }
            Operation::SendRound => {
                self.begin_round()?;
                self.pump(control)
            }
            Operation::SendRam => {
                if self.saved.ram.len() > LITTLE {
                    // What is large is not copied once more to stand behind a message.
                    return self.pump(control);
                }
                self.append_ram()?;
                if !self.saved.has_more() && self.outgoing.len() <= LITTLE && self.waits_at_no_point() {
                    self.keeps_back = true;
                    return self.end(Input::RamSent, control);
                }
                self.pump(control)
            }
            Operation::SendDeviceState => {
                if self.node.machine().checkpoint() == CheckpointNumber(0) {
                    // The initial state is a migration, in the form of a checkpoint; the core's messages begin behind it.
                    self.encode(Message::VmstateSize(self.saved.blob.len() as u64))?;
                }
                let start = self.outgoing.len();
                self.outgoing.buffer().extend_from_slice(&self.saved.blob);
                if !self.waits_at_no_point() {
                    self.outgoing.mark_middle(start);
                }
                self.pump(control)
            }
        }
    }

    pub(super) fn during(&mut self, operation: Operation, control: &mut Control) -> Result<(), NodeError> {
        self.point(Moment::During, Event::Effect(operation.effect()), control)
    }

    /// The next stage of an operation on the VM.
    pub(super) fn advance(&mut self, in_hand: InHand, control: &mut Control) -> Result<(), NodeError> {
        match in_hand.operation {
            Operation::SuspendVm => {
                if !self.vcpu.suspend_within(SUSPENDS_WITHIN) || self.is_missing_blocks(0) {
                    self.in_hand = Some(InHand { halfway: true, ..in_hand });
                    return Ok(());
                }
                self.take_output(control)?;
                self.end(Input::VmSuspended, control)
            }
            Operation::SaveState => {
                let input = match self.save() {
                    Ok(device_bytes) => Input::StateSaved { device_bytes },
                    Err(problem) => {
                        self.record(|time| self.note(time, Kind::Error, problem), control)?;
                        Input::SaveFailed
                    }
                };
                self.end(input, control)
            }
            Operation::LockVm => self.end(Input::VmLocked, control),
            Operation::LoadState if in_hand.halfway => {
                let input = match self.load_devices() {
                    Ok(output) => Input::StateLoaded { output },
                    Err(problem) => {
                        self.unusable = true;
                        self.record(|time| self.note(time, Kind::Error, problem), control)?;
                        Input::LoadFailed
                    }
                };
                if self.joining == Joining::Loads && input.kind() == InputKind::StateLoaded {
                    self.joining = Joining::No;
                    if !self.inbound.is_pending() {
                        // So much does not come again.
                        self.inbound = Inbound::default();
                    }
                    control.tell(&FromNode::Joined)?;
                }
                self.end(input, control)
            }
            Operation::LoadState => {
                if let Some((pages, _)) = &self.loading {
                    apply_ram(pages, &self.inbound, self.cache.as_mut(), &self.vcpu)?;
                }
                self.in_hand = Some(InHand { halfway: true, ..in_hand });
                self.during(in_hand.operation, control)
            }
            Operation::SendRound
            | Operation::SendRam
            | Operation::SendDeviceState
            | Operation::AskArbiter => Ok(()),
        }
    }

    /// The arbiter has answered; who did not ask has no use for it.
    pub(super) fn arbiter_answered(&mut self, granted: bool, control: &mut Control) -> Result<(), NodeError> {
        if self.in_hand.is_none_or(|in_hand| in_hand.operation != Operation::AskArbiter) {
            return Ok(());
        }
        self.end(if granted { Input::ArbiterGranted } else { Input::ArbiterDenied }, control)
    }

    /// The operation in hand has ended.
    pub(super) fn end(&mut self, input: Input, control: &mut Control) -> Result<(), NodeError> {
        if let Some(in_hand) = self.in_hand.take() {
            self.point(Moment::After, Event::Effect(in_hand.operation.effect()), control)?;
        }
        self.give(input, control)
    }

    /// A round of pre-copy: finds the pages that the guest, which goes on, has written since they were last looked for.
    fn begin_round(&mut self) -> Result<(), NodeError> {
        self.running.harvest(&mut self.saved.pages)?;
        self.times.pages_in_rounds += self.saved.pages.len() as u64;
        self.saved.begin_round(&mut self.encoder);
        Ok(())
    }

    /// Captures the VM: which pages are dirty, and the device state with the withheld output. Its length, bytes. The pages
    /// stay where they are until they are sent, or the VM is to execute.
    fn save(&mut self) -> Result<u64, String> {
        if std::mem::take(&mut self.fails.save) {
            return Err("the capture fails, as the plan has it".to_owned());
        }
        let mut machine = self.vcpu.machine();
        machine.harvest(&mut self.saved.pages).map_err(|error| error.to_string())?;
        machine.save(&mut self.saved.state).map_err(|error| error.to_string())?;
        self.saved.begin_ram(&mut self.encoder);
        self.saved.output.clear();
        encode_all(self.output.units().units(), &mut self.saved.output);
        encode(&self.saved.state, self.output.units().end().0, &self.saved.output, &mut self.saved.blob)
            .map_err(|error| error.to_string())?;
        self.disk.iter().for_each(|disk| disk.captured(self.node.machine().checkpoint()));
        Ok(self.saved.blob.len() as u64)
    }

    /// Applies the staged device state; the end of the output that led to it.
    fn load_devices(&mut self) -> Result<OutputOffset, String> {
        if std::mem::take(&mut self.fails.load) {
            return Err("the load fails, as the plan has it".to_owned());
        }
        let (output, end) = match self.loading.take() {
            Some((mut pages, devices)) => {
                let next = self.vcpu.while_still(|machine| restore(machine, &devices));
                pages.clear();
                self.staging = pages;
                self.vcpu.go_on_at(next?);
                (devices.output, devices.output_end)
            }
            // The initial state: both sides have booted the same program.
            None => (OutputBuffer::default(), 0),
        };
        self.output = output.into();
        if let Some(comparison) = &mut self.comparison {
            comparison.loaded(OutputOffset(end));
        }
        Ok(OutputOffset(end))
    }
}

/// Gives the machine its staged state, and sees that it fits the memory. The number of the request or frame that the guest is
/// to be given next.
fn restore(machine: &mut Machine, devices: &StagedDevices) -> Result<u64, String> {
    machine.restore(&devices.state).map_err(|error| error.to_string())?;
    let held = machine.output_end().map_err(|error| error.to_string())?;
    if held != devices.output_end {
        return Err(format!("RAM has output up to {held}, the device state up to {}", devices.output_end));
    }
    machine.given().map_err(|error| error.to_string())
}
