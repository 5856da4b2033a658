//! The connecting end: it tries until the listener is there and has accepted all of its connections.

use super::address::{Address, Place};
use super::channel::{Channel, Lost, wait};
use super::keys::Keys;
use super::terms::{Connection, Terms};
use super::tls::{self, Configs};
use super::words::{Answer, FORMAT, Hello, Identity, Incoming, Last, WordError, framed};
use super::{Met, PeerError};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a place may take to be connected with: an address may mean others, too.
const PATIENCE_WITH_A_PLACE: Duration = Duration::from_secs(3);

/// Meets the listener at this address: tries until it is there, for so long.
pub(crate) fn connect(
    address: &Address,
    keys: Option<&Keys>,
    terms: &Terms,
    within: Duration,
) -> Result<Met, PeerError> {
    let keys = keys.map(|keys| keys.configs(terms.side)).transpose()?;
    let attempt = Attempt { address, keys, terms, run: Identity::random()?, until: Instant::now() + within };
    let mut last = "nobody was asked".to_owned();
    loop {
        for place in address.places(keys.is_some())? {
            match attempt.at(&place) {
                Ok(met) => return Ok(met),
                Err(Failed::Now(why)) => last = why,
                Err(Failed::Always(error)) => return Err(error),
            }
        }
        if attempt.left() <= PAUSE {
            return Err(PeerError::Unreached { address: address.clone(), within, last });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Why an attempt has failed.
enum Failed {
    /// Another may not.
    Now(String),
    /// Nor will any other.
    Always(PeerError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Now(error.to_string())
    }
}

/// What all attempts have in common.
struct Attempt<'a> {
    address: &'a Address,
    /// None without keys.
    keys: Option<&'a Configs>,
    terms: &'a Terms,
    run: Identity,
    until: Instant,
}

impl Attempt<'_> {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// All connections with who is at this place.
    fn at(&self, place: &Place) -> Result<Met, Failed> {
        let pairing = Identity::random()?;
        let mut channels = Vec::new();
        for connection in self.terms.connections() {
            channels.push((connection, self.accepted(place, connection, &pairing)?));
        }
        if let Some((_, link)) = channels.first_mut() {
            link.say(&framed(&Last::Begin)?)?;
        }
        Met::new(self.run.clone(), self.address.to_string(), channels).map_err(Failed::Always)
    }

    /// One connection, which the listener has accepted.
    fn accepted(&self, place: &Place, connection: Connection, pairing: &Identity) -> Result<Channel, Failed> {
        let mut channel = Channel::connecting(self.connected(place)?, self.keys)?;
        let hello = Hello {
            connection,
            run: self.run.clone(),
            pairing: pairing.clone(),
            side: self.terms.side,
            terms: self.terms.told(),
        };
        channel.say(&framed(&hello)?)?;
        match self.answer(&mut channel)? {
            Answer::Accepted => Ok(channel),
            Answer::NotDue => Err(Failed::Now(PeerError::TurnedAway(self.address.clone()).to_string())),
            Answer::Other(side, told) => {
                self.terms.told().agree(&told).map_err(Failed::Always)?;
                let same = side == self.terms.side;
                let puzzled = || self.no_colo("it refuses terms that are its own");
                Err(Failed::Always(if same { PeerError::SameSide(side) } else { puzzled() }))
            }
        }
    }

    /// A socket that is connected with this place.
    fn connected(&self, place: &Place) -> io::Result<OwnedFd> {
        let socket = begin_to_connect(place)?;
        let mut writable = [PollFd::new(&socket, PollFlags::OUT)];
        wait(&mut writable, self.left().min(PATIENCE_WITH_A_PLACE))?;
        if writable[0].revents().is_empty() {
            return Err(io::Error::new(ErrorKind::TimedOut, format!("nobody answers at {place}")));
        }
        sockopt::socket_error(&socket)?.map_err(io::Error::from)?;
        if let Place::Tcp(_) = place {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(socket)
    }

    /// What the listener answers.
    fn answer(&self, channel: &mut Channel) -> Result<Answer, Failed> {
        let mut answer = Incoming::default();
        while !answer.advance(channel).map_err(|lost| self.failed(lost))? {
            if self.left().is_zero() {
                return Err(Failed::Now("it is there, and does not answer".to_owned()));
            }
            wait(&mut [PollFd::new(&*channel, channel.awaited())], self.left())?;
        }
        answer.word().map_err(|error| self.failed(Lost::NoWord(error)))
    }

    /// What it means that no answer comes.
    fn failed(&self, lost: Lost) -> Failed {
        match lost {
            Lost::Ended(_) | Lost::Failed(_) => Failed::Now(lost.to_string()),
            Lost::Tls(error) => Failed::Always(self.not_secure(&error)),
            Lost::NoWord(WordError::Format(theirs)) => {
                let (ours, theirs) = (FORMAT.to_string(), theirs.to_string());
                Failed::Always(PeerError::differs("the format of the hello", &ours, &theirs))
            }
            Lost::NoWord(WordError::Tls) => {
                Failed::Always(PeerError::KeysOnOneSide { address: self.address.clone(), peer_has: true })
            }
            Lost::NoWord(error) => Failed::Always(self.no_colo(&error.to_string())),
        }
    }

    /// What it means that there can be no TLS with who is there.
    fn not_secure(&self, error: &rustls::Error) -> PeerError {
        let (address, why) = (self.address.clone(), tls::why(error));
        match error {
            error if tls::is_no_tls(error) => PeerError::KeysOnOneSide { address, peer_has: false },
            rustls::Error::InvalidCertificate(_) => PeerError::NotThePeer { address, why },
            rustls::Error::AlertReceived(alert) if tls::is_about_certificate(*alert) => {
                PeerError::NotTaken { address, why }
            }
            _ => PeerError::NoColo { address, why },
        }
    }

    fn no_colo(&self, why: &str) -> PeerError {
        PeerError::NoColo { address: self.address.clone(), why: why.to_owned() }
    }
}

/// Begins to connect with a place: whether it can be is known when the socket can be written to.
fn begin_to_connect(place: &Place) -> io::Result<OwnedFd> {
    let family = match place {
        Place::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
        Place::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        Place::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let begun = match place {
        Place::Tcp(address) => rustix::net::connect(&socket, address),
        Place::Unix(path) => rustix::net::connect(&socket, &SocketAddrUnix::new(path)?),
    };
    match begun {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
