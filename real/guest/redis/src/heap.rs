//! The heap: the upper part of the working area. The lower is for the writer, which works off the host's ticks.

use super::abi::{self, PAGE_BYTES, Parameters};
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Manual;

/// Of the working area, one part of so many is the writer's.
const WRITERS_PART: u64 = 4;

/// There is one processor and no interrupt: nobody ever waits for this lock.
#[global_allocator]
static HEAP: TalcLock<RawSpinlock, Manual> = TalcLock::new(Manual);

/// Makes the heap. Returns the parameters as the writer is to see them, for whom memory ends where the heap begins, and the
/// heap's bytes.
pub(crate) fn begin(parameters: &Parameters) -> (Parameters, usize) {
    let writers = parameters.work_pages() / WRITERS_PART * PAGE_BYTES;
    let start = abi::WORK + writers;
    let bytes = usize::try_from(parameters.memory_bytes.saturating_sub(start)).unwrap_or(0);
    // SAFETY: the range is mapped and reaches to the end of memory; nothing else refers to it, and nothing has been
    // allocated since the program began, which has forgotten whatever it had before a reset.
    let made = unsafe { HEAP.lock().claim(start as *mut u8, bytes) };
    super::bare::check(made.is_some(), line!());
    (Parameters { memory_bytes: start, ..*parameters }, bytes)
}
