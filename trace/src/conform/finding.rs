//! What the search has found: the verdict, the first event that nothing explains, what could have been there.

use super::log::{Place, Spot};
use super::word::Word;
use serde::Serialize;

/// Whether a record is a behaviour of the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every event of it can happen, one after the other.
    Conforms,
    /// There is an event that nothing explains.
    Deviates,
}

/// What the search has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// How many events were explained.
    pub events: usize,
    /// Where the first event stands that nothing explains; of a record that conforms, where it breaks off, if it does so
    /// while the nodes had something to say.
    pub at: Option<Place>,
    /// The event that nothing explains.
    pub got: Option<Word>,
    /// What would have been explained there, or could have come next.
    pub accepted: Vec<Word>,
}

/// A finding as `colo conform --json` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    schema: u32,
    verdict: Verdict,
    events: usize,
    at: Option<At>,
    got: Option<String>,
    accepted: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct At {
    #[serde(flatten)]
    spot: AtSpot,
    time_us: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum AtSpot {
    Offset(u64),
    Index(usize),
}

impl Finding {
    /// As a line of JSON.
    pub fn line(&self) -> Line {
        Line {
            schema: 1,
            verdict: self.verdict,
            events: self.events,
            at: self.at.map(At::of),
            got: self.got.as_ref().map(Word::to_string),
            accepted: self.accepted.iter().map(Word::to_string).collect(),
        }
    }
}

impl At {
    const fn of(place: Place) -> Self {
        let spot = match place.spot {
            Spot::Offset(_, offset) => AtSpot::Offset(offset),
            Spot::Index(index) => AtSpot::Index(index),
        };
        Self { spot, time_us: place.time_us }
    }
}
