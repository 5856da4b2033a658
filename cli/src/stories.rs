//! Counterexamples as files: a trace each, beside it the plan that brings the same about, and its states in ITF.

use colo_model::{Check, Pair, itf, lasso_story, story};
use colo_protocol::{Liveness, Property};
use colo_trace::{NamedRules, Trace, plan_of, write_trace};
use std::path::{Path, PathBuf};

/// A property of either kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Safety(Property),
    Liveness(Liveness),
}

impl Named {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Safety(property) => property.name(),
            Self::Liveness(property) => property.name(),
        }
    }

    pub(crate) const fn broken(self) -> &'static str {
        match self {
            Self::Safety(property) => property.broken(),
            Self::Liveness(property) => property.broken(),
        }
    }

    pub(crate) const fn statement(self) -> &'static str {
        match self {
            Self::Safety(property) => property.statement(),
            Self::Liveness(property) => property.statement(),
        }
    }

    pub(crate) const fn source(self) -> &'static str {
        match self {
            Self::Safety(property) => property.source(),
            Self::Liveness(property) => property.source(),
        }
    }
}

/// A counterexample, drawn and written.
pub(crate) struct Story {
    pub(crate) property: Named,
    pub(crate) trace: Trace,
    /// Where it was written, if it could be.
    pub(crate) file: Option<PathBuf>,
}

/// The counterexamples, each in a file if that can be written. A trace that cannot be kept costs no verdict: the same
/// check finds it again.
pub(crate) fn write_stories(
    rules: &NamedRules,
    check: &Check,
    directory: &Path,
) -> (Vec<Story>, Option<String>) {
    let mut unwritten = None;
    let stories = stories(rules, check).into_iter().map(|(property, trace, states)| {
        let file = directory.join(file_name(&rules.name, property.name()));
        let written = write_story(&trace, &file).and_then(|()| {
            std::fs::write(file.with_extension("itf.json"), states).map_err(|error| error.to_string())
        });
        let file = written.as_ref().is_ok().then(|| file.clone());
        if let Err(problem) = written {
            unwritten.get_or_insert(format!("cannot write traces to {}: {problem}", directory.display()));
        }
        Story { property, trace, file }
    });
    (stories.collect(), unwritten)
}

/// What breaks each property that is broken: as a trace, and its states in ITF.
fn stories(rules: &NamedRules, check: &Check) -> Vec<(Named, Trace, String)> {
    let pair = |bounds| Pair { rules: check.rules, bounds };
    let safety = check.properties.iter().filter_map(|report| {
        let (pair, path) = (pair(report.bounds), report.counterexample.as_ref()?);
        let trace = story(&pair, &rules.name, path);
        Some((Named::Safety(report.property), trace, itf(&pair, &rules.name, path, None)))
    });
    let liveness = check.liveness.iter().filter_map(|report| {
        let (pair, lasso) = (pair(report.bounds), report.lasso.as_ref()?);
        let trace = lasso_story(&pair, &rules.name, report.property, lasso);
        let path = [lasso.stem.as_slice(), &lasso.cycle].concat();
        let states = itf(&pair, &rules.name, &path, Some(lasso.stem.len()));
        Some((Named::Liveness(report.property), trace, states))
    });
    safety.chain(liveness).collect()
}

fn file_name(rules: &str, property: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
    };
    let stem = Path::new(rules)
        .file_stem()
        .map_or_else(|| rules.to_owned(), |stem| stem.to_string_lossy().into_owned());
    format!("{}.{}.jsonl", plain(&stem), plain(property))
}

fn write_story(trace: &Trace, file: &Path) -> Result<(), String> {
    let mut bytes = Vec::new();
    write_trace(trace, &mut bytes).map_err(|error| error.to_string())?;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    }
    std::fs::write(file, bytes).map_err(|error| error.to_string())?;
    write_plan(trace, &file.with_extension("toml"))
}

/// The plan beside a trace, of the same name. A run that no plan can say has its trace only.
fn write_plan(trace: &Trace, file: &Path) -> Result<(), String> {
    let Ok(plan) = plan_of(trace) else { return remove_stale(file) };
    let text = plan.to_toml().map_err(|error| error.to_string())?;
    std::fs::write(file, text).map_err(|error| error.to_string())
}

/// The plan of another run would be taken for this one's.
fn remove_stale(file: &Path) -> Result<(), String> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}
