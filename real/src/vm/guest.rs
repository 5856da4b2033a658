//! The programs that can run in a machine (`real/guest/`, compiled by this crate's build script), and what they can be told
//! to do beside answering requests.

use super::network::CardConfig;
use crate::abi::{self, CardParameters, Parameters};
use crate::misdeed::Misdeed;
use crate::net::{Endpoint, PREFIX_BITS};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

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
    /// A store that speaks the Redis protocol over TCP, on a network card.
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

/// Where a guest is in its network. The same for both machines of a pair: whoever serves is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Network {
    /// The card's address.
    pub hardware_address: [u8; 6],
    /// The guest's.
    pub address: Ipv4Addr,
    /// Bits of the network's prefix.
    pub prefix_bits: u8,
    /// The TCP port of its service.
    pub port: u16,
    /// What everything that is to look random in the guest is drawn from.
    pub seed: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            hardware_address: Endpoint::GUEST.mac.0,
            address: Endpoint::GUEST.ip,
            prefix_bits: PREFIX_BITS,
            port: 6379,
            seed: 0,
        }
    }
}

impl Network {
    /// The card, and what the guest is told.
    const fn card(&self) -> CardConfig {
        CardConfig {
            hardware_address: self.hardware_address,
            parameters: CardParameters {
                address: self.address.to_bits() as u64,
                prefix_bits: self.prefix_bits as u64,
                port: self.port as u64,
                seed: self.seed,
            },
        }
    }
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
    /// Where the program is found, if it serves over a network card.
    pub network: Network,
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
    /// The network card that its machine has, if the program serves over one.
    pub const fn card(&self) -> Option<CardConfig> {
        match self.guest {
            Guest::Redis => Some(self.network.card()),
            Guest::Hostile(misdeed) if misdeed.takes_a_card() => Some(self.network.card()),
            _ => None,
        }
    }

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
