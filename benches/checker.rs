//! What progress costs: our checker, safety and liveness, against `stateright`'s breadth-first search, safety alone.
//!
//! Both explore the same `Pair` within the same bounds, each on one thread, in turn; what counts is processor time, and
//! its ratio within a turn. The table at the end has the ratios with their limits, and a limit that is not reached makes
//! the run fail. `-- --test` takes one turn of the small size only, and says nothing about limits by its exit code.
#![allow(missing_docs, reason = "criterion's benchmarks are crates of their own")]

mod processor_time;
mod searches;
mod table;

use colo_model::{Pair, Scope};
use colo_protocol::{Liveness, PRESETS};
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use processor_time::ProcessorTime;
use searches::{Ours, safety_and, safety_and_all, stateright, timed};
use std::process::ExitCode;
use std::time::Duration;
use table::{Row, Table};

/// Safety and one liveness property may cost so much of what `stateright` needs for safety.
const LIMIT_OF_ONE: f64 = 1.0;
/// Safety and all of liveness, as `colo check` judges them.
const LIMIT_OF_ALL: f64 = 3.0;

/// A preset, one of its scopes, and the liveness properties that are judged one by one.
struct Size {
    preset: &'static str,
    scope: usize,
    one_by_one: &'static [Liveness],
}

/// A small graph and one that fits no cache, of which one property is enough: the one that costs most with the small one.
const SIZES: [Size; 2] = [
    Size { preset: "v12", scope: 0, one_by_one: &Liveness::ALL },
    Size { preset: "strict", scope: 3, one_by_one: &[Liveness::FailoverCompletes] },
];

fn main() -> ExitCode {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let mut criterion = Criterion::default().with_measurement(ProcessorTime).configure_from_args();
    let mut table = Table::default();
    for size in if is_test { &SIZES[..1] } else { &SIZES } {
        measure(size, &mut criterion, &mut table);
    }
    criterion.final_summary();
    print!("{table}");
    if is_test || table.is_reached() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Size {
    fn pair(&self) -> Pair {
        let preset = PRESETS.iter().find(|preset| preset.name == self.preset);
        let Some(rules) = preset.map(|preset| preset.rules) else { panic!("no preset {}", self.preset) };
        Pair { rules, bounds: Scope::of(&rules)[self.scope].bounds }
    }
}

fn measure(size: &Size, criterion: &mut Criterion<ProcessorTime>, table: &mut Table) {
    let pair = size.pair();
    let mut group = criterion.benchmark_group(format!("{}, scope {}", size.preset, size.scope + 1));
    // A turn takes long enough: one to a sample, and one to warm up.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_secs(1));
    let row = |what: &str, limit| Row::new(format!("{}: {what}", size.preset), limit);
    for property in size.one_by_one {
        let what = format!("safety and {}", property.name());
        let ours = |pair: &Pair| safety_and(pair, *property);
        table.add(take_turns(&mut group, &what, pair, row(&what, LIMIT_OF_ONE), ours));
    }
    let what = "safety and all of liveness";
    table.add(take_turns(&mut group, what, pair, row(what, LIMIT_OF_ALL), safety_and_all));
    group.finish();
}

/// Lets both peers work in turn, and gives criterion the time of ours.
fn take_turns(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    what: &str,
    pair: Pair,
    mut row: Row,
    ours: impl Fn(&Pair) -> Ours,
) -> Row {
    let mut turn = || {
        let (their_find, their_time) = stateright(pair);
        let (Ours { found, bytes_per_state }, our_time) = timed(|| ours(&pair));
        assert_eq!(found, their_find, "they do not agree");
        row.add(our_time, their_time, bytes_per_state);
        our_time
    };
    group.bench_function(what, |bencher| {
        bencher.iter_custom(|turns| (0..turns).map(|_| turn()).sum());
    });
    row
}
