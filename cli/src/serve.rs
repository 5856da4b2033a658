//! `colo serve`: a store that speaks the Redis protocol, on a pair of real machines that does not stop. Its clients are whoever
//! connects; a node that dies, by whatever hand, is replaced, and their connections outlive it.

mod door;
mod end;
mod failovers;
mod told;
mod watched;

use crate::guest_address::parse_address;
use crate::interrupt;
use crate::report::{Exit, Failure, print, print_json, unwritable};
use crate::run::work::{Lost, parse_divergence};
use crate::run::{Unfinished, measure_once, node_command};
use crate::sim::{drawn_seed, parse_time};
use colo_real::net::{FrameFaults, Switch};
use colo_real::{CheckpointFigures, Guest, Latencies, LinkKind, Network, RunOptions, Workload, kvm_usable};
use colo_trace::{Plan, load_rules};
use door::Door;
use end::End;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use told::Told;
use watched::Watched;

/// Serve Redis from a pair that does not stop.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A preset or a rules file.
    #[arg(default_value = "fast")]
    rules: String,
    /// The port of the loopback interface at which it is served, by a forwarder; 0 picks one.
    #[arg(long, default_value_t = 6379, value_name = "PORT", conflicts_with = "tap")]
    port: u16,
    /// Plug this TAP device, which is made if there is none, into the machines' network, instead of a forwarder: whoever is behind it reaches the guest itself. For
    /// that it takes root, or a device that is one's own.
    #[arg(long, value_name = "DEVICE")]
    tap: Option<String>,
    /// The guest's address and its network's prefix.
    #[arg(long, default_value = "10.66.0.2/24", value_name = "ADDRESS/BITS", value_parser = parse_address, requires = "tap")]
    address: (Ipv4Addr, u8),
    /// Milliseconds from one checkpoint to the next; without, what the rules have.
    #[arg(long, value_name = "MS", conflicts_with = "unprotected", value_parser = clap::value_parser!(u32).range(1..))]
    interval_ms: Option<u32>,
    /// Guest memory, MiB. How many connections there may be depends on it: 112 in 96 MiB, 128 at most.
    #[arg(long, default_value_t = 96, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=4096))]
    memory_mib: u64,
    /// What befalls frames between the clients and the machines: `loss=1%,delay=1..5ms@10%,duplicate=1%,reorder=1%,seed=7`.
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    faults: FrameFaults,
    /// Leave it to the clients to send again what the node that died had of them and its survivor has not: then they wait until their
    /// TCP has lost patience (200 ms with Linux). Without this the machines' network does so, when the service has moved.
    #[arg(long)]
    no_resend: bool,
    /// One machine that nobody protects, to compare with.
    #[arg(long)]
    unprotected: bool,
    /// End after this time; without, with Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    lasts: Option<Duration>,
    /// Have clients of its own ask over so many connections, each with one request open; in the end their histories are judged.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: Option<u32>,
    /// Kill one primary after the other under those clients (8, if no number is said), so many in all, at any time.
    #[arg(long, value_name = "N", conflicts_with_all = ["unprotected", "lasts"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    failovers: Option<u64>,
    /// Hybrid rules: of M commands that write, N are others in the secondary's guest, and so it answers differently from then on,
    /// until a checkpoint makes it the same as the primary's.
    #[arg(long, value_name = "N/M", value_parser = parse_divergence, conflicts_with = "unprotected")]
    divergence: Option<Lost>,
    /// What is drawn is drawn from it: what --clients ask, when --failovers kill, what --divergence changes.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    #[arg(skip = drawn_seed())]
    drawn: u64,
    /// Write a record of every event; it grows as long as the service lasts.
    #[arg(long, value_name = "FILE", conflicts_with = "unprotected")]
    trace: Option<PathBuf>,
    /// Print one JSON document per line: what happens, and in the end what it came to.
    #[arg(long)]
    json: bool,
}

