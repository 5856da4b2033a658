//! What several tests share.

#![allow(dead_code, reason = "each test uses its part")]

use colo_protocol::{BUGS, Bug, Liveness};
use colo_sim::Broken;

/// The known bugs that a sweep can show.
pub(crate) fn simulated() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| is_simulated(bug))
}

/// Whether a simulation can show this one: where a manager is needed, it has one.
pub(crate) fn is_simulated(bug: &Bug) -> bool {
    bug.stalls != Some(Liveness::UnattendedRecovery)
}

/// What the bug is named for, as a run breaks it.
pub(crate) fn broken_by(bug: &Bug) -> Broken {
    bug.stalls.map_or_else(|| Broken::Property(bug.breaks[0]), Broken::NotDrained)
}
