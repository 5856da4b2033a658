//! What several tests share.

#![allow(dead_code, reason = "each test uses its part")]

use colo_protocol::{BUGS, Bug};

/// The known bugs of safety: of progress the simulation judges none.
pub(crate) fn simulated() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| is_simulated(bug))
}

/// Whether a simulation can show this one.
pub(crate) fn is_simulated(bug: &Bug) -> bool {
    !bug.breaks.is_empty()
}