/// How long it may take from a death to the survivor's announcement. What went to the service in that time, and between two
/// checkpoints before it, may be news to the survivor.
const FINDS_OUT_WITHIN: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let options = arguments.options()?;
    let create = |file: &PathBuf| File::create(file).map_err(|error| unwritable(file, &error));
    let trace = arguments.trace.as_ref().map(create).transpose()?;
    kvm_usable().map_err(|error| Failure::Environment(error.to_string()))?;
    let switch = arguments.switch(&options)?;
    let door = Door::open(arguments, &switch)?;
    let (events, heard) = channel();
    let mut options =
        RunOptions { network: Some(switch), events: Some(events), stop: Some(&watched::IS_OVER), ..options };
    let told = Told { begun: Instant::now(), json: arguments.json };
    told.serving(&door, &options, arguments.unprotected)?;
    let watched = Watched { arguments, told, address: door.address(), heard, stop: interrupt::watch() };
    let end = match serve(&mut options, door, watched) {
        Ok(end) => end,
        Err(Unfinished::Failure(failure)) => return Err(failure),
        Err(Unfinished::Wrong(problem)) => {
            eprintln!("colo: {problem}");
            return Ok(Exit::Violated);
        }
    };
    if arguments.json {
        print_json(&end.document())?;
    } else {
        print(&end.summary())?;
    }
    if let (Some(file), Some(opened)) = (&arguments.trace, trace) {
        end.write_trace(opened).map_err(|error| unwritable(file, &error))?;
    }
    Ok(end.exit(arguments.failovers.unwrap_or_default()))
}

/// Serves until it is over.
fn serve<'a>(options: &'a mut RunOptions, door: Door, watched: Watched<'_>) -> Result<End<'a>, Unfinished> {
    let unprotected = watched.arguments.unprotected;
    let mut pauses = Latencies::default();
    let mut progress = |figures: &CheckpointFigures| pauses.record(Duration::from_micros(figures.pause_us));
    let (measured, connections, campaign) = std::thread::scope(|scope| {
        let told = scope.spawn(move || watched.watch());
        let measured = measure_once(options, unprotected, &mut progress);
        // The watcher ends when nobody has anything more to tell, and its clients when nobody is there who would answer.
        options.events = None;
        let connections = door.close();
        let panicked = |_| Err(Failure::Environment("a thread panicked".into()));
        (measured, connections, told.join().unwrap_or_else(panicked))
    });
    let (outcome, measured) = measured?;
    let campaign = match campaign {
        // Clients of a service that has come to its end have no other trouble.
        Err(_) if outcome.violation.is_some() => None,
        campaign => campaign?,
    };
    Ok(End { options, outcome, measured, pauses, connections, campaign })
}

impl Arguments {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or(self.drawn)
    }

    /// Whether clients of its own ask.
    const fn has_clients(&self) -> bool {
        self.clients.is_some() || self.failovers.is_some()
    }

    /// The machines' network.
    fn switch(&self, options: &RunOptions) -> Result<Arc<Switch>, Failure> {
        let network = |error: std::io::Error| Failure::Environment(format!("the machines' network: {error}"));
        let switch = Arc::new(Switch::start(self.faults.clone()).map_err(network)?);
        if !self.no_resend {
            let interval = Duration::from_millis(options.rules.rules.checkpoint_delay_ms.into());
            switch.send_again(2 * interval + FINDS_OUT_WITHIN).map_err(network)?;
        }
        Ok(switch)
    }

    fn options(&self) -> Result<RunOptions, Failure> {
        let mut rules = load_rules(&self.rules)?;
        if let Some(delay) = self.interval_ms {
            rules.rules.checkpoint_delay_ms = delay;
        }
        let divergence = self.divergence.map(|lost| lost.divergence(&rules, self.seed())).transpose()?;
        let (address, prefix_bits) = self.address;
        let network = Network { address, prefix_bits, ..Network::default() };
        Ok(RunOptions {
            rules,
            checkpoints: u64::MAX,
            memory_mib: self.memory_mib,
            workload: Workload { guest: Guest::Redis, network, divergence, ..Workload::default() },
            link: LinkKind::Unix,
            link_rate: None,
            plan: Plan::NOTHING,
            replacements: Vec::new(),
            clients: 1,
            load: None,
            // Clients of its own end before their service does.
            lasts: self.lasts.filter(|_| !self.has_clients()),
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
