//! Ctrl-C: the first one asks for what there is so far, the second one ends the command.

use crate::report::Exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Watches for Ctrl-C from now on. Without a handler it ends the command: no harm either.
pub(crate) fn watch() -> &'static AtomicBool {
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Incomplete as i32);
        }
    });
    &INTERRUPTED
}
