//! What the machines of `colo run` have to do, and for how long: the flags, and what they mean for a run.

use crate::report::{Failure, grouped, quoted};
use crate::sim::{drawn_seed, parse_time};
use clap::ValueEnum;
use colo_real::{Divergence, Guest, Load, Network, Pattern, Workload, abi};
use colo_trace::{FaultKind, NamedRules, Plan};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most requests a second that make sense: beyond, only the clients are measured.
const MOST_PER_SECOND: u32 = 100_000;

/// The most bytes a second that a guest can be told to dirty: more than any memory takes.
const MOST_BYTES_PER_SECOND: u64 = 1 << 40;

/// Blocks of a journal's disk: few, so that it goes round and overwrites what it has, and is read back in no time.
pub(crate) const JOURNAL_BLOCKS: u64 = 32;

/// Bytes of a page.
const PAGE_BYTES: u64 = abi::PAGE_BYTES;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum GuestName {
    /// The key-value service alone.
    Kv,
    /// The same, and every reply tells the guest's own time: two of it answer differently.
    Clock,
    /// It writes to memory at a rate.
    Dirtier,
    /// It has timers, at which it writes, reads and copies.
    Mixed,
    /// It writes each operation to its disk, and reads the disk back.
    Journal,
    /// A store that speaks the Redis protocol, on a network card.
    Redis,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PatternName {
    /// Page after page.
    Sequential,
    /// Any page.
    Random,
    /// Any page, but mostly of a sixteenth of them.
    Hot,
}

/// The work of a run.
#[derive(clap::Args)]
pub(crate) struct Work {
    /// The guest: it answers requests, and writes to memory (kv and clock: with each checkpoint; dirtier: at a rate; mixed: at a
    /// rate, and reads and copies, too, by timers of its own; journal: to a disk, which it reads back; redis: what its clients say
    /// over --tap, on a side of two hosts).
    #[arg(long, value_enum, default_value_t = GuestName::Kv)]
    guest: GuestName,
    /// Bytes that the guest dirties per checkpoint, besides those of its service.
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    dirty: u64,
    /// Bytes that the guest dirties per second, for a dirtier or a mixed guest.
    #[arg(long, value_name = "BYTES/s", value_parser = parse_bytes_per_second)]
    dirty_rate: Option<u64>,
    /// Where the disks' files are made and left, for a journal; without, they are gone with the run.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "crash_points")]
    pub(super) disk_dir: Option<PathBuf>,
    /// In which order it writes to its pages [default: sequential].
    #[arg(long, value_enum, value_name = "PATTERN")]
    dirty_pattern: Option<PatternName>,
    /// How much memory it writes to, round and round or here and there, instead of all that there is.
    #[arg(long, value_name = "BYTES")]
    dirty_area: Option<u64>,
    /// Requests a second, made at times drawn from --seed whether or not those before are answered; without, --clients
    /// ask one after the other.
    #[arg(long, value_name = "N/s", value_parser = parse_rate, conflicts_with = "clients")]
    load: Option<u32>,
    /// Hybrid rules: of M requests the secondary's guest loses N, drawn from --seed, and so answers differently from then on,
    /// until a checkpoint makes it the same as the primary's.
    #[arg(long, value_name = "N/M", value_parser = parse_divergence, conflicts_with = "unprotected")]
    divergence: Option<Lost>,
    /// What the times and requests of --load, and what --divergence loses, are drawn from; without, one is drawn and
    /// printed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[arg(skip = drawn_seed())]
    drawn: u64,
    /// Run for so long, for instance 1m, look whether the nodes' memory grows, and tell how latency changes.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with_all = ["checkpoints", "failovers"])]
    soak: Option<Duration>,
    /// One machine that nobody protects, for comparison: the same guest under the same load, no checkpoints.
    #[arg(long, conflicts_with_all = ["plan", "crash_points", "trace"])]
    pub(super) unprotected: bool,
}

/// Of so many requests, so many.
#[derive(Clone, Copy)]
pub(crate) struct Lost {
    lost: u64,
    of: u64,
}

impl Lost {
    /// The rate at which a guest leaves the other's execution, drawn from a seed. It makes sense only where both execute.
    pub(crate) fn divergence(self, rules: &NamedRules, seed: u64) -> Result<Divergence, Failure> {
        expect_both_execute(rules)?;
        Ok(Divergence { lost: self.lost, of: self.of, seed })
    }
}

fn expect_both_execute(NamedRules { name, rules }: &NamedRules) -> Result<(), Failure> {
    if rules.is_hybrid() {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "--divergence: under {name} the secondary's guest does not execute, expected hybrid rules"
    )))
}

