//! One connection with whoever is at the other end, before it is handed to a node: bytes in and out, never waiting.

use super::secure::{Raw, Secure, is_early};
use super::tls::{self, Configs};
use super::tunnel::Tunnel;
use super::words::{Incoming, WordError};
use crate::link::{Link, LinkKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustls::Connection;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use thiserror::Error;

/// What is read at once of a frame, or of what nobody listens to any more, bytes.
const READ_BYTES: usize = 4096;

/// A connection.
#[derive(Debug)]
pub(super) enum Channel {
    /// Bytes as they are.
    Plain(OwnedFd),
    /// Over TLS.
    Secure(Box<Secure>),
}

impl Channel {
    /// With whoever has connected, over a socket that does not block.
    pub(super) fn listening(socket: OwnedFd, keys: Option<&Configs>) -> io::Result<Self> {
        Self::new(socket, keys.map(Configs::listening))
    }

    /// With whoever listens, over a socket that does not block.
    pub(super) fn connecting(socket: OwnedFd, keys: Option<&Configs>) -> io::Result<Self> {
        Self::new(socket, keys.map(Configs::connecting))
    }

    fn new(socket: OwnedFd, tls: Option<Result<Connection, rustls::Error>>) -> io::Result<Self> {
        match tls.transpose().map_err(io::Error::other)? {
            None => Ok(Self::Plain(socket)),
            Some(tls) => Ok(Self::Secure(Box::new(Secure::new(socket, tls)))),
        }
    }

    const fn socket(&self) -> &OwnedFd {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(secure) => &secure.socket,
        }
    }

    /// Reads what is there; 0 at its end, an error of kind `WouldBlock` when there is nothing yet.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Raw(socket).read(buffer),
            Self::Secure(secure) => secure.read(buffer),
        }
    }

    /// Says a few words to somebody who has been told nothing yet, so that there is room for them.
    pub(super) fn say(&mut self, words: &[u8]) -> io::Result<()> {
        let said = match self {
            Self::Plain(socket) => Raw(socket).write(words)?,
            Self::Secure(secure) => secure.write(words)?,
        };
        if said < words.len() { Err(ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    /// Nothing more is written.
    pub(super) fn end(&mut self) {
        match self {
            Self::Secure(secure) => secure.end(),
            Self::Plain(socket) => {
                // It fails when the other end has gone: then there is nobody to tell.
                let _ = rustix::net::shutdown(socket, Shutdown::Write);
            }
        }
    }

    /// What there is to be waited for before [`Self::read`] comes to something.
    pub(super) fn awaited(&self) -> PollFlags {
        match self {
            Self::Secure(secure) if secure.tls.wants_write() => PollFlags::IN | PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    /// The end that a node gets: the socket itself, or with TLS that of a tunnel to it.
    pub(super) fn into_end(self) -> io::Result<(Link, Option<Tunnel>)> {
        match self {
            Self::Plain(socket) => Ok((Link::handed(socket), None)),
            Self::Secure(secure) => {
                let [node, end] = Link::sockets(LinkKind::Unix)?;
                Ok((Link::handed(node), Some(Tunnel::begin(end, *secure)?)))
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Why nothing more comes of a frame.
#[derive(Debug, Error)]
pub(super) enum Lost {
    /// The other end has closed.
    #[error("it has closed the connection after {0} bytes of a word")]
    Ended(usize),
    /// The connection has failed.
    #[error("the connection has failed: {0}")]
    Failed(io::Error),
    /// What comes is no TLS, or not the peer's.
    #[error("{}", tls::why(.0))]
    Tls(rustls::Error),
    /// What comes is no frame.
    #[error("{0}")]
    NoWord(#[from] WordError),
}

impl Incoming {
    /// Takes in what is there of a frame, and not a byte behind it. Whether the frame is whole.
    pub(super) fn advance(&mut self, channel: &mut Channel) -> Result<bool, Lost> {
        let mut buffer = [0; READ_BYTES];
        loop {
            let wanted = self.wanted()?.min(READ_BYTES);
            if wanted == 0 {
                return Ok(true);
            }
            match channel.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(Lost::Ended(self.bytes().len())),
                Ok(read) => self.take(&buffer[..read]),
                Err(error) if is_early(&error) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(Lost::Ended(self.bytes().len()));
                }
                Err(error) => return Err(error.downcast().map_or_else(Lost::Failed, Lost::Tls)),
            }
        }
    }
}

/// Somebody who has been turned away, and is given time to read why: a socket that is closed before all that came has
/// been read takes back what was said last.
#[derive(Debug)]
pub(super) struct Leaving {
    channel: Channel,
    /// How much more is read.
    rest: usize,
}

impl Leaving {
    /// Somebody to whom these are the last words.
    pub(super) fn told(mut channel: Channel, words: &[u8]) -> Self {
        // Whoever does not hear them has gone already.
        let _ = channel.say(words);
        channel.end();
        Self { channel, rest: 1 << 20 }
    }

    /// Whether it is still there, and worth the trouble.
    pub(super) fn is_there(&mut self) -> bool {
        let mut buffer = [0; READ_BYTES];
        while self.rest > 0 {
            match Raw(self.channel.socket()).read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => self.rest = self.rest.saturating_sub(read),
                Err(error) => return is_early(&error),
            }
        }
        false
    }

    /// Waits for it to go, but not for longer than this.
    pub(super) fn until_gone(mut self, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        while self.is_there() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            wait(&mut [PollFd::new(&self.channel, self.channel.awaited())], left)?;
        }
        Ok(())
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }
}

/// Waits until one of these is ready, but not for longer than this.
pub(super) fn wait(sockets: &mut [PollFd<'_>], patience: Duration) -> io::Result<()> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    match poll(sockets, Some(&patience)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
