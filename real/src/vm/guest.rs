//! The programs that can run in a machine (`real/guest/`, compiled by this crate's build script), and what they can be told
//! to do beside answering requests.

use crate::abi::{self, Parameters};
use crate::misdeed::Misdeed;
use serde::{Deserialize, Serialize};

/// A program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Guest {
    /// The key-value service alone.
    #[default]
    Kv,
    /// The same, and every reply tells the time: where two of it execute, they answer differently.
    Clock,
    /// It writes to memory at a rate.
    Dirtier,
    /// It has timers, at which it writes, reads and copies.
    Mixed,
    /// It keeps a journal on its disk, and reads it back.
    Journal,
    /// A service on a network: it has a card, a TCP/IP stack of its own, and speaks the Redis protocol.
    Redis,
    /// It misbehaves. For tests; no user can choose it.
    #[doc(hidden)]
    Hostile(Misdeed),
}

impl Guest {
    /// The flat image, for [`Machine::boot`](super::Machine::boot).
    pub const fn image(self) -> &'static [u8] {
        match self {
            Self::Kv => include_bytes!(concat!(env!("OUT_DIR"), "/kv.bin")),
            Self::Clock => include_bytes!(concat!(env!("OUT_DIR"), "/clock.bin")),
            Self::Dirtier => include_bytes!(concat!(env!("OUT_DIR"), "/dirtier.bin")),
            Self::Mixed => include_bytes!(concat!(env!("OUT_DIR"), "/mixed.bin")),
            Self::Journal => include_bytes!(concat!(env!("OUT_DIR"), "/journal.bin")),
            Self::Redis => include_bytes!(concat!(env!("OUT_DIR"), "/redis.bin")),
            Self::Hostile(_) => include_bytes!(concat!(env!("OUT_DIR"), "/hostile.bin")),
        }
    }

    /// How it misbehaves, if it does, as it is told.
    const fn misdeed(self) -> u64 {
        match self {
            Self::Kv | Self::Clock | Self::Dirtier | Self::Mixed | Self::Journal | Self::Redis => 0,
            Self::Hostile(misdeed) => misdeed.number(),
        }
    }
}

/// In which order pages are written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Pattern {
    /// One after the other, round and round.
    #[default]
    Sequential,
    /// Any.
    Random,
    /// Any, but mostly of a sixteenth of them.
    Hot,
}

/// What a machine does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Workload {
    /// The program.
    pub guest: Guest,
    /// Which pages it writes to.
    pub pattern: Pattern,
    /// How many there are to be written to; 0 for all that there are.
    pub area_pages: u64,
    /// Pages written per checkpoint (tick).
    pub pages_per_tick: u64,
    /// Pages written per second of its own time, if the program has a rate.
    pub pages_per_second: u64,
    /// Blocks of the machine's disk; 0 if it has none.
    pub disk_blocks: u64,
    /// How often the secondary's leaves the primary's execution, where both execute.
    pub divergence: Option<Divergence>,
}

/// A rate at which requests are lost in a guest: it is given something else that asks for nothing. A service may do that;
/// whoever executes beside it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// Of so many requests
    pub of: u64,
    /// so many, on average.
    pub lost: u64,
    /// What they are drawn from: the same numbers are lost with the same seed.
    pub seed: u64,
}

impl Workload {
    /// Whether two machines that do this and are asked the same may answer differently.
    pub fn diverges(&self) -> bool {
        self.guest == Guest::Clock || self.divergence.is_some()
    }

    /// What the program is told.
    pub fn parameters(&self) -> Parameters {
        Parameters {
            dirty_pages_per_tick: self.pages_per_tick,
            pages_per_second: self.pages_per_second,
            area_pages_asked: self.area_pages,
            disk_blocks: self.disk_blocks,
            misdeed: self.guest.misdeed(),
            pattern: match self.pattern {
                Pattern::Sequential => abi::PATTERN_SEQUENTIAL,
                Pattern::Random => abi::PATTERN_RANDOM,
                Pattern::Hot => abi::PATTERN_HOT,
            },
            ..Parameters::default()
        }
    }
}
