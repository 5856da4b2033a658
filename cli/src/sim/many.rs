//! Many seeds, a sweep: its lines, its summary, and the shortest story of the first run that broke something.

use super::arguments::Arguments;
use super::junit::Junit;
use super::keep::{Kept, keep_plan, plan_file, shrink_and_keep};
use super::lines::{Ending, Lines, Runs, read};
use super::progress::Progress;
use super::told::{again, shortest, summed_up, told};
use crate::interrupt;
use crate::report::{Exit, Failure, counted, print, print_json, unwritable};
use colo_sim::{
    Line, Options, Outcome, SeedSet, Summary, Unlike, Verdict, run as simulate, sweep_checked, sweep_name,
};
use colo_trace::NamedRules;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The most plans that a sweep writes.
const MOST_PLANS: usize = 100;

/// A sweep under way.
struct Sweep<'a> {
    rules: &'a NamedRules,
    options: &'a Options,
    arguments: &'a Arguments,
    runs: Runs,
    out: Option<BufWriter<File>>,
    junit: Option<Junit>,
    /// Plans that have been written.
    plans: usize,
    progress: Progress,
    begun: Instant,
    /// Why the lines cannot be written any more.
    failure: Option<Failure>,
    /// Whether all seeds are asked for, not as many as there is time for.
    bounded: bool,
    /// Whether it was stopped before it had done what was asked for.
    stopped: bool,
}

/// Runs the seeds of the range; `bounded` says that all of them are asked for, not as many as there is time for.
pub(super) fn many(
    rules: &NamedRules,
    (seeds, bounded): (&Range<u64>, bool),
    options: &Options,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    let mut sweep = Sweep::begin(rules, (seeds, bounded), options, arguments)?;
    let left = sweep.runs.seeds.missing_from(seeds);
    let interrupted = interrupt::watch();
    let steady = sweep_checked(
        rules,
        left.into_iter().flatten(),
        arguments.jobs(),
        options,
        arguments.self_check(),
        |outcome| {
            sweep.take(&outcome);
            let late = arguments.time.is_some_and(|time| sweep.begun.elapsed() >= time);
            sweep.stopped = interrupted.load(Ordering::Relaxed) || (late && bounded);
            if sweep.stopped || late || sweep.failure.is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        },
    );
    sweep.end(seeds, steady)
}

impl<'a> Sweep<'a> {
    fn begin(
        rules: &'a NamedRules,
        (seeds, bounded): (&Range<u64>, bool),
        options: &'a Options,
        arguments: &'a Arguments,
    ) -> Result<Self, Failure> {
        let runs = Runs {
            rules: rules.name.clone(),
            sweep: sweep_name(rules, options),
            summary: Summary::of(&rules.rules, options),
            seeds: SeedSet::default(),
        };
        let (runs, out) = match (&arguments.resume, &arguments.out) {
            (Some(file), _) => resumed(runs, seeds, file)?,
            (None, Some(file)) => (runs, Some(fresh(file)?)),
            (None, None) => (runs, None),
        };
        let left = bounded.then(|| seeds.end - seeds.start - runs.summary.runs);
        let progress = Progress::new(left, &runs.summary);
        // What cannot be written in the end is known before the first run.
        if let Some(file) = &arguments.junit {
            File::create(file).map_err(|error| unwritable(file, &error))?;
        }
        let junit = arguments.junit.as_ref().map(|_| Junit::new(&rules.name));
        let (out, begun) = (out.map(BufWriter::new), Instant::now());
        Ok(Self {
            rules,
            options,
            arguments,
            runs,
            out,
            junit,
            plans: 0,
            progress,
            begun,
            failure: None,
            bounded,
            stopped: false,
        })
    }

    fn take(&mut self, outcome: &Outcome) {
        let plan = self.kept_plan(outcome);
        let runs = &mut self.runs;
        let line = Line {
            rules: Some((&runs.rules).into()),
            sweep: Some((&runs.sweep).into()),
            ..outcome.line(plan.as_deref())
        };
        runs.summary.add_line(&line);
        runs.seeds.insert(line.seed);
        if let Some(junit) = &mut self.junit {
            junit.take(&line, &again(self.rules, line.seed, self.options));
        }
        self.progress.show(&runs.summary);
        let written = self.out.as_mut().map_or(Ok(()), |out| write_line(out, &line));
        let printed = if self.arguments.json { print_json(&line) } else { Ok(()) };
        self.failure = written.and(printed).err();
    }

    /// The file of a run's plan. Of runs that broke what is not claimed, and of those beyond the first many, there is none:
    /// their seeds draw them again.
    fn kept_plan(&mut self, outcome: &Outcome) -> Option<String> {
        if outcome.verdict == Verdict::Holds || !outcome.claimed || self.plans == MOST_PLANS {
            return None;
        }
        let plan = keep_plan(self.rules, outcome, &self.arguments.plan_dir);
        // A directory that takes one of them takes all.
        self.plans = if plan.is_some() { self.plans + 1 } else { MOST_PLANS };
        plan
    }

