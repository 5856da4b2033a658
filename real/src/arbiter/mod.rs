//! The arbiter: who gives the right to serve alone, once a generation and for ever.
//!
//! ```text
//!   claim     what is claimed, by whom, and the words in which an arbiter keeps it
//!   memory    the harness's own: it lasts as long as the process
//!   file      a directory on shared storage
//!   etcd      an etcd cluster
//!   address   which of them, as it is written on the command line
//!   asking    asks without waiting, again and again until there is an answer
//! ```
//!
//! An arbiter is one compare-and-swap: the first who claims a generation of a service has it. There is no lease and no way
//! to give a claim back, because who holds it may be stopped for any time and go on without knowing. Nothing of the
//! protocol is decided here: that a node asks, and what it makes of the answer, is the core's business.

mod address;
mod asking;
mod claim;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod memory;

pub use address::{AddressError, ArbiterAddress};
pub use asking::{Asking, Told};
pub use claim::{Claim, RunId};
#[cfg(feature = "etcd")]
pub use etcd::EtcdArbiter;
pub use file::FileArbiter;
pub use memory::MemoryArbiter;

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Gives each generation of a service to one claimant.
pub trait Arbiter: Send {
    /// Whether the generation is the claimant's. Whoever is the first to claim it has it for ever; a claimant that asks
    /// again, because it has not heard the answer say, gets the same one.
    ///
    /// # Errors
    /// The arbiter has not answered. The claim may have been granted all the same, and nobody knows until somebody asks
    /// again.
    fn claim(&mut self, claim: &Claim) -> Result<bool, ArbiterError>;
}

/// Why an arbiter has not answered.
#[derive(Debug, Error)]
pub enum ArbiterError {
    /// The storage refused something.
    #[error("cannot {action} {}: {source}", .path.display())]
    Storage {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is a claim, and nobody can say whose.
    #[error("{place} holds {got}, expected a claim of {expected}")]
    Unreadable {
        /// Where it was found.
        place: String,
        /// What was found.
        got: String,
        /// The generation that it should be of.
        expected: String,
    },
    /// Nobody answers at the endpoint.
    #[error("no answer from {endpoint}: {problem}")]
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What came of it.
        problem: String,
    },
    /// The answer is none that the question can have.
    #[error("{endpoint} answered {got}, expected {expected}")]
    Answer {
        /// Who was asked.
        endpoint: String,
        /// What came.
        got: String,
        /// What should have come.
        expected: &'static str,
    },
    /// The question is still out.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

/// The beginning of what was found, for a message that a person reads: whatever it is, it cannot steer a terminal.
fn excerpt(found: &[u8]) -> String {
    const MOST: usize = 80;
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let shown = String::from_utf8_lossy(&found[..found.len().min(MOST)]).escape_debug().to_string();
    let more = if found.len() > MOST { "..." } else { "" };
    format!("\"{shown}{more}\"")
}
