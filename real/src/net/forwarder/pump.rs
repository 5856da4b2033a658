//! One connection of a client, and the one to the guest that it has become.

use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_linger;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How far the connection to the guest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Connecting,
    Connected,
}

/// One direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Half {
    Open,
    /// No more bytes come this way, and the other end has been told.
    Ended,
}

/// How a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Closed,
    Refused,
    ResetByGuest,
    ResetByClient,
}

/// What came of an attempt to move bytes one way.
enum Way {
    /// As many as could be moved were, so many.
    Moved(usize),
    Broken(Ending),
}

/// Both connections.
#[derive(Debug)]
pub(super) struct Pump {
    stream: TcpStream,
    handle: SocketHandle,
    stage: Stage,
    to_guest: Half,
    to_client: Half,
    /// The client has reset its connection, though nobody has read so.
    pub(super) client_is_broken: bool,
}

impl Pump {
    pub(super) const fn new(stream: TcpStream, handle: SocketHandle) -> Self {
        let (to_guest, to_client) = (Half::Open, Half::Open);
        Self { stream, handle, stage: Stage::Connecting, to_guest, to_client, client_is_broken: false }
    }

    pub(super) const fn handle(&self) -> SocketHandle {
        self.handle
    }

    /// What to wait for at the client's end: bytes if the guest's has room, and room if the guest's has bytes. Without
    /// either it is waited for its reset. Not so if nothing goes there any more: then a client that sends nothing more
    /// either would be told of over and over, though what it had sent waits here.
    pub(super) fn interest(&self, guest: &Socket<'_>) -> Option<PollFlags> {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, self.to_guest == Half::Open && guest.can_send());
        interest.set(PollFlags::OUT, guest.can_recv());
        (self.to_client == Half::Open || !interest.is_empty()).then_some(interest)
    }

    /// Moves what can be moved; whether anything was, and whether that was the end.
    pub(super) fn advance(&mut self, guest: &mut Socket<'_>) -> (bool, Option<Ending>) {
        if guest.may_send() {
            self.stage = Stage::Connected;
        }
        let mut moved = 0;
        for way in [Self::move_to_client, Self::move_to_guest] {
            match way(self, guest) {
                Way::Moved(bytes) => moved += bytes,
                Way::Broken(ending) => return (true, Some(self.broken(guest, ending))),
            }
        }
        if (self.to_guest, self.to_client) == (Half::Ended, Half::Ended) {
            return (true, Some(Ending::Closed));
        }
        if self.client_is_broken {
            return (true, Some(self.broken(guest, Ending::ResetByClient)));
        }
        (moved > 0, None)
    }

    /// Moves what the client has sent.
    fn move_to_guest(&mut self, guest: &mut Socket<'_>) -> Way {
        let mut moved = 0;
        while self.to_guest == Half::Open && guest.can_send() {
            let stream = &mut self.stream;
            let read = guest.send(|room| {
                let read = stream.read(room);
                (read.as_ref().map_or(0, |bytes| *bytes), read)
            });
            match read {
                Ok(Ok(0)) => {
                    self.to_guest = Half::Ended;
                    guest.close();
                    moved += 1;
                }
                Ok(Ok(bytes)) => moved += bytes,
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(_)) => return Way::Broken(Ending::ResetByClient),
                Err(_) => break,
            }
        }
        Way::Moved(moved)
    }

    /// Moves what the guest has sent; behind the last of it, how the guest has ended.
    fn move_to_client(&mut self, guest: &mut Socket<'_>) -> Way {
        let mut moved = 0;
        while guest.can_recv() {
            let stream = &mut self.stream;
            let written = guest.recv(|bytes| {
                let written = stream.write(bytes);
                (written.as_ref().map_or(0, |bytes| *bytes), written)
            });
            match written {
                Ok(Ok(bytes)) => moved += bytes,
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => return Way::Moved(moved),
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(_)) => return Way::Broken(Ending::ResetByClient),
                Err(_) => break,
            }
        }
        match guest.state() {
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
                if self.to_client == Half::Open =>
            {
                self.to_client = Half::Ended;
                // It fails when the client is gone already.
                let _ = self.stream.shutdown(Shutdown::Write);
                Way::Moved(moved + 1)
            }
            State::Closed if self.stage == Stage::Connecting => Way::Broken(Ending::Refused),
            State::Closed if self.to_client == Half::Open || self.to_guest == Half::Open => {
                Way::Broken(Ending::ResetByGuest)
            }
            _ => Way::Moved(moved),
        }
    }

    /// One end is broken: the other sees a reset.
    fn broken(&self, guest: &mut Socket<'_>, ending: Ending) -> Ending {
        match ending {
            Ending::ResetByClient => guest.abort(),
            Ending::Closed | Ending::Refused | Ending::ResetByGuest => {
                // With nothing to wait for, the kernel resets what is closed. It fails when it is over already.
                let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
            }
        }
        ending
    }
}

impl AsFd for Pump {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
