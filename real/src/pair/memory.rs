//! How much memory the nodes' processes hold, as the kernel tells it.

use super::measured::Measured;
use super::process::Process;
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(100);

/// Looks from time to time.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked: Option<Instant>,
}

impl Watch {
    /// Looks, if it is time.
    pub(super) fn look(&mut self, processes: &[Process], measured: &mut Measured) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now.duration_since(looked) < EVERY) {
            return;
        }
        self.looked = Some(now);
        for process in processes {
            // Of one that has just died there is nothing to tell.
            if let Some(bytes) = process.id().and_then(resident_bytes) {
                measured.resident(process.name(), bytes, now);
            }
        }
    }
}

/// The bytes that a process has in memory; none if it cannot be told.
fn resident_bytes(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    // The second figure, in pages; see proc_pid_statm(5).
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something_and_one_that_there_is_not_holds_nothing() {
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
