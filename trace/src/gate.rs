//! Gates: what fixes an interleaving. What happens at one point waits until the run has passed another.
//!
//! A gate decides nothing of the protocol: everything that it holds could have taken that long by itself.

use crate::point::{Moment, Point};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One gate of a plan. It is open from the moment at which the run passes `until`, and holds nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Gate {
    /// What waits: before an effect, it is carried out later; before an input, it is given later, and an operation
    /// that it ends goes on for as long; during an operation, its second half begins later.
    pub hold: Point,
    /// What it waits for.
    pub until: Point,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hold {} until {}", self.hold, self.until)
    }
}

/// A gate as it is written, before anybody has looked whether it can hold anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    hold: Point,
    until: Point,
}

impl TryFrom<Written> for Gate {
    type Error = String;

    fn try_from(Written { hold, until }: Written) -> Result<Self, String> {
        if hold.moment == Moment::After {
            return Err(format!(
                "what is at \"{hold}\" has happened and cannot be held, expected a point before or during"
            ));
        }
        if hold == until {
            return Err(format!("a gate that waits for itself never opens: \"{hold}\""));
        }
        Ok(Self { hold, until })
    }
}
