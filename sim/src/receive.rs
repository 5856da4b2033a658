//! The link's ends: what a node sends is cut into pieces, what arrives is decoded and staged, and both ends learn
//! that the link is gone.

use crate::agenda::Event;
use crate::guest::Guest;
use crate::inputs::Basis;
use crate::link::Fate;
use crate::marks::Mark;
use crate::side::{Held, Side};
use crate::simulation::Simulation;
use colo_protocol::wire::{Body, DecodeError, PAGE_BYTES};
use colo_protocol::{Input, NodeName, Property};
use std::fmt;

impl Simulation<'_> {
    /// Bytes leave a node. They go nowhere when the link is gone, which the node may not know yet.
    pub(crate) fn put_on_link(&mut self, from: NodeName, bytes: &[u8]) {
        let to = from.peer();
        if self.side(from).open && self.side(to).open {
            let treatment = self.link.put(to, bytes, (&mut self.agenda, &self.knobs, &mut self.network));
            if treatment.sent_again {
                self.marks.hit(Mark::SegmentSentAgain);
            }
            if treatment.disturbed {
                self.damaged(to);
            }
        }
    }

    /// A piece of the stream arrives.
    pub(crate) fn segment(&mut self, to: NodeName, epoch: u32) {
        let mut piece = std::mem::take(&mut self.scratch);
        piece.clear();
        let now_us = self.agenda.now_us();
        let fate = self.link.take(to, epoch, (now_us, self.knobs.reads_together), &mut piece);
        self.piece_arrives(to, piece, fate);
    }

    /// A datagram arrives.
    pub(crate) fn datagram(&mut self, to: NodeName, epoch: u32, number: u32) {
        let mut piece = std::mem::take(&mut self.scratch);
        piece.clear();
        let fate = self.link.take_datagram(to, epoch, number, &mut piece);
        self.piece_arrives(to, piece, fate);
    }

    fn piece_arrives(&mut self, to: NodeName, piece: Vec<u8>, fate: Fate) {
        if fate == Fate::Damaged {
            self.damaged(to);
        }
        if !piece.is_empty() {
            self.hears(to);
        }
        let side = self.side_mut(to);
        side.received += piece.len() as u64;
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
        let mut inputs = 0;
        while self.side(to).alive && self.side(to).open {
            match decode(self.side_mut(to), &mut rest) {
                Ok(Some(input)) if self.input_is_held(to, input.kind()) => {
                    self.side_mut(to).held = Some(Held { input, rest: rest.to_vec() });
                    self.agenda.after(0, Event::HeldInput(to));
                    break;
                }
                Ok(Some(input)) => {
                    inputs += 1;
                    self.give(to, input, Basis::Link);
                }
                Ok(None) => break,
                Err(_) if self.judge.damaged.is_some() => {
                    self.marks.hit(Mark::DamageRefused);
                    self.give(to, Input::BadStream, Basis::Link);
                    break;
                }
                Err(error) => {
                    let sentence =
                        format!("nothing corrupts the stream, and the {to} cannot read it: {error}");
                    self.violated(Property::NoErrorWithoutFault, sentence);
                    break;
                }
            }
        }
        if inputs > 1 {
            self.marks.hit(Mark::ReadTogether);
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
        let delay_us = self.knobs.path(peer).crossing_us(&mut self.network);
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

    /// A node closes its direction, and goes on reading.
    pub(crate) fn half_close(&mut self, node: NodeName) {
        let peer = node.peer();
        let open = self.side(node).open && self.side(peer).open && self.link.is_up();
        if !self.link.close(peer) || !open {
            return;
        }
        self.marks.hit(Mark::HalfClosed);
        let crossing_us = self.knobs.path(peer).crossing_us(&mut self.network);
        let at_us = self.agenda.now_us() + crossing_us;
        self.agenda.at(at_us.max(self.link.arrival_us(peer)), Event::LinkDown(peer));
        self.judge.unfenced |= !self.rules.claims(Property::SingleServer, false);
    }

    /// The link is cut: what is in flight is lost, and both ends see it closed, each in its time.
    pub(crate) fn cut(&mut self) {
        let notice = self.knobs.notice;
        let delays_us = [(); 2].map(|()| self.network.within(notice));
        self.cut_noticed_after(delays_us);
    }

    /// The connection is reset: the same, and both ends are told at once.
    pub(crate) fn reset_connection(&mut self) {
        let Self { knobs, network, .. } = self;
        let delays_us = NodeName::ALL.map(|node| knobs.path(node).crossing_us(network));
        self.cut_noticed_after(delays_us);
    }

    fn cut_noticed_after(&mut self, delays_us: [u64; 2]) {
        if !self.link.is_up() {
            return;
        }
        if self.link.cut() > 0 {
            self.marks.hit(Mark::BytesInFlightLost);
        }
        self.replication.lose();
        for (node, delay_us) in NodeName::ALL.into_iter().zip(delays_us) {
            self.side_mut(node).held = None;
            let transfers = |side: &Side| side.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link());
            if transfers(self.side(node)) {
                self.marks.hit(Mark::CutDuringTransfer);
            }
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
            let at_us = self.link.arrival_us(node).max(self.agenda.now_us() + 1);
            self.agenda.at(at_us, Event::LinkDown(node));
            return;
        }
        self.side_mut(node).close_end();
        self.close_replication(node);
        // Who has closed one direction only learns now that the other is closed as well.
        self.tell_peer_of_close(node);
        self.manager_hears();
        self.give(node, Input::LinkDown, Basis::Node);
    }
}

/// Why a node cannot make anything of what has come.
#[derive(Debug)]
enum Unreadable {
    Stream(DecodeError),
    /// It reads well, and is none of this VM's pages.
    NoSuchPage(u64),
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self::Stream(error)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::NoSuchPage(address) => write!(f, "the VM has no page at {address:#x} of this block"),
        }
    }
}

/// Decodes up to the next input: stages what is state, and returns what the node's machine is to be told. What is staged
/// stays so until the core has it loaded or discarded; of one checkpoint's RAM there can be several sections, the newer
/// pages later.
fn decode(side: &mut Side, rest: &mut &[u8]) -> Result<Option<Input>, Unreadable> {
    let Side { decoder, staged, guest, block, migrating, .. } = side;
    while let Some(frame) = decoder.next(rest)? {
        match frame.body {
            Body::Message(_) if *migrating => {}
            Body::Message(message) => return Ok(Some(Input::Message(message))),
            Body::Page { address, data, block: of } => {
                let index = page_index(address, guest, of == block)?;
                staged.pages.push((index, Box::new(*data)));
            }
            Body::ZeroPage { address, fill, block: of } => {
                let index = page_index(address, guest, of == block)?;
                staged.pages.push((index, Box::new([fill; PAGE_BYTES])));
            }
            Body::EndOfRam => return Ok(Some(Input::RamReceived)),
            Body::DeviceState { bytes, last, .. } => {
                staged.devices.extend_from_slice(bytes);
                if last {
                    *migrating = false;
                    return Ok(Some(Input::DeviceStateReceived));
                }
            }
            Body::RamSectionStart | Body::EndOfRecords | Body::SectionFooter | Body::SwitchoverStart => {}
        }
    }
    Ok(None)
}

/// The number of a page of the VM: there is one memory, and it ends somewhere.
fn page_index(address: u64, guest: &Guest, known: bool) -> Result<usize, Unreadable> {
    let index = crate::draw::index(address / PAGE_BYTES as u64);
    if known && index < guest.memory.len() { Ok(index) } else { Err(Unreadable::NoSuchPage(address)) }
}
