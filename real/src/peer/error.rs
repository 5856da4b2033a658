//! Why two sides did not meet, each with what to do about it where something can be done.

use super::address::Address;
use super::keys::KeysError;
use colo_protocol::NodeName;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// How much of anything that the peer has is told, characters.
const TOLD_CHARS_MAX: usize = 200;

/// Why two sides did not meet.
#[derive(Debug, Error)]
pub enum PeerError {
    /// An address that is not of this host, and nothing by which to know who comes.
    #[error(
        "{0} is not on this host alone, and without keys nobody can tell a peer from a stranger there; \
         make keys with colo ctl keys DIRECTORY, or use a loopback address or a Unix socket"
    )]
    KeysNeeded(Address),
    /// Keys that cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A name that means no place.
    #[error("{address} cannot be resolved: {source}")]
    Resolve {
        /// The address.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// An address at which nobody can listen.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// Nobody who is the peer was there in time.
    #[error("no peer at {address} within {} s: {last}", within.as_secs())]
    Unreached {
        /// The address.
        address: Address,
        /// How long it was tried.
        within: Duration,
        /// What the last attempt came to.
        last: String,
    },
    /// The two sides are not of one mind.
    #[error("{} differs: this side has {ours:?}, the peer has {theirs:?}", name.escape_debug())]
    Differs {
        /// What differs.
        name: String,
        /// What this side has.
        ours: String,
        /// What the peer has.
        theirs: String,
    },
    /// Both want to be the same.
    #[error("both sides are the {0}, expected one primary and one secondary")]
    SameSide(NodeName),
    /// The peer has no use for this connection.
    #[error("the peer at {0} turns this side away: it has met another, or has given up waiting")]
    TurnedAway(Address),
    /// The peer has keys and this side none, or the reverse.
    #[error("the peer at {address} {}", if *.peer_has { THE_PEER_HAS_KEYS } else { THE_PEER_HAS_NONE })]
    KeysOnOneSide {
        /// The address.
        address: Address,
        /// Whether it is the peer who has them.
        peer_has: bool,
    },
    /// Who is at the address is not the peer.
    #[error("whoever is at {address} is not the peer: {why}")]
    NotThePeer {
        /// The address.
        address: Address,
        /// What is wrong with what it showed.
        why: String,
    },
    /// The peer does not take this side for its peer.
    #[error("the peer at {address} does not take this side for its peer: {why}")]
    NotTaken {
        /// The address.
        address: Address,
        /// What it said.
        why: String,
    },
    /// Whoever is there speaks something else.
    #[error("whoever is at {address} is no colo: {why}")]
    NoColo {
        /// The address.
        address: Address,
        /// What came instead.
        why: String,
    },
    /// Whoever waited for the peer does not want it any more.
    #[error("nobody waits for the peer any more")]
    Stopped,
    /// The operating system refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
}

const THE_PEER_HAS_KEYS: &str = "has keys, and this side has none: give both sides keys, or neither";
const THE_PEER_HAS_NONE: &str = "has no keys, and this side has: give both sides keys, or neither";

impl PeerError {
    /// That the two sides are not of one mind about this.
    pub(super) fn differs(name: &str, ours: &str, theirs: &str) -> Self {
        let told = |text: &str| text.chars().take(TOLD_CHARS_MAX).collect();
        Self::Differs { name: told(name), ours: told(ours), theirs: told(theirs) }
    }

    /// Whether this side was told something that cannot be; otherwise what is around it lacks something.
    pub const fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Unreached { .. }
                | Self::Resolve { .. }
                | Self::Listen { .. }
                | Self::TurnedAway(_)
                | Self::Stopped
                | Self::Io(_)
        )
    }
}
