//! `colo compare`: variants side by side. Each is checked, and its checkpoint counted and timed; nothing is judged.

mod row;
mod table;

use crate::bounds_flags::BoundsFlags;
use crate::interrupt;
use crate::report::{Exit, Failure, print, print_json};
use crate::sim::{available_jobs, progress_bar};
use colo_model::Limits;
use colo_protocol::PRESETS;
use colo_trace::{NamedRules, RulesError, load_rules};
use row::{Row, document};
use std::time::Duration;

/// What `--help` says behind the flags.
const AFTER_HELP: &str = "\
Exit codes: a comparison is no judgement. 0: everything within the bounds was explored for every \
variant, whatever is violated. 4: for one of them, at least, not everything was: a limit was \
reached, or Ctrl-C was pressed. 2: wrong usage, or rules that cannot be read.

pause, release and transaction are virtual time of the simulator, the same on every machine: good \
for comparing variants, and no forecast for a real machine. `colo run` measures one.";

/// Compare variants, a row each: safe, live, and what a checkpoint costs.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Presets, known bugs (`colo rules` lists them), or TOML files; without any, all presets.
    rules: Vec<String>,
    #[command(flatten)]
    bounds: BoundsFlags,
    /// Threads that share the work; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Stop a variant's check when its states take this much memory; its row is then incomplete.
    #[arg(long, default_value_t = 8192, value_name = "MiB")]
    max_memory: usize,
    /// Print the table in Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// All that was asked for, before anything is begun: a misspelt name costs nobody an hour.
    fn variants(&self) -> Result<Vec<NamedRules>, RulesError> {
        if self.rules.is_empty() {
            let named = |preset: &colo_protocol::Preset| load_rules(preset.name);
            return PRESETS.iter().map(named).collect();
        }
        self.rules.iter().map(|name| load_rules(name)).collect()
    }

    fn limits(&self) -> Limits {
        Limits {
            threads: self.threads.map_or_else(available_jobs, usize::from),
            max_memory_bytes: Some(self.max_memory.saturating_mul(1 << 20)),
            stop: Some(interrupt::watch()),
            ..Limits::default()
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let variants = arguments.variants()?;
    let bar = progress_bar(variants.len() as u64, "comparing");
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut rows = Vec::new();
    for rules in &variants {
        bar.set_message(rules.name.clone());
        rows.push(Row::of(rules, &arguments.bounds.scopes(&rules.rules), &arguments.limits()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if arguments.json {
        print_json(&document(&rows))?;
    } else if arguments.markdown {
        print(&table::markdown(&rows))?;
    } else {
        print(&table::terminal(&rows))?;
    }
    let complete = rows.iter().all(|row| row.complete);
    Ok(if complete { Exit::Holds } else { Exit::Incomplete })
}
