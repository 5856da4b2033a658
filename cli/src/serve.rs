//! `colo serve`: a store that speaks the Redis protocol, on a pair of real machines that does not stop. Its clients are whoever
//! connects; a node that dies, by whatever hand, is replaced, and their connections outlive it.

use crate::interrupt;
use crate::report::{Exit, Failure, counted, grouped, print, print_json, unwritable};

use crate::run::{Unfinished, measure_once, node_command};
use crate::sim::parse_time;
use colo_real::net::{Forwarder, ForwarderOptions, FrameFaults, Switch, Tap};
use colo_real::{
    CheckpointFigures, Guest, Latencies, LinkKind, Measured, Network, PairEvent, RunOptions, RunOutcome,
    Workload, kvm_usable,
};
use colo_trace::{Plan, load_rules, write_trace};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Serve Redis from a pair that does not stop.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset or a rules file.
    #[arg(default_value = "fast")]
    rules: String,
    /// The port of the loopback interface at which it is served, by a forwarder; 0 picks one.
    #[arg(long, default_value_t = 6379, value_name = "PORT", conflicts_with = "tap")]
    port: u16,
    /// Plug this TAP device into the machines' network, instead of a forwarder: whoever is behind it reaches the guest itself. For
    /// that it takes root, or a device that is one's own.
    #[arg(long, value_name = "DEVICE")]
    tap: Option<String>,
    /// The guest's address and its network's prefix.
    #[arg(long, default_value = "10.66.0.2/24", value_name = "ADDRESS/BITS", value_parser = parse_address, requires = "tap")]
    address: (Ipv4Addr, u8),
    /// Milliseconds from one checkpoint to the next; without, what the rules have.
    #[arg(long, value_name = "MS", conflicts_with = "unprotected", value_parser = clap::value_parser!(u32).range(1..))]
    interval_ms: Option<u32>,
    /// Guest memory, MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=4096))]
    memory_mib: u64,
    /// What befalls frames between the clients and the machines: `loss=1%,delay=1..5ms@10%,duplicate=1%,reorder=1%,seed=7`.
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    faults: FrameFaults,
    /// One machine that nobody protects, to compare with.
    #[arg(long)]
    unprotected: bool,
    /// End after this time; without, with Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    lasts: Option<Duration>,
    /// Write a record of every event; it grows as long as the service lasts.
    #[arg(long, value_name = "FILE", conflicts_with = "unprotected")]
    trace: Option<PathBuf>,
    /// Print one JSON document per line: what happens, and in the end what it came to.
    #[arg(long)]
    json: bool,
}

