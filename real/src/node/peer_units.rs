//! What the secondary's guest has sent, as the core compares it with the primary's: replies one by one, frames by what they say.

use super::unit::Unit;
use crate::packets::parse;
use colo_protocol::packets::{Packet, PeerPackets};
use colo_protocol::{Compared, OutputBuffer, OutputOffset, PeerOutput};

/// Replies of the peer's that are kept while they wait for one's own; what comes beyond counts as missing.
pub(super) const MOST_REPLIES: usize = 1 << 16;

/// Frames that are compared in one go.
const FRAMES_AT_ONCE: usize = 256;

/// The peer's output.
pub(super) enum PeerUnits {
    /// Of a machine without a network card: equal replies stand at equal places.
    Replies(PeerOutput<Unit>),
    /// Of one with a card. Two guests may put the same into different frames, so where a frame stands means nothing; up to here
    /// one's own have left.
    Frames { packets: PeerPackets, left: OutputOffset },
}

impl Default for PeerUnits {
    fn default() -> Self {
        Self::of(false)
    }
}

impl PeerUnits {
    /// Nothing has come.
    pub(super) fn of(has_card: bool) -> Self {
        if has_card {
            Self::Frames { packets: PeerPackets::default(), left: OutputOffset::default() }
        } else {
            Self::Replies(PeerOutput::default())
        }
    }

    /// Whether nothing of one's own waits for what stands there.
    pub(super) fn is_behind(&self, offset: OutputOffset, released: OutputOffset) -> bool {
        matches!(self, Self::Replies(_)) && offset < released
    }

    /// A unit has come; whether there was room for it.
    pub(super) fn take(&mut self, offset: OutputOffset, unit: Unit) -> bool {
        match self {
            Self::Replies(peer) if peer.len() >= MOST_REPLIES => return false,
            Self::Replies(peer) => peer.take(offset, unit),
            Self::Frames { packets, .. } => {
                if let Some(packet) = packet(&unit) {
                    packets.take(packet);
                }
            }
        }
        true
    }

    /// What has come is another VM's than that of now.
    pub(super) fn forget(&mut self) {
        match self {
            Self::Replies(peer) => peer.forget(),
            Self::Frames { packets, .. } => packets.forget(),
        }
    }

    /// How far one's own output from `from` on is the same.
    pub(super) fn compare<'a>(&self, from: OutputOffset, own: impl Iterator<Item = &'a Unit>) -> Compared {
        match self {
            Self::Replies(peer) => peer.compare(from, own),
            Self::Frames { packets, .. } => {
                let row: Vec<Packet> = own.take(FRAMES_AT_ONCE).map_while(packet).collect();
                packets.compare_row(from, row.iter())
            }
        }
    }

    /// Whether the peer's guest has sent something that one's own has not. A reply that is missing will be missed by its client;
    /// a frame need not be.
    pub(super) fn is_ahead(&self) -> bool {
        matches!(self, Self::Frames { packets, .. } if packets.is_ahead())
    }

    /// One's own output up to here leaves, which is still held in `own`.
    pub(super) fn released(&mut self, up_to: OutputOffset, own: &OutputBuffer<Unit>) {
        match self {
            Self::Replies(peer) => peer.drop_before(up_to),
            Self::Frames { packets, left } => {
                let from = (*left).max(own.start());
                let skipped = usize::try_from(from.0 - own.start().0).unwrap_or(usize::MAX);
                let leaving = own.units().skip(skipped).zip(from.0..up_to.0);
                leaving.filter_map(|(unit, _)| packet(unit)).for_each(|packet| packets.released(&packet));
                *left = (*left).max(up_to);
            }
        }
    }
}

/// What a frame says; a machine with a card sends nothing else.
fn packet(unit: &Unit) -> Option<Packet> {
    match unit {
        Unit::Frame(frame) => Some(parse(frame)),
        Unit::Reply(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::abi::Reply;
    use crate::net::Frame;

    fn reply(serial: u64) -> Unit {
        Unit::Reply(Reply { serial, ..Reply::default() })
    }

    /// A frame that is no packet: it is compared as it is.
    fn frame(fill: u8) -> Unit {
        Unit::Frame(Frame::new(&[fill; 60]).unwrap())
    }

    #[test]
    fn replies_have_places_and_frames_have_none() {
        let (at, released) = (OutputOffset(3), OutputOffset(4));
        assert!(PeerUnits::of(false).is_behind(at, released));
        assert!(!PeerUnits::of(true).is_behind(at, released));
        let mut peer = PeerUnits::of(true);
        peer.take(OutputOffset(9), frame(1));
        let own = [frame(1), frame(2)];
        assert_eq!(peer.compare(at, own.iter()), Compared { end: OutputOffset(4), differs: false });
    }

    #[test]
    fn a_frame_that_has_left_finds_no_like_a_second_time() {
        let mut own = OutputBuffer::default();
        for _ in 0..3 {
            own.push(frame(1));
        }
        let mut peer = PeerUnits::of(true);
        peer.take(OutputOffset(0), frame(1));
        peer.take(OutputOffset(1), frame(1));
        assert_eq!(peer.compare(OutputOffset(0), own.units()).end, OutputOffset(2));
        peer.released(OutputOffset(2), &own);
        // Said once more, when the effect is carried out.
        peer.released(OutputOffset(2), &own);
        let (_, left) = own.release(OutputOffset(2));
        drop(left);
        assert_eq!(peer.compare(OutputOffset(2), own.units()).end, OutputOffset(2));
        peer.take(OutputOffset(7), frame(1));
        assert_eq!(peer.compare(OutputOffset(2), own.units()).end, OutputOffset(3));
    }

    #[test]
    fn a_frame_that_only_the_peer_sends_is_seen() {
        let mut own = OutputBuffer::default();
        let mut peer = PeerUnits::of(true);
        assert!(!peer.is_ahead());
        peer.take(OutputOffset(0), frame(1));
        assert!(peer.is_ahead());
        own.push(frame(1));
        peer.released(OutputOffset(1), &own);
        assert!(!peer.is_ahead());
    }

    #[test]
    fn what_the_peer_sends_ahead_has_an_end() {
        let mut peer = PeerUnits::of(false);
        let taken = (0..2 * MOST_REPLIES as u64).filter(|offset| peer.take(OutputOffset(*offset), reply(0)));
        assert_eq!(taken.count(), MOST_REPLIES);
    }
}
