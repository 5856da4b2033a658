//! How long a checkpoint of a real pair takes, beside the limits of the machine that it runs on, in one run.
//!
//! The limits are measured in turn with the pairs: copying as many pages of a guest's size of memory into a buffer that is
//! there already, and sending them through a Unix socket until the other end has them all. The machine may be busy with
//! something else, so the table has medians, and ratios of medians.

mod hot;
mod limits;
mod qemu;
mod sample;

use colo_protocol::Rules;
use colo_real::{LinkKind, NodeCommand, RunOptions, Workload, kvm_usable, run_node, run_pair};
use colo_trace::{NamedRules, Plan};
use limits::Limits;
use qemu::Qemu;
use sample::Sample;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Guest memory, MiB.
const MEMORY_MIB: u64 = 128;
/// Pages of a MiB.
const PAGES_OF_A_MIB: u64 = 256;
/// Sizes of the dirty set, MiB.
const DIRTY_MIB: [u64; 5] = [0, 1, 4, 16, 64];
/// How often each pair, and each limit, has its turn.
const TURNS: usize = 3;
/// Checkpoints of a turn. The first of them find no buffer of their size yet, and are left out.
const CHECKPOINTS: u64 = 22;
const LEFT_OUT: usize = 4;
/// The variants that differ in how long the primary's VM stands still.
const VARIANTS: [(&str, Rules); 3] = [("v12", Rules::V12), ("fast", Rules::FAST), ("remus", Rules::REMUS)];

/// What one variant came to with one dirty set, microseconds.
#[derive(Default)]
struct Measured {
    pause: Sample,
    transaction: Sample,
    pages: Sample,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [_, control, _, name] = words.as_slice() {
        let name = colo_protocol::NodeName::ALL.into_iter().find(|node| node.name() == name);
        run_node(Path::new(control), name.ok_or("a node of another name")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(error) = kvm_usable() {
        eprintln!("no checkpoint can be measured here: {error}");
        return Ok(ExitCode::from(3));
    }
    let directory = tempfile::tempdir()?;
    let mut qemu = Qemu::start(MEMORY_MIB, &DIRTY_MIB, directory.path())?;
    println!("{MEMORY_MIB} MiB guest, Unix socket; microseconds, medians of {TURNS} turns\n");
    println!(
        "dirty MiB  pages  variant        pause  transaction    copy  transfer  pause to its limit, to QEMU's"
    );
    for mib in DIRTY_MIB {
        row(mib, qemu.as_mut())?;
    }
    if qemu.is_none() {
        println!("\nCOLO_QEMU_PAIR names no folder with a pair of QEMUs to measure in turn");
    }
    hot::table()?;
    Ok(ExitCode::SUCCESS)
}

/// All variants with one dirty set, in turns with the limits.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a pause are few")]
fn row(mib: u64, qemu: Option<&mut Qemu>) -> Result<(), Box<dyn Error>> {
    let mut yardstick = qemu.map(|qemu| qemu.measure(mib)).transpose()?;
    let mut limits = Limits::new(MEMORY_MIB * PAGES_OF_A_MIB)?;
    let mut measured = VARIANTS.map(|_| Measured::default());
    for _ in 0..TURNS {
        for ((name, rules), measured) in VARIANTS.iter().zip(&mut measured) {
            let workload = Workload { pages_per_tick: mib * PAGES_OF_A_MIB, ..Workload::default() };
            turn(name, *rules, mib, workload, measured)?;
        }
        let pages = measured[0].pages.median();
        limits.measure(usize::try_from(pages)?)?;
    }
    let (copy, transfer) = (limits.copy.median(), limits.transfer.median());
    for ((name, rules), measured) in VARIANTS.iter().zip(&mut measured) {
        let (pause, transaction) = (measured.pause.median(), measured.transaction.median());
        let pages = measured.pages.median();
        // Where next to nothing is dirty, neither copying nor sending is what a pause is made of.
        let ratio = match limit_of(rules, copy, transfer) {
            limit if mib > 0 => format!("{:.2}", pause as f64 / limit.max(1) as f64),
            _ => "-".to_owned(),
        };
        let of_qemu = yardstick.as_mut().map_or_else(String::new, |qemu| {
            format!("  {:.3}", pause as f64 / qemu.pause.median().max(1) as f64)
        });
        println!(
            "{mib:9}  {pages:5}  {name:8}  {pause:10}  {transaction:11}  {copy:6}  {transfer:8}  {ratio}{of_qemu}"
        );
    }
    if let Some(qemu) = &mut yardstick {
        let (pause, transaction) = (qemu.pause.median(), qemu.transaction.median());
        println!("{mib:9}         QEMU      {pause:10}  {transaction:11}");
    }
    Ok(())
}

/// What the pause cannot be shorter than: the pages copied aside; or sent, and, where the VM waits for it, applied.
fn limit_of(rules: &Rules, copy: u64, transfer: u64) -> u64 {
    use colo_protocol::ResumePoint::{AfterLoaded, AfterReceived, AfterStaged};
    match rules.resume {
        AfterStaged => copy,
        AfterReceived => transfer,
        AfterLoaded => transfer + copy,
    }
}

/// How long an epoch is: long enough for the guest to write to all of its pages.
fn delay_ms(mib: u64) -> u32 {
    20 + u32::try_from(mib).unwrap_or(u32::MAX) * 5
}

fn turn(
    name: &str,
    rules: Rules,
    mib: u64,
    workload: Workload,
    measured: &mut Measured,
) -> Result<(), Box<dyn Error>> {
    let checkpoint_delay_ms = delay_ms(mib);
    let options = RunOptions {
        rules: NamedRules { name: name.to_owned(), rules: Rules { checkpoint_delay_ms, ..rules } },
        checkpoints: CHECKPOINTS,
        memory_mib: MEMORY_MIB,
        workload,
        link: LinkKind::Unix,
        plan: Plan::default(),
        clients: 1,
        load: None,
        lasts: None,
        record: false,
        node: NodeCommand { program: std::env::current_exe()?.into(), arguments: Vec::new() },
    };
    let directory = tempfile::tempdir()?;
    let outcome = run_pair(&options, directory.path(), &mut |_| {})?;
    if let Some(violation) = outcome.violation {
        return Err(format!("{name}, {mib} MiB: {violation}").into());
    }
    for figures in outcome.checkpoints.iter().skip(LEFT_OUT) {
        measured.pause.add(figures.pause_us);
        measured.transaction.add(figures.transaction_us);
        measured.pages.add(figures.dirty_pages);
    }
    Ok(())
}
