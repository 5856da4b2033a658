//! How the two sides of a pair meet that run on different hosts, and the connections that their nodes get then.
//!
//! ```text
//!   address     where a peer is met
//!   terms       what both sides have to agree on
//!   words       what they say to each other, in frames; the decoder of what comes
//!   channel     a connection before a node has it
//!   listener    the listening end's socket
//!   reception   whoever comes to it, until the peer is there
//!   connecting  the connecting end
//!   keys        what a side shows its peer, and by what it knows it
//!   making      new keys
//!   tls         TLS with them: who is the peer, and what is told of who is not
//!   secure      a socket with TLS on it
//!   tunnel      from such a socket to a node, which knows nothing of it
//!   bare        the decoder without a connection, for fuzzing
//!   error       why two sides did not meet
//! ```
//!
//! No protocol here, and nothing of COLO's stream: when the sides have met, the nodes speak, over ends that are as those
//! of a pair on one host.

mod address;
mod bare;
mod channel;
mod connecting;
mod error;
mod keys;
mod listener;
mod making;
mod reception;
mod secure;
mod terms;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod words;

pub use address::{Address, AddressError};
#[doc(hidden)]
pub use bare::{Heard, hear_hello};
pub(crate) use connecting::connect;
pub use error::PeerError;
pub use keys::{Keys, KeysError};
pub use listener::Listener;
pub(crate) use listener::{Socket, SocketPath};
pub use making::make_keys;
pub use reception::Stranger;
pub use terms::Terms;

use crate::link::Connections;
use channel::Channel;
use terms::Connection;
pub(crate) use tunnel::Tunnel;
use words::Identity;

/// What came of a meeting.
#[derive(Debug)]
pub(crate) struct Met {
    /// The node's ends of all that connects it with its peer.
    pub(crate) connections: Connections,
    /// Which service this is: the same on both sides, and in no other run.
    pub(crate) run: String,
    /// Who the peer is.
    pub(crate) peer: String,
    /// What carries the bytes, with keys: it has to live for as long as the connections, and ends with them.
    pub(crate) tunnels: Vec<Tunnel>,
}

impl Met {
    /// Of channels, one of each connection that the terms need.
    fn new(run: Identity, peer: String, channels: Vec<(Connection, Channel)>) -> Result<Self, PeerError> {
        let [mut link, mut comparison, mut replication] = [None, None, None];
        let mut tunnels = Vec::new();
        for (connection, channel) in channels {
            let (end, tunnel) = channel.into_end()?;
            tunnels.extend(tunnel);
            match connection {
                Connection::Link => link = Some(end),
                Connection::Comparison => comparison = Some(end),
                Connection::Replication => replication = Some(end),
            }
        }
        let link = link.ok_or_else(|| std::io::Error::other("a meeting without a link"))?;
        Ok(Self {
            connections: Connections { link, comparison, replication },
            run: run.into(),
            peer,
            tunnels,
        })
    }
}
