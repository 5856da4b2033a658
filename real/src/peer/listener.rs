//! The listening end: a socket at an address, and whoever comes to it.

use super::PeerError;
use super::address::{Address, Place};
use super::keys::Keys;
use super::tls::Configs;
use colo_protocol::NodeName;
use rustix::fs::{FileType, Mode, fchmod, lstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long nobody is let in for want of something: who waits is there all the time, and would be looked at in a loop.
const WANT: Duration = Duration::from_millis(20);

/// Waits at an address for peers.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    keys: Option<Keys>,
}

/// A socket at an address.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of this host, and its path.
    Unix(UnixListener, SocketPath),
}

/// A socket's path, which goes with it.
#[derive(Debug)]
pub(crate) struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Who has removed it before has done what is to be done.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens at this address: without keys only at one that nobody outside of this host can reach.
    pub fn bind(address: &Address, keys: Option<Keys>) -> Result<Self, PeerError> {
        let socket = Socket::bind(address, keys.is_some())?;
        let address = socket.address().unwrap_or_else(|_| address.clone());
        Ok(Self { socket, address, keys })
    }

    /// Where it listens: with the port that the kernel has chosen, if it was to choose.
    pub const fn local_address(&self) -> &Address {
        &self.address
    }

    /// How to speak with whoever comes, if this side is what it says; nothing without keys.
    pub(super) fn configs(&self, side: NodeName) -> Result<Option<&Configs>, PeerError> {
        self.keys.as_ref().map(|keys| keys.configs(side)).transpose()
    }

    /// Whoever has come, and who it is as far as the kernel can say; none if nobody has.
    pub(super) fn next(&self) -> io::Result<Option<(OwnedFd, String)>> {
        let came = match &self.socket {
            Socket::Tcp(listener) => listener.accept().and_then(|(stream, from)| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok((OwnedFd::from(stream), from.to_string()))
            }),
            Socket::Unix(listener, _) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                let who = sockopt::socket_peercred(&stream)?;
                let (process, user) = (who.pid.as_raw_nonzero(), who.uid.as_raw());
                Ok((OwnedFd::from(stream), format!("process {process} of user {user}")))
            }),
        };
        match came {
            Ok(came) => Ok(Some(came)),
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) if is_want(&error) => {
                std::thread::sleep(WANT);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the host lets nobody in now: it has no room for one more, or a rule of its own against this one. Strangers can
/// bring that about, and must not end the listening with it.
fn is_want(error: &io::Error) -> bool {
    use Errno as E;
    const WANTS: [Errno; 6] = [E::MFILE, E::NFILE, E::NOBUFS, E::NOMEM, E::PROTO, E::PERM];
    Errno::from_io_error(error).is_some_and(|errno| WANTS.contains(&errno))
}

/// Whether it is nothing that stays: nobody is there, or who was has gone again.
fn is_passing(error: &io::Error) -> bool {
    use ErrorKind as K;
    matches!(
        error.kind(),
        K::WouldBlock
            | K::Interrupted
            | K::ConnectionAborted
            | K::ConnectionReset
            | K::NotConnected
            | K::InvalidInput
            | K::NetworkDown
            | K::NetworkUnreachable
            | K::HostUnreachable
    )
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// A socket at which somebody waits until others come.
pub(crate) enum Accepting {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of this host.
    Unix(UnixListener),
}

impl Accepting {
    /// The next who comes.
    pub(crate) fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Self::Unix(listener) => Ok(listener.accept()?.0.into()),
        }
    }
}

impl Socket {
    /// Who accepts waits from now on.
    pub(crate) fn let_it_block(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(false),
            Self::Unix(listener, _) => listener.set_nonblocking(false),
        }
    }

    /// The socket, and its path apart from it.
    pub(crate) fn split(self) -> (Accepting, Option<SocketPath>) {
        match self {
            Self::Tcp(listener) => (Accepting::Tcp(listener), None),
            Self::Unix(listener, path) => (Accepting::Unix(listener), Some(path)),
        }
    }

    /// A socket at this address; only where nobody outside of this host can reach it, unless it may be `anywhere`. It does
    /// not block.
    pub(crate) fn bind(address: &Address, anywhere: bool) -> Result<Self, PeerError> {
        let mut last = io::Error::other("the name has no address");
        for place in address.places(anywhere)? {
            match Self::at(&place) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(PeerError::Listen { address: address.clone(), source: last })
    }

    fn at(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
            Place::Unix(path) => {
                let listener = match unix(path) {
                    Err(Errno::ADDRINUSE) if is_left_behind(path) => {
                        std::fs::remove_file(path)?;
                        unix(path)?
                    }
                    listener => listener?,
                };
                Ok(Self::Unix(listener.into(), SocketPath(path.clone())))
            }
        }
    }

    fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::from),
            Self::Unix(_, SocketPath(path)) => Ok(Address::Unix(path.clone())),
        }
    }
}

/// Listens at a path, which nobody but its owner can connect to from the moment at which it is there.
fn unix(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file takes its mode from the socket.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether a path is a socket at which nobody listens any more: its process was killed.
fn is_left_behind(path: &Path) -> bool {
    let is_socket =
        lstat(path).is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Socket);
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_or_a_busy_host_bring_about_ends_no_listening() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PROTO, Errno::PERM] {
            assert!(is_want(&error(errno)), "{errno}");
        }
        for errno in [Errno::AGAIN, Errno::CONNABORTED] {
            assert!(is_passing(&error(errno)) && !is_want(&error(errno)), "{errno}");
        }
        for errno in [Errno::BADF, Errno::NOTSOCK] {
            assert!(!is_passing(&error(errno)) && !is_want(&error(errno)), "{errno}");
        }
    }
}
