//! `colo sim`: seeded simulations. One, many, a fault at every point of one, and the shards of many added up.

mod arguments;
mod enumerate;
mod junit;
mod keep;
mod lines;
mod many;
mod merge;
mod one;
mod progress;
mod required;
mod seeds;
mod told;

pub(crate) use arguments::Arguments;
pub(crate) use progress::progress_bar;
pub(crate) use seeds::{drawn_seed, parse_time};

use crate::report::{Exit, Failure};
use arguments::Command;
use colo_trace::load_rules;
use seeds::shard_of;

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(Command::Merge(arguments)) = &arguments.command {
        return merge::merge(arguments);
    }
    let rules = load_rules(&arguments.rules)?;
    let options = arguments.options()?;
    if let Some(seeds) = &arguments.seeds {
        let seeds = shard_of(seeds, arguments.shard);
        if seeds.is_empty() {
            return Err(Failure::Input("--shard: there is no seed in this part".to_owned()));
        }
        return many::many(&rules, (&seeds, true), &options, arguments);
    }
    if arguments.required.any() && arguments.time.is_none() {
        let problem = "--require-sometimes and --require-occasions: a single run, expected --seeds or --time";
        return Err(Failure::Input(problem.to_owned()));
    }
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    if arguments.enumerate {
        enumerate::every_point(&rules, seed, &options, arguments)
    } else if arguments.time.is_some() {
        eprintln!("seeds from {seed} on");
        many::many(&rules, (&(seed..u64::MAX), false), &options, arguments)
    } else {
        one::one(&rules, seed, &options, arguments)
    }
}

/// As many as there are cores.
pub(crate) fn available_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
