//! `colo sim merge`: what the shards of a sweep came to, added up.

use super::lines::{Ending, Lines, Runs, read};
use super::required::Required;
use super::told::summed_up;
use crate::report::{Exit, Failure, print, print_json};
use colo_sim::LINE_SCHEMA;
use std::ops::Range;
use std::path::PathBuf;

/// Add up what the shards of a sweep came to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shards' JSON lines, as --out and --json write them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    required: Required,
    /// Print the summary as a line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn merge(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut runs: Option<Runs> = None;
    let mut complete = true;
    for file in &arguments.files {
        let lines = read(file, runs.take())?;
        complete &= ended(file, &lines)?;
        runs = lines.runs;
    }
    let runs = runs.ok_or_else(|| Failure::Input("there is no run in any of the files".to_owned()))?;
    for Range { start, end } in runs.seeds.gaps() {
        eprintln!("colo: none of the files has the seeds {start}..{end}");
        complete = false;
    }
    let ending = Ending::of(&runs, complete);
    if arguments.json {
        print_json(&ending)?;
    } else {
        print(&summed_up(&runs.rules, &runs.summary, &runs.seeds, None))?;
    }
    let never = arguments.required.missing(&runs.summary) > 0;
    Ok(match (runs.summary.first_violation, never, complete) {
        (Some(_), _, _) | (_, true, _) => Exit::Violated,
        (_, _, false) => Exit::Incomplete,
        _ => Exit::Holds,
    })
}

/// Whether a shard came to its end. What is missing of it is no verdict's business, and told.
fn ended(file: &std::path::Path, lines: &Lines) -> Result<bool, Failure> {
    if lines.cut_off {
        let problem =
            "the last line is cut off, expected a whole one: go on with that shard by --resume first";
        return Err(Failure::Input(format!("{}: {problem}", file.display())));
    }
    if lines.complete != Some(true) {
        eprintln!("colo: {}: this shard has not come to its end", file.display());
    }
    Ok(lines.complete == Some(true))
}

impl Ending {
    pub(super) fn of(runs: &Runs, complete: bool) -> Self {
        Self {
            schema: LINE_SCHEMA,
            summary: runs.summary.clone(),
            rules: runs.rules.clone(),
            sweep: runs.sweep.clone(),
            seeds: runs.seeds.ranges().map(|range| [range.start, range.end]).collect(),
            complete,
            shrunk: None,
        }
    }
}
