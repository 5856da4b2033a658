//! `colo report`: what runs cost their clients, as pictures: latency over time, and against what was dirty.

mod draw;
mod read;

use crate::report::{Exit, Failure, counted, print, unwritable};
use std::path::PathBuf;

/// Draw what runs cost their clients: latency over time, and latency against the pages that were dirty.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What `colo run --json` has printed, or a trace of a run; several are drawn beside each other.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to draw: an SVG that needs nothing else.
    #[arg(long, short, default_value = "colo-report.svg", value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let runs = arguments.files.iter().map(|file| read::run(file)).collect::<Result<Vec<_>, _>>()?;
    if arguments.files.contains(&arguments.out) {
        let file = arguments.out.display();
        return Err(Failure::Input(format!(
            "--out {file}: it is one of the runs to be drawn, expected another file"
        )));
    }
    let drawn = draw::svg(&runs).map_err(Failure::Input)?;
    std::fs::write(&arguments.out, drawn).map_err(|error| unwritable(&arguments.out, &error))?;
    let count = counted(runs.len() as u64, "run", "runs");
    print(&format!("drawn        {count}: {}\n", arguments.out.display()))?;
    Ok(Exit::Holds)
}
