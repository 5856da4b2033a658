//! What two guests send, compared as the streams that it is and not frame by frame, where both VMs execute: what
//! colo-compare does in QEMU. How far two outputs are the same is only found here; what follows from it is decided in the
//! state machines, as for [`crate::PeerOutput`].
//!
//! Two guests cut their streams into segments as they like, and repeat what they have sent when they like. So a segment of
//! one's own is the same if everything that it says has been said by the peer's guest, or has left before:
//!
//! * each of its sequence numbers (those of SYN and FIN, too) with the same byte;
//! * no more is acknowledged than the peer's guest has acknowledged, for a client does not send again what has been
//!   acknowledged: a survivor that has not received it would never get it;
//! * a reset, only if the peer's guest has reset the connection.
//!
//! It differs as soon as the peer's guest has sent another byte at one of its numbers. All else waits, for the peer or for
//! a checkpoint. Not compared are windows, options, urgency and push, Ethernet's addresses, IP's identification, time to
//! live and class of service: guests may choose them differently, and no client's stream depends on them. Frames that are
//! no TCP over IPv4 are compared as they are.
//!
//! Nothing a guest sends can make it panic or hold more than the bounds below. What is beyond them counts as missing.

mod others;
mod packet;
mod serial;
mod stream;
mod window;

pub use packet::{Connection, Control, Packet, Segment, Symbol};
pub use serial::Serial;

use crate::comparison::Compared;
use crate::output::OutputOffset;
use alloc::collections::BTreeMap;
use others::Others;
use stream::Flow;

/// Connections that are known at once.
pub const MOST_CONNECTIONS: usize = 1024;

/// Of what has been released in a stream, so much is known, to compare what is sent again with.
pub const HISTORY_BYTES: usize = 1 << 16;

/// So much may the peer's guest be ahead in a stream.
pub const AHEAD_BYTES: usize = 1 << 18;

/// Sequence numbers that are held over all connections, gaps among them; each takes two bytes, and as much again may be
/// reserved.
pub const MOST_HELD: usize = 1 << 23;
const _: () = assert!(size_of::<Option<Symbol>>() == 2);

/// The most that a single packet makes a connection grow by: it may leave gaps.
const WIDEST: usize = HISTORY_BYTES + AHEAD_BYTES;

/// What has been found of a packet of one's own guest's. In the order of what a row of them comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Likeness {
    /// The peer's guest has said all that it says.
    Same,
    /// Something of it has not come from the peer, or cannot be compared any more.
    Waits,
    /// The peer's guest has said something else.
    Differs,
}

/// What the peer's guest has sent and one's own has not, and what is left of what has been released.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerPackets {
    flows: BTreeMap<Connection, Known>,
    others: Others,
    /// Sequence numbers in all flows.
    held: usize,
    /// Packets so far.
    clock: u64,
}

/// A flow, and when it was last touched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Known {
    flow: Flow,
    touched: u64,
}

impl PeerPackets {
    /// The peer's guest has sent this.
    pub fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Tcp(segment) => self.touch(&segment.connection, |flow| flow.take(&segment)),
            Packet::Other(frame) => self.others.take(frame),
        }
    }

    /// What has come is another VM's than that of now, which is a checkpoint's: all that one's own guest had sent before
    /// that has been released, and the VM's streams go on from there.
    pub fn forget(&mut self) {
        self.others = Others::default();
        self.flows.retain(|_, known| known.flow.forget());
        self.held = self.flows.values().map(|known| known.flow.len()).sum();
    }

    /// Compares a packet of one's own guest's. Those before it have been [released](Self::released).
    pub fn compare(&self, own: &Packet) -> Likeness {
        match own {
            Packet::Tcp(segment) => self
                .flows
                .get(&segment.connection)
                .map_or(Likeness::Waits, |known| known.flow.compare(segment)),
            Packet::Other(frame) if self.others.count(frame) > 0 => Likeness::Same,
            Packet::Other(_) => Likeness::Waits,
        }
    }

    /// A packet of one's own guest's has left, because it is the same or because a checkpoint covers it.
    pub fn released(&mut self, own: &Packet) {
        match own {
            Packet::Tcp(segment) => self.touch(&segment.connection, |flow| flow.released(segment)),
            Packet::Other(frame) => self.others.drop_one(frame),
        }
    }

    /// Compares a row of one's own guest's packets, which stand at `from` and behind, of which none has been released. It
    /// may end before something that is the same: behind the packet that begins a stream anew, and is looked at again
    /// when that has been released.
    pub fn compare_row<'a>(&self, from: OutputOffset, own: impl Iterator<Item = &'a Packet>) -> Compared {
        let mut end = from;
        let mut used: BTreeMap<&[u8], usize> = BTreeMap::new();
        for packet in own {
            match self.compare_behind(packet, &mut used) {
                Likeness::Same => end.0 = end.0.saturating_add(1),
                likeness => return Compared { end, differs: likeness == Likeness::Differs },
            }
            if self.goes_on(packet) {
                break;
            }
        }
        Compared { end, differs: false }
    }

    /// Compares, when these frames have found their like already.
    fn compare_behind<'a>(&self, own: &'a Packet, used: &mut BTreeMap<&'a [u8], usize>) -> Likeness {
        let Packet::Other(frame) = own else { return self.compare(own) };
        let used = used.entry(frame).or_default();
        *used += 1;
        if *used <= self.others.count(frame) { Likeness::Same } else { Likeness::Waits }
    }

    fn goes_on(&self, own: &Packet) -> bool {
        let Packet::Tcp(segment) = own else { return false };
        self.flows.get(&segment.connection).is_some_and(|known| known.flow.goes_on(segment))
    }

    /// Whether the peer's guest has sent something that one's own has not. If that stays so for too long, they have
    /// diverged, though nothing of one's own waits: QEMU before 5.2 did not see it (17475df2c1).
    pub fn is_ahead(&self) -> bool {
        self.others.bytes() > 0 || self.flows.values().any(|known| known.flow.is_ahead())
    }

    /// Connections known.
    pub fn connections(&self) -> usize {
        self.flows.len()
    }

    /// Bytes held: of all streams, with gaps, and of frames.
    pub fn held_bytes(&self) -> usize {
        self.held * size_of::<Option<Symbol>>() + self.others.bytes()
    }

    /// Something happens in a connection, if there is room for it.
    fn touch(&mut self, connection: &Connection, happens: impl FnOnce(&mut Flow)) {
        if !self.make_room(connection) {
            return;
        }
        self.clock += 1;
        let known = self.flows.entry(*connection).or_default();
        let before = known.flow.len();
        known.touched = self.clock;
        happens(&mut known.flow);
        self.held = self.held - before + known.flow.len();
    }

    fn make_room(&mut self, connection: &Connection) -> bool {
        loop {
            let has_place = self.flows.contains_key(connection) || self.flows.len() < MOST_CONNECTIONS;
            if has_place && self.held + WIDEST <= MOST_HELD {
                return true;
            }
            if !self.spare(connection) {
                return false;
            }
        }
    }

    /// Forgets a connection: one that is closed before one that is not, and of these the one that was touched longest ago.
    fn spare(&mut self, needed: &Connection) -> bool {
        let candidates = self.flows.iter().filter(|(connection, _)| *connection != needed);
        let spared = candidates.filter_map(|(connection, known)| {
            known.flow.spare().map(|spare| (spare, known.touched, *connection, known.flow.len()))
        });
        let Some((_, _, connection, held)) = spared.min() else { return false };
        self.flows.remove(&connection);
        self.held -= held;
        true
    }
}
