//! The link between the nodes: a byte stream each way, with latency, bandwidth and arbitrary pieces.
//!
//! It moves bytes and loses them. What they mean is the codec's business, and whether an end is open the nodes'.

use crate::agenda::{Agenda, Event};
use crate::draw::{Draws, index};
use crate::knobs::Knobs;
use colo_protocol::NodeName;

/// One direction, named by its receiver.
#[derive(Debug, Default)]
struct Stream {
    /// Bytes put on the link; those before `head` have arrived.
    bytes: Vec<u8>,
    head: usize,
    /// Grows when bytes in flight are lost: pieces that were planned before mean nothing.
    epoch: u32,
    /// When the last byte will have left the sender.
    sent_us: u64,
    /// When the last piece will arrive.
    arrival_us: u64,
}

impl Stream {
    fn lose(&mut self) -> usize {
        let lost = self.bytes.len() - self.head;
        self.bytes.clear();
        self.head = 0;
        self.epoch += 1;
        lost
    }
}

/// Both directions.
#[derive(Debug)]
pub(crate) struct Link {
    up: bool,
    stalled_until_us: u64,
    streams: [Stream; 2],
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { up: true, stalled_until_us: 0, streams: Default::default() }
    }

    /// Whether it has not been cut.
    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Until when it delivers nothing.
    pub(crate) const fn stalled_until_us(&self) -> u64 {
        self.stalled_until_us
    }

    /// Delivers nothing for so long.
    pub(crate) fn stall(&mut self, until_us: u64) {
        self.stalled_until_us = self.stalled_until_us.max(until_us);
    }

    /// Loses what is in flight, both ways, and never delivers anything again. Returns how many bytes were lost.
    pub(crate) fn cut(&mut self) -> usize {
        self.up = false;
        self.streams.iter_mut().map(Stream::lose).sum()
    }

    /// Loses what is in flight to one end; returns how many bytes.
    pub(crate) fn lose(&mut self, to: NodeName) -> usize {
        self.streams[to as usize].lose()
    }

    /// Whether bytes are in flight to this end.
    pub(crate) fn carries(&self, to: NodeName) -> bool {
        let stream = &self.streams[to as usize];
        stream.head < stream.bytes.len()
    }

    /// When the last piece in flight to this end arrives, if nothing stalls it.
    pub(crate) const fn arrival_us(&self, to: NodeName) -> u64 {
        self.streams[to as usize].arrival_us
    }

    /// Takes bytes from a sender, and plans their arrival in pieces.
    pub(crate) fn put(
        &mut self,
        to: NodeName,
        bytes: &[u8],
        (agenda, knobs, draws): (&mut Agenda, &Knobs, &mut Draws),
    ) {
        if !self.up {
            return;
        }
        let stream = &mut self.streams[to as usize];
        stream.bytes.extend_from_slice(bytes);
        stream.sent_us = stream.sent_us.max(agenda.now_us());
        let mut left = bytes.len();
        while left > 0 {
            let piece = left.min(index(draws.within(knobs.segment_bytes)));
            left -= piece;
            stream.sent_us += (piece as u64).div_ceil(knobs.bytes_per_us);
            let arrival_us = stream.sent_us + draws.within(knobs.latency);
            stream.arrival_us = stream.arrival_us.max(arrival_us);
            let epoch = stream.epoch;
            agenda.at(stream.arrival_us, Event::Segment { to, epoch, bytes: piece });
        }
    }

    /// A piece that was planned arrives: appends its bytes to `into`. Nothing, if they were lost.
    pub(crate) fn take(&mut self, to: NodeName, epoch: u32, bytes: usize, into: &mut Vec<u8>) {
        let stream = &mut self.streams[to as usize];
        if stream.epoch != epoch {
            return;
        }
        let end = stream.head + bytes;
        into.extend_from_slice(&stream.bytes[stream.head..end]);
        stream.head = end;
        if end == stream.bytes.len() {
            stream.bytes.clear();
            stream.head = 0;
        }
    }
}
