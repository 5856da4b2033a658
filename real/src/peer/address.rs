//! Where a peer is met: a TCP address, or a Unix socket of this host. Written `HOST:PORT`, `[v6]:PORT` or `unix:PATH`.
//!
//! Text to places only; nothing is opened here.

use super::PeerError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// The longest path that the kernel takes for a Unix socket, bytes.
const PATH_BYTES_MAX: usize = 107;

/// Where a peer is met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A name or a number of a host, and a port.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port; 0 lets the kernel choose one to listen on.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// What is no address.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// There is no port, or no host.
    #[error("{0:?} is no address, expected HOST:PORT, [IPv6]:PORT or unix:PATH")]
    Form(String),
    /// The port is no number of a port.
    #[error("{port:?} of {address:?} is no port, expected a number from 0 to 65535")]
    Port {
        /// All of it.
        address: String,
        /// What stands behind the last colon.
        port: String,
    },
    /// An IPv6 address without brackets, of which nobody can say where its port begins.
    #[error("{0:?} has more than one colon, expected an IPv6 address in brackets: [::1]:7000")]
    Brackets(String),
    /// A path that no Unix socket can have.
    #[error("a Unix socket's path of {0} bytes, expected from 1 to {PATH_BYTES_MAX}")]
    Path(usize),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let form = || AddressError::Form(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(AddressError::Brackets(text.to_owned()));
        }
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']']) || port.is_empty() {
            return Err(form());
        }
        let number = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        let bad_port = || AddressError::Port { address: text.to_owned(), port: port.to_owned() };
        Ok(Self::Tcp { host: host.to_owned(), port: number.ok_or_else(bad_port)? })
    }
}

fn unix(path: &str) -> Result<Address, AddressError> {
    let path = PathBuf::from(path);
    match path.as_os_str().as_bytes().len() {
        1..=PATH_BYTES_MAX => Ok(Address::Unix(path)),
        bytes => Err(AddressError::Path(bytes)),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

/// A place in the kernel's terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Place {
    /// Whether nobody outside of this host can be there.
    fn is_within_host(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl Address {
    /// The places that this address means, at least one. Without keys it may mean none but on this host: whoever else
    /// came could not be told from the peer.
    pub(super) fn places(&self, with_keys: bool) -> Result<Vec<Place>, PeerError> {
        let places = match self {
            Self::Unix(path) => vec![Place::Unix(path.clone())],
            Self::Tcp { host, port } => self.resolved(host, *port)?,
        };
        if !with_keys && !places.iter().all(Place::is_within_host) {
            return Err(PeerError::KeysNeeded(self.clone()));
        }
        Ok(places)
    }

    fn resolved(&self, host: &str, port: u16) -> Result<Vec<Place>, PeerError> {
        let places: Vec<_> = (host, port)
            .to_socket_addrs()
            .map_err(|source| PeerError::Resolve { address: self.clone(), source })?
            .map(Place::Tcp)
            .collect();
        if places.is_empty() {
            let source = std::io::Error::other("the name has no address");
            return Err(PeerError::Resolve { address: self.clone(), source });
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [
            "localhost:7000",
            "10.0.0.2:1",
            "[::1]:0",
            "[fe80::1%eth0]:65535",
            "unix:/run/colo.sock",
            "unix:x",
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_one_looks_like() {
        for (text, told) in [
            ("", "HOST:PORT"),
            ("localhost", "HOST:PORT"),
            (":7000", "HOST:PORT"),
            ("localhost:", "HOST:PORT"),
            ("[::1:7000", "brackets"),
            ("::1:7000", "brackets"),
            ("[]:7000", "HOST:PORT"),
            ("host:http", "no port"),
            ("host:65536", "no port"),
            ("host:+1", "no port"),
            ("unix:", "path of 0 bytes"),
            (&format!("unix:/{}", "x".repeat(107)), "path of 108 bytes"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn without_keys_an_address_may_not_mean_another_host() {
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "unix:/x"]
        {
            assert!(own.parse::<Address>().unwrap().places(false).is_ok(), "{own}");
        }
        for other in ["10.0.0.2:1", "0.0.0.0:1", "[::]:1", "[2001:db8::1]:1"] {
            let address: Address = other.parse().unwrap();
            let error = address.places(false).unwrap_err().to_string();
            assert!(error.contains("colo ctl keys DIRECTORY"), "{error}");
            assert!(address.places(true).is_ok(), "{other}");
        }
    }
}
