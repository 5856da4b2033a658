//! `colo run`: a real pair, checkpointed and failed over; and `colo node`, one of its processes.

mod cable;
pub(crate) mod comparison;
pub(crate) mod latency;
mod live;
mod reprotect;
mod side;
mod soak;
pub(crate) mod work;

use crate::crash_points::{CHECKPOINTS, crashes};
use crate::failovers::Tally;
use crate::interrupt;
use crate::replay::left_over;
use crate::report::{Exit, Failure, counted, grouped, print, print_json, quoted, unwritable};
use crate::sim::progress_bar;
use crate::suspicions::{expect_arbiter, expect_suspicions, plans, suspect_often};
use colo_protocol::{Mode, NodeName};
use colo_real::arbiter::ArbiterAddress;
use colo_real::{
    CheckpointFigures, DiskFigures, LinkKind, Measured, NodeCommand, RunError, RunOptions, RunOutcome,
    RunViolation, Workload, can_strike, kvm_usable, measure_pair, run_alone, run_node,
};
use colo_trace::{NamedRules, Plan, PlanFile, load_rules, write_trace};
use hdrhistogram::Histogram;
pub(crate) use latency::{document as measured_document, rows as measured_rows};
use live::Live;
use serde_json::{Value, json};
use side::SideFlags;
use soak::Soak;
use std::fmt::Write;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use work::Work;
pub(crate) use work::{JOURNAL_BLOCKS, parse_rate};

/// Run a pair of real virtual machines: checkpoints, their latencies, and faults from a plan.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset, a known bug (`colo rules` lists them), or a TOML file.
    #[arg(default_value = "v12")]
    rules: String,
    /// Checkpoints to take; with --crash-points as many as that needs.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoints: u64,
    /// Milliseconds between checkpoints, instead of the rules' own.
    #[arg(long, value_name = "N")]
    interval_ms: Option<u32>,
    /// How a checkpoint's RAM leaves the primary; without, as the rules have it.
    #[arg(long, value_enum, conflicts_with = "unprotected")]
    mode: Option<ModeName>,
    /// The guest's memory.
    #[arg(long, default_value_t = 128, value_name = "MiB", value_parser = clap::value_parser!(u64).range(16..=4096))]
    memory_mib: u64,
    /// What the link is.
    #[arg(long, value_enum, default_value_t = Link::Unix)]
    link: Link,
    /// Bytes a second that go over it, each way, as over a slow network; without, as fast as the machine is.
    #[arg(long, value_name = "BYTES/s", value_parser = work::parse_link_rate, conflicts_with = "unprotected")]
    link_rate: Option<u64>,
    /// Clients with a request open each.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    side: SideFlags,
    /// A plan of faults, carried out with SIGKILL and shutdown(2).
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Kill a node at every protocol point of a checkpoint, the one and the other, a fresh pair each time.
    #[arg(long, value_enum, conflicts_with = "plan", value_name = "WHICH")]
    crash_points: Option<CrashPoints>,
    /// With --crash-points: nodes to kill in all; by default each once at each point.
    #[arg(long, requires = "crash_points", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    failovers: Option<u64>,
    /// Whoever serves alone is given a replacement, to which its state is sent while it serves. With --crash-points: one
    /// service through all failovers, instead of a fresh pair for each; with --suspicions likewise.
    #[arg(long, conflicts_with = "unprotected")]
    reprotect: bool,
    /// Have a node that lives taken for dead so many times, in one way and at one protocol point after the other, a fresh
    /// pair each time.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000),
        conflicts_with_all = ["plan", "crash_points", "unprotected", "soak", "checkpoints"],
    )]
    suspicions: Option<u64>,
    /// With --suspicions: pairs that run side by side; most of the time they wait for somebody's patience.
    #[arg(long, requires = "suspicions", default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Who gives the right to serve alone, under rules that ask for it: `file:DIRECTORY`, on storage that both nodes share, or
    /// `etcd:HOST:PORT`; without, this command does, in its memory.
    #[arg(long, value_name = "ARBITER", conflicts_with = "unprotected")]
    arbiter: Option<ArbiterAddress>,
    /// Write a record of every event.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CrashPoints {
    /// All of them.
    All,
}

/// A [`Mode`] on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ModeName {
    /// From the guest's memory, while it stands still.
    Synchronous,
    /// From a copy that is made while it stands still (`resume = "after-staged"`, `disk = "by-epoch"`).
    Staged,
    /// In rounds while it runs, and the rest as staged (`precopy_rounds`, at least 1).
    PreCopy,
}

