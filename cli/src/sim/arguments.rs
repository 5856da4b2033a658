//! The flags of `colo sim`.

use super::merge;
use super::required::Required;
use super::seeds::{Shard, parse_seeds, parse_shard, parse_time};
use crate::report::{Failure, quoted};
use crate::run::read_plan_file;
use colo_sim::{Options, SELF_CHECK};
use colo_trace::{Plan, PlanFile};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Simulate pairs on a virtual clock, with faults drawn from seeds.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// A preset, a known bug (`colo rules` lists them), or a TOML file.
    #[arg(default_value = "v12")]
    pub(super) rules: String,
    /// One seed; without it, --seeds and --time, one is drawn and printed.
    #[arg(long, value_name = "S", conflicts_with = "seeds")]
    pub(super) seed: Option<u64>,
    /// The seeds from A up to and without B.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(super) seeds: Option<Range<u64>>,
    /// Stop after this long, for instance 10m; without --seeds, all seeds from a drawn one on until then.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "seed")]
    pub(super) time: Option<Duration>,
    /// Runs at the same time; no result depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Only the k-th of every n seeds, k from 1 to n.
    #[arg(long, value_name = "K/N", value_parser = parse_shard, requires = "seeds", conflicts_with = "seed")]
    pub(super) shard: Option<Shard>,
    /// A fault at every protocol point of one seed's run, one after the other.
    #[arg(long, conflicts_with_all = ["seeds", "time", "plan", "no_faults", "trace"])]
    pub(super) enumerate: bool,
    /// Checkpoints until a run drains.
    #[arg(long, default_value_t = Options::default().checkpoints, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=colo_sim::MAX_CHECKPOINTS))]
    checkpoints: u64,
    /// Clients with a request open each.
    #[arg(long, default_value_t = Options::default().clients, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(colo_sim::MAX_CLIENTS)))]
    clients: u32,
    /// Replacements that are at hand for survivors, instead of as many as the seed draws.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100))]
    replacements: Option<u64>,
    /// The faults, instead of those that the seed draws.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// The link carries datagrams, which get lost, come twice, and overtake each other: no stream, and no COLO's.
    #[arg(long)]
    datagrams: bool,
    /// Nobody tells a node that its peer is gone, as it is with QEMU alone.
    #[arg(long)]
    no_manager: bool,
    /// Draw no faults.
    #[arg(long, conflicts_with = "plan")]
    no_faults: bool,
    /// Shrink a single run that breaks something to its shortest plan.
    #[arg(long, conflicts_with = "no_shrink")]
    pub(super) shrink: bool,
    /// Leave the first run of a sweep that breaks something as it is.
    #[arg(long)]
    pub(super) no_shrink: bool,
    /// Run one seed in N twice, and compare; 0 for none.
    #[arg(long, value_name = "N", default_value_t = SELF_CHECK.map_or(0, NonZeroU64::get))]
    self_check: u64,
    #[command(flatten)]
    pub(super) required: Required,
    /// Write the trace of a single run.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "time"])]
    pub(super) trace: Option<PathBuf>,
    /// Write JSON lines to a file: one a run, then the summary.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "enumerate"])]
    pub(super) out: Option<PathBuf>,
    /// Go on with the sweep whose lines are in this file, where it ended or was cut off.
    #[arg(long, value_name = "FILE", requires = "seeds", conflicts_with = "out")]
    pub(super) resume: Option<PathBuf>,
    /// Write a report in JUnit's format, of the runs of this command.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "enumerate"])]
    pub(super) junit: Option<PathBuf>,
    /// Where to write the plans of runs that broke something.
    #[arg(long, default_value = "colo-plans", value_name = "DIR")]
    pub(super) plan_dir: PathBuf,
    /// Where to keep what was shrunk.
    #[arg(long, default_value = "regressions", value_name = "DIR")]
    pub(super) regression_dir: PathBuf,
    /// Print JSON lines: one a run, then the summary.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add up what the shards of a sweep came to.
    Merge(merge::Arguments),
}

impl Arguments {
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let plan = self.plan.as_deref().map(own_plan).transpose()?;
        Ok(Options {
            checkpoints: self.checkpoints,
            clients: self.clients,
            replacements: self.replacements,
            plan,
            faults: !self.no_faults,
            datagrams: self.datagrams,
            manager: !self.no_manager,
            ..Options::default()
        })
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs.map_or_else(super::available_jobs, usize::from)
    }

    /// One seed in so many is run twice.
    pub(super) const fn self_check(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.self_check)
    }
}

/// A plan, and no regression: that has rules, a seed and a size of its own.
fn own_plan(file: &Path) -> Result<Plan, Failure> {
    let PlanFile { head, plan } = read_plan_file(file)?;
    if head.is_none() {
        return Ok(plan);
    }
    let file = quoted(&file.display().to_string());
    Err(Failure::Input(format!(
        "{file} is a regression, with rules and a seed of its own, expected a plan; try colo replay {file} --on sim"
    )))
}
