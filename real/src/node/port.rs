//! The cable of the machine's network card: frames from the network to the guest, and what has been released to the network.

use super::driver::Driver;
use super::unit::Incoming;
use crate::net::{Frame, MAX_FRAME_BYTES, PortEnd, Received};
use crate::vm::CardConfig;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How often a survivor says where it is; and what is between the first two, and longer each time.
const ANNOUNCEMENTS: u32 = 5;
const BETWEEN_ANNOUNCEMENTS: Duration = Duration::from_millis(50);

/// Frames that are taken in before anything else is looked at.
pub(super) const FRAMES_AT_ONCE: usize = 64;

/// The node's end of it.
pub(super) struct Port {
    end: PortEnd,
    card: CardConfig,
    /// Frames are told their places in the output stream. Where both VMs execute they are not: what the one puts into a frame the
    /// other may put into two, so an equal place says nothing of what stands there.
    has_places: bool,
    /// Announcements that are still to be made, and when the next one is.
    announcements: (u32, Instant),
    /// The other end is there.
    is_plugged: bool,
}

impl Port {
    pub(super) fn new(end: PortEnd, card: CardConfig, both_execute: bool) -> Self {
        let announcements = (0, Instant::now());
        Self { end, card, has_places: !both_execute, announcements, is_plugged: true }
    }

    /// A frame at a place in the output stream leaves.
    pub(super) fn send(&mut self, place: u64, frame: &Frame) {
        self.end.send(self.has_places.then_some(place), frame);
    }

    /// Whether frames wait for room.
    pub(super) fn has_waiting(&self) -> bool {
        self.end.has_waiting()
    }

    /// The network is told where the guest is now, and then a few times more, because a network may lose that. Nothing of the guest's
    /// is in it, so it need not wait for anything. (QEMU: `qemu_announce_self`, which does not know the guest's address and sends
    /// RARP, five times.)
    pub(super) fn announce(&mut self) {
        self.announcements = (ANNOUNCEMENTS, Instant::now());
        self.announce_if_due(Instant::now());
    }

    /// When the next announcement is due, if there is to be one.
    pub(super) fn announces_at(&self) -> Option<Instant> {
        let (left, next) = self.announcements;
        (left > 0).then_some(next)
    }

    /// The next announcement, if it is due by now.
    pub(super) fn announce_if_due(&mut self, now: Instant) {
        if self.announces_at().is_some_and(|at| now >= at) {
            self.end.send(None, &announcement(&self.card));
            let (left, _) = self.announcements;
            self.announcements = (left - 1, now + BETWEEN_ANNOUNCEMENTS * (ANNOUNCEMENTS - left + 1));
        }
    }

    /// Sends on what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        self.end.flush();
    }

    /// Whether the other end is there.
    pub(super) const fn is_plugged(&self) -> bool {
        self.is_plugged
    }

    /// The next frame from the network, if there is one.
    pub(super) fn receive(&mut self) -> Option<Frame> {
        let mut buffer = [0; MAX_FRAME_BYTES];
        match self.end.receive(&mut buffer) {
            Received::Frame(bytes) => Frame::new(buffer.get(..bytes)?).ok(),
            Received::Nothing => None,
            Received::Gone => {
                self.is_plugged = false;
                None
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Driver {
    /// Takes in what has come from the network. What is not for this node's guest is lost on it.
    pub(super) fn read_port(&mut self) {
        let hears = self.node.machine().hears_network();
        for _ in 0..FRAMES_AT_ONCE {
            let Some(frame) = self.port.as_mut().and_then(Port::receive) else { break };
            if hears {
                self.comes_in(Incoming::Frame(frame));
            }
        }
        self.port.take_if(|port| !port.is_plugged());
    }

    pub(super) fn flush_port(&mut self) {
        if let Some(port) = &mut self.port {
            port.flush();
        }
    }
}

/// A gratuitous ARP: the guest at this address is there.
fn announcement(card: &CardConfig) -> Vec<u8> {
    let hardware = card.hardware_address;
    let [.., a, b, c, d] = card.parameters.address.to_be_bytes();
    let address = [a, b, c, d];
    // Ethernet and IPv4, six bytes and four, a request.
    let kind = [0, 1, 8, 0, 6, 4, 0, 1];
    [&[0xff; 6][..], &hardware, &[8, 6], &kind, &hardware, &address, &[0; 6], &address].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::CardParameters;

    #[test]
    fn an_announcement_says_to_everybody_whose_address_it_is() {
        let parameters = CardParameters { address: 0x0a42_0002, ..CardParameters::default() };
        let announced = announcement(&CardConfig { hardware_address: [2, 0, 0, 0, 0x66, 2], parameters });
        let expected = [
            &[0xff; 6][..],
            &[2, 0, 0, 0, 0x66, 2, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0x66, 2, 10, 66, 0, 2],
            &[0, 0, 0, 0, 0, 0, 10, 66, 0, 2],
        ];
        assert_eq!(announced, expected.concat());
    }
}
