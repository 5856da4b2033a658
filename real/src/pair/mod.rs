//! The harness of a real pair: two processes, clients, a manager, and the faults of a plan, carried out for real.
//!
//! It stands for the world around the protocol and takes no decision of it. Its manager is the one that QEMU leaves
//! to others: it notices a dead process and tells the survivor; when only the link is gone it kills the primary first,
//! so that never two serve.

mod clients;
mod process;
mod violation;

use crate::control::{CheckpointFigures, FromNode, LinkConfig, NodeConfig, ToNode};
use crate::link::{Address, LinkKind};
use crate::node::monotonic_us;
use clients::Clients;
use colo_protocol::{Detection, NodeName};
use colo_trace::{FaultAction, Header, Kind, NamedRules, Plan, Point, Record, SCHEMA, Trace, Way};
pub use process::NodeCommand;
use process::{Heard, Process};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use thiserror::Error;
pub use violation::RunViolation;

/// How often clients look at their watches.
const CLIENT_TICK: Duration = Duration::from_millis(2);

/// How long a pair may take to get ready, or to drain.
const PATIENCE: Duration = Duration::from_secs(20);

/// Replies that have to be seen after a failover, to know that the survivor really serves.
const REPLIES_AFTER_FAILOVER: u64 = 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The variant of the protocol; its checkpoint delay is the interval.
    pub rules: NamedRules,
    /// Checkpoints to take before the run drains, if nothing fails before.
    pub checkpoints: u64,
    /// Guest memory, MiB.
    pub memory_mib: u64,
    /// Pages that the guest dirties per checkpoint.
    pub dirty_pages: u64,
    /// What sort of link.
    pub link: LinkKind,
    /// What is to go wrong.
    pub plan: Plan,
    /// Clients with a request open each.
    pub clients: u32,
    /// Whether to record every event.
    pub record: bool,
    /// How to start a node.
    pub node: NodeCommand,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// What the clients saw that they may not see, if anything; or that the pair stood still.
    pub violation: Option<RunViolation>,
    /// Each completed checkpoint.
    pub checkpoints: Vec<CheckpointFigures>,
    /// Promotions.
    pub failovers: u64,
    /// Replies that clients have seen.
    pub replies: u64,
    /// From each promotion to the survivor's first new reply, microseconds.
    pub takeover_us: Vec<u64>,
    /// The points at which faults struck.
    pub struck: Vec<(Point, FaultAction)>,
    /// Faults of the plan whose point was never reached.
    pub missed: usize,
    /// The records, if asked for.
    pub trace: Option<Trace>,
}

/// Why a run could not be made at all.
#[derive(Debug, Error)]
pub enum RunError {
    /// The machine lacks something.
    #[error(transparent)]
    Environment(#[from] crate::Error),
    /// The operating system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A node gave up, other than by a fault of the plan.
    #[error("the {0} failed: {1}")]
    Node(NodeName, String),
    /// The pair did not get ready.
    #[error("the pair did not get ready within {} s", PATIENCE.as_secs())]
    NotReady,
}

/// Runs a pair once, from boot until it has drained; `directory` is for its sockets, and must be private.
/// `progress` hears of each completed checkpoint.
pub fn run_pair(
    options: &RunOptions,
    directory: PathBuf,
    progress: &mut dyn FnMut(&CheckpointFigures),
) -> Result<RunOutcome, RunError> {
    crate::kvm_usable()?;
    let mut pair = Pair::start(options, directory)?;
    pair.serve(progress)?;
    Ok(pair.finish())
}

/// A run in progress.
struct Pair<'a> {
    options: &'a RunOptions,
    processes: [Process; 2],
    heard: Receiver<Heard>,
    clients: Clients,
    /// To whom the network brings requests.
    serving: NodeName,
    started_us: u64,
    outcome: RunOutcome,
    records: Vec<Record>,
    /// When the survivor was promoted, until its first reply.
    promoted: Option<Instant>,
    /// Replies that had been seen at the latest failover.
    replies_at_failover: Option<u64>,
    /// The manager has told the survivor, or has nobody to tell.
    managed: bool,
}

