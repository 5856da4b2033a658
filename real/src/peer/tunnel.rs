//! From a socket with TLS on it to a node, which knows nothing of it: a thread carries bytes both ways, and ends as they
//! are, too. A node holds no keys and decrypts nothing; its end of the tunnel is a Unix socket.
//!
//! Each direction ends by itself, behind all of its bytes: a node that shuts down what it writes becomes a
//! `close_notify` and a FIN, and these become an end of what the other node reads. A FIN without `close_notify` is a lost link, for anybody
//! on the way can send one: what had come before is the peer's and is delivered, then both directions are closed. So is
//! a reset. Whoever does not read stops who writes: what is held here has a bound.

use super::channel::wait;
use super::secure::{Raw, Secure, is_early};
use rustix::event::{PollFd, PollFlags};
use rustix::net::Shutdown;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is read at once, of either side, bytes.
const READ_BYTES: usize = 256 << 10;

/// How long, when the node has gone, the peer may take for what is left for it, and send on.
const PATIENCE_WITHOUT_NODE: Duration = Duration::from_secs(30);

/// The longest sleep: there is nothing to look up.
const LONG: Duration = Duration::from_hours(1);

/// A tunnel. It ends with the connections that it carries, whoever has a handle on it.
#[derive(Debug)]
pub(crate) struct Tunnel(JoinHandle<()>);

impl Tunnel {
    /// Begins to carry between this end, whose other a node gets, and a socket with TLS on it.
    pub(super) fn begin(node: OwnedFd, secure: Secure) -> io::Result<Self> {
        let carrier = Carrier {
            node,
            secure,
            outward: Outward::Open,
            inward: Inward::Open,
            from_node: Bytes::new(),
            from_peer: Bytes::new(),
            has_to_deliver: false,
        };
        Ok(Self(thread::Builder::new().name("tunnel".to_owned()).spawn(|| carrier.carry())?))
    }

    /// Whether it has carried all that it had to, and ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

/// From the node to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outward {
    /// The node may write.
    Open,
    /// It will not any more; what it has written is to be encrypted.
    Ending,
    /// All of it is encrypted, and that this is the end; it is to be sent.
    Ended,
    /// Nothing more is sent.
    Over,
}

/// From the peer to the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inward {
    /// The peer may send.
    Open,
    /// It has sent what cannot be: what had come before is to be delivered, and then the connection is lost.
    Broken,
    /// The node has gone at this time; what still comes is read and forgotten, so that the peer gets what the node has
    /// said last: a socket that is closed with something unread in it takes that back.
    Unwanted(Instant),
    /// Nothing more comes.
    Over,
}

/// Bytes that have been read and are not all passed on.
#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    /// What is left of them.
    left: Range<usize>,
}

impl Bytes {
    fn new() -> Self {
        Self { bytes: vec![0; READ_BYTES], left: 0..0 }
    }

    fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    fn left(&self) -> &[u8] {
        &self.bytes[self.left.clone()]
    }

    /// Reads anew, when nothing is left. How many; 0 at the end.
    fn read(&mut self, socket: &OwnedFd) -> io::Result<usize> {
        let read = Raw(socket).read(&mut self.bytes)?;
        self.left = 0..read;
        Ok(read)
    }

    fn pass(&mut self, count: usize) {
        self.left.start += count;
    }
}

/// The connection with the peer is lost, both ways.
struct Lost;

struct Carrier {
    node: OwnedFd,
    secure: Secure,
    outward: Outward,
    inward: Inward,
    /// What the node has written and is not encrypted yet.
    from_node: Bytes,
    /// What has come from the peer and is not decrypted yet.
    from_peer: Bytes,
    /// Whether the node has not taken yet what is decrypted.
    has_to_deliver: bool,
}