impl ModeName {
    const fn mode(self) -> Mode {
        match self {
            Self::Synchronous => Mode::Synchronous,
            Self::Staged => Mode::Staged,
            Self::PreCopy => Mode::PreCopy,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Link {
    /// A Unix socket.
    Unix,
    /// TCP over loopback.
    Tcp,
}

/// One process of a pair; started by `colo run`.
#[derive(clap::Args)]
pub(crate) struct NodeArguments {
    /// The socket of the harness.
    #[arg(long)]
    control: PathBuf,
    /// "primary" or "secondary".
    #[arg(long, value_parser = parse_name)]
    name: NodeName,
}

fn parse_name(text: &str) -> Result<NodeName, String> {
    let found = NodeName::ALL.into_iter().find(|node| node.name() == text);
    found.ok_or_else(|| "expected primary or secondary".to_owned())
}

pub(crate) fn node(arguments: &NodeArguments) -> Result<Exit, Failure> {
    run_node(&arguments.control, arguments.name)
        .map(|()| Exit::Holds)
        .map_err(|error| Failure::Environment(format!("{}: {error}", arguments.name)))
}

/// Why a run has no outcome.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// The command could not do its work.
    Failure(Failure),
    /// The pair went wrong in a way that no plan had: a finding, in a sentence.
    Wrong(String),
}

impl From<Failure> for Unfinished {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match run_as_told(arguments) {
        Ok(exit) => Ok(exit),
        Err(Unfinished::Failure(failure)) => Err(failure),
        Err(Unfinished::Wrong(problem)) => {
            if arguments.json {
                print_json(
                    &json!({ "schema": 1, "rules": arguments.rules, "problem": problem, "verdict": "violated" }),
                )?;
            }
            eprintln!("colo: {problem}");
            Ok(Exit::Violated)
        }
    }
}

fn run_as_told(arguments: &Arguments) -> Result<Exit, Unfinished> {
    let mut rules = load_rules(&arguments.rules).map_err(Failure::from)?;
    if let Some(delay) = arguments.interval_ms {
        rules.rules.checkpoint_delay_ms = delay;
    }
    if let Some(mode) = arguments.mode.map(ModeName::mode) {
        let NamedRules { name, rules: usual } = rules;
        rules = NamedRules { name: format!("{name} ({})", mode.name()), rules: usual.in_mode(mode) };
    }
    arguments.work.check(&rules)?;
    let name = arguments.side.name()?;
    arguments.side.check(&arguments.work, name)?;
    if arguments.suspicions.is_some() {
        expect_suspicions(&rules)?;
    }
    if let Some(arbiter) = &arguments.arbiter {
        expect_use_for(arbiter, &rules)?;
    }
    let options = arguments.options(rules)?;
    if let Some(name) = name {
        return side::run(arguments, &options, name);
    }
    kvm_usable().map_err(|error| Failure::Environment(error.to_string()))?;
    if !arguments.reprotect && arguments.is_campaign() {
        arguments.expect_fresh_pairs(&options)?;
        return match arguments.suspicions {
            Some(suspicions) => run_suspicions(&options, suspicions, arguments),
            None => run_crash_points(&options, arguments),
        };
    }
    let options = arguments.with_replacements(options)?;
    // What cannot be written in the end is known before the run.
    let create = |file: &PathBuf| File::create(file).map_err(|error| unwritable(file, &error));
    let trace = arguments.trace.as_ref().map(create).transpose().map_err(Unfinished::Failure)?;
    let enough = interrupt::watch();
    let options = RunOptions { stop: Some(enough), ..options };
    let mut live = Live::new();
    let measured = measure_once(&options, arguments.work.unprotected, &mut |figures| live.show(figures));
    live.finish();
    let (mut outcome, measured) = measured?;
    let soak = arguments.work.is_soak().then(|| {
        let of_replacements = if arguments.reprotect { options.memory_mib << 20 } else { 0 };
        Soak::of(&measured, of_replacements)
    });
    let interrupted = enough.load(Ordering::Relaxed);
    let problem = reprotect::problem(&options, &outcome).filter(|_| arguments.is_campaign());
    if arguments.is_campaign() && problem.is_none() {
        // Each pair had several chances, and one was enough.
        outcome.unreached.clear();
    }
    if arguments.json {
        let mut document = document(&options, &outcome);
        reprotect::enter(&outcome, &mut document);
        if let Some(problem) = &problem {
            (document["problem"], document["verdict"]) = (problem.as_str().into(), "violated".into());
        }
        document["interrupted"] = interrupted.into();
        document["interval_ms"] = options.rules.rules.checkpoint_delay_ms.into();
        document["protected"] = (!arguments.work.unprotected).into();
        let load = options.load.map(|load| json!({ "per_second": load.per_second, "seed": load.seed }));
        document["load"] = load.into();
        latency::document(&measured, &mut document);
        if let Some(soak) = &soak {
            soak.enter(&mut document);
        }
        print_json(&document)?;
    } else {
        print(&summary(&options, &outcome, &measured, soak.as_ref(), !arguments.work.unprotected))?;
        if interrupted {
            print("stopped      by Ctrl-C, before it had done what was asked for\n")?;
        }
    }
    if let (Some(file), Some(mut opened), Some(recorded)) = (&arguments.trace, trace, &outcome.trace) {
        let mut bytes = Vec::new();
        write_trace(recorded, &mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
        opened.write_all(&bytes).map_err(|error| unwritable(file, &error))?;
    }
    if let Some(problem) = &problem {
        eprintln!("colo: {problem}");
    }
    if problem.is_some() || soak.is_some_and(|soak| soak.problem().is_some()) {
        return Ok(Exit::Violated);
    }
    let finished = outcome.unreached.is_empty() && outcome.closed.is_empty() && !interrupted;
    Ok(match (&outcome.violation, finished) {
        // What the rules are worth cannot be seen without it.
        (Some(RunViolation::ArbiterSilent { .. }), _) => Exit::Incomplete,
        (Some(_), _) if outcome.claimed => Exit::Violated,
        (_, true) => Exit::Holds,
        _ => Exit::Incomplete,
    })
}

fn run_crash_points(options: &RunOptions, arguments: &Arguments) -> Result<Exit, Unfinished> {
    let enough = interrupt::watch();
    let crashes = crashes(options)?;
    let failovers =
        arguments.failovers.map_or(crashes.len(), |count| usize::try_from(count).unwrap_or(usize::MAX));
    let bar = progress_bar(failovers as u64, "killing real machines");
    let tally = Tally::of(options, &crashes, failovers, (enough, &bar))?;
    if arguments.json {
        tally.documents(options).iter().try_for_each(print_json)?;
    } else {
        print(&tally.table())?;
    }
    for again in tally.keep(&arguments.rules, &arguments.again(CHECKPOINTS)) {
        eprintln!("again      {again}");
    }
    Ok(match (tally.wrong(), tally.interrupted) {
        (1.., _) => Exit::Violated,
        (0, true) => Exit::Incomplete,
        (0, false) => Exit::Holds,
    })
}

fn run_suspicions(options: &RunOptions, suspicions: u64, arguments: &Arguments) -> Result<Exit, Unfinished> {
    let enough = interrupt::watch();
    let bar = progress_bar(suspicions, "suspecting the living");
    let suspicions = usize::try_from(suspicions).unwrap_or(usize::MAX);
    let tally = suspect_often(options, (suspicions, arguments.jobs.into()), (enough, &bar))?;
    if arguments.json {
        tally.documents(options).iter().try_for_each(print_json)?;
    } else {
        print(&tally.table(options))?;
    }
    for again in tally.keep(&arguments.rules, &arguments.again(crate::suspicions::CHECKPOINTS)) {
        eprintln!("again      {again}");
    }
    Ok(match tally.wrong() {
        1.. => Exit::Violated,
        0 if tally.is_incomplete() => Exit::Incomplete,
        0 => Exit::Holds,
    })
}

impl Arguments {
    /// Whether something goes wrong again and again: in a fresh pair each time, or in one service.
    const fn is_campaign(&self) -> bool {
        self.crash_points.is_some() || self.suspicions.is_some()
    }

    /// That nothing is asked of fresh pairs that only one service can do.
    fn expect_fresh_pairs(&self, options: &RunOptions) -> Result<(), Failure> {
        let of_one_service = [
            ("--soak", options.lasts.is_some()),
            ("--load", options.load.is_some()),
            ("--trace", self.trace.is_some()),
        ];
        let campaign = if self.suspicions.is_some() { "--suspicions" } else { "--crash-points" };
        let given = of_one_service.into_iter().find(|(_, is_given)| *is_given);
        given.map_or(Ok(()), |(flag, _)| {
            Err(Failure::Input(format!(
                "{flag} with {campaign} is for one service: expected --reprotect, too"
            )))
        })
    }

    /// The flags of one of the runs of a campaign.
    fn again(&self, checkpoints: u64) -> String {
        let mut flags = format!(" --checkpoints {checkpoints} --memory-mib {}", self.memory_mib);
        if let Some(arbiter) = &self.arbiter {
            let _ = write!(flags, " --arbiter {}", quoted(&arbiter.to_string()));
        }
        if let Some(mode) = self.mode {
            let _ = write!(flags, " --mode {}", mode.mode().name());
        }
        if let Some(interval) = self.interval_ms {
            let _ = write!(flags, " --interval-ms {interval}");
        }
        let _ = write!(flags, "{} --clients {}", self.work.again(), self.clients);
        if matches!(self.link, Link::Tcp) {
            flags.push_str(" --link tcp");
        }
        if let Some(rate) = self.link_rate {
            let _ = write!(flags, " --link-rate {rate}");
        }
        flags
    }

    /// The run with what --reprotect makes of it.
    fn with_replacements(&self, options: RunOptions) -> Result<RunOptions, Unfinished> {
        if !self.reprotect {
            return Ok(options);
        }
        if let Some(suspicions) = self.suspicions {
            let suspicions = usize::try_from(suspicions).unwrap_or(usize::MAX);
            return Ok(reprotect::again_and_again(&options, &plans(&options, suspicions)?));
        }
        if self.crash_points.is_none() {
            return Ok(RunOptions { replacements: vec![Plan::default()], ..options });
        }
        let crashes = crashes(&RunOptions { lasts: None, load: None, ..options.clone() })?;
        let all = if options.lasts.is_some() { reprotect::ENDLESS } else { crashes.len() };
        let failovers = self.failovers.map_or(all, |count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(reprotect::again_and_again(&options, &reprotect::plans_of(&crashes, failovers)))
    }

    fn options(&self, rules: NamedRules) -> Result<RunOptions, Failure> {
        let plan = match &self.plan {
            None => Plan::default(),
            Some(file) => {
                let plan = read_plan(file)?;
                expect_real(&plan, file)?;
                self.work.expect_disk_for(&plan, file)?;
                plan
            }
        };
        Ok(RunOptions {
            rules,
            checkpoints: self.checkpoints,
            memory_mib: self.memory_mib,
            workload: Workload { network: self.side.network(), ..self.work.workload(self.memory_mib)? },
            link: match self.link {
                Link::Unix => LinkKind::Unix,
                Link::Tcp => LinkKind::Tcp,
            },
            link_rate: self.link_rate,
            plan,
            replacements: Vec::new(),
            clients: self.clients,
            load: self.work.load(),
            lasts: self.work.lasts(),
            stop: None,
            arbiter: self.arbiter.clone(),
            network: None,
            endures: false,
            events: None,
            warn: |text| eprintln!("colo: {text}"),
            record: self.trace.is_some(),
            disk_directory: self.work.disk_dir.clone(),
            node: node_command()?,
        })
    }
}

/// That somebody will ask this arbiter, and that it is there, as far as can be seen.
fn expect_use_for(arbiter: &ArbiterAddress, rules: &NamedRules) -> Result<(), Failure> {
    expect_arbiter("--arbiter", rules)?;
    arbiter.expect_there().map_err(|error| Failure::Input(format!("--arbiter: {error}")))
}

/// That real machines can follow a plan: some faults are the simulator's only.
pub(crate) fn expect_real(plan: &Plan, file: &std::path::Path) -> Result<(), Failure> {
    let mut kinds = plan.faults.iter().map(|fault| fault.action.kind());
    let Some(beyond) = kinds.find(|kind| !can_strike(*kind)) else { return Ok(()) };
    let (file, beyond) = (quoted(&file.display().to_string()), beyond.name());
    Err(Failure::Input(format!(
        "{file}: {beyond} cannot be carried out on real machines, expected a plan without; \
         try colo replay {file} --on sim"
    )))
}

/// A plan from a TOML file, a regression's, too.
pub(crate) fn read_plan(file: &std::path::Path) -> Result<Plan, Failure> {
    read_plan_file(file).map(|file| file.plan)
}

/// A plan from a TOML file, with what a regression knows besides.
pub(crate) fn read_plan_file(file: &std::path::Path) -> Result<PlanFile, Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    PlanFile::from_toml(&text).map_err(|error| bad(error.to_string()))
}

/// How to start this very program as a node.
pub(crate) fn node_command() -> Result<NodeCommand, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::Environment(format!("this program does not find itself: {error}")))?;
    Ok(NodeCommand { program: program.into_os_string(), arguments: vec!["node".into()] })
}

/// One run in a private directory of its own.
pub(crate) fn run_once(
    options: &RunOptions,
    progress: &mut dyn FnMut(&CheckpointFigures),
) -> Result<RunOutcome, Unfinished> {
    measure_once(options, false, progress).map(|(outcome, _)| outcome)
}

/// The same, and what it cost the clients.
pub(crate) fn measure_once(
    options: &RunOptions,
    unprotected: bool,
    progress: &mut dyn FnMut(&CheckpointFigures),
) -> Result<(RunOutcome, Measured), Unfinished> {
    let directory = TempDir::with_prefix("colo-")
        .map_err(|error| Failure::Environment(format!("no directory for the sockets: {error}")))?;
    let measured = if unprotected {
        run_alone(options, directory.path())
    } else {
        measure_pair(options, directory.path(), progress)
    };
    measured.map_err(|error| match error {
        RunError::Environment(_) | RunError::Io(_) => {
            Unfinished::Failure(Failure::Environment(format!("the pair could not run: {error}")))
        }
        RunError::Node(..) | RunError::NotReady | RunError::Plan(_) => Unfinished::Wrong(error.to_string()),
    })
}

/// Percentiles of some values.
struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Percentiles {
    fn of(values: impl Iterator<Item = u64>) -> Option<Self> {
        // 3 significant digits, any value that a u64 of microseconds can have.
        let mut histogram = Histogram::<u64>::new(3).ok()?;
        for value in values {
            histogram.record(value).ok()?;
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: histogram.max(),
        })
    }