impl<'a> Pair<'a> {
    /// Starts both processes and links them.
    fn start(options: &'a RunOptions, directory: PathBuf) -> Result<Self, RunError> {
        let (sender, heard) = channel();
        let start = |name| Process::start(name, &options.node, &directory, sender.clone());
        let processes = [start(NodeName::Primary)?, start(NodeName::Secondary)?];
        let mut pair = Self {
            options,
            processes,
            heard,
            clients: Clients::new(options.clients),
            serving: NodeName::Primary,
            started_us: monotonic_us(),
            outcome: RunOutcome {
                violation: None,
                checkpoints: Vec::new(),
                failovers: 0,
                replies: 0,
                takeover_us: Vec::new(),
                struck: Vec::new(),
                missed: 0,
                trace: None,
            },
            records: Vec::new(),
            promoted: None,
            replies_at_failover: None,
            managed: false,
        };
        pair.configure(NodeName::Secondary, LinkConfig::Listen(options.link, directory));
        let address = pair.listening()?;
        pair.configure(NodeName::Primary, LinkConfig::Connect(address));
        Ok(pair)
    }

    fn configure(&mut self, name: NodeName, link: LinkConfig) {
        let options = self.options;
        self.process(name).configure(NodeConfig {
            name,
            rules: options.rules.rules,
            memory_mib: options.memory_mib,
            dirty_pages: options.dirty_pages,
            plan: options.plan.clone(),
            record: options.record,
            link,
        });
    }

    fn tell_both(&mut self, message: &ToNode) {
        for process in &mut self.processes {
            process.tell(message);
        }
    }