impl Carrier {
    /// Carries until there is nothing left to carry.
    fn carry(mut self) {
        while !self.is_over() {
            if self.carry_what_is_there().and_then(|()| self.rest()).is_err() {
                // What had come is with the node already. It neither gets nor sends any more; the peer sees a reset, or an
                // end without a `close_notify`.
                return shut(&self.node, Shutdown::Both);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.outward == Outward::Over && self.inward == Inward::Over
    }

    /// A portion each way, so that neither waits for the other.
    fn carry_what_is_there(&mut self) -> Result<(), Lost> {
        if self.send().is_err() {
            self.stop_sending();
        }
        match self.inward {
            Inward::Open | Inward::Broken => self.receive(),
            Inward::Unwanted(_) => {
                self.forget();
                Ok(())
            }
            Inward::Over => Ok(()),
        }
    }

    /// Nothing that the node writes can be sent any more; what has come can still be read.
    fn stop_sending(&mut self) {
        shut(&self.node, Shutdown::Read);
        self.outward = Outward::Over;
    }

    /// Sends what the node has written: what is left of it, and one portion more.
    fn send(&mut self) -> io::Result<()> {
        let mut has_read = false;
        while self.outward != Outward::Over && self.secure.flush()? {
            if !self.from_node.is_empty() {
                let written = self.secure.tls.writer().write(self.from_node.left())?;
                self.from_node.pass(written);
                if written == 0 {
                    break;
                }
                continue;
            }
            match self.outward {
                Outward::Open if has_read => break,
                Outward::Open => match self.from_node.read(&self.node) {
                    Err(error) if is_early(&error) => break,
                    Ok(1..) => has_read = true,
                    // A node that was killed may leave an error instead of an end: it is one all the same.
                    Ok(0) | Err(_) => self.outward = Outward::Ending,
                },
                Outward::Ending => {
                    self.secure.tls.send_close_notify();
                    self.outward = Outward::Ended;
                }
                Outward::Ended | Outward::Over => {
                    shut(&self.secure.socket, Shutdown::Write);
                    self.outward = Outward::Over;
                }
            }
        }
        Ok(())
    }

    /// Delivers what the peer has sent: what is left of it, and one portion more.
    fn receive(&mut self) -> Result<(), Lost> {
        let mut has_read = false;
        loop {
            self.has_to_deliver = !self.deliver()?;
            match self.inward {
                Inward::Open if !self.has_to_deliver => (),
                Inward::Broken if !self.has_to_deliver => return Err(Lost),
                _ => break,
            }
            if !self.from_peer.is_empty() {
                match self.secure.take(self.from_peer.left()) {
                    Ok(taken) => self.from_peer.pass(taken),
                    Err(_) => self.inward = Inward::Broken,
                }
            } else if has_read {
                break;
            } else {
                match self.from_peer.read(&self.secure.socket) {
                    Err(error) if is_early(&error) => break,
                    // Behind a close_notify nobody looks; before one, this is not the peer's doing.
                    Ok(0) | Err(_) => return Err(Lost),
                    Ok(1..) => has_read = true,
                }
            }
        }
        Ok(())
    }

    /// Gives the node what has been decrypted. Whether it has taken all of it.
    fn deliver(&mut self) -> Result<bool, Lost> {
        loop {
            let mut reader = self.secure.tls.reader();
            let delivered = match reader.fill_buf() {
                Ok([]) => {
                    shut(&self.node, Shutdown::Write);
                    self.inward = Inward::Over;
                    return Ok(true);
                }
                Ok(bytes) => Raw(&self.node).write(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(_) => return Err(Lost),
            };
            match delivered {
                Ok(count) => reader.consume(count),
                Err(error) if is_early(&error) => return Ok(false),
                Err(_) => {
                    self.inward = Inward::Unwanted(Instant::now());
                    return Ok(true);
                }
            }
        }
    }

    /// Reads what nobody wants.
    fn forget(&mut self) {
        match self.from_peer.read(&self.secure.socket) {
            Err(error) if is_early(&error) => (),
            Ok(1..) => (),
            Ok(0) | Err(_) => self.inward = Inward::Over,
        }
    }

    /// Sleeps until there is something to do.
    fn rest(&mut self) -> Result<(), Lost> {
        if self.is_over() {
            return Ok(());
        }
        let patience = match self.inward {
            Inward::Unwanted(since) => PATIENCE_WITHOUT_NODE.checked_sub(since.elapsed()).ok_or(Lost)?,
            Inward::Open | Inward::Broken | Inward::Over => LONG,
        };
        let [node, peer] = self.awaited();
        let mut awaited: Vec<_> = node.iter().chain(&peer).cloned().collect();
        wait(&mut awaited, patience).map_err(|_| Lost)?;
        let mut happened = awaited.iter().map(PollFd::revents);
        let [node_says, peer_says] = [&node, &peer]
            .map(|end| end.as_ref().and_then(|_| happened.next()).unwrap_or(PollFlags::empty()));
        let is_idle = peer.is_some() && !self.wants_of_peer().intersects(PollFlags::IN | PollFlags::OUT);
        if self.is_wanted() && node_says.contains(PollFlags::HUP) {
            self.inward = Inward::Unwanted(Instant::now());
        }
        if is_idle && peer_says.intersects(PollFlags::ERR | PollFlags::HUP) {
            self.stop_sending();
        }
        Ok(())
    }

    /// What there is to be waited for of the node, and of the peer. What neither is to be read nor written is waited for
    /// only for as long as it is news that it has gone: it would be said again and again.
    fn awaited(&self) -> [Option<PollFd<'_>>; 2] {
        let (node, peer) = (self.wants_of_node(), self.wants_of_peer());
        let of_node = !node.is_empty() || self.is_wanted();
        let of_peer = !peer.is_empty() || self.outward != Outward::Over;
        [
            of_node.then(|| PollFd::new(&self.node, node)),
            of_peer.then(|| PollFd::new(&self.secure.socket, peer)),
        ]
    }

    /// Whether the node may still read.
    const fn is_wanted(&self) -> bool {
        matches!(self.inward, Inward::Open | Inward::Broken)
    }

    fn wants_of_node(&self) -> PollFlags {
        let reads =
            self.outward == Outward::Open && self.from_node.is_empty() && !self.secure.tls.wants_write();
        let writes = self.is_wanted() && self.has_to_deliver;
        (if reads { PollFlags::IN } else { PollFlags::empty() })
            | (if writes { PollFlags::OUT } else { PollFlags::empty() })
    }

    fn wants_of_peer(&self) -> PollFlags {
        let reads = match self.inward {
            Inward::Open => !self.has_to_deliver,
            Inward::Unwanted(_) => true,
            Inward::Broken | Inward::Over => false,
        };
        let writes = self.outward != Outward::Over && self.secure.tls.wants_write();
        (if reads { PollFlags::IN } else { PollFlags::empty() })
            | (if writes { PollFlags::OUT } else { PollFlags::empty() })
    }
}

/// Shuts a direction down, or both.
fn shut(socket: &OwnedFd, how: Shutdown) {
    // It fails when the other end has gone: then there is nobody to tell.
    let _ = rustix::net::shutdown(socket, how);
}
