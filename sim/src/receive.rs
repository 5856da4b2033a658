//! The link's ends: what a node sends is cut into pieces, what arrives is decoded and staged, and both ends learn
//! that the link is gone.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::side::{Held, Side};
use crate::simulation::Simulation;
use colo_protocol::wire::{Body, DecodeError, PAGE_BYTES};
use colo_protocol::{Input, NodeName, Property};

impl Simulation<'_> {
    /// Bytes leave a node. They go nowhere when the link is gone, which the node may not know yet.
    pub(crate) fn put_on_link(&mut self, from: NodeName, bytes: &[u8]) {
        let to = from.peer();
        if self.side(from).open && self.side(to).open {
            self.link.put(to, bytes, (&mut self.agenda, &self.knobs, &mut self.network));
        }
    }

    /// A piece of the stream arrives.
    pub(crate) fn segment(&mut self, to: NodeName, epoch: u32, bytes: usize) {
        if self.agenda.now_us() < self.link.stalled_until_us() {
            self.agenda.at(self.link.stalled_until_us(), Event::Segment { to, epoch, bytes });
            return;
        }
        let mut piece = std::mem::take(&mut self.scratch);
        piece.clear();
        self.link.take(to, epoch, bytes, &mut piece);
        let now_us = self.agenda.now_us();
        let side = self.side_mut(to);
        side.received += piece.len() as u64;
        if !piece.is_empty() {
            side.heard_us = now_us;
        }
        match &mut side.held {
            Some(held) => held.rest.extend_from_slice(&piece),
            None => self.read(to, &piece),
        }
        let side = self.side(to);
        if side.held.is_none() && side.received != side.decoder.offset() {
            self.marks.hit(Mark::MessageSplit);
        }
        self.scratch = piece;
    }

    /// A node reads what has come, up to an input that waits at a gate.
    pub(crate) fn read(&mut self, to: NodeName, mut rest: &[u8]) {
        while self.side(to).alive && self.side(to).open {
            match decode(self.side_mut(to), &mut rest) {
                Ok(Some(input)) if self.input_is_held(to, input.kind()) => {
                    self.side_mut(to).held = Some(Held { input, rest: rest.to_vec() });
                    self.agenda.after(0, Event::HeldInput(to));
                    break;
                }
                Ok(Some(input)) => {
                    self.give(to, input, Basis::Link);
                }
                Ok(None) => break,
                Err(error) => {
                    let sentence =
                        format!("nothing corrupts the stream, and the {to} cannot read it: {error}");
                    self.violated(Property::NoErrorWithoutFault, sentence);
                    break;
                }
            }
        }
    }

    /// A node closes its end. What it has put on the link arrives first, or is lost: the network's choice.
    pub(crate) fn close_link(&mut self, node: NodeName) {
        if !self.side(node).open {
            return;
        }
        self.side_mut(node).close_end();
        self.close_replication(node);
        self.link.lose(node);
        self.tell_peer_of_close(node);
        self.manager_hears();
    }

    fn tell_peer_of_close(&mut self, node: NodeName) {
        let peer = node.peer();
        // Of a cut it learns by itself.
        if !self.side(peer).open || !self.link.is_up() {
            return;
        }
        let delay_us = self.network.within(self.knobs.latency);
        let mut at_us = self.agenda.now_us() + delay_us;
        // A plan that fixes an interleaving says itself what arrives.
        if self.network.one_in(3) && !self.faults.has_gates() {
            if self.link.lose(peer) > 0 {
                self.marks.hit(Mark::BytesInFlightLost);
            }
        } else {
            at_us = at_us.max(self.link.arrival_us(peer));
        }
        self.agenda.at(at_us, Event::LinkDown(peer));
    }

    /// The link is cut: what is in flight is lost, and both ends see it closed, each in its time.
    pub(crate) fn cut(&mut self) {
        if !self.link.is_up() {
            return;
        }
        if self.link.cut() > 0 {
            self.marks.hit(Mark::BytesInFlightLost);
        }
        self.replication.lose();
        for node in NodeName::ALL {
            self.side_mut(node).held = None;
            let transfers = |side: &Side| side.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link());
            if transfers(self.side(node)) {
                self.marks.hit(Mark::CutDuringTransfer);
            }
            let delay_us = self.network.within(self.knobs.notice);
            self.agenda.after(delay_us, Event::LinkDown(node));
        }
        self.judge.unfenced |= !self.rules.claims(Property::SingleServer, false);
    }

    /// A node finds the link gone, after it has read all that had come.
    pub(crate) fn link_down(&mut self, node: NodeName) {
        if !self.side(node).alive || !self.side(node).open {
            return;
        }
        if self.link.carries(node) {
            let at_us = self.link.stalled_until_us().max(self.agenda.now_us() + 1);
            self.agenda.at(at_us, Event::LinkDown(node));
            return;
        }
        self.side_mut(node).close_end();
        self.close_replication(node);
        self.manager_hears();
        self.give(node, Input::LinkDown, Basis::Node);
    }
}

/// Decodes up to the next input: stages what is state, and returns what the node's machine is to be told.
fn decode(side: &mut Side, rest: &mut &[u8]) -> Result<Option<Input>, DecodeError> {
    let Side { decoder, staged, migrating, .. } = side;
    while let Some(frame) = decoder.next(rest)? {
        match frame.body {
            Body::Message(_) if *migrating => {}
            Body::Message(message) => return Ok(Some(Input::Message(message))),
            Body::RamSectionStart => {
                staged.pages.clear();
                staged.devices.clear();
            }
            Body::Page { address, data, .. } => staged.pages.push((page_index(address), Box::new(*data))),
            Body::ZeroPage { address, fill, .. } => {
                staged.pages.push((page_index(address), Box::new([fill; PAGE_BYTES])));
            }
            Body::EndOfRam => return Ok(Some(Input::RamReceived)),
            Body::DeviceState { bytes, last, .. } => {
                staged.devices.extend_from_slice(bytes);
                if last {
                    *migrating = false;
                    return Ok(Some(Input::DeviceStateReceived));
                }
            }
            Body::EndOfRecords | Body::SectionFooter | Body::SwitchoverStart => {}
        }
    }
    Ok(None)
}

fn page_index(address: u64) -> usize {
    crate::draw::index(address / PAGE_BYTES as u64)
}