pub(crate) fn parse_divergence(text: &str) -> Result<Lost, String> {
    let parts = text.split_once('/').and_then(|(lost, of)| Some((lost.parse().ok()?, of.parse().ok()?)));
    parts
        .filter(|(lost, of)| lost <= of && *of > 0)
        .map(|(lost, of)| Lost { lost, of })
        .ok_or_else(|| "expected N/M, so many of so many requests, for instance 1/100".to_owned())
}

/// A link's rate: slower, and a node would be taken for dead before a page of it has come.
pub(super) fn parse_link_rate(text: &str) -> Result<u64, String> {
    let least = 1 << 14;
    match parse_bytes_per_second(text) {
        Ok(rate) if rate >= least => Ok(rate),
        _ => Err(format!("expected bytes a second, from {least}/s to {MOST_BYTES_PER_SECOND}/s")),
    }
}

fn parse_bytes_per_second(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<u64>().ok();
    number
        .filter(|rate| (1..=MOST_BYTES_PER_SECOND).contains(rate))
        .ok_or_else(|| format!("expected bytes a second, from 1/s to {MOST_BYTES_PER_SECOND}/s"))
}

pub(crate) fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number
        .filter(|rate| (1..=MOST_PER_SECOND).contains(rate))
        .ok_or_else(|| format!("expected requests a second, from 1/s to {MOST_PER_SECOND}/s"))
}

impl Work {
    /// The flags that say what the guest does.
    pub(super) fn again(&self) -> String {
        let guest = self.guest.to_possible_value();
        let guest = guest.map_or_else(String::new, |guest| format!(" --guest {}", guest.get_name()));
        let mut flags = format!("{guest} --dirty {}", self.dirty);
        if let Some(rate) = self.dirty_rate {
            let _ = write!(flags, " --dirty-rate {rate}");
        }
        if let Some(pattern) = self.dirty_pattern.and_then(|pattern| pattern.to_possible_value()) {
            let _ = write!(flags, " --dirty-pattern {}", pattern.get_name());
        }
        if let Some(Divergence { of, lost, seed }) = self.divergence() {
            let _ = write!(flags, " --divergence {lost}/{of} --seed {seed}");
        }
        if let Some(area) = self.dirty_area {
            let _ = write!(flags, " --dirty-area {area}");
        }
        flags
    }

    /// The load, with a seed that is drawn if none was given.
    pub(super) fn load(&self) -> Option<Load> {
        self.load.map(|per_second| Load { per_second, seed: self.seed() })
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or(self.drawn)
    }

    fn divergence(&self) -> Option<Divergence> {
        self.divergence.map(|Lost { lost, of }| Divergence { lost, of, seed: self.seed() })
    }

    /// Refuses flags that mean nothing under these rules, or without others.
    pub(super) fn check(&self, rules: &NamedRules) -> Result<(), Failure> {
        if self.divergence.is_some() {
            expect_both_execute(rules)?;
        }
        if self.seed.is_some() && self.load.is_none() && self.divergence.is_none() {
            return Err(Failure::Input(
                "--seed: nothing is drawn, expected --load or --divergence".to_owned(),
            ));
        }
        Ok(())
    }

    /// For how long to run, if that was said.
    pub(super) const fn lasts(&self) -> Option<Duration> {
        self.soak
    }

    /// Whether the run is one to look at for what grows.
    pub(super) const fn is_soak(&self) -> bool {
        self.soak.is_some()
    }