    fn json(&self) -> Value {
        json!({ "p50": self.p50, "p90": self.p90, "p99": self.p99, "max": self.max })
    }
}

/// The most faults, and failovers, that are listed one by one for a person.
const LISTED: usize = 12;

/// The columns of figures of a run: name, heading, and where to find it in a checkpoint's.
type Column = (&'static str, &'static str, fn(&CheckpointFigures) -> u64);

const COLUMNS: [Column; 5] = [
    ("dirty_pages", "dirty pages", |figures| figures.dirty_pages),
    ("pause_us", "pause, us", |figures| figures.pause_us),
    ("transaction_us", "transaction, us", |figures| figures.transaction_us),
    ("release_us", "release, us", |figures| figures.release_us),
    ("bytes", "bytes", |figures| figures.bytes),
];

fn summary(
    options: &RunOptions,
    outcome: &RunOutcome,
    measured: &Measured,
    soak: Option<&Soak>,
    protected: bool,
) -> String {
    let mut out = if protected {
        pair(options, outcome)
    } else {
        format!("machine      {} MiB guest that nobody protects\n", options.memory_mib)
    };
    let _ = writeln!(out, "\n{:>28} {:>12} {:>12} {:>12}", "p50", "p90", "p99", "max");
    for (_, heading, column) in COLUMNS {
        if let Some(Percentiles { p50, p90, p99, max }) =
            Percentiles::of(outcome.checkpoints.iter().map(column))
        {
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(grouped);
            let _ = writeln!(out, "{heading:<15} {p50:>12} {p90:>12} {p99:>12} {max:>12}");
        }
    }
    out.push_str(&latency::rows(measured));
    out.push('\n');
    out.push_str(&comparison::told(options, outcome));
    for (point, action) in outcome.struck.iter().take(LISTED) {
        let _ = writeln!(out, "fault        {action}, {point}");
    }
    out.push_str(&and_more(outcome.struck.len()));
    for problem in left_over(&outcome.unreached, &outcome.closed) {
        let _ = writeln!(out, "unfinished   {problem}");
    }
    if outcome.failovers > 0 {
        let _ = writeln!(out, "failover     {}", counted(outcome.failovers, "failover", "failovers"));
        let listed = measured.failovers.iter().take(LISTED);
        listed.for_each(|times| out.push_str(&latency::parts(times)));
        out.push_str(&and_more(measured.failovers.len()));
    }
    let off: Vec<_> = powered_off(outcome).map(NodeName::name).collect();
    if !off.is_empty() {
        let _ = writeln!(out, "power off    {}, as the guest wanted", off.join(" and "));
    }
    out.push_str(&disk_row(options, outcome));
    out.push_str(&reprotect::told(outcome));
    out.push_str(&latency::told(options, measured, outcome.replies));
    out.push_str(&soak.map(Soak::told).unwrap_or_default());
    if let Some(silent) = &outcome.arbiter_was_silent {
        let _ = writeln!(out, "arbiter      {silent}");
    }
    let grows = soak.and_then(Soak::problem);
    let _ = match &outcome.violation {
        None if let Some(problem) = grows => writeln!(out, "verdict      VIOLATED: {problem}"),
        None => writeln!(out, "verdict      holds: nothing that a client saw was lost or contradicted"),
        Some(violation @ RunViolation::ArbiterSilent { .. }) => {
            writeln!(out, "verdict      incomplete: {violation}")
        }
        Some(violation) if outcome.claimed => writeln!(out, "verdict      VIOLATED: {violation}"),
        Some(violation) => writeln!(out, "verdict      violated, but not claimed: {violation}"),
    };
    out
}