    fn end(mut self, seeds: &Range<u64>, steady: Result<(), Unlike>) -> Result<Exit, Failure> {
        self.progress.finish();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let all = self.bounded && self.runs.seeds.missing_from(seeds).is_empty();
        self.stopped &= !all;
        let complete = all || !(self.bounded || self.stopped);
        let first = self.runs.summary.first_violation;
        let kept = first.filter(|_| !self.arguments.no_shrink).and_then(|seed| self.shrunk(seed));
        let ending = Ending {
            shrunk: kept.as_ref().map(Kept::document),
            ..Ending::of(&self.runs, complete && steady.is_ok())
        };
        if let Some(out) = &mut self.out {
            write_line(out, &ending)?;
            out.flush()?;
        }
        let required = self.arguments.required;
        if let (Some(junit), Some(file)) = (self.junit.take(), &self.arguments.junit) {
            junit.write(&self.runs.summary, required, file)?;
        }
        if self.arguments.json {
            print_json(&ending)?;
        } else {
            self.tell(first, kept.as_ref())?;
        }
        steady.map_err(|unlike| Failure::Incomplete(unlike.to_string()))?;
        let never = required.missing(&self.runs.summary) > 0;
        Ok(match (first, never, self.stopped) {
            (Some(_), ..) => Exit::Violated,
            (None, _, true) => Exit::Incomplete,
            (None, true, false) => Exit::Violated,
            (None, false, false) => Exit::Holds,
        })
    }

    fn shrunk(&self, seed: u64) -> Option<Kept> {
        let outcome = simulate(self.rules, seed, self.options);
        let found_by = again(self.rules, seed, self.options);
        shrink_and_keep(self.rules, &outcome, self.options, (&self.arguments.regression_dir, found_by))
    }

    fn tell(&self, first: Option<u64>, kept: Option<&Kept>) -> Result<(), Failure> {
        let Runs { rules, summary, seeds, .. } = &self.runs;
        let seconds = self.begun.elapsed().as_secs_f64();
        print(&summed_up(rules, summary, seeds, Some(seconds)))?;
        let missing = self.arguments.required.missing(summary);
        if missing > 0 {
            print(&format!("required   {} in no run\n", counted(missing, "thing", "things")))?;
        }
        if self.stopped {
            print("stopped    before the last seed: what is said is of these runs only\n")?;
        }
        let Some(seed) = first else { return Ok(()) };
        print(&format!("\nThe first run that broke it: {}\n", again(self.rules, seed, self.options)))?;
        if let Some(kept) = kept {
            return print(&shortest(self.rules, kept));
        }
        let outcome = simulate(self.rules, seed, &Options { record: true, ..self.options.clone() });
        let plan = plan_file(self.rules, seed, &self.arguments.plan_dir);
        let plan = plan.exists().then(|| plan.display().to_string());
        print(&format!("\n{}", told(self.rules, &outcome, self.options, plan.as_deref())))
    }
}

/// A file for the lines. Those of another sweep are not written over.
fn fresh(file: &Path) -> Result<File, Failure> {
    if file.metadata().is_ok_and(|there| there.is_file() && there.len() > 0) {
        let name = file.display();
        return Err(Failure::Input(format!(
            "{name}: there are lines in it already, expected a new file; --resume {name} goes on with them"
        )));
    }
    File::create(file).map_err(|error| unwritable(file, &error))
}

fn write_line(out: &mut impl Write, line: &impl serde::Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// The runs that are in the file, and the file, to be written on behind the last whole one of them.
fn resumed(runs: Runs, seeds: &Range<u64>, file: &Path) -> Result<(Runs, Option<File>), Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}", file.display()));
    let Lines { runs, whole_bytes, cut_off, .. } = read(file, Some(runs))?;
    if whole_bytes == 0 && cut_off {
        return Err(bad("there is no whole line in it, expected those of a sweep".to_owned()));
    }
    let runs = runs.ok_or_else(|| bad("there is no run in it".to_owned()))?;
    let foreign = runs.seeds.ranges().find(|range| range.start < seeds.start || range.end > seeds.end);
    if let Some(Range { start, end }) = foreign {
        let asked = format!("{}..{}", seeds.start, seeds.end);
        return Err(bad(format!("it has seeds {start}..{end}, expected seeds of {asked} only")));
    }
    let opened = OpenOptions::new().append(true).open(file);
    let opened = opened.and_then(|file| file.set_len(whole_bytes).map(|()| file));
    Ok((runs, Some(opened.map_err(|error| unwritable(file, &error))?)))
}