    /// Waits until the secondary listens.
    fn listening(&mut self) -> Result<Address, RunError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Heard::Message(_, FromNode::Listening(address))) => return Ok(address),
                Ok(Heard::Message(_, FromNode::Hello(_))) => {}
                Ok(Heard::Message(name, FromNode::Failed(problem))) => {
                    return Err(RunError::Node(name, problem));
                }
                Ok(_) | Err(_) => return Err(RunError::NotReady),
            }
        }
    }

    fn process(&mut self, name: NodeName) -> &mut Process {
        &mut self.processes[name as usize]
    }

    /// Serves the clients until enough has happened and all is answered, or nothing more can happen.
    fn serve(&mut self, progress: &mut dyn FnMut(&CheckpointFigures)) -> Result<(), RunError> {
        let mut last_reply = (0, Instant::now());
        while !self.is_done() && self.outcome.violation.is_none() {
            self.ask();
            match self.heard.recv_timeout(CLIENT_TICK) {
                Ok(heard) => self.hear(heard, progress)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.clients.seen != last_reply.0 {
                last_reply = (self.clients.seen, Instant::now());
            }
            if last_reply.1.elapsed() > PATIENCE {
                self.violate(RunViolation::Silence { seconds: PATIENCE.as_secs() });
            }
        }
        Ok(())
    }

    /// The clients' requests that are due go to the node that serves.
    fn ask(&mut self) {
        if self.enough() {
            self.clients.drain();
        }
        match self.clients.due(Instant::now()) {
            Ok(requests) => {
                let serving = self.serving;
                for request in requests {
                    self.process(serving).tell(&ToNode::Request(request));
                }
            }
            Err(violation) => self.violate(violation),
        }
    }

    /// Whether all that the run is for has happened.
    fn enough(&self) -> bool {
        match self.replies_at_failover {
            Some(replies) => self.clients.seen >= replies + REPLIES_AFTER_FAILOVER,
            None => {
                self.outcome.checkpoints.len() as u64 >= self.options.checkpoints
                    && self.processes.iter().all(Process::is_alive)
            }
        }
    }

    fn is_done(&self) -> bool {
        (self.enough() && self.clients.all_answered()) || !self.processes.iter().any(Process::is_alive)
    }

    fn violate(&mut self, violation: RunViolation) {
        self.note(None, Kind::Violation, violation.to_string());
        self.outcome.violation.get_or_insert(violation);
    }

    fn hear(&mut self, heard: Heard, progress: &mut dyn FnMut(&CheckpointFigures)) -> Result<(), RunError> {
        match heard {
            Heard::Gone(name) => self.gone(name),
            Heard::Message(name, message) => match message {
                FromNode::Output(first, units) => self.output(name, first, &units),
                FromNode::Checkpoint(figures) => {
                    progress(&figures);
                    self.outcome.checkpoints.push(figures);
                }
                FromNode::AtPoint(point, actions) => self.strike(name, point, &actions),
                FromNode::TookOver => self.took_over(name),
                FromNode::ColoExit(reason) => self.colo_exit(&reason),
                FromNode::Record(record) => self.records.push(record),
                FromNode::Failed(problem) => return Err(RunError::Node(name, problem)),
                FromNode::Hello(_) | FromNode::Listening(_) | FromNode::Started => {}
            },
        }
        Ok(())
    }

    fn output(&mut self, name: NodeName, first: u64, units: &[crate::control::RawReply]) {
        match self.clients.output(first, units) {
            Ok(0) => {}
            Ok(_) => {
                if let Some(promoted) = self.promoted.take_if(|_| name == self.serving) {
                    let elapsed = u64::try_from(promoted.elapsed().as_micros());
                    self.outcome.takeover_us.push(elapsed.unwrap_or(u64::MAX));
                }
            }
            Err(violation) => self.violate(violation),
        }
        if self.options.record {
            let until = first + units.len() as u64;
            self.note(Some(name), Kind::Client, format!("output {first} to {until} seen"));
        }
    }

    fn took_over(&mut self, name: NodeName) {
        self.serving = name;
        self.outcome.failovers += 1;
        self.promoted = Some(Instant::now());
        self.replies_at_failover = Some(self.clients.seen);
    }

    /// Carries the faults of a point out, and lets the node go on.
    fn strike(&mut self, name: NodeName, point: Point, actions: &[FaultAction]) {
        for action in actions {
            self.outcome.struck.push((point, *action));
            self.note(None, Kind::Fault, format!("{action} at {point}"));
            match *action {
                FaultAction::Crash { node } => {
                    self.process(node).kill();
                    self.gone(node);
                }
                FaultAction::Cut => self.tell_both(&ToNode::Cut),
                FaultAction::Stall { for_ms } => self.tell_both(&ToNode::Stall { for_ms }),
                FaultAction::LostHeartbeat { node } => self.process(node).tell(&ToNode::LostHeartbeat),
                FaultAction::FailLoad => self.process(NodeName::Secondary).tell(&ToNode::FailLoad),
            }
        }
        self.process(name).tell(&ToNode::GoOn);
    }

    /// A process is dead: the manager tells the survivor.
    fn gone(&mut self, name: NodeName) {
        self.process(name).kill();
        let survivor = name.peer();
        let manages = self.options.rules.rules.detection == Detection::External;
        if manages && !self.managed && self.process(survivor).is_alive() {
            self.managed = true;
            self.process(survivor).tell(&ToNode::LostHeartbeat);
        }
    }

    /// A node has left COLO by itself. If both live then the link is gone, and the manager fences the primary.
    fn colo_exit(&mut self, reason: &str) {
        let both_live = self.processes.iter().all(Process::is_alive);
        if reason == "error" && both_live && !self.managed {
            self.process(NodeName::Primary).kill();
            self.gone(NodeName::Primary);
        }
    }

    fn note(&mut self, node: Option<NodeName>, kind: Kind, text: String) {
        if self.options.record {
            self.records.push(Record::other(monotonic_us(), node, 0, kind, text));
        }
    }

    fn finish(mut self) -> RunOutcome {
        let drained = self.outcome.violation.is_none() && self.clients.all_answered();
        if drained && let Err(violation) = self.clients.judge() {
            self.violate(violation);
        }
        let planned = self.options.plan.faults.len();
        self.outcome.missed = planned.saturating_sub(self.outcome.struck.len());
        self.outcome.replies = self.clients.seen;
        if self.options.record {
            self.outcome.trace = Some(self.trace());
        }
        self.outcome
    }

    fn trace(&mut self) -> Trace {
        let mut records = std::mem::take(&mut self.records);
        for record in &mut records {
            record.time_us = record.time_us.saturating_sub(self.started_us);
        }
        records.sort_by_key(|record| record.time_us);
        let header = Header {
            schema: SCHEMA,
            rules_name: self.options.rules.name.clone(),
            rules: self.options.rules.rules,
            seed: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            way: Way::Real,
        };
        Trace { header, records }
    }
}
