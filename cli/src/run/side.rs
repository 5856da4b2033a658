//! `colo run --listen` and `--connect`: one side of a pair whose other side is on another host.

use super::cable::Cable;
use super::{Arguments, COLUMNS, Unfinished, Work, live::Live};
use crate::interrupt;
use crate::report::{Exit, Failure, counted, grouped, print, print_json, quoted, unwritable};
use colo_protocol::{Fencing, NodeName};
use colo_real::host::{Door, End, Meeting, SideError, SideEvent, SideOptions, SideOutcome, run_side};
use colo_real::peer::{Address, Keys, Listener, PeerError};
use colo_real::{CheckpointFigures, Latencies, Network, RunError, RunOptions, kvm_usable};
use colo_trace::write_trace;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// How long a peer is looked for that is to be connected to.
const LOOKS_FOR: Duration = Duration::from_mins(1);

/// What belongs to a run of both sides on one host.
const OF_ONE_HOST: [&str; 10] = [
    "checkpoints",
    "clients",
    "plan",
    "crash_points",
    "suspicions",
    "reprotect",
    "link",
    "unprotected",
    "load",
    "soak",
];

/// The flags of one side of a pair on two hosts.
#[derive(clap::Args)]
pub(super) struct SideFlags {
    /// Be the secondary's side of a pair on two hosts, and wait here for the primary's: HOST:PORT, or unix:PATH.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "connect", conflicts_with_all = OF_ONE_HOST)]
    listen: Option<Address>,
    /// Be the primary's side of a pair on two hosts, whose other side listens there.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = OF_ONE_HOST)]
    connect: Option<Address>,
    /// Where this side's keys are, as `colo ctl keys` makes them; needed for anything but loopback and Unix sockets.
    #[arg(long, value_name = "DIRECTORY")]
    keys: Option<PathBuf>,
    /// A Unix socket to be made, at which `colo ctl` can ask this side for something.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Where this side's clients find the guest's service, while it is here: HOST:PORT, or unix:PATH.
    #[arg(long, value_name = "ADDRESS")]
    service: Option<Address>,
    #[command(flatten)]
    cable: Cable,
}

impl SideFlags {
    /// Which side, if it is one of two hosts.
    pub(super) fn name(&self) -> Result<Option<NodeName>, Failure> {
        let Self { listen, connect, keys, control, service, cable: _ } = self;
        let name = match (listen, connect) {
            (Some(_), _) => Some(NodeName::Secondary),
            (None, Some(_)) => Some(NodeName::Primary),
            (None, None) => None,
        };
        let given =
            [("--keys", keys.is_some()), ("--control", control.is_some()), ("--service", service.is_some())];
        match given.into_iter().find(|(_, is_given)| *is_given && name.is_none()) {
            Some((flag, _)) => Err(Failure::Input(format!(
                "{flag}: for one side of a pair on two hosts, expected --listen or --connect, too"
            ))),
            None => Ok(name),
        }
    }

    /// Where the machine is in its network, if the guest has one.
    pub(super) fn network(&self) -> Network {
        self.cable.network()
    }

    /// Refuses clients who cannot come to this guest by the way that was given.
    pub(super) fn check(&self, work: &Work, name: Option<NodeName>) -> Result<(), Failure> {
        self.cable.check(work, name, self.service.is_some())
    }

    /// How the peer is met; a socket that cannot be had is known at once.
    fn meeting(&self, name: NodeName) -> Result<Meeting, Failure> {
        let keys = self.keys.as_deref().map(|directory| Keys::load(directory, name)).transpose();
        let keys = keys.map_err(|error| Failure::Input(error.to_string()))?;
        match (&self.listen, &self.connect) {
            (Some(address), _) => {
                let listener = Listener::bind(address, keys).map_err(|error| of_peer(&error))?;
                eprintln!("colo: the secondary's side waits for its peer at {}", listener.local_address());
                Ok(Meeting::Listen(listener))
            }
            (None, Some(address)) => {
                eprintln!("colo: the primary's side looks for its peer at {address}");
                Ok(Meeting::Connect { address: address.clone(), keys, within: LOOKS_FOR })
            }
            (None, None) => unreachable!("only of a side"),
        }
    }
}

