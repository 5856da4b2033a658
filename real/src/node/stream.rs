//! The node's end of the link: what goes out in pieces as the socket takes it, and what comes in, decoded and staged.

use super::driver::Driver;
use super::outgoing::Progress;
use super::{Control, NodeError};
use crate::link::Moved;
use colo_protocol::Input;
use colo_protocol::Operation;
use colo_protocol::wire::Body;
use colo_trace::Kind;
use std::time::Instant;

impl Driver {
    /// The node's end of the link is gone, and what was being sent over it.
    pub(super) fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.shut_down();
            self.silence.link_lost(Instant::now());
        }
        self.outgoing.clear();
        self.saved.ram.clear();
        self.inbound.skip();
        self.in_hand = self.in_hand.filter(|in_hand| !in_hand.operation.needs_link());
    }

    /// Writes what the link takes; ends the transfer in hand when all is written.
    pub(super) fn pump(&mut self, control: &mut Control) -> Result<(), NodeError> {
        while !self.outgoing.is_empty() && !self.is_stalled() {
            let Some(link) = &mut self.link else { break };
            let transfer =
                self.in_hand.map(|in_hand| in_hand.operation).filter(|operation| operation.needs_link());
            let before = self.outgoing.total();
            let machine = self.outgoing.needs_memory().then(|| self.vcpu.machine());
            let progress = self.outgoing.pump(link, machine.as_deref())?;
            drop(machine);
            if self.outgoing.total() > before {
                // A peer that is silent because it is being sent to shows so that it is there: the socket holds little.
                self.silence.heard(Instant::now());
            }
            match (progress, transfer) {
                (Progress::Middle, Some(operation)) => {
                    self.during(operation, control)?;
                    if !self.commands.is_empty() {
                        // What came there comes before the other half.
                        break;
                    }
                }
                (Progress::Done, Some(operation)) => {
                    let input = match operation {
                        Operation::SendRam => Input::RamSent,
                        _ => Input::DeviceStateSent,
                    };
                    return self.end(input, control);
                }
                (Progress::WouldBlock, _) => break,
                (Progress::Gone, _) => return self.link_gone(control),
                (Progress::Middle | Progress::Done, None) => {}
            }
        }
        Ok(())
    }

    pub(super) fn link_gone(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.disconnect();
        self.give(Input::LinkDown, control)
    }

    pub(super) fn read_link(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if self.staging.is_empty() && self.loading.is_none() {
            self.inbound.clear();
        }
        let moved = self.inbound.read(link);
        if let Moved::Bytes(_) = moved {
            self.silence.heard(Instant::now());
        }
        if moved == Moved::Gone { self.link_gone(control) } else { Ok(()) }
    }

    /// Decodes what has come in, up to the first thing that the core has to know of.
    pub(super) fn decode(&mut self, control: &mut Control) -> Result<(), NodeError> {
        let input = self.decode_input();
        match input {
            Ok(Some(input)) => self.give(input, control),
            Ok(None) => Ok(()),
            Err(problem) => {
                // Whatever follows is as little to be read.
                self.inbound.skip();
                self.record(|time| self.note(time, Kind::Error, problem), control)?;
                self.give(Input::BadStream, control)
            }
        }
    }

    fn decode_input(&mut self) -> Result<Option<Input>, String> {
        let mut rest = self.inbound.pending();
        let mut found = None;
        while found.is_none() {
            let Some(frame) = self.decoder.next(&mut rest).map_err(|error| error.to_string())? else { break };
            self.staging.take(&frame.body, &self.inbound, self.memory_pages)?;
            found = match frame.body {
                Body::Message(message) => Some(Input::Message(message)),
                Body::EndOfRam => Some(Input::RamReceived),
                Body::DeviceState { last: true, .. } => Some(Input::DeviceStateReceived),
                _ => None,
            };
        }
        let rest = rest.len();
        self.inbound.leave(rest);
        if found == Some(Input::DeviceStateReceived) {
            self.staged = Some(self.staging.whole_devices()?);
        }
        Ok(found)
    }

    pub(super) fn is_stalled(&mut self) -> bool {
        self.stalled_until = self.stalled_until.filter(|until| Instant::now() < *until);
        self.stalled_until.is_some()
    }
}
