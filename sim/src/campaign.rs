//! Campaigns: the simulator as a library, for the tests of whoever has a variant of the protocol to look after.
//!
//! A campaign is a sweep that ends with the first run that breaks something claimed, and tells it as its shortest plan.

use crate::options::Options;
use crate::outcome::{Outcome, Verdict};
use crate::regression::rerun;
use crate::self_check::{SELF_CHECK, Unlike};
use crate::shrink::{Shrunk, shrink};
use crate::summary::Summary;
use crate::sweep::sweep_checked;
use colo_trace::{NamedRules, Plan, Regression};
use std::fmt;
use std::num::NonZeroU64;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where the faults of a campaign come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FaultSource {
    /// Each seed draws its own.
    #[default]
    Drawn,
    /// Nothing fails.
    None,
    /// The same plan for every seed.
    Planned(Plan),
}

/// Many runs that all have to hold.
///
/// ```
/// use colo_sim::{Campaign, FaultSource};
///
/// let rules = colo_trace::load_rules("v12")?;
/// let summary = Campaign::new(rules).seeds(0..100).faults(FaultSource::Drawn).assert_ok();
/// assert_eq!(summary.runs, 100);
/// # Ok::<(), colo_trace::RulesError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a campaign does nothing before it is run"]
pub struct Campaign {
    rules: NamedRules,
    seeds: Range<u64>,
    options: Options,
    jobs: usize,
    self_check: Option<NonZeroU64>,
    require_sometimes: bool,
    regressions: Option<PathBuf>,
}

/// Why a campaign is not all right.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum CampaignError {
    /// A run broke what the rules claim.
    #[error("{0}")]
    Broken(Box<Story>),
    /// Rare paths that no run took: the campaign is too small to mean what it seems to.
    #[error("no run of {runs} ever came to: {}", paths.join("; "))]
    Never {
        /// How many runs there were.
        runs: u64,
        /// The paths.
        paths: Vec<String>,
    },
    /// A seed was not one run.
    #[error(transparent)]
    Unlike(#[from] Unlike),
    /// A kept regression cannot be read.
    #[error("{file}: {problem}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A run that broke something, as short as it gets.
#[derive(Clone, PartialEq, Debug)]
pub struct Story {
    /// The shortest run.
    pub shrunk: Shrunk,
    /// The same as a file.
    pub regression: Regression,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Regression { head, plan } = &self.regression;
        let file = self.regression.file_name();
        let text = self.regression.to_toml().unwrap_or_else(|error| error.to_string());
        write!(
            f,
            "{} breaks \"{}\" with seed {}: {}\n\nThe shortest plan that breaks the same ({} faults):\n\n{text}\n\
             Again: save it as regressions/{file}, and\n    colo replay regressions/{file} --on sim\n",
            head.rules,
            head.property,
            head.seed,
            head.explanation,
            plan.faults.len(),
        )
    }
}

impl Campaign {
    /// A campaign of a thousand seeds for these rules.
    pub fn new(rules: NamedRules) -> Self {
        Self {
            rules,
            seeds: 0..1_000,
            options: Options::default(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            self_check: SELF_CHECK,
            require_sometimes: false,
            regressions: None,
        }
    }

    /// These seeds, and no others.
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Self { seeds, ..self }
    }

    /// Where the faults come from.
    pub fn faults(self, source: FaultSource) -> Self {
        let (faults, plan) = match source {
            FaultSource::Drawn => (true, None),
            FaultSource::None => (false, None),
            FaultSource::Planned(plan) => (false, Some(plan)),
        };
        Self { options: Options { plan, faults, ..self.options }, ..self }
    }

    /// Checkpoints until a run drains.
    pub fn checkpoints(self, checkpoints: u64) -> Self {
        Self { options: Options { checkpoints, ..self.options }, ..self }
    }

    /// Clients.
    pub fn clients(self, clients: u32) -> Self {
        Self { options: Options { clients, ..self.options }, ..self }
    }

    /// Runs at the same time; no result depends on it.
    pub fn jobs(self, jobs: usize) -> Self {
        Self { jobs, ..self }
    }

    /// One seed in so many is run twice; 0 for none.
    pub fn self_check(self, every: u64) -> Self {
        Self { self_check: NonZeroU64::new(every), ..self }
    }

    /// A rare path that the runs can take has to be taken by one at least.
    pub fn require_sometimes(self) -> Self {
        Self { require_sometimes: true, ..self }
    }

    /// The regressions in this directory are run first, under the campaign's rules.
    pub fn regressions(self, directory: impl Into<PathBuf>) -> Self {
        Self { regressions: Some(directory.into()), ..self }
    }

    /// Runs it.
    pub fn run(&self) -> Result<Summary, CampaignError> {
        self.rerun_regressions()?;
        let mut summary = Summary::of(&self.rules.rules, &self.options);
        let mut broken = None;
        let seeds = self.seeds.clone();
        sweep_checked(&self.rules, seeds, self.jobs, &self.options, self.self_check, |outcome| {
            summary.add(&outcome);
            if is_broken(&outcome) {
                broken = Some(outcome);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        self.judge(broken.as_ref(), &self.options)?;
        let paths: Vec<_> = summary.never().map(ToOwned::to_owned).collect();
        if self.require_sometimes && !paths.is_empty() {
            return Err(CampaignError::Never { runs: summary.runs, paths });
        }
        Ok(summary)
    }

    /// Runs it, for a test.
    ///
    /// # Panics
    ///
    /// If it is not all right: with the shortest plan, and how to run it again.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "that it returns is what is wanted")]
    pub fn assert_ok(&self) -> Summary {
        match self.run() {
            Ok(summary) => summary,
            Err(error) => panic!("{error}"),
        }
    }

    fn judge(&self, broken: Option<&Outcome>, options: &Options) -> Result<(), CampaignError> {
        let shrunk = broken.and_then(|outcome| shrink(&self.rules, outcome.seed, options, outcome));
        shrunk.map_or(Ok(()), |shrunk| {
            let regression = shrunk.regression(&self.rules, "a campaign");
            Err(CampaignError::Broken(Box::new(Story { shrunk, regression })))
        })
    }

    fn rerun_regressions(&self) -> Result<(), CampaignError> {
        let Some(directory) = &self.regressions else { return Ok(()) };
        for file in regressions_in(directory)? {
            let regression = read(&file)?;
            let outcome = rerun(&regression, &self.rules);
            self.judge(Some(&outcome).filter(|outcome| is_broken(outcome)), &Options::of(&regression))?;
        }
        Ok(())
    }
}

fn is_broken(outcome: &Outcome) -> bool {
    outcome.verdict == Verdict::Violated && outcome.claimed
}

fn unreadable(file: &Path, problem: &impl ToString) -> CampaignError {
    CampaignError::Unreadable { file: file.display().to_string(), problem: problem.to_string() }
}

/// The files of a directory that are regressions by their name, in order.
fn regressions_in(directory: &Path) -> Result<Vec<PathBuf>, CampaignError> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files.map_err(|error| unreadable(directory, &error))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Regression, CampaignError> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    Regression::from_toml(&text).map_err(|error| unreadable(file, &error))
}