fn of_peer(error: &PeerError) -> Failure {
    if error.is_usage() { Failure::Input(error.to_string()) } else { Failure::Environment(error.to_string()) }
}

/// Runs one side until it is asked to end.
pub(super) fn run(arguments: &Arguments, options: &RunOptions, name: NodeName) -> Result<Exit, Unfinished> {
    let flags = &arguments.side;
    if options.rules.rules.fencing == Fencing::Arbiter && options.arbiter.is_none() {
        let rules = &options.rules.name;
        return Err(Failure::Input(format!(
            "{rules} leaves it to an arbiter who serves alone, and both sides have to know the same: expected --arbiter file:DIRECTORY or etcd:HOST:PORT"
        ))
        .into());
    }
    kvm_usable().map_err(|error| Failure::Environment(error.to_string()))?;
    let stop = interrupt::watch();
    let create = |file: &PathBuf| File::create(file).map_err(|error| unwritable(file, &error));
    let trace = arguments.trace.as_ref().map(create).transpose()?;
    // What cannot be had is known before the peer is met.
    let open = |address: &Address| Door::open(address).map_err(|error| of_peer(&error));
    let control = flags.control.clone().map(Address::Unix);
    let (control, service) =
        (control.as_ref().map(open).transpose()?, flags.service.as_ref().map(open).transpose()?);
    let network = flags.cable.plug()?;
    let meeting = flags.meeting(name)?;
    let options = RunOptions { stop: Some(stop), network, ..options.clone() };
    let directory = TempDir::with_prefix("colo-")
        .map_err(|error| Failure::Environment(format!("no directory for the sockets: {error}")))?;
    let side = SideOptions { run: &options, name, meeting, control, service };
    let mut live = Live::new();
    let mut figures_of_all = Figures::default();
    let mut unsaid = None;
    let outcome = run_side(side, directory.path(), &mut |event| match event {
        SideEvent::Checkpoint(figures) => {
            live.show(figures);
            figures_of_all.add(figures);
        }
        event => {
            let said = tell(event, name, flags, (options.rules.rules.has_manager(), arguments.json));
            unsaid = unsaid.take().or(said.err());
        }
    });
    live.finish();
    let outcome = outcome.map_err(|error| match error {
        SideError::Peer(error) => Unfinished::Failure(of_peer(&error)),
        SideError::Run(error @ (RunError::Environment(_) | RunError::Io(_))) => {
            Unfinished::Failure(Failure::Environment(format!("the {name}'s side could not run: {error}")))
        }
        SideError::Run(error) => Unfinished::Wrong(error.to_string()),
    })?;
    if let Some(failure) = unsaid {
        return Err(failure.into());
    }
    if arguments.json {
        print_json(&document(&options, name, &outcome, &figures_of_all))?;
    } else {
        print(&summary(&outcome, &figures_of_all))?;
    }
    if let (Some(file), Some(mut opened), Some(recorded)) = (&arguments.trace, trace, &outcome.trace) {
        let mut bytes = Vec::new();
        write_trace(recorded, &mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
        opened.write_all(&bytes).map_err(|error| unwritable(file, &error))?;
    }
    if let End::Died(problem) = &outcome.end {
        return Err(Failure::Environment(format!("the {name} failed: {problem}")).into());
    }
    Ok(Exit::Holds)
}

/// Says what has happened.
fn tell(
    event: &SideEvent,
    name: NodeName,
    flags: &SideFlags,
    (waits_for_manager, json): (bool, bool),
) -> Result<(), Failure> {
    if json {
        return print_json(&event.document(name));
    }
    let control =
        flags.control.as_ref().map_or("PATH".to_owned(), |path| quoted(&path.display().to_string()));
    let text = match event {
        SideEvent::Stranger(who) => who.clone(),
        SideEvent::Met(peer) => format!("with the {}'s side, {peer}", name.peer()),
        SideEvent::Started => match name {
            NodeName::Primary => "the primary's VM runs, and serves".to_owned(),
            NodeName::Secondary => "the secondary has its initial state".to_owned(),
        },
        SideEvent::Exit(reason) if waits_for_manager && reason == "error" => format!(
            "reason {reason}; who knows that the {} is gone for good says: colo ctl failover --control {control}",
            name.peer()
        ),
        SideEvent::Exit(reason) => format!("reason {reason}"),
        SideEvent::NotInColo => "x-colo-lost-heartbeat: refused, the node is not in COLO".to_owned(),
        SideEvent::AsksArbiter => "asks the arbiter for the right to serve alone".to_owned(),
        SideEvent::TookOver => format!("the {name} serves alone"),
        SideEvent::ArbiterSilent(problem) => {
            format!("nobody takes over until the arbiter answers: {problem}")
        }
        SideEvent::ArbiterAnswers(true) => format!("the {name} may serve alone"),
        SideEvent::ArbiterAnswers(false) => format!("the {} serves alone", name.peer()),
        SideEvent::Halted => "has stopped for good".to_owned(),
        SideEvent::PoweredOff => "the machine is off, as its guest wanted".to_owned(),
        SideEvent::Checkpoint(_) => return Ok(()),
    };
    print(&format!("{:<20} {text}\n", event.name()))
}

/// The columns of all checkpoints, however many there are.
#[derive(Default)]
struct Figures([Values; COLUMNS.len()]);

/// Values of a column: three digits of each are kept, whatever they count.
#[derive(Default)]
struct Values(Latencies);

impl Values {
    fn percentiles(&self) -> [u64; 4] {
        let at = |quantile| self.0.quantile(quantile).unwrap_or_default();
        [at(0.5), at(0.9), at(0.99), self.0.max().unwrap_or_default()]
    }
}

impl Figures {
    fn add(&mut self, figures: &CheckpointFigures) {
        for (column, (_, _, value)) in self.0.iter_mut().zip(COLUMNS) {
            column.0.record(Duration::from_micros(value(figures)));
        }
    }
}

fn summary(outcome: &SideOutcome, figures: &Figures) -> String {
    let mut out = String::new();
    if outcome.checkpoints > 0 {
        let _ = writeln!(out, "\n{:>28} {:>12} {:>12} {:>12}", "p50", "p90", "p99", "max");
        for (column, (_, heading, _)) in figures.0.iter().zip(COLUMNS) {
            let _ = write!(out, "{heading:<15}");
            for value in column.percentiles() {
                let _ = write!(out, " {:>12}", grouped(value));
            }
            out.push('\n');
        }
        out.push('\n');
    }
    if outcome.checkpoints > 0 {
        let _ = writeln!(out, "checkpoints  {}", grouped(outcome.checkpoints));
    }
    let _ = writeln!(out, "output       {} released", counted(outcome.output, "unit", "units"));
    let end = match &outcome.end {
        End::Asked => "as it was asked to",
        End::Halted => "because its node has stopped for good",
        End::PoweredOff => "because its guest has powered off",
        End::Died(problem) => problem,
    };
    let _ = writeln!(out, "ended        {end}");
    out
}

fn document(options: &RunOptions, name: NodeName, outcome: &SideOutcome, figures: &Figures) -> Value {
    let mut document = json!({
        "schema": 1,
        "rules": options.rules.name,
        "side": name.name(),
        "guest_bytes": options.memory_mib << 20,
        "interval_ms": options.rules.rules.checkpoint_delay_ms,
        "checkpoints": outcome.checkpoints,
        "took_over": outcome.took_over,
        "output": outcome.output,
        "end": match &outcome.end {
            End::Asked => "asked",
            End::Halted => "halted",
            End::PoweredOff => "powered-off",
            End::Died(_) => "died",
        },
    });
    for (column, (name, _, _)) in figures.0.iter().zip(COLUMNS) {
        let [p50, p90, p99, max] = column.percentiles();
        document[name] = if outcome.checkpoints == 0 {
            Value::Null
        } else {
            json!({ "p50": p50, "p90": p90, "p99": p99, "max": max })
        };
    }
    document
}
