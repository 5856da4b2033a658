//! What rounds of pre-copy save: the pause with them beside the staged one, of a guest that keeps writing to a hot set, a
//! tenth of what it dirties between two checkpoints.

use crate::{MEMORY_MIB, Measured, PAGES_OF_A_MIB, TURNS, delay_ms, options, turn};
use colo_protocol::Rules;
use colo_real::{Guest, LinkKind, Pattern, RunOptions, Workload};
use std::error::Error;

/// Sizes of the dirty set, MiB.
const DIRTY_MIB: [u64; 3] = [4, 16, 64];
/// The staged checkpoint, and the same after one round and after two.
const VARIANTS: [(&str, Rules); 3] = [
    ("remus", Rules::REMUS),
    ("precopy 1", Rules { precopy_rounds: 1, ..Rules::REMUS }),
    ("precopy 2", Rules { precopy_rounds: 2, ..Rules::REMUS }),
];

/// Prints the table.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a pause are few")]
pub(crate) fn table() -> Result<(), Box<dyn Error>> {
    println!("\na guest that mostly writes to a hot set, a tenth of the dirty pages\n");
    println!("dirty MiB  pages sent  variant        pause  transaction  pause to the staged one");
    for mib in DIRTY_MIB {
        let mut measured = VARIANTS.map(|_| Measured::default());
        for _ in 0..TURNS {
            for ((name, rules), measured) in VARIANTS.iter().zip(&mut measured) {
                let usual = options((name, *rules), mib, MEMORY_MIB, LinkKind::Unix)?;
                turn(&RunOptions { workload: workload(mib), ..usual }, measured)?;
            }
        }
        let staged = measured[0].pause.median().max(1) as f64;
        for ((name, _), measured) in VARIANTS.iter().zip(&mut measured) {
            let (pause, transaction) = (measured.pause.median(), measured.transaction.median());
            let (pages, ratio) = (measured.pages.median(), pause as f64 / staged);
            println!("{mib:9}  {pages:10}  {name:9}  {pause:9}  {transaction:11}  {ratio:.2}");
        }
    }
    Ok(())
}

/// A sixteenth of the area is hot and gets 15 of 16 writes. So the area is 16 tenths of the dirty set, and so many of the
/// other writes come between two checkpoints that they find nine tenths of the dirty set: 0.92 of a write a page.
fn workload(mib: u64) -> Workload {
    let area_pages = mib * PAGES_OF_A_MIB * 16 / 10;
    let writes = area_pages * 16 * 92 / 100;
    Workload {
        guest: Guest::Dirtier,
        pattern: Pattern::Hot,
        area_pages,
        pages_per_tick: 0,
        pages_per_second: writes * 1_000 / u64::from(delay_ms(mib)),
        ..Workload::default()
    }
}
