//! One direction of a connection: what the peer's guest has said of it, what has been released of it, and whether a
//! segment of one's own guest's says the same.

use super::packet::{Control, Segment, Symbol};
use super::serial::Serial;
use super::window::{Window, number_of};
use super::{AHEAD_BYTES, HISTORY_BYTES, Likeness};
use alloc::collections::VecDeque;

/// Streams of a connection that the peer has begun one after the other. Those beyond count as missing.
const MOST_STREAMS: usize = 4;

/// What somebody has said in a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Said {
    /// Where it begins: the number of the SYN.
    begins: Option<Serial>,
    symbols: Window,
    /// The latest.
    acknowledges: Option<Serial>,
    finishes: bool,
    resets: bool,
}

impl Said {
    /// Everything of a segment but its symbols.
    fn note(&mut self, segment: &Segment) {
        match segment.control {
            Control::Data => (),
            Control::Synchronize => self.begins = Some(segment.sequence),
            Control::Finish => self.finishes = true,
            Control::Reset => self.resets = true,
        }
        let is_later = |number: &Serial| self.acknowledges.is_none_or(|latest| latest.is_before(*number));
        if let Some(number) = segment.acknowledges.filter(is_later) {
            self.acknowledges = Some(number);
        }
    }

    fn acknowledges_up_to(&self, number: Serial) -> bool {
        self.acknowledges.is_some_and(|latest| number.is_at_or_before(latest))
    }
}

/// A stream of a guest's, from a SYN to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Stream {
    peer: Said,
    released: Said,
}

impl Stream {
    fn take(&mut self, segment: &Segment) {
        self.peer.note(segment);
        self.peer.symbols.put(segment.sequence, segment.symbols(), HISTORY_BYTES + AHEAD_BYTES);
    }

    fn released(&mut self, own: &Segment) {
        self.released.note(own);
        self.released.symbols.slide(own.sequence, own.symbols(), HISTORY_BYTES);
        let Self { peer, released } = self;
        if let Some(end) = released.symbols.end() {
            peer.symbols.drop_before(end.back(number_of(HISTORY_BYTES)));
            // One stays: a probe repeats the number before the end, with any byte.
            let probed = end.back(1);
            peer.symbols.drop_while(|number| number != probed && released.symbols.at(number).is_some());
        }
    }

    fn compare(&self, own: &Segment) -> Likeness {
        if own.says_nothing() {
            return Likeness::Waits;
        }
        let is_acknowledged = own.acknowledges.is_none_or(|number| {
            self.peer.acknowledges_up_to(number) || self.released.acknowledges_up_to(number)
        });
        let is_reset = own.control != Control::Reset || self.peer.resets || self.released.resets;
        let rest = if is_acknowledged && is_reset { Likeness::Same } else { Likeness::Waits };
        let mut numbers = (0..).map(|step| own.sequence.advance(step));
        let of_symbol = |symbol| numbers.next().map_or(Likeness::Waits, |number| self.has(number, symbol));
        own.symbols().map(of_symbol).fold(rest, Likeness::max)
    }

    fn has(&self, number: Serial, symbol: Symbol) -> Likeness {
        let peers = self.peer.symbols.at(number);
        if [peers, self.released.symbols.at(number)].contains(&Some(symbol)) {
            Likeness::Same
        } else if peers.is_some() {
            Likeness::Differs
        } else {
            Likeness::Waits
        }
    }

    fn begins_at(&self, number: Serial) -> bool {
        [self.peer.begins, self.released.begins].contains(&Some(number))
    }

    /// Whether the peer has begun it, and one's own guest has not.
    fn awaits_own_beginning(&self) -> bool {
        self.peer.begins.is_some() && self.released == Said::default()
    }

    /// Whether the peer has said something that one's own guest has not.
    fn is_ahead(&self) -> bool {
        let is_missing = |number: Serial| !self.released.acknowledges_up_to(number);
        let symbols = match (self.peer.symbols.end(), self.released.symbols.end()) {
            (Some(peers), released) => released.is_none_or(|end| !peers.is_at_or_before(end)),
            (None, _) => false,
        };
        symbols
            || self.peer.acknowledges.is_some_and(is_missing)
            || (self.peer.resets && !self.released.resets)
    }