    /// What the guest does in a machine of so much memory.
    pub(super) fn workload(&self, memory_mib: u64) -> Result<Workload, Failure> {
        self.check_sizes(memory_mib << 20)?;
        self.check_writes()?;
        Ok(Workload {
            network: Network::default(),
            guest: match self.guest {
                GuestName::Kv => Guest::Kv,
                GuestName::Clock => Guest::Clock,
                GuestName::Dirtier => Guest::Dirtier,
                GuestName::Mixed => Guest::Mixed,
                GuestName::Journal => Guest::Journal,
                GuestName::Redis => Guest::Redis,
            },
            pattern: match self.dirty_pattern {
                None | Some(PatternName::Sequential) => Pattern::Sequential,
                Some(PatternName::Random) => Pattern::Random,
                Some(PatternName::Hot) => Pattern::Hot,
            },
            area_pages: self.dirty_area.map_or(0, |bytes| bytes.div_ceil(PAGE_BYTES)),
            pages_per_tick: self.dirty.div_ceil(PAGE_BYTES),
            pages_per_second: self.dirty_rate.map_or(0, |rate| rate.div_ceil(PAGE_BYTES)),
            disk_blocks: if self.has_disk() { JOURNAL_BLOCKS } else { 0 },
            divergence: self.divergence(),
        })
    }

    /// Whether its machine has a network card.
    pub(super) fn has_card(&self) -> bool {
        self.guest == GuestName::Redis
    }

    fn has_disk(&self) -> bool {
        self.guest == GuestName::Journal
    }

    /// That a plan speaks of disks only where there are some.
    pub(super) fn expect_disk_for(&self, plan: &Plan, file: &Path) -> Result<(), Failure> {
        let speaks_of_disks = plan.faults.iter().any(|fault| fault.action.kind() == FaultKind::FailDisk);
        if !speaks_of_disks || self.has_disk() {
            return Ok(());
        }
        let (file, name) = (quoted(&file.display().to_string()), FaultKind::FailDisk.name());
        Err(Failure::Input(format!("{file}: {name}: this guest has no disk, expected --guest journal")))
    }

    fn check_sizes(&self, memory_bytes: u64) -> Result<(), Failure> {
        let half = memory_bytes / 2;
        if self.dirty > half {
            let most = grouped(half);
            return Err(Failure::Input(format!(
                "--dirty {}: at most half of the memory, {most}",
                self.dirty
            )));
        }
        let most = memory_bytes - abi::WORK;
        match self.dirty_area {
            Some(area) if !(PAGE_BYTES..=most).contains(&area) => Err(Failure::Input(format!(
                "--dirty-area {area}: expected from a page, {}, to what this guest has for it, {}",
                grouped(PAGE_BYTES),
                grouped(most)
            ))),
            _ => Ok(()),
        }
    }

    /// Whether what is said of writes is said of a guest that writes.
    fn check_writes(&self) -> Result<(), Failure> {
        let writes_nothing = self.dirty == 0 && self.dirty_rate.is_none();
        let problem = match self.guest {
            GuestName::Kv | GuestName::Clock | GuestName::Journal if self.dirty_rate.is_some() => {
                "--dirty-rate: this guest writes with checkpoints only, expected --guest dirtier, --guest mixed, \
                 or --dirty"
            }
            GuestName::Redis if !writes_nothing => {
                "--dirty: this guest writes what its clients have it write, expected another --guest"
            }
            GuestName::Dirtier | GuestName::Mixed if self.dirty_rate.is_none() => {
                "--guest: this one writes at a rate, expected --dirty-rate"
            }
            _ if self.disk_dir.is_some() && !self.has_disk() => {
                "--disk-dir: this guest has no disk, expected --guest journal"
            }
            _ if writes_nothing && self.dirty_pattern.is_some() => {
                "--dirty-pattern: nothing is written, expected --dirty or --dirty-rate"
            }
            _ if writes_nothing && self.dirty_area.is_some() => {
                "--dirty-area: nothing is written, expected --dirty or --dirty-rate"
            }
            _ => return Ok(()),
        };
        Err(Failure::Input(problem.to_owned()))
    }
}
