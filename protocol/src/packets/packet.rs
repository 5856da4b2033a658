//! What a guest's frame says, as far as it is compared. Reading it out of bytes is the environment's business.

use super::serial::Serial;
use alloc::vec::Vec;
use core::iter::once;
use core::net::SocketAddrV4;

/// A frame that a guest sends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Packet {
    /// A part of a TCP stream over IPv4: compared by what it adds to the stream.
    Tcp(Segment),
    /// Anything else, and what cannot be read: compared as it is, byte by byte.
    Other(Vec<u8>),
}

/// The two ends of a TCP connection, as the guest's own packets name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection {
    /// The guest.
    pub source: SocketAddrV4,
    /// Its client.
    pub destination: SocketAddrV4,
}

/// What a segment does to its connection. No segment that means anything does two of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Control {
    /// Nothing: it carries data, or acknowledges.
    Data,
    /// Begins it: SYN.
    Synchronize,
    /// Ends what the guest sends: FIN.
    Finish,
    /// Ends it at once: RST.
    Reset,
}

/// A TCP segment: no window, no options, none of IP's numbers, which two guests may choose differently.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// Between whom.
    pub connection: Connection,
    /// The number of the first thing that it carries.
    pub sequence: Serial,
    /// Up to where the guest has received; none without ACK.
    pub acknowledges: Option<Serial>,
    /// What it does.
    pub control: Control,
    /// The bytes that it carries.
    pub payload: Vec<u8>,
}

/// What stands at a sequence number: SYN and FIN have one, too (RFC 9293 section 3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Symbol {
    /// A byte of the stream.
    Byte(u8),
    /// Its beginning.
    Synchronize,
    /// Its end.
    Finish,
}

impl Segment {
    /// What it adds to the stream, in order; the first stands at its sequence number.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + Clone {
        let is = |control| self.control == control;
        let begin = once(Symbol::Synchronize).filter(move |_| is(Control::Synchronize));
        let end = once(Symbol::Finish).filter(move |_| is(Control::Finish));
        begin.chain(self.payload.iter().copied().map(Symbol::Byte)).chain(end)
    }

    /// How many sequence numbers it takes.
    pub fn length(&self) -> usize {
        self.payload.len() + usize::from(matches!(self.control, Control::Synchronize | Control::Finish))
    }

    /// Whether there is nothing in it that could be compared.
    pub(super) fn says_nothing(&self) -> bool {
        self.length() == 0 && self.acknowledges.is_none() && self.control != Control::Reset
    }
}
