//! The pictures that `colo check` draws of what it explores: graphs in DOT, for graphviz.

use crate::report::Failure;
use colo_model::{Limits, Pair, phase_graph, state_graph};
use std::path::{Path, PathBuf};

/// Which pictures, and where to.
#[derive(clap::Args)]
pub(crate) struct Pictures {
    /// Draw the phases of both nodes and what leads from one pair of them to another, as DOT.
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Draw every single state and step, as DOT; for bounds so small that there are no more than 2,000 states.
    #[arg(long, value_name = "FILE")]
    dot_states: Option<PathBuf>,
}

impl Pictures {
    /// Draws what was asked for. What is not drawn is an error: somebody waits for the file.
    pub(crate) fn draw(&self, pair: &Pair, rules_name: &str, limits: &Limits) -> Result<(), Failure> {
        if let Some(file) = &self.dot_states {
            let drawn = state_graph(pair, rules_name);
            write(
                file,
                &drawn.map_err(|error| Failure::Input(format!("--dot-states: {error} (--dot FILE)")))?,
            )?;
        }
        if let Some(file) = &self.dot {
            write(file, &phase_graph(pair, rules_name, limits))?;
        }
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::Input(format!("cannot write {}: {error}", file.display())))
}
