//! What the machines of `colo run` have to do, and for how long: the flags, and what they mean for a run.

use crate::sim::{drawn_seed, parse_time};
use colo_real::Load;
use std::time::Duration;

/// The most requests a second that make sense: beyond, only the clients are measured.
const MOST_PER_SECOND: u32 = 100_000;

/// The work of a run.
#[derive(clap::Args, Default)]
pub(crate) struct Work {
    /// Requests a second, made at times drawn from --seed whether or not those before are answered; without, --clients
    /// ask one after the other.
    #[arg(long, value_name = "N/s", value_parser = parse_rate, conflicts_with_all = ["clients", "crash_points"])]
    load: Option<u32>,
    /// What the times and requests of --load are drawn from; without, one is drawn and printed.
    #[arg(long, value_name = "S", requires = "load")]
    seed: Option<u64>,
    /// Run for so long, for instance 1m, and look whether anything grows: memory, latency, the list of checkpoints.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with_all = ["checkpoints", "crash_points"])]
    soak: Option<Duration>,
    /// One machine that nobody protects, for comparison: the same guest under the same load, no checkpoints.
    #[arg(long, conflicts_with_all = ["plan", "crash_points", "trace"])]
    pub(super) unprotected: bool,
}

fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number
        .filter(|rate| (1..=MOST_PER_SECOND).contains(rate))
        .ok_or_else(|| format!("expected requests a second, from 1/s to {MOST_PER_SECOND}/s"))
}

impl Work {
    /// The load, with a seed that is drawn if none was given.
    pub(super) fn load(&self) -> Option<Load> {
        let seed = self.seed.unwrap_or_else(drawn_seed);
        self.load.map(|per_second| Load { per_second, seed })
    }

    /// For how long to run, if that was said.
    pub(super) const fn lasts(&self) -> Option<Duration> {
        self.soak
    }

    /// Whether the run is one to look at for what grows.
    pub(super) const fn is_soak(&self) -> bool {
        self.soak.is_some()
    }
}
