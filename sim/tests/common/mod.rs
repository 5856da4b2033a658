//! What several tests share.

#![allow(dead_code, reason = "each test uses its part")]

use colo_protocol::{BUGS, Bug, FailedLoad, Property};

/// The known bugs that a simulation can show: it judges no progress, its guest has one execution, no disk, and a
/// manager that knows when a VM cannot be used any more.
pub(crate) fn simulated() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| is_simulated(bug))
}

/// Whether a simulation can show this one.
pub(crate) fn is_simulated(bug: &Bug) -> bool {
    let seen = bug.breaks.first().is_some_and(|property| *property != Property::Disk);
    seen && !bug.rules.is_hybrid() && bug.rules.failed_load == FailedLoad::Fatal
}
