//! The link between the two nodes: a stream socket, Unix or TCP on loopback, that never blocks its user.
//!
//! Bytes only; what they mean is the codec's and the core's business.

use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What sort of socket the link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A Unix stream socket.
    Unix,
    /// TCP over the loopback interface, with `TCP_NODELAY`.
    Tcp,
}

/// Where the secondary listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
}

/// A socket that waits for the primary.
#[derive(Debug)]
pub(crate) enum Listener {
    /// See [`LinkKind::Unix`].
    Unix(UnixListener),
    /// See [`LinkKind::Tcp`].
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on a socket of this kind; a Unix socket is made at `path`.
    pub(crate) fn bind(kind: LinkKind, path: &Path) -> io::Result<(Self, Address)> {
        match kind {
            LinkKind::Unix => {
                let listener = UnixListener::bind(path)?;
                // Whoever connects is taken for the primary: nobody else may.
                std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
                Ok((Self::Unix(listener), Address::Unix(path.to_owned())))
            }
            LinkKind::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let address = listener.local_addr()?;
                Ok((Self::Tcp(listener), Address::Tcp(address)))
            }
        }
    }

    /// Takes the primary in, which must be there, and nobody after it: a Unix socket's path is removed.
    pub(crate) fn accept(self) -> io::Result<Link> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                if let Some(path) = listener.local_addr()?.as_pathname() {
                    std::fs::remove_file(path)?;
                }
                Link::unix(stream)
            }
            Self::Tcp(listener) => Link::tcp(listener.accept()?.0),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// One end of the link.
#[derive(Debug)]
pub(crate) enum Link {
    /// See [`LinkKind::Unix`].
    Unix(UnixStream),
    /// See [`LinkKind::Tcp`].
    Tcp(TcpStream),
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
    /// Connects to a listening secondary.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Self::unix(UnixStream::connect(path)?),
            Address::Tcp(address) => {
                expect_loopback(address)?;
                Self::tcp(TcpStream::connect(address)?)
            }
        }
    }

    fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(stream))
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Moved {
        moved(match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        })
    }

    /// Writes what there is room for of these parts, one behind the other.
    pub(crate) fn write(&mut self, parts: &[IoSlice<'_>]) -> Moved {
        moved(match self {
            Self::Unix(stream) => stream.write_vectored(parts),
            Self::Tcp(stream) => stream.write_vectored(parts),
        })
    }

    /// Shuts both directions down, so that both ends see the link closed; or only that of what is written, so that the
    /// other end sees it behind all that was.
    pub(crate) fn shut_down(&self, how: Shutdown) {
        // It fails when the peer has closed already: then there is nothing left to do.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Links are not authenticated, so they do not leave the machine.
fn expect_loopback(address: &SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let problem = format!("a link to {address}: links are not authenticated, expected a loopback address");
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}

fn moved(result: io::Result<usize>) -> Moved {
    match result {
        Ok(0) => Moved::Gone,
        Ok(bytes) => Moved::Bytes(bytes),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Moved::WouldBlock
        }
        Err(_) => Moved::Gone,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_is_its_owners_only() {
        let directory = tempfile::tempdir().unwrap();
        let (_listener, address) = Listener::bind(LinkKind::Unix, &directory.path().join("link")).unwrap();
        let Address::Unix(path) = address else { panic!("asked for a Unix socket, got {address:?}") };
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn tcp_listens_on_loopback_and_connects_to_nothing_else() {
        let (_listener, address) = Listener::bind(LinkKind::Tcp, Path::new("")).unwrap();
        let Address::Tcp(address) = address else { panic!("asked for TCP, got {address:?}") };
        assert!(address.ip().is_loopback());
        let elsewhere = "192.0.2.1:4444".parse().unwrap();
        assert_eq!(
            Link::connect(&Address::Tcp(elsewhere)).unwrap_err().to_string(),
            "a link to 192.0.2.1:4444: links are not authenticated, expected a loopback address"
        );
    }
}