fn parse_address(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let expected = || format!("expected an IPv4 address and a prefix, for instance 10.66.0.2/24, got {text}");
    let (address, bits) = text.split_once('/').ok_or_else(expected)?;
    let bits = bits.parse().ok().filter(|bits| (1..=30).contains(bits)).ok_or_else(expected)?;
    Ok((address.parse().map_err(|_| expected())?, bits))
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    kvm_usable().map_err(|error| Failure::Environment(error.to_string()))?;
    let network = |error: std::io::Error| Failure::Environment(format!("the machines' network: {error}"));
    let switch = Arc::new(Switch::start(arguments.faults.clone()).map_err(network)?);
    let door = Door::open(arguments, &switch)?;
    let (events, heard) = channel();
    let options = RunOptions { network: Some(switch), events: Some(events), ..arguments.options()? };
    let create = |file: &PathBuf| File::create(file).map_err(|error| unwritable(file, &error));
    let trace = arguments.trace.as_ref().map(create).transpose()?;
    let begins = Told { begun: Instant::now(), json: arguments.json };
    begins.serving(&door, &options, arguments.unprotected)?;
    let teller = std::thread::spawn(move || begins.all(&heard));
    let mut pauses = Latencies::default();
    let stopped = RunOptions { stop: Some(interrupt::watch()), ..options };
    let measured = measure_once(&stopped, arguments.unprotected, &mut |figures: &CheckpointFigures| {
        pauses.record(Duration::from_micros(figures.pause_us));
    });
    // The teller ends when nobody has anything more to tell.
    let options = RunOptions { events: None, ..stopped };
    let told = teller.join().unwrap_or(Ok(()));
    let (outcome, measured) = match measured {
        Ok(measured) => measured,
        Err(Unfinished::Failure(failure)) => return Err(failure),
        Err(Unfinished::Wrong(problem)) => {
            eprintln!("colo: {problem}");
            return Ok(Exit::Violated);
        }
    };
    told?;
    let end = End { options: &options, outcome: &outcome, measured: &measured, pauses: &pauses, door: &door };
    if arguments.json {
        print_json(&end.document())?
    } else {
        print(&end.summary())?
    }
    if let (Some(file), Some(mut opened), Some(recorded)) = (&arguments.trace, trace, &outcome.trace) {
        let mut bytes = Vec::new();
        write_trace(recorded, &mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
        opened.write_all(&bytes).map_err(|error| unwritable(file, &error))?;
    }
    Ok(if outcome.violation.is_some() && outcome.claimed { Exit::Violated } else { Exit::Holds })
}

impl Arguments {
    fn options(&self) -> Result<RunOptions, Failure> {
        let mut rules = load_rules(&self.rules)?;
        if let Some(delay) = self.interval_ms {
            rules.rules.checkpoint_delay_ms = delay;
        }
        let (address, prefix_bits) = self.address;
        let network = Network { address, prefix_bits, ..Network::default() };
        Ok(RunOptions {
            rules,
            checkpoints: u64::MAX,
            memory_mib: self.memory_mib,
            workload: Workload { guest: Guest::Redis, network, ..Workload::default() },
            link: LinkKind::Unix,
            link_rate: None,
            plan: Plan::NOTHING,
            replacements: Vec::new(),
            clients: 1,
            load: None,
            lasts: self.lasts,
            stop: None,
            arbiter: None,
            network: None,
            endures: true,
            events: None,
            warn: |text| eprintln!("colo: {text}"),
            record: self.trace.is_some(),
            disk_directory: None,
            node: node_command()?,
        })
    }
}

/// How clients come in.
enum Door {
    /// At a port of the loopback interface.
    Forwarded(Forwarder),
    /// Over a TAP device, to the guest's own address.
    Tap { device: String, address: SocketAddr },
}

impl Door {
    fn open(arguments: &Arguments, switch: &Switch) -> Result<Self, Failure> {
        let port = Network::default().port;
        if let Some(device) = &arguments.tap {
            let tap = Tap::new(device).map_err(|error| Failure::Environment(error.to_string()))?;
            switch.tap(tap).map_err(|error| Failure::Environment(error.to_string()))?;
            let address = SocketAddr::from((arguments.address.0, port));
            return Ok(Self::Tap { device: device.clone(), address });
        }
        let options = ForwarderOptions { listen: arguments.port, ..ForwarderOptions::to_port(port) };
        let forwarder = Forwarder::start(switch, options).map_err(|error| {
            Failure::Environment(format!(
                "port {} of the loopback interface: {error}; --port takes another",
                arguments.port
            ))
        })?;
        Ok(Self::Forwarded(forwarder))
    }

    /// Where a client connects.
    const fn address(&self) -> SocketAddr {
        match self {
            Self::Forwarded(forwarder) => forwarder.address(),
            Self::Tap { address, .. } => *address,
        }
    }
}

/// Tells what happens, when it does.
struct Told {
    begun: Instant,
    json: bool,
}

impl Told {
    /// Until there is nothing more.
    fn all(&self, events: &Receiver<PairEvent>) -> Result<(), Failure> {
        events.iter().try_for_each(|event| self.one(&event))
    }

    fn one(&self, event: &PairEvent) -> Result<(), Failure> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (word, text, mut document) = match event {
            PairEvent::Protected { primary, secondary } => (
                "protected",
                format!("the primary is process {primary}, the secondary process {secondary}"),
                json!({ "primary": primary, "secondary": secondary }),
            ),
            PairEvent::Died { node, process, how } => (
                "died",
                format!("the {node}, process {process}: {how}"),
                json!({ "node": node.name(), "process": process, "how": how }),
            ),
            PairEvent::TookOver { node, process } => (
                "took over",
                format!("the {node}, process {process}, serves alone"),
                json!({ "node": node.name(), "process": process }),
            ),
        };
        if self.json {
            (document["event"], document["seconds"]) = (word.into(), seconds.into());
            return print_json(&document);
        }
        print(&format!("{seconds:>9.3} s  {word:<10} {text}\n"))
    }

    fn serving(&self, door: &Door, options: &RunOptions, unprotected: bool) -> Result<(), Failure> {
        let address = door.address();
        if self.json {
            return print_json(&json!({
                "schema": 1,
                "event": "serving",
                "address": address.to_string(),
                "rules": options.rules.name,
                "interval_ms": options.rules.rules.checkpoint_delay_ms,
                "protected": !unprotected,
            }));
        }
        let host = if address.ip().is_loopback() { String::new() } else { format!(" -h {}", address.ip()) };
        let by = match door {
            Door::Forwarded(_) => String::new(),
            Door::Tap { device, .. } => format!(", over {device}"),
        };
        let protection = if unprotected {
            "one machine that nobody protects".to_owned()
        } else {
            let delay = options.rules.rules.checkpoint_delay_ms;
            format!("rules {}, a checkpoint every {delay} ms", options.rules.name)
        };
        print(&format!(
            "serving      Redis at {address}{by}: redis-cli{host} -p {}\npair         {protection}; Ctrl-C ends it\n",
            address.port()
        ))
    }
}

