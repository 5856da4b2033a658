//! What a pair comes to while it serves, for whoever watches it.

use colo_protocol::NodeName;

/// Something that has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PairEvent {
    /// Whoever serves is protected: by a peer that could take over from now on.
    Protected {
        /// The primary's process.
        primary: u32,
        /// The secondary's.
        secondary: u32,
    },
    /// A node has died that nobody here has killed.
    Died {
        /// Which.
        node: NodeName,
        /// Its process.
        process: u32,
        /// How it has ended.
        how: String,
    },
    /// A node serves alone.
    TookOver {
        /// Which.
        node: NodeName,
        /// Its process.
        process: u32,
    },
}