/// Which nodes are off because their guest wanted to be.
fn powered_off(outcome: &RunOutcome) -> impl Iterator<Item = NodeName> {
    NodeName::ALL.into_iter().filter(|node| outcome.powered_off[*node as usize])
}

/// What the disks did, if there were any.
fn disk_row(options: &RunOptions, outcome: &RunOutcome) -> String {
    if options.workload.disk_blocks == 0 {
        return String::new();
    }
    let DiskFigures { writes, reads, errors, replicated_bytes } = outcome.disk;
    let errors = if errors == 0 { String::new() } else { format!(", {} failed", grouped(errors)) };
    format!(
        "disk         {} written, {} bytes replicated, {} read back and verified{errors}\n",
        counted(writes, "block", "blocks"),
        grouped(replicated_bytes),
        counted(reads, "block", "blocks"),
    )
}

/// How many of a kind are not listed.
fn and_more(count: usize) -> String {
    let more = count.saturating_sub(LISTED);
    if more == 0 { String::new() } else { format!("             and {} more\n", grouped(more as u64)) }
}

/// Which pair it was.
fn pair(options: &RunOptions, outcome: &RunOutcome) -> String {
    format!(
        "rules        {}\npair         {} MiB guest, {} over {}, every {} ms\n",
        options.rules.name,
        options.memory_mib,
        counted(outcome.checkpoints.len() as u64, "checkpoint", "checkpoints"),
        match options.link {
            LinkKind::Unix => "a Unix socket",
            LinkKind::Tcp => "TCP",
        },
        options.rules.rules.checkpoint_delay_ms,
    )
}

