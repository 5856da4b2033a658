//! The link between the two nodes: a stream socket, Unix or TCP on loopback, that never blocks its user.
//!
//! The harness makes both ends and hands them over, so that nobody else can be at either. Bytes only; what they mean is
//! the codec's and the core's business.

use colo_protocol::Rules;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// What sort of socket the link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A pair of Unix stream sockets.
    Unix,
    /// TCP over the loopback interface, with `TCP_NODELAY`.
    Tcp,
}

/// One end of the link.
#[derive(Debug)]
pub(crate) struct Link(Arc<OwnedFd>);

/// A node's ends of all that connects it with its peer.
#[derive(Debug)]
pub(crate) struct Connections {
    /// The link.
    pub(crate) link: Link,
    /// The connection of the comparison, where both VMs execute.
    pub(crate) comparison: Option<Link>,
    /// The connection of the disks, where the machine has one.
    pub(crate) replication: Option<Link>,
}

impl Connections {
    /// Both nodes' ends of new connections, as these rules need them, and disks.
    pub(crate) fn pair(kind: LinkKind, rules: &Rules, has_disk: bool) -> io::Result<[Self; 2]> {
        let wanted = |is_wanted: bool| -> io::Result<(Option<Link>, Option<Link>)> {
            let ends = is_wanted.then(|| Link::pair(kind)).transpose()?;
            Ok(ends.map(<(Link, Link)>::from).unzip())
        };
        let [link, other_link] = Link::pair(kind)?;
        let (comparison, other_comparison) = wanted(rules.is_hybrid())?;
        let (replication, other_replication) = wanted(has_disk)?;
        Ok([
            Self { link, comparison, replication },
            Self { link: other_link, comparison: other_comparison, replication: other_replication },
        ])
    }

    /// What is handed over, in the order in which [`Self::handed`] takes it.
    pub(crate) fn ends(&self) -> Vec<BorrowedFd<'_>> {
        let Self { link, comparison, replication } = self;
        let ends = [Some(link), comparison.as_ref(), replication.as_ref()];
        ends.into_iter().flatten().map(AsFd::as_fd).collect()
    }

    /// What has been handed over to a node of these rules, and with a disk or without; none, if something is missing.
    pub(crate) fn handed(
        rules: &Rules,
        has_disk: bool,
        mut next: impl FnMut() -> Option<OwnedFd>,
    ) -> Option<Self> {
        let link = Link::handed(next()?);
        let comparison = if rules.is_hybrid() { Some(Link::handed(next()?)) } else { None };
        let replication = if has_disk { Some(Link::handed(next()?)) } else { None };
        Some(Self { link, comparison, replication })
    }
}

/// What an attempt to move bytes came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// This many bytes, at least one.
    Bytes(usize),
    /// None now; the socket is to be polled.
    WouldBlock,
    /// The link is gone.
    Gone,
}

impl Link {
    /// Both ends of a new link.
    pub(crate) fn pair(kind: LinkKind) -> io::Result<[Self; 2]> {
        Ok(Self::sockets(kind)?.map(Self::handed))
    }

    /// Both ends of what a new link is, which never block.
    pub(crate) fn sockets(kind: LinkKind) -> io::Result<[OwnedFd; 2]> {
        let sockets = match kind {
            LinkKind::Unix => UnixStream::pair().map(|(one, other)| [one.into(), other.into()])?,
            LinkKind::Tcp => tcp_pair()?.map(OwnedFd::from),
        };
        for socket in &sockets {
            fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?;
        }
        Ok(sockets)
    }

    /// The end that somebody who has made it hands over.
    pub(crate) fn handed(socket: OwnedFd) -> Self {
        Self(Arc::new(socket))
    }

    /// Another handle on the same socket.
    pub(crate) fn another(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Moved {
        moved(recv(&self.0, buffer, RecvFlags::empty()).map(|(read, _)| read))
    }

    /// Writes what there is room for of these parts, one behind the other.
    pub(crate) fn write(&mut self, parts: &[IoSlice<'_>]) -> Moved {
        moved(sendmsg(&self.0, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL))
    }

    /// Shuts both directions down, so that both ends see the link closed; or only that of what is written, so that the
    /// other end sees it behind all that was.
    pub(crate) fn shut_down(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        // It fails when the peer has closed already: then there is nothing left to do.
        let _ = rustix::net::shutdown(&self.0, how);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Two ends over the loopback interface. Whoever else connects meanwhile is turned away.
fn tcp_pair() -> io::Result<[TcpStream; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let own = one.local_addr()?;
    let other = loop {
        let (stream, from) = listener.accept()?;
        if from == own {
            break stream;
        }
    };
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok([one, other])
}

fn moved(result: rustix::io::Result<usize>) -> Moved {
    match result {
        Ok(0) => Moved::Gone,
        Ok(bytes) => Moved::Bytes(bytes),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Moved::WouldBlock,
        Err(_) => Moved::Gone,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_the_one_end_writes_the_other_reads_and_neither_waits() {
        for kind in [LinkKind::Unix, LinkKind::Tcp] {
            let [mut one, mut other] = Link::pair(kind).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(other.read(&mut buffer), Moved::WouldBlock);
            assert_eq!(one.write(&[IoSlice::new(b"two "), IoSlice::new(b"parts")]), Moved::Bytes(9));
            one.shut_down(Shutdown::Write);
            let mut read = Vec::new();
            loop {
                match other.read(&mut buffer) {
                    Moved::Bytes(count) => read.extend_from_slice(&buffer[..count]),
                    Moved::WouldBlock => std::thread::yield_now(),
                    Moved::Gone => break,
                }
            }
            assert_eq!(read, b"two parts", "{kind:?}");
        }
    }

    #[test]
    fn tcp_is_between_the_two_and_on_loopback() {
        let [one, other] = tcp_pair().unwrap();
        assert!(one.local_addr().unwrap().ip().is_loopback());
        assert_eq!(one.local_addr().unwrap(), other.peer_addr().unwrap());
        assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
    }
}
