//! The link between the nodes: a byte stream each way, as TCP gives it, with latency, bandwidth and arbitrary pieces.
//!
//! It moves bytes, delays them, flips one, and loses them. What they mean is the codec's business, and whether an end
//! is open the nodes'. A segment that the network loses is sent again, later and later: to the stream that is time. With
//! datagrams in place of the stream, it is a loss.

use crate::agenda::{Agenda, Event};
use crate::draw::{Draws, index};
use crate::knobs::{Datagrams, Knobs, Path};
use colo_protocol::NodeName;
use std::collections::VecDeque;

/// Until the network heals.
pub(crate) const UNTIL_HEALED: u64 = u64::MAX;

/// How often a segment is lost, one after the other, at most: a connection that loses more is a dead one.
const MAX_RETRANSMISSIONS: u32 = 4;

/// One direction, named by its receiver.
#[derive(Debug, Default)]
struct Stream {
    /// Bytes put on the link; those before `head` have arrived.
    bytes: Vec<u8>,
    head: usize,
    /// When each piece of them arrives, and how long it is.
    pieces: VecDeque<(u64, usize)>,
    /// Datagrams on their way, by number from `first_datagram` on; taken when they arrive.
    datagrams: VecDeque<Option<Vec<u8>>>,
    first_datagram: u32,
    /// Where datagrams were that have arrived: room for others.
    spare: Vec<Vec<u8>>,
    /// Grows when bytes in flight are lost: pieces that were planned before mean nothing.
    epoch: u32,
    /// When the last byte will have left the sender.
    sent_us: u64,
    /// When the last piece will arrive.
    arrival_us: u64,
    /// Nothing arrives before.
    shut_until_us: u64,
    /// Its sender has closed it: it takes nothing any more.
    closed: bool,
    /// The bit of the next piece that is flipped on its way.
    flip: Option<u32>,
}

impl Stream {
    fn lose(&mut self) -> usize {
        let lost = self.in_flight();
        self.bytes.clear();
        self.head = 0;
        self.pieces.clear();
        self.datagrams.clear();
        self.first_datagram = 0;
        self.epoch += 1;
        lost
    }

    fn in_flight(&self) -> usize {
        let datagrams = self.datagrams.iter().flatten();
        self.bytes.len() - self.head + datagrams.map(Vec::len).sum::<usize>()
    }
}

/// What became of a piece on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is as it was sent.
    Whole,
    /// A bit of it was flipped.
    Damaged,
}

/// What the network did to what was put on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Treatment {
    /// A segment was lost, and sent again.
    pub(crate) sent_again: bool,
    /// A datagram was lost, came twice, or before one that was sent earlier.
    pub(crate) disturbed: bool,
}

