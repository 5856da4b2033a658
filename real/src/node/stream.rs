//! The node's end of the link: what goes out in pieces as the socket takes it, and what comes in, decoded and staged.

use super::disk::Connection;
use super::driver::{Driver, InHand, Joining};
use super::introduction::MOST_ROUNDS;
use super::outgoing::Progress;
use super::ram_cache::apply_ram;
use super::saved::{PAGES_AT_ONCE, Source};
use super::{Control, NodeError};
use crate::control::FromNode;
use crate::link::Moved;
use crate::vm::MachineState;
use colo_protocol::Operation;
use colo_protocol::wire::Body;
use colo_protocol::{Input, InputKind};
use colo_trace::Kind;
use std::net::Shutdown;
use std::time::Instant;

impl Driver {
    /// The node's end of the link is gone, and what was being sent over it.
    pub(super) fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.shut_down(Shutdown::Both);
            self.silence.link_lost(Instant::now());
        }
        self.on_connection(Connection::close);
        self.drop_mirror();
        self.outgoing.clear();
        self.saved.forget_ram();
        self.keeps_back = false;
        self.inbound.skip();
        self.held = None;
        self.in_hand = self.in_hand.filter(|in_hand| !in_hand.operation.needs_link());
    }

    /// The comparison's connection goes with the link.
    fn drop_mirror(&mut self) {
        let mirror = self.comparison.as_mut().and_then(|comparison| comparison.mirror.take());
        if let Some(mirror) = mirror {
            mirror.link.shut_down(Shutdown::Both);
        }
    }

    /// Writes what the link takes; ends the transfer in hand when all is written.
    pub(super) fn pump(&mut self, control: &mut Control) -> Result<(), NodeError> {
        while (self.refill()? || !self.outgoing.is_empty()) && !self.is_stalled() && !self.transfer_is_held()
        {
            let Some(link) = &mut self.link else { break };
            let transfer =
                self.in_hand.map(|in_hand| in_hand.operation).filter(|operation| operation.needs_link());
            let before = self.outgoing.total();
            let machine = self.outgoing.needs_memory().then(|| self.vcpu.machine());
            let room = self.end.pace.as_mut().map_or(usize::MAX, |pace| pace.room(Instant::now()));
            let link = (!self.end.unheard).then_some(link);
            let progress = self.outgoing.pump(link, machine.as_deref(), room)?;
            drop(machine);
            if let Some(pace) = &mut self.end.pace {
                pace.take(usize::try_from(self.outgoing.total() - before).unwrap_or(usize::MAX));
            }
            if self.outgoing.total() > before && !self.end.unheard {
                // A peer that is silent because it is being sent to shows so that it is there: the socket holds little.
                self.silence.heard(Instant::now());
            }
            match (progress, transfer) {
                (Progress::Middle, Some(operation)) => {
                    self.in_hand = Some(InHand { operation, halfway: true });
                    self.during(operation, control)?;
                    if !self.commands.is_empty() {
                        // What came there comes before the other half.
                        break;
                    }
                }
                (Progress::Done, Some(Operation::SendRound | Operation::SendRam))
                    if self.saved.has_more() => {}
                (Progress::Done, Some(operation)) => {
                    let input = match operation {
                        Operation::SendRound => Input::RoundSent,
                        Operation::SendRam => Input::RamSent,
                        _ => Input::DeviceStateSent,
                    };
                    return self.end(input, control);
                }
                (Progress::WouldBlock, _) => break,
                // Nothing tells it that nobody is there any more.
                (Progress::Gone, _) if self.end.deaf => self.end.unheard = true,
                (Progress::Gone, _) => return self.end_of_link(control),
                // Who serves meanwhile is listened to before the next.
                (Progress::Done, None) if self.introduction.is_some() => break,
                (Progress::Middle | Progress::Done, None) => {}
            }
        }
        Ok(())
    }

    /// While RAM is being sent and all that was encoded of it is on its way: encodes more. Whether there was more.
    pub(super) fn refill(&mut self) -> Result<bool, NodeError> {
        let sends_ram = self.sends(Operation::SendRam) || self.sends_of_running();
        if !sends_ram || !self.outgoing.is_empty() || !self.saved.has_more() {
            return Ok(false);
        }
        self.append_ram()?;
        Ok(true)
    }

    /// Encodes some of the RAM, unless all of it is already, and appends it to what goes out.
    pub(super) fn append_ram(&mut self) -> Result<(), NodeError> {
        let executes = self.sends_of_running();
        let format = (&mut self.encoder, &self.block);
        let encoded = if self.saved.is_whole() {
            // What has been copied needs no memory, which may be the running guest's.
            Ok(())
        } else if executes {
            self.saved.encode(PAGES_AT_ONCE, Source::Running(&self.running), format)
        } else {
            self.saved.encode(PAGES_AT_ONCE, Source::InPlace(&self.vcpu.machine()), format)
        };
        encoded.map_err(NodeError::Internal)?;
        let start = self.outgoing.len();
        self.outgoing.append(&mut self.saved.ram);
        if self.saved.take_halfway() && !self.waits_at_no_point() {
            self.outgoing.mark_middle(start);
        }
        Ok(())
    }

    /// Whether what is being sent is memory of a guest that executes.
    fn sends_of_running(&self) -> bool {
        self.sends(Operation::SendRound) || self.introduction.is_some()
    }

    fn sends(&self, operation: Operation) -> bool {
        self.in_hand.is_some_and(|in_hand| in_hand.operation == operation)
    }

    /// Whether nothing of a plan waits for a point of this node: then nobody can tell when exactly bytes leave, and what
    /// is sent at about the same time leaves together. (A fault at a point of the peer may strike at any time.)
    pub(super) fn waits_at_no_point(&self) -> bool {
        self.cursor.left().is_empty() && self.cursor.closed().is_empty()
    }

    pub(super) fn link_gone(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.disconnect();
        self.entry = None;
        if self.introduction.take().is_some() {
            self.copy_no_more();
            return control.tell(&FromNode::LostReplacement);
        }
        self.give(Input::LinkDown, control)
    }

    /// What is sent over the link goes nowhere any more. The node sees that at once, or, where a gate holds it, behind all
    /// that has come.
    fn end_of_link(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if !self.input_is_held(InputKind::LinkDown) {
            return self.link_gone(control);
        }
        self.outgoing.clear();
        Ok(())
    }

    /// What the node sends ends here, for the peer to see. The node goes on sending, and is not heard.
    pub(super) fn half_close(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.let_out(control)?;
        let Some(link) = &self.link else { return Ok(()) };
        link.shut_down(Shutdown::Write);
        self.on_connection(Connection::half_close);
        self.end.unheard = true;
        Ok(())
    }

    /// What has been kept back counts as sent: it leaves before the link changes.
    fn let_out(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if std::mem::take(&mut self.keeps_back) { self.pump(control) } else { Ok(()) }
    }

    /// The link is cut, and what has not been read from it is lost.
    pub(super) fn cut(&mut self, control: &mut Control) -> Result<(), NodeError> {
        self.let_out(control)?;
        let Some(link) = &self.link else { return Ok(()) };
        link.shut_down(Shutdown::Both);
        self.on_connection(Connection::cut);
        self.drop_mirror();
        self.outgoing.clear();
        self.inbound.skip();
        self.held = None;
        self.end.has_ended = true;
        if self.input_is_held(InputKind::LinkDown) { Ok(()) } else { self.link_gone(control) }
    }

    /// Whether the link has ended and the node may be told.
    pub(super) fn may_see_the_end(&mut self) -> bool {
        self.end.has_ended
            && self.link.is_some()
            && self.is_lost_with_the_link()
            && !self.input_is_held(InputKind::LinkDown)
    }

    /// Whether a gate holds the second half of the transfer in hand.
    pub(super) fn transfer_is_held(&mut self) -> bool {
        let transfer = self.in_hand.filter(|in_hand| in_hand.operation.needs_link());
        transfer.is_some_and(|transfer| transfer.halfway && self.operation_is_held(transfer))
    }

    /// Whether something has come over the link that need not wait.
    pub(super) fn next_is_free(&mut self) -> bool {
        match self.held {
            Some(input) => !self.incoming_is_held(input),
            None => self.inbound.is_pending(),
        }
    }

    pub(super) fn read_link(&mut self) {
        let Some(link) = &mut self.link else { return };
        if self.staging.is_empty() && self.loading.is_none() && !self.inbound.is_pending() {
            self.inbound.clear();
        }
        let moved = self.inbound.read(link);
        if let Moved::Bytes(_) = moved {
            self.silence.heard(Instant::now());
        }
        self.end.has_ended |= moved == Moved::Gone;
    }

    /// Decodes what has come in, up to the first thing that the core has to know of.
    pub(super) fn decode(&mut self, control: &mut Control) -> Result<(), NodeError> {
        if let Some(input) = self.held.take() {
            return self.give(input, control);
        }
        let input = self.decode_input();
        match input {
            Ok(Some(input)) if self.incoming_is_held(input) => {
                self.held = Some(input);
                Ok(())
            }
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
            let receives = matches!(self.joining, Joining::Receives { .. });
            if let Joining::Receives { is_empty, sections } = self.joining
                && frame.body == Body::RamSectionStart
            {
                // What came before is older than what comes, and need not be kept.
                let rest = rest.len();
                self.inbound.leave(rest);
                self.begin_section_of_initial_state(is_empty, sections)?;
                return Ok(None);
            }
            self.staging.take(&frame.body, &self.inbound, self.limits)?;
            found = match frame.body {
                Body::Message(_) if receives => None,
                Body::Message(message) => Some(Input::Message(message)),
                Body::EndOfRam => Some(Input::RamReceived),
                Body::DeviceState { last: true, .. } => {
                    if receives {
                        self.joining = Joining::Loads;
                    }
                    Some(Input::DeviceStateReceived)
                }
                _ => None,
            };
        }
        match rest.len() {
            0 if found.is_none() => self.inbound.skip(),
            rest => self.inbound.leave(rest),
        }
        if found == Some(Input::DeviceStateReceived) {
            let card = self.config.workload.card();
            let fits = |state: &MachineState| self.running.fits(card.as_ref(), state);
            self.staged = Some(self.staging.whole_devices(fits)?);
        }
        Ok(found)
    }

    /// A replacement's memory comes in rounds, each of which is applied when the next one begins.
    fn begin_section_of_initial_state(&mut self, mut is_empty: bool, sections: u32) -> Result<(), String> {
        if sections > MOST_ROUNDS {
            return Err(format!(
                "too many sections of RAM in an initial state, expected {}",
                MOST_ROUNDS + 1
            ));
        }
        if is_empty {
            self.staging.leave_out_empty_pages();
            is_empty = self.staging.is_empty();
        }
        self.joining = Joining::Receives { is_empty, sections: sections + 1 };
        apply_ram(&self.staging, &self.inbound, self.cache.as_mut(), &self.vcpu)
            .map_err(|error| error.to_string())?;
        self.staging.clear();
        self.inbound.keep_pending_only();
        self.staging.take(&Body::RamSectionStart, &self.inbound, self.limits)
    }

    pub(super) fn is_stalled(&mut self) -> bool {
        self.stalled_until = self.stalled_until.filter(|until| Instant::now() < *until);
        self.stalled_until.is_some()
    }
}