/// One run, or several as if they were one.
pub(crate) fn document(options: &RunOptions, outcome: &RunOutcome) -> Value {
    // A run ends with the first violation.
    let violations = |loss| outcome.violation.iter().filter(|violation| violation.is_loss() == loss).count();
    let mut document = json!({
        "schema": 1,
        "rules": options.rules.name,
        "guest_bytes": options.memory_mib << 20,
        "checkpoints": outcome.checkpoints.len(),
        "failovers": outcome.failovers,
        "powered_off": powered_off(outcome).map(NodeName::name).collect::<Vec<_>>(),
        "takeover_us": outcome.takeover_us,
        "faults_struck": outcome.struck.iter().map(|(point, _)| point.to_string()).collect::<Vec<_>>(),
        "faults_missed": outcome.unreached.len(),
        "gates_closed": outcome.closed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "replies": {
            "seen": outcome.replies,
            "lost": violations(true),
            "contradicted": violations(false),
        },
        "comparison": comparison::document(options, outcome),
        "violation": outcome.violation.as_ref().map(ToString::to_string),
        "claimed": outcome.claimed,
        "arbiter": options.arbiter.as_ref().map(ToString::to_string),
        "arbiter_was_silent": outcome.arbiter_was_silent,
        "verdict": match outcome.violation {
            None => "holds",
            Some(RunViolation::ArbiterSilent { .. }) => "incomplete",
            Some(_) => "violated",
        },
    });
    if options.workload.disk_blocks > 0 {
        let DiskFigures { writes, reads, errors, replicated_bytes } = outcome.disk;
        document["disk"] = json!({
            "blocks": options.workload.disk_blocks,
            "writes": writes,
            "verified_blocks": reads,
            "errors": errors,
            "replicated_bytes": replicated_bytes,
        });
    }
    for (name, _, column) in COLUMNS {
        let percentiles = Percentiles::of(outcome.checkpoints.iter().map(column));
        document[name] = percentiles.map_or(Value::Null, |percentiles| percentiles.json());
    }
    document
}
