//! How far an exploration goes, and where it stops before it has seen everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How far an exploration goes.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Threads that share a level. No result depends on them.
    pub threads: usize,
    /// Steps from the initial state.
    pub max_depth: Option<usize>,
    /// Memory for states, about, in bytes.
    pub max_memory_bytes: Option<usize>,
    /// When to stop. What has been found until then does depend on the machine's speed, and is never called complete.
    pub deadline: Option<Instant>,
    /// Somebody has had enough.
    pub stop: Option<&'static AtomicBool>,
}

impl Default for Extent {
    fn default() -> Self {
        Self { threads: 1, max_depth: None, max_memory_bytes: None, deadline: None, stop: None }
    }
}

impl Extent {
    /// Everything that can be reached, with so many threads.
    pub fn everything(threads: usize) -> Self {
        Self { threads, ..Self::default() }
    }

    /// Whether somebody, or the clock, says stop.
    pub(crate) fn is_called_off(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