    fn len(&self) -> usize {
        self.peer.symbols.len() + self.released.symbols.len()
    }
}

/// A connection's streams: first the one that one's own guest is in, last the one that the peer's is in. They are several
/// where a port number is used again and one of the guests is later with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    /// Never none.
    streams: VecDeque<Stream>,
    /// The peer has begun one too many: what it says from there on is missing.
    is_lost: bool,
}

/// How well a connection can be spared: the least one first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Spare {
    /// One's own guest has ended it.
    Closed,
    /// Nothing in it waits for one's own guest.
    Idle,
}

impl Default for Flow {
    fn default() -> Self {
        Self { streams: [Stream::default()].into(), is_lost: false }
    }
}

impl Flow {
    /// The peer's guest has sent this.
    pub(super) fn take(&mut self, segment: &Segment) {
        let begins = segment.control == Control::Synchronize
            && !self.streams.back().is_some_and(|stream| stream.begins_at(segment.sequence));
        if begins {
            self.begin();
        }
        if let Some(stream) = self.streams.back_mut().filter(|_| !self.is_lost) {
            stream.take(segment);
        }
    }

    /// A new stream, if the last one is not new already.
    fn begin(&mut self) {
        let is_new = self.streams.back().is_some_and(|stream| *stream == Stream::default());
        if self.streams.len() < MOST_STREAMS {
            self.streams.extend((!is_new).then(Stream::default));
        } else {
            self.is_lost |= !is_new;
        }
    }

    /// Which stream a packet of one's own guest's is of; none if it begins one that the peer has not begun.
    fn own(&self, own: &Segment) -> Option<usize> {
        if own.control == Control::Synchronize {
            self.streams.iter().position(|stream| stream.begins_at(own.sequence))
        } else {
            Some(0)
        }
    }

    /// Whether one's own guest goes on to another stream with this packet.
    pub(super) fn goes_on(&self, own: &Segment) -> bool {
        self.own(own) != Some(0)
    }

    pub(super) fn compare(&self, own: &Segment) -> Likeness {
        match self.own(own).and_then(|index| self.streams.get(index)) {
            Some(stream) => stream.compare(own),
            // It begins where the peer's does not.
            None if self.streams.iter().any(Stream::awaits_own_beginning) => Likeness::Differs,
            None => Likeness::Waits,
        }
    }

    /// One's own guest's has left.
    pub(super) fn released(&mut self, own: &Segment) {
        match self.own(own) {
            Some(index) => drop(self.streams.drain(..index)),
            None => *self = Self::default(),
        }
        if let Some(stream) = self.streams.front_mut() {
            stream.released(own);
        }
    }

    /// What the peer's guest has sent was another's. Whether anything is left.
    pub(super) fn forget(&mut self) -> bool {
        self.streams.truncate(1);
        self.is_lost = false;
        self.streams.iter_mut().for_each(|stream| stream.peer = Said::default());
        self.streams.iter().any(|stream| stream.released != Said::default())
    }

    /// Whether the peer has said something that one's own guest has not.
    pub(super) fn is_ahead(&self) -> bool {
        self.streams.iter().any(Stream::is_ahead)
    }

    /// Sequence numbers held.
    pub(super) fn len(&self) -> usize {
        self.streams.iter().map(Stream::len).sum()
    }

    /// Whether it can be spared: something that the peer has said, and one's own guest has not, is in none that can.
    pub(super) fn spare(&self) -> Option<Spare> {
        let is_closed = |stream: &Stream| stream.released.finishes || stream.released.resets;
        match self.streams.front() {
            _ if self.is_ahead() => None,
            Some(stream) if is_closed(stream) => Some(Spare::Closed),
            _ => Some(Spare::Idle),
        }
    }
}
