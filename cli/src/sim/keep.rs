//! Files of what broke something: the plan of each run, and the regression that the first one shrinks to.
//!
//! A file that cannot be written costs no verdict: the seed draws the run again.

use crate::report::{Failure, unwritable};
use colo_sim::{Options, Outcome, Shrunk, Verdict, shrink};
use colo_trace::{NamedRules, Regression};
use std::path::{Path, PathBuf};

/// Where the plan of a seed's run is written.
pub(super) fn plan_file(rules: &NamedRules, seed: u64, directory: &Path) -> PathBuf {
    let stem = Path::new(&rules.name).file_stem().unwrap_or_default().to_string_lossy().replace(':', "-");
    directory.join(format!("{stem}.{seed}.toml"))
}

/// Writes the plan of a run that broke something; the file's name.
pub(super) fn keep_plan(rules: &NamedRules, outcome: &Outcome, directory: &Path) -> Option<String> {
    if outcome.verdict == Verdict::Holds {
        return None;
    }
    let file = plan_file(rules, outcome.seed, directory);
    let text = outcome.plan.to_toml().map_err(|error| Failure::Input(error.to_string()));
    keep(&file, text)
}

/// Writes a regression; the file's name.
pub(super) fn keep_regression(regression: &Regression, file: &Path) -> Option<String> {
    keep(file, regression.to_toml().map_err(|error| Failure::Input(error.to_string())))
}

fn keep(file: &Path, text: Result<String, Failure>) -> Option<String> {
    let written = text.and_then(|text| write(file, &text).map_err(|error| unwritable(file, &error)));
    written.inspect_err(|failure| eprintln!("colo: {failure}")).ok()?;
    Some(file.display().to_string())
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(file, text)
}

/// The shortest story of a run, and the file that tells it again.
pub(super) struct Kept {
    pub(super) shrunk: Shrunk,
    pub(super) regression: Regression,
    pub(super) file: Option<String>,
}

/// Shrinks a run that broke something, and keeps what it comes to.
pub(super) fn shrink_and_keep(
    rules: &NamedRules,
    outcome: &Outcome,
    options: &Options,
    (directory, found_by): (&Path, String),
) -> Option<Kept> {
    let shrunk = shrink(rules, outcome.seed, options, outcome)?;
    let regression = shrunk.regression(rules, found_by);
    let file = keep_regression(&regression, &directory.join(regression.file_name()));
    Some(Kept { shrunk, regression, file })
}
