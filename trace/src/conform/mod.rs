//! Conformance: is a recorded run a behaviour of the core under these rules?
//!
//! Two nodes of the core are led through the record, event by event. What it does not show - a suspension, a timer, a
//! transfer's end, where only messages were recorded - is searched for: after each event every state is kept in which
//! the pair can be. The first event that happens in none of them is what the rules do not allow. Nothing here decides
//! anything of the protocol: whether a step can be taken is asked of the core.

mod capture;
mod finding;
mod index;
mod log;
mod pair;
mod search;
mod sight;
mod step;
mod table;
mod word;

#[cfg(test)]
mod tests;

pub use capture::{Capture, CaptureError};
pub use finding::{Finding, Line, Verdict};
pub use index::{Index, IndexError};
pub use log::{Log, LogError, Place, Spot};
pub use search::{TooManyStates, conform};
pub use word::Word;
