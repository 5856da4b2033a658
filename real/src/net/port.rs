//! What connects a node with the switch: a pair of Unix sockets that keep packets apart, one frame a packet, and whose
//! ends never block their users. No protocol here: what leaves a node, and when, has been decided before.
//!
//! ```text
//!   to the switch     8 bytes, little-endian: the frame's place in the guest's output, or u64::MAX; then the frame
//!   from the switch   the frame
//! ```
//!
//! A network may lose what it has no room for. So does an end: what waits is bounded, and what is beyond is dropped and
//! counted.

use super::frame::{MAX_FRAME_BYTES, MIN_FRAME_BYTES, is_frame};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv, sendmsg,
    socketpair,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that wait at an end until the socket has room, at most.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// The bytes in front of a frame on its way to the switch.
const PLACE_BYTES: usize = 8;

/// What stands where a frame's place would, if it has none.
const NO_PLACE: u64 = u64::MAX;

/// What came of an attempt to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A frame of so many bytes, at the beginning of the buffer.
    Frame(usize),
    /// Nothing now; the socket is to be polled.
    Nothing,
    /// The other end is gone, and all that it had sent has been received.
    Gone,
}

/// Both ends of a new connection: the one for the port, the other for the switch.
pub(super) fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The end of the connection that a node has, or whoever else is at a port.
#[derive(Debug)]
pub struct PortEnd(Packets);

impl PortEnd {
    /// The end that has been handed over.
    pub fn new(socket: OwnedFd) -> Self {
        Self(Packets::new(socket))
    }

    /// Sends a frame that stands at a place in the guest's output stream, or at none. What is no frame by its length is
    /// dropped.
    pub fn send(&mut self, place: Option<u64>, frame: &[u8]) {
        if is_frame(frame.len()) {
            self.0.send(&place.unwrap_or(NO_PLACE).to_le_bytes(), frame);
        } else {
            self.0.dropped += 1;
        }
    }

    /// Sends on what waits, as far as there is room.
    pub fn flush(&mut self) {
        self.0.flush();
    }

    /// Whether frames wait for room: the socket is to be polled for it.
    pub fn has_waiting(&self) -> bool {
        self.0.has_waiting()
    }

    /// Frames that were dropped, because too many waited, the switch was gone, or they were no frames by their length.
    pub const fn dropped(&self) -> u64 {
        self.0.dropped
    }

    /// Receives one frame. What does not fit into the buffer, or is none by its length, is dropped.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            match self.0.receive(buffer) {
                Received::Frame(bytes) if !is_frame(bytes) => {}
                received => return received,
            }
        }
    }
}

impl AsFd for PortEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The end of the connection that the switch has.
#[derive(Debug)]
pub(super) struct SwitchEnd {
    packets: Packets,
    buffer: Box<[u8; PLACE_BYTES + MAX_FRAME_BYTES]>,
}

/// What the switch has received from a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FromPort<'a> {
    /// A frame, and its place in the guest's output stream, if it has one.
    Frame { place: Option<u64>, frame: &'a [u8] },
    /// Nothing now.
    Nothing,
    /// The other end is gone, and all that it had sent has been received.
    Gone,
}

impl SwitchEnd {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { packets: Packets::new(socket), buffer: Box::new([0; PLACE_BYTES + MAX_FRAME_BYTES]) }
    }

    pub(super) fn send(&mut self, frame: &[u8]) {
        self.packets.send(&[], frame);
    }

    pub(super) fn flush(&mut self) {
        self.packets.flush();
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.packets.has_waiting()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.packets.dropped
    }

    /// Receives one frame. What is none by its length is dropped, and counted.
    pub(super) fn receive(&mut self) -> FromPort<'_> {
        let bytes = loop {
            match self.packets.receive(self.buffer.as_mut_slice()) {
                Received::Frame(bytes) if bytes < PLACE_BYTES + MIN_FRAME_BYTES => self.packets.dropped += 1,
                Received::Frame(bytes) => break bytes,
                Received::Nothing => return FromPort::Nothing,
                Received::Gone => return FromPort::Gone,
            }
        };
        let (place, frame) = self.buffer[..bytes].split_at(PLACE_BYTES);
        let place = place.try_into().map_or(NO_PLACE, u64::from_le_bytes);
        FromPort::Frame { place: (place != NO_PLACE).then_some(place), frame }
    }
}

impl AsFd for SwitchEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }
}

/// A socket that keeps packets apart, and what waits for room in it.
#[derive(Debug)]
struct Packets {
    socket: OwnedFd,
    waiting: VecDeque<Box<[u8]>>,
    waiting_bytes: usize,
    dropped: u64,
    /// Nobody receives any more: what is sent is dropped.
    is_cut: bool,
}

impl Packets {
    const fn new(socket: OwnedFd) -> Self {
        Self { socket, waiting: VecDeque::new(), waiting_bytes: 0, dropped: 0, is_cut: false }
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn send(&mut self, head: &[u8], frame: &[u8]) {
        self.flush();
        if self.is_cut {
            self.dropped += 1;
        } else if self.has_waiting() {
            self.wait(head, frame);
        } else {
            match put(&self.socket, &[IoSlice::new(head), IoSlice::new(frame)]) {
                Put::Done => {}
                Put::NoRoom => self.wait(head, frame),
                Put::Cut => {
                    self.dropped += 1;
                    self.is_cut = true;
                }
            }
        }
    }

    fn wait(&mut self, head: &[u8], frame: &[u8]) {
        let bytes = head.len() + frame.len();
        if self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            self.dropped += 1;
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back([head, frame].concat().into());
    }

    fn flush(&mut self) {
        while let Some(packet) = self.waiting.front() {
            match put(&self.socket, &[IoSlice::new(packet)]) {
                Put::Done => {
                    self.waiting_bytes -= packet.len();
                    self.waiting.pop_front();
                }
                Put::NoRoom => return,
                Put::Cut => {
                    self.dropped += self.waiting.len() as u64;
                    self.waiting.clear();
                    self.waiting_bytes = 0;
                    self.is_cut = true;
                }
            }
        }
    }

    /// Receives one packet that fits into the buffer; one that does not is dropped.
    fn receive(&mut self, buffer: &mut [u8]) -> Received {
        let mut was_reset = false;
        loop {
            // With TRUNC the length is the packet's, whatever part of it fits.
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                // No frame is empty: this is the end.
                Ok((_, 0)) => return Received::Gone,
                Ok((kept, bytes)) if kept < bytes => self.dropped += 1,
                Ok((_, bytes)) => return Received::Frame(bytes),
                Err(Errno::INTR) => {}
                // Once, if the other end died with something unread. What it had sent before can be received still.
                Err(Errno::CONNRESET) if !was_reset => was_reset = true,
                Err(Errno::WOULDBLOCK) => return Received::Nothing,
                Err(_) => return Received::Gone,
            }
        }
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What came of an attempt to put a packet on a socket.
enum Put {
    Done,
    NoRoom,
    Cut,
}

fn put(socket: &OwnedFd, parts: &[IoSlice<'_>]) -> Put {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(_) => return Put::Done,
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK | Errno::NOBUFS) => return Put::NoRoom,
            Err(_) => return Put::Cut,
        }
    }
}

#[cfg(test)]
mod tests;