/// Both directions.
#[derive(Debug)]
pub(crate) struct Link {
    up: bool,
    /// It loses nothing any more.
    calm: bool,
    streams: [Stream; 2],
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { up: true, calm: false, streams: Default::default() }
    }

    /// From now on it loses nothing.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
    }

    /// Whether it has not been cut.
    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Until when it delivers nothing to this end.
    pub(crate) const fn shut_until_us(&self, to: NodeName) -> u64 {
        self.streams[to as usize].shut_until_us
    }

    /// When all that is in flight has arrived, unless it waits for the network to heal.
    pub(crate) fn quiet_us(&self) -> u64 {
        let ends = self.streams.iter().flat_map(|stream| [stream.shut_until_us, stream.arrival_us]);
        ends.filter(|until_us| *until_us != UNTIL_HEALED).max().unwrap_or(0)
    }

    /// Delivers nothing to this end for so long.
    pub(crate) fn shut(&mut self, to: NodeName, until_us: u64) {
        let stream = &mut self.streams[to as usize];
        stream.shut_until_us = stream.shut_until_us.max(until_us);
    }

    /// What only had to heal delivers again from then on.
    pub(crate) fn heal(&mut self, at_us: u64) {
        for stream in &mut self.streams {
            if stream.shut_until_us == UNTIL_HEALED {
                stream.shut_until_us = at_us;
            }
        }
    }

    /// Loses what is in flight, both ways, and never delivers anything again. Returns how many bytes were lost.
    pub(crate) fn cut(&mut self) -> usize {
        self.up = false;
        self.streams.iter_mut().for_each(|stream| stream.shut_until_us = 0);
        self.streams.iter_mut().map(Stream::lose).sum()
    }

    /// Loses what is in flight to one end; returns how many bytes.
    pub(crate) fn lose(&mut self, to: NodeName) -> usize {
        self.streams[to as usize].lose()
    }

    /// The sender closes the direction to this end; whether it was open.
    pub(crate) fn close(&mut self, to: NodeName) -> bool {
        !std::mem::replace(&mut self.streams[to as usize].closed, true)
    }

    /// Whether both directions take what is sent.
    pub(crate) fn takes_both_ways(&self) -> bool {
        self.up && !self.streams.iter().any(|stream| stream.closed)
    }

    /// Whether what is sent to this end now arrives as fast as it can.
    pub(crate) fn delivers(&self, to: NodeName, now_us: u64) -> bool {
        let stream = &self.streams[to as usize];
        self.up && !stream.closed && stream.shut_until_us <= now_us
    }

    /// Flips a bit of what next arrives at this end.
    pub(crate) fn flip(&mut self, to: NodeName, bit: u32) {
        self.streams[to as usize].flip = Some(bit);
    }

    /// Whether bytes are in flight to this end.
    pub(crate) fn carries(&self, to: NodeName) -> bool {
        self.in_flight(to) > 0
    }

    /// How many bytes are in flight to this end.
    pub(crate) fn in_flight(&self, to: NodeName) -> usize {
        self.streams[to as usize].in_flight()
    }

    /// When the last piece in flight to this end arrives, if nothing delays it.
    pub(crate) const fn arrival_us(&self, to: NodeName) -> u64 {
        self.streams[to as usize].arrival_us
    }

    /// Takes bytes from a sender, and plans their arrival in pieces.
    pub(crate) fn put(
        &mut self,
        to: NodeName,
        bytes: &[u8],
        (agenda, knobs, draws): (&mut Agenda, &Knobs, &mut Draws),
    ) -> Treatment {
        let mut treatment = Treatment::default();
        let stream = &mut self.streams[to as usize];
        if !self.up || stream.closed {
            return treatment;
        }
        stream.sent_us = stream.sent_us.max(agenda.now_us());
        let path = knobs.path(to);
        let lost = if self.calm { 0 } else { path.lost };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(index(draws.within(knobs.segment_bytes))));
            rest = after;
            stream.sent_us += (piece.len() as u64).div_ceil(path.bytes_per_us);
            match &knobs.datagrams {
                None => treatment.sent_again |= stream.put_segment(to, piece, (path, lost), (agenda, draws)),
                Some(fate) if self.calm => {
                    stream.put_datagram(to, piece, path, &fate.calm(), (agenda, draws));
                }
                Some(fate) => {
                    treatment.disturbed |= stream.put_datagram(to, piece, path, fate, (agenda, draws));
                }
            }
        }
        treatment
    }

    /// A piece that was planned arrives: appends its bytes to `into`, and, where what waits is read together, those of
    /// all that have arrived by now. Nothing, if they were lost, or have been read.
    pub(crate) fn take(
        &mut self,
        to: NodeName,
        epoch: u32,
        (now_us, together): (u64, bool),
        into: &mut Vec<u8>,
    ) -> Fate {
        let stream = &mut self.streams[to as usize];
        if stream.epoch != epoch {
            return Fate::Whole;
        }
        let mut end = stream.head;
        while let Some((_, bytes)) = stream.pieces.pop_front_if(|(arrival_us, _)| *arrival_us <= now_us) {
            end += bytes;
            if !together {
                break;
            }
        }
        into.extend_from_slice(&stream.bytes[stream.head..end]);
        stream.head = end;
        if end == stream.bytes.len() {
            stream.bytes.clear();
            stream.head = 0;
        }
        stream.flipped(into)
    }

    /// A datagram arrives: appends its bytes to `into`. Nothing, if it was lost.
    pub(crate) fn take_datagram(
        &mut self,
        to: NodeName,
        epoch: u32,
        number: u32,
        into: &mut Vec<u8>,
    ) -> Fate {
        let stream = &mut self.streams[to as usize];
        let Some(mut datagram) = stream.datagram(epoch, number) else { return Fate::Whole };
        into.extend_from_slice(&datagram);
        datagram.clear();
        stream.spare.push(datagram);
        stream.flipped(into)
    }
}

