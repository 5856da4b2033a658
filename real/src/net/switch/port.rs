//! Who is at a port of the switch, and what has been counted there.

use crate::net::frame::{Frame, MAX_FRAME_BYTES};
use crate::net::port::{FromPort, Received, SwitchEnd};
use crate::net::tap::Tap;
use std::os::fd::{AsFd, BorrowedFd};

/// The how-manieth port of its switch one is, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct PortNumber(pub(super) usize);

/// On which side of the switch a port is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// A node of the protected machine.
    Node,
    /// A client of the service.
    Client,
}

/// What has been counted at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortFigures {
    /// Who is there.
    pub side: Side,
    /// Whether somebody still is.
    pub is_there: bool,
    /// Frames that came from there.
    pub received: u64,
    /// Of those: at a place of the guest's output that had come before, and dropped.
    pub duplicates: u64,
    /// Frames that went there.
    pub sent: u64,
    /// Frames for which there was no room, or which were none by their length.
    pub dropped: u64,
}

/// What is at a port.
#[derive(Debug)]
pub(super) enum Attachment {
    Socket(SwitchEnd),
    Tap(Tap),
}

/// A port.
#[derive(Debug)]
pub(super) struct Port {
    attachment: Attachment,
    pub(super) figures: PortFigures,
    /// Frames that were dropped here, and not by the socket's end.
    dropped: u64,
}

/// What came from a port.
#[derive(Debug)]
pub(super) enum Came {
    /// A frame, and its place in the guest's output stream, if it has one.
    Frame(Option<u64>, Frame),
    Nothing,
    Gone,
}

impl Port {
    pub(super) const fn new(side: Side, attachment: Attachment) -> Self {
        let figures = PortFigures { side, is_there: true, received: 0, duplicates: 0, sent: 0, dropped: 0 };
        Self { attachment, figures, dropped: 0 }
    }

    pub(super) const fn side(&self) -> Side {
        self.figures.side
    }

    pub(super) fn has_waiting(&self) -> bool {
        match &self.attachment {
            Attachment::Socket(end) => end.has_waiting(),
            Attachment::Tap(_) => false,
        }
    }

    pub(super) fn flush(&mut self) {
        if let Attachment::Socket(end) = &mut self.attachment {
            end.flush();
        }
        self.count_dropped();
    }

    pub(super) fn send(&mut self, frame: &Frame) {
        self.figures.sent += 1;
        match &mut self.attachment {
            Attachment::Socket(end) => end.send(frame),
            Attachment::Tap(tap) => self.dropped += u64::from(!tap.send(frame)),
        }
        self.count_dropped();
    }

    pub(super) fn receive(&mut self) -> Came {
        let came = loop {
            let (place, frame) = match self.receive_bytes() {
                Ok(received) => received,
                Err(nothing) => break nothing,
            };
            match frame {
                Some(frame) => break Came::Frame(place, frame),
                None => self.dropped += 1,
            }
        };
        self.figures.received += u64::from(matches!(came, Came::Frame(..)));
        self.count_dropped();
        came
    }

    /// What has come, if it is a frame by its length, and its place.
    fn receive_bytes(&mut self) -> Result<(Option<u64>, Option<Frame>), Came> {
        match &mut self.attachment {
            Attachment::Socket(end) => match end.receive() {
                FromPort::Frame { place, frame } => Ok((place, Frame::new(frame).ok())),
                FromPort::Nothing => Err(Came::Nothing),
                FromPort::Gone => Err(Came::Gone),
            },
            Attachment::Tap(tap) => {
                // One byte more: what fills it is too long.
                let mut buffer = [0; MAX_FRAME_BYTES + 1];
                match tap.receive(&mut buffer) {
                    Received::Frame(bytes) => Ok((None, Frame::new(&buffer[..bytes]).ok())),
                    Received::Nothing => Err(Came::Nothing),
                    Received::Gone => Err(Came::Gone),
                }
            }
        }
    }

    const fn count_dropped(&mut self) {
        let by_socket = match &self.attachment {
            Attachment::Socket(end) => end.dropped(),
            Attachment::Tap(_) => 0,
        };
        self.figures.dropped = self.dropped + by_socket;
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.attachment {
            Attachment::Socket(end) => end.as_fd(),
            Attachment::Tap(tap) => tap.as_fd(),
        }
    }
}
