//! Ctrl-C: the first asks a check for what there is so far, the second ends the command.

use crate::report::Exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ctrl-C was pressed.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C is heeded. Without a handler it ends the command: no harm either.
pub(crate) fn heed_interrupts() {
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Incomplete as i32);
        }
    });
}