impl Stream {
    /// A segment arrives behind all that was sent before it; whether it had to be sent again.
    fn put_segment(
        &mut self,
        to: NodeName,
        piece: &[u8],
        (path, lost): (&Path, u64),
        (agenda, draws): (&mut Agenda, &mut Draws),
    ) -> bool {
        self.bytes.extend_from_slice(piece);
        let again_us = retransmission_us(path, lost, draws);
        let arrival_us = self.sent_us + path.crossing_us(draws) + again_us;
        self.arrival_us = self.arrival_us.max(arrival_us);
        self.pieces.push_back((self.arrival_us, piece.len()));
        agenda.at(self.arrival_us, Event::Segment { to, epoch: self.epoch });
        again_us > 0
    }

    /// A datagram arrives when it does, once, twice or never; whether anything but that it arrives in its place.
    fn put_datagram(
        &mut self,
        to: NodeName,
        piece: &[u8],
        path: &Path,
        fate: &Datagrams,
        (agenda, draws): (&mut Agenda, &mut Draws),
    ) -> bool {
        let mut happens = |of_ten_thousand| of_ten_thousand > 0 && draws.below(10_000) < of_ten_thousand;
        let copies = if happens(fate.dropped) { 0 } else { 1 + usize::from(happens(fate.doubled)) };
        let mut disturbed = copies != 1;
        for _ in 0..copies {
            let late = fate.late > 0 && draws.below(10_000) < fate.late;
            let late_us = if late { draws.within(fate.late_by) } else { 0 };
            let crossing_us = path.crossing_us(draws);
            let arrival_us = (self.sent_us + crossing_us).max(self.arrival_us) + late_us;
            // What comes late does not hold up what was sent behind it.
            if late_us == 0 {
                self.arrival_us = arrival_us;
            }
            disturbed |= late_us > 0;
            let number = self.first_datagram + u32::try_from(self.datagrams.len()).unwrap_or(u32::MAX);
            let mut datagram = self.spare.pop().unwrap_or_default();
            datagram.extend_from_slice(piece);
            self.datagrams.push_back(Some(datagram));
            agenda.at(arrival_us, Event::Datagram { to, epoch: self.epoch, number });
        }
        disturbed
    }

    /// Takes a datagram off the link, unless it was lost.
    fn datagram(&mut self, epoch: u32, number: u32) -> Option<Vec<u8>> {
        if self.epoch != epoch {
            return None;
        }
        let place = number.checked_sub(self.first_datagram)?;
        let datagram = self.datagrams.get_mut(usize::try_from(place).ok()?)?.take();
        while self.datagrams.pop_front_if(|datagram| datagram.is_none()).is_some() {
            self.first_datagram += 1;
        }
        datagram
    }

    fn flipped(&mut self, piece: &mut [u8]) -> Fate {
        let bits = piece.len() as u64 * 8;
        if bits == 0 {
            return Fate::Whole;
        }
        let Some(bit) = self.flip.take() else { return Fate::Whole };
        let bit = u64::from(bit) % bits;
        piece[index(bit / 8)] ^= 1 << (bit % 8);
        Fate::Damaged
    }
}

/// What the loss of a segment costs: each time that it is lost, twice the time before it is sent again.
fn retransmission_us(path: &Path, lost: u64, draws: &mut Draws) -> u64 {
    let mut delay_us = 0;
    if lost == 0 {
        return delay_us;
    }
    for time in 0..MAX_RETRANSMISSIONS {
        if draws.below(10_000) >= lost {
            break;
        }
        delay_us += path.retransmission_us << time;
    }
    delay_us
}
