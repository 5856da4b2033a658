//! How long a checkpoint of a real pair takes, beside the limits of the machine that it runs on, in one run.
//!
//! The limits are measured in turn with the pairs: copying as many pages of a guest's size of memory into a buffer that is
//! there already, and sending them through a Unix socket until the other end has them all. The machine may be busy with
//! something else, so the table has medians, and ratios of medians.

mod hot;
mod limits;
mod qemu;
mod sample;

use colo_protocol::{NodeName, Rules};
use colo_real::{
    LinkKind, Load, NodeCommand, RunOptions, Workload, kvm_usable, measure_pair, run_node, run_pair,
};
use colo_trace::{Fault, FaultAction, NamedRules, Plan};
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

/// Sizes of guests whose clean checkpoints are compared, MiB.
const MEMORIES_MIB: [u64; 3] = [128, 1_024, 4_096];
/// Failovers that are taken apart.
const FAILOVERS: usize = 15;

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
        let name = NodeName::ALL.into_iter().find(|node| node.name() == name);
        run_node(Path::new(control), name.ok_or("a node of another name")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(error) = kvm_usable() {
        eprintln!("no checkpoint can be measured here: {error}");
        return Ok(ExitCode::from(3));
    }
    if words.first().is_some_and(|word| word == "hot") {
        hot::table()?;
        return Ok(ExitCode::SUCCESS);
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
    drop(qemu.take());
    sizes()?;
    links()?;
    failovers()?;
    if std::env::var_os("COLO_QEMU_PAIR").is_none() {
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
            turn(&options((name, *rules), mib, MEMORY_MIB, LinkKind::Unix)?, measured)?;
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

/// Clean checkpoints of guests of several sizes, in turn.
fn sizes() -> Result<(), Box<dyn Error>> {
    let mut measured = MEMORIES_MIB.map(|_| Measured::default());
    for _ in 0..TURNS {
        for (memory_mib, measured) in MEMORIES_MIB.iter().zip(&mut measured) {
            turn(&options(VARIANTS[0], 0, *memory_mib, LinkKind::Unix)?, measured)?;
        }
    }
    println!("\nclean, v12: memory MiB, pause, transaction");
    for (memory_mib, measured) in MEMORIES_MIB.iter().zip(&mut measured) {
        let (pause, transaction) = (measured.pause.median(), measured.transaction.median());
        println!("{memory_mib:9}  {pause:10}  {transaction:11}");
    }
    Ok(())
}

/// The same over TCP on loopback, for some dirty sets.
fn links() -> Result<(), Box<dyn Error>> {
    println!("\nv12 over TCP: dirty MiB, pause, transaction");
    for mib in [0, 1, 16] {
        let mut measured = Measured::default();
        for _ in 0..TURNS {
            turn(&options(VARIANTS[0], mib, MEMORY_MIB, LinkKind::Tcp)?, &mut measured)?;
        }
        println!("{mib:9}  {:10}  {:11}", measured.pause.median(), measured.transaction.median());
    }
    Ok(())
}

/// The primary is killed behind a release, while clients ask all the time: where the time goes until one is answered.
fn failovers() -> Result<(), Box<dyn Error>> {
    let crash = FaultAction::Crash { node: NodeName::Primary };
    let at = "primary checkpoint 9 after effect release".parse()?;
    let mut parts = [(); 4].map(|()| Sample::default());
    for seed in 0..FAILOVERS {
        let mut options = options(VARIANTS[0], 0, MEMORY_MIB, LinkKind::Unix)?;
        options.plan = Plan::new(vec![Fault { at, action: crash }]);
        options.load = Some(Load { per_second: 1_000, seed: u64::try_from(seed)? });
        let directory = tempfile::tempdir()?;
        let (outcome, measured) = measure_pair(&options, directory.path(), &mut |_| {})?;
        let times = measured.failovers.first().filter(|_| outcome.violation.is_none());
        let times = times.ok_or("a failover in which nobody was answered")?;
        let each = [times.death, times.detection, Some(times.promotion), Some(times.reply)];
        for (sample, time) in parts.iter_mut().zip(each) {
            sample.add(u64::try_from(time.unwrap_or_default().as_micros())?);
        }
    }
    let [death, detection, promotion, reply] = parts.each_mut().map(Sample::median);
    println!("\nfailover, v12: SIGKILL to death, told, promoted, first reply");
    println!("{death:9}  {detection:10}  {promotion:11}  {reply:6}");
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
fn delay_ms(dirty_mib: u64) -> u32 {
    20 + u32::try_from(dirty_mib).unwrap_or(u32::MAX) * 5
}

/// A pair of this variant, with so much dirty at each checkpoint, and so much memory.
fn options(
    (name, rules): (&str, Rules),
    dirty_mib: u64,
    memory_mib: u64,
    link: LinkKind,
) -> Result<RunOptions, Box<dyn Error>> {
    let checkpoint_delay_ms = delay_ms(dirty_mib);
    Ok(RunOptions {
        rules: NamedRules { name: name.to_owned(), rules: Rules { checkpoint_delay_ms, ..rules } },
        checkpoints: CHECKPOINTS,
        memory_mib,
        workload: Workload { pages_per_tick: dirty_mib * PAGES_OF_A_MIB, ..Workload::default() },
        link,
        plan: Plan::default(),
        replacements: Vec::new(),
        clients: 1,
        load: None,
        lasts: None,
        stop: None,
        arbiter: None,
        network: None,
        endures: false,
        events: None,
        warn: |_| {},
        link_rate: None,
        record: false,
        disk_directory: None,
        node: NodeCommand { program: std::env::current_exe()?.into(), arguments: Vec::new() },
    })
}

fn turn(options: &RunOptions, measured: &mut Measured) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let outcome = run_pair(options, directory.path(), &mut |_| {})?;
    if let Some(violation) = outcome.violation {
        return Err(format!("{}: {violation}", options.rules.name).into());
    }
    for figures in outcome.checkpoints.iter().skip(LEFT_OUT) {
        measured.pause.add(figures.pause_us);
        measured.transaction.add(figures.transaction_us);
        measured.pages.add(figures.dirty_pages);
    }
    Ok(())
}