/// What a service came to.
struct End<'a> {
    options: &'a RunOptions,
    outcome: &'a RunOutcome,
    measured: &'a Measured,
    pauses: &'a Latencies,
    door: &'a Door,
}

impl End<'_> {
    fn summary(&self) -> String {
        let Self { options, outcome, measured, pauses, door } = self;
        let mut out = format!(
            "served       {} of output, {}, protected again {}\n",
            counted(outcome.replies, "frame", "frames"),
            counted(outcome.failovers, "failover", "failovers"),
            counted(outcome.protected_again, "time", "times"),
        );
        if let (Some(p50), Some(p99)) = (pauses.quantile(0.5), pauses.quantile(0.99)) {
            let _ = writeln!(
                out,
                "pause        p50 {} us, p99 {} us, in {}",
                grouped(p50),
                grouped(p99),
                counted(pauses.count(), "checkpoint", "checkpoints")
            );
        }
        measured
            .failovers
            .iter()
            .take(LISTED)
            .for_each(|times| out.push_str(&crate::run::latency::parts(times)));
        if let Door::Forwarded(forwarder) = door {
            let figures = forwarder.figures();
            let _ = writeln!(
                out,
                "connections  {} accepted, {} reset by the guest",
                grouped(figures.accepted),
                grouped(figures.reset_by_guest)
            );
        }
        out.push_str(&crate::run::comparison::told(options, outcome));
        if let Some(violation) = &outcome.violation {
            let _ = writeln!(out, "violation    {violation}");
        }
        out
    }

    fn document(&self) -> Value {
        let Self { options, outcome, pauses, door, .. } = self;
        let connections = match door {
            Door::Forwarded(forwarder) => {
                let figures = forwarder.figures();
                json!({ "accepted": figures.accepted, "reset": figures.reset_by_guest })
            }
            Door::Tap { .. } => Value::Null,
        };
        json!({
            "event": "ended",
            "frames": outcome.replies,
            "failovers": outcome.failovers,
            "protected_again": outcome.protected_again,
            "checkpoints": pauses.count(),
            "pause_us": { "p50": pauses.quantile(0.5), "p99": pauses.quantile(0.99), "max": pauses.max() },
            "takeover_us": outcome.takeover_us,
            "connections": connections,
            "comparison": crate::run::comparison::document(options, outcome),
            "violation": outcome.violation.as_ref().map(ToString::to_string),
        })
    }
}

/// Failovers whose parts are told.
const LISTED: usize = 20;
