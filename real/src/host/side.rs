//! The loop of one side: what the node says, what is asked of it over the control socket, and the clients of its service.

use super::arbitration::Arbitration;
use super::lines::{Connection, Door, LineEvent, Writer, Writers, serve};
use super::monitor::{Asked, Command, event, greeting};
use super::service::{FromService, ToService};
use crate::arbiter::{ArbiterAddress, Told};
use crate::control::{CheckpointFigures, FromNode, ToNode};
use crate::node::monotonic_us;
use crate::pair::disks::Disks;
use crate::pair::process::{Heard, Process};
use crate::pair::{RunError, RunOptions};
use crate::peer::{Address, Keys, Listener, Met, PeerError, Terms, Tunnel, connect};
use crate::vm::Button;
use colo_protocol::{Input, NodeName};
use colo_trace::{Kind, Record, Trace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;

/// How often the side looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// Why a node cannot be asked for anything.
const NOT_MET: &str = "this side has not met its peer yet";

/// How long what a node has said before its death may take to be read.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// How the peer is met.
#[derive(Debug)]
pub enum Meeting {
    /// It comes here.
    Listen(Listener),
    /// It waits there.
    Connect {
        /// Where.
        address: Address,
        /// What this side shows, and knows the peer by.
        keys: Option<Keys>,
        /// How long it is looked for.
        within: Duration,
    },
}

/// Why a side has no outcome.
#[derive(Debug, Error)]
pub enum SideError {
    /// It has not met its peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// As of any run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What a side is, beyond what both sides agree on.
#[derive(Debug)]
pub struct SideOptions<'a> {
    /// The run: rules, machine, what is recorded, when it ends.
    pub run: &'a RunOptions,
    /// Which side.
    pub name: NodeName,
    /// How it meets its peer.
    pub meeting: Meeting,
    /// Where it can be asked for something.
    pub control: Option<Door>,
    /// Where clients find the guest's service.
    pub service: Option<Door>,
}

/// What happens to a side, for whoever watches it.
#[derive(Clone, PartialEq, Debug)]
pub enum SideEvent {
    /// Somebody came who is not the peer, and was turned away.
    Stranger(String),
    /// It is connected with its peer.
    Met(String),
    /// The node is in COLO.
    Started,
    /// A checkpoint is complete (told by the primary).
    Checkpoint(CheckpointFigures),
    /// QEMU's `COLO_EXIT`: its word for why.
    Exit(String),
    /// `x-colo-lost-heartbeat` was refused.
    NotInColo,
    /// The node asks the arbiter.
    AsksArbiter,
    /// The arbiter does not answer: why.
    ArbiterSilent(String),
    /// The arbiter has answered: whether the node may serve alone.
    ArbiterAnswers(bool),
    /// The node was promoted: it serves alone.
    TookOver,
    /// The node has stopped for good.
    Halted,
    /// The machine is off, as its guest wanted.
    PoweredOff,
}

impl SideEvent {
    /// QEMU's name for it, or, where QEMU has none, one of the same kind.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stranger(_) => "COLO_STRANGER",
            Self::Met(_) => "COLO_CONNECTED",
            Self::Started => "COLO_STARTED",
            Self::Checkpoint(_) => "COLO_CHECKPOINT",
            Self::Exit(_) => "COLO_EXIT",
            Self::NotInColo => "COLO_NOT_IN_COLO",
            Self::AsksArbiter => "COLO_ASKS_ARBITER",
            Self::ArbiterSilent(_) => "COLO_ARBITER_SILENT",
            Self::ArbiterAnswers(_) => "COLO_ARBITER_ANSWERS",
            Self::TookOver => "COLO_TOOK_OVER",
            Self::Halted => "COLO_HALTED",
            Self::PoweredOff => "SHUTDOWN",
        }
    }

    /// The event as QMP tells it.
    pub fn document(&self, node: NodeName) -> Value {
        let mode = node.name();
        let data = match self {
            Self::Stranger(who) => json!({ "mode": mode, "who": who }),
            Self::Met(peer) => json!({ "mode": mode, "peer": peer }),
            Self::Checkpoint(figures) => json!({ "mode": mode, "figures": figures }),
            Self::Exit(reason) => json!({ "mode": mode, "reason": reason }),
            Self::ArbiterSilent(problem) => json!({ "mode": mode, "problem": problem }),
            Self::ArbiterAnswers(granted) => json!({ "mode": mode, "granted": granted }),
            Self::PoweredOff => json!({ "mode": mode, "guest": true, "reason": "guest-shutdown" }),
            Self::Started | Self::NotInColo | Self::AsksArbiter | Self::TookOver | Self::Halted => {
                json!({ "mode": mode })
            }
        };
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        event(self.name(), &data, since_1970)
    }
}

/// Why a side has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It was asked to.
    Asked,
    /// Its node has stopped for good: the peer serves.
    Halted,
    /// Its machine is off, as the guest wanted.
    PoweredOff,
    /// Its node has died, or cannot go on: why.
    Died(String),
}

/// What a side came to.
#[derive(Debug)]
pub struct SideOutcome {
    /// Why it has ended.
    pub end: End,
    /// Checkpoints that its node has completed, as the primary.
    pub checkpoints: u64,
    /// Whether its node was promoted.
    pub took_over: bool,
    /// Units of output that have left.
    pub output: u64,
    /// The records of its node, if asked for.
    pub trace: Option<Trace>,
}

/// What a side hears.
enum Event {
    Stranger(String),
    Met(Result<Met, PeerError>),
    Node(Heard),
    Control(LineEvent),
    Service(LineEvent),
}

impl From<Heard> for Event {
    fn from(heard: Heard) -> Self {
        Self::Node(heard)
    }
}

/// How the node is, in QEMU's words.
struct Status {
    mode: Option<NodeName>,
    last_mode: Option<NodeName>,
    reason: String,
}

/// A side at work.
struct Side<'a> {
    options: &'a RunOptions,
    name: NodeName,
    process: Process,
    disks: Option<Disks>,
    /// The cable of the node's network card, if there is a network, until the node gets it.
    port: Option<OwnedFd>,
    /// What carries the node's bytes, where there are keys.
    tunnels: Vec<Tunnel>,
    events: Receiver<Event>,
    control: Writers,
    clients: Writers,
    /// The arbiter, where the rules have one, when it is known of which service this is a side.
    arbitration: Arbitration,
    /// The peer is there, and the node has been told how to run.
    has_met: bool,
    serves: bool,
    status: Status,
    /// Commands that the node has been told, by the numbers by which it tells that it has taken them in.
    asked: BTreeMap<u64, (Connection, Asked)>,
    asked_ever: u64,
    /// Why the node has refused what it was told last, if it has.
    refused: Option<&'static str>,
    started_us: u64,
    records: Vec<Record>,
    outcome: SideOutcome,
    end: Option<End>,
}

/// Runs one side until it is asked to end, or its node has stopped for good. `directory` is for its socket and must be
/// private; `tell` hears what happens.
pub fn run_side(
    side: SideOptions<'_>,
    directory: &Path,
    tell: &mut dyn FnMut(&SideEvent),
) -> Result<SideOutcome, SideError> {
    crate::kvm_usable().map_err(RunError::from)?;
    let SideOptions { run: options, name, meeting, control, service } = side;
    let (sender, events) = channel();
    // The paths of both sockets are gone when this returns.
    let _control = control.map(|door| serve(door, sender.clone(), Event::Control));
    let _service = service.map(|door| serve(door, sender.clone(), Event::Service));
    let terms = Terms {
        side: name,
        rules: options.rules.rules,
        memory_mib: options.memory_mib,
        workload: options.workload,
        arbiter: options.arbiter.as_ref().map(ArbiterAddress::in_words),
    };
    let process = Process::start(name, &options.node, directory, sender.clone()).map_err(RunError::from)?;
    let arbitration = Arbitration::of(options.arbiter.as_ref(), &sender);
    std::thread::spawn(move || {
        let met = meet(meeting, &terms, &sender);
        // It fails when the side has ended.
        let _ = sender.send(Event::Met(met));
    });
    let mut side = Side {
        arbitration,
        options,
        name,
        disks: Disks::of(options, directory)?,
        port: options.port().map_err(RunError::from)?,
        process,
        tunnels: Vec::new(),
        events,
        control: Writers::default(),
        clients: Writers::default(),
        has_met: false,
        serves: false,
        status: Status { mode: None, last_mode: None, reason: "none".to_owned() },
        asked: BTreeMap::new(),
        asked_ever: 0,
        refused: None,
        started_us: monotonic_us(),
        records: Vec::new(),
        outcome: SideOutcome { end: End::Asked, checkpoints: 0, took_over: false, output: 0, trace: None },
        end: None,
    };
    side.work(tell)?;
    Ok(side.finish())
}

fn meet(meeting: Meeting, terms: &Terms, sender: &Sender<Event>) -> Result<Met, PeerError> {
    match meeting {
        // The side itself looks whether it is to end, and this thread ends with the process.
        Meeting::Listen(listener) => listener.accept(
            terms,
            || false,
            |stranger| {
                // It fails when the side has ended.
                let _ = sender.send(Event::Stranger(stranger.to_string()));
            },
        ),
        Meeting::Connect { address, keys, within } => connect(&address, keys.as_ref(), terms, within),
    }
}

impl Side<'_> {
    fn work(&mut self, tell: &mut dyn FnMut(&SideEvent)) -> Result<(), SideError> {
        while self.end.is_none() {
            if self.options.is_stopped() {
                self.end = Some(End::Asked);
            }
            match self.events.recv_timeout(LOOKS_EVERY) {
                Ok(Event::Stranger(who)) => self.happens(&SideEvent::Stranger(who), tell),
                Ok(Event::Met(met)) => self.met(met?, tell),
                Ok(Event::Node(heard)) => self.hear(heard, tell),
                Ok(Event::Control(event)) => self.asked_for(event),
                Ok(Event::Service(event)) => self.client(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        Ok(())
    }

    /// The peer is there: the node can begin.
    fn met(&mut self, met: Met, tell: &mut dyn FnMut(&SideEvent)) {
        let config = self.options.node_config(self.name, self.disks.as_ref());
        self.process.configure(config, Some(&met.connections), self.port.take().as_ref());
        self.has_met = true;
        self.arbitration.belongs_to(&met.run);
        // What the node has been handed is not to be open here, too: its end would not be seen.
        let Met { peer, tunnels, .. } = met;
        self.tunnels = tunnels;
        self.happens(&SideEvent::Met(peer), tell);
    }

    fn happens(&mut self, event: &SideEvent, tell: &mut dyn FnMut(&SideEvent)) {
        if !matches!(event, SideEvent::Checkpoint(_)) {
            self.control.tell_all(&event.document(self.name).to_string());
        }
        tell(event);
    }

    fn hear(&mut self, heard: Heard, tell: &mut dyn FnMut(&SideEvent)) {
        match heard {
            Heard::Message(_, message) => self.told(message, tell),
            Heard::Gone(_) => {
                let problem = self.process.ended();
                self.dies(problem);
            }
            Heard::Arbiter(told) => self.arbiter_says(&told, tell),
            Heard::Garbled(_, error) => self.dies(format!("what it says cannot be read: {error}")),
        }
    }

    fn told(&mut self, message: FromNode, tell: &mut dyn FnMut(&SideEvent)) {
        let happened = match message {
            FromNode::Started => {
                self.status.mode = Some(self.name);
                if self.name == NodeName::Primary {
                    self.serve(true);
                }
                SideEvent::Started
            }
            FromNode::Output(first, units) => {
                self.outcome.output = self.outcome.output.max(first.saturating_add(units.len() as u64));
                self.tell_clients(&FromService::Output(first, units));
                return;
            }
            FromNode::EarlyOutput(place, unit) => {
                self.tell_clients(&FromService::EarlyOutput(place, unit));
                return;
            }
            // They are with their clients, over the network.
            FromNode::Frames { first, count } => {
                self.outcome.output = self.outcome.output.max(first.saturating_add(count));
                return;
            }
            FromNode::Checkpoint(figures) => {
                self.outcome.checkpoints += 1;
                SideEvent::Checkpoint(figures)
            }
            FromNode::TookOver => {
                self.outcome.took_over = true;
                self.status.last_mode = self.status.mode.take();
                self.serve(true);
                SideEvent::TookOver
            }
            FromNode::ColoExit { reason, .. } => {
                self.status.reason.clone_from(&reason);
                SideEvent::Exit(reason)
            }
            FromNode::NotInColo => {
                self.refused = Some("the node is not in COLO");
                SideEvent::NotInColo
            }
            FromNode::TakesNoCheckpoint => {
                self.refused = Some("the node takes no checkpoints: ask the primary, while it has a peer");
                return;
            }
            FromNode::AskArbiter => {
                self.arbitration.ask(self.name);
                SideEvent::AsksArbiter
            }
            FromNode::Halted => self.stops(End::Halted, SideEvent::Halted),
            FromNode::PoweredOff => self.stops(End::PoweredOff, SideEvent::PoweredOff),
            FromNode::Said(number) => {
                self.answered(number);
                return;
            }
            FromNode::Record(record) => {
                self.record(record);
                return;
            }
            FromNode::Failed(problem) => return self.dies(problem),
            // What concerns a plan, or another pair: there is none here. The figures of disks and comparisons nobody asks for.
            _ => return,
        };
        self.happens(&happened, tell);
    }

    /// The first that is said of why.
    fn dies(&mut self, problem: String) {
        self.end.get_or_insert(End::Died(problem));
    }

    /// The node has stopped for good, and with it the side.
    fn stops(&mut self, end: End, event: SideEvent) -> SideEvent {
        self.status.last_mode = self.status.mode.take();
        self.serve(false);
        self.end = Some(end);
        event
    }

    fn arbiter_says(&mut self, told: &Told, tell: &mut dyn FnMut(&SideEvent)) {
        let event = match &told.answer {
            Ok(granted) => {
                self.process.tell(&ToNode::ArbiterAnswer(*granted));
                SideEvent::ArbiterAnswers(*granted)
            }
            Err(error) => SideEvent::ArbiterSilent(error.to_string()),
        };
        self.happens(&event, tell);
    }

    fn serve(&mut self, serves: bool) {
        self.serves = serves;
        self.tell_clients(&self.service());
    }

    fn service(&self) -> FromService {
        if self.serves { FromService::Serves } else { FromService::Rests }
    }

    fn tell_clients(&mut self, message: &FromService) {
        if let Ok(line) = serde_json::to_string(message) {
            self.clients.tell_all(&line);
        }
    }

    fn client(&mut self, event: LineEvent) {
        match event {
            LineEvent::Opened(connection, writer) => {
                self.clients.opened(connection, writer);
                if let Ok(line) = serde_json::to_string(&self.service()) {
                    self.clients.tell(connection, &line);
                }
            }
            LineEvent::Closed(connection) => self.clients.closed(connection),
            LineEvent::Line(connection, line, _credit) if self.clients.knows(connection) => {
                match serde_json::from_str::<ToService>(&line) {
                    Ok(request) => self.request(request),
                    // Nobody who speaks this service: no word of theirs is waited for.
                    Err(_) => self.clients.closed(connection),
                }
            }
            LineEvent::Line(..) => {}
        }
    }

    /// A client that gets no answer asks again, where the service is: nothing waits for a node that stands still.
    fn request(&mut self, request: ToService) {
        if self.serves && self.process.has_room() {
            self.process.tell(&ToNode::Request(request));
        }
    }

    fn asked_for(&mut self, event: LineEvent) {
        match event {
            LineEvent::Opened(connection, writer) => self.greet(connection, writer),
            LineEvent::Closed(connection) => {
                self.control.closed(connection);
                self.asked.retain(|_, (asker, _)| *asker != connection);
            }
            LineEvent::Line(connection, line, _credit) => match Asked::parse(&line) {
                Ok(asked) => self.carry_out(connection, asked),
                Err(answer) => self.control.tell(connection, &answer.to_string()),
            },
        }
    }

    fn greet(&mut self, connection: Connection, writer: Writer) {
        self.control.opened(connection, writer);
        self.control.tell(connection, &greeting().to_string());
    }

    /// What concerns the node is passed on to it, and answered when it has taken it in.
    fn carry_out(&mut self, connection: Connection, asked: Asked) {
        match self.what_for_node(asked.command) {
            Ok(Some(to_node)) => {
                self.asked_ever += 1;
                self.asked.insert(self.asked_ever, (connection, asked));
                self.process.tell(&to_node);
                self.process.tell(&ToNode::Say(self.asked_ever));
            }
            Ok(None) => {
                let returned = if asked.command == Some(Command::Status) { self.status() } else { json!({}) };
                self.control.tell(connection, &asked.answer(Ok(returned)).to_string());
                if asked.command == Some(Command::Quit) {
                    self.end = Some(End::Asked);
                }
            }
            Err(problem) => self.control.tell(connection, &asked.answer(Err(problem)).to_string()),
        }
    }

    /// What a command is for the node; nothing, if it is none of its business.
    fn what_for_node(&self, command: Option<Command>) -> Result<Option<ToNode>, &'static str> {
        let to_node = match command {
            None | Some(Command::Status | Command::Quit) => return Ok(None),
            Some(Command::Failover) => ToNode::LostHeartbeat { planned: false },
            Some(Command::Checkpoint) => ToNode::CheckpointNow,
            Some(Command::SetDelay(ms)) => ToNode::SetDelay { ms },
            Some(Command::Shutdown) if self.serves => ToNode::Press(Button::Power),
            Some(Command::Shutdown) if self.has_met => {
                return Err("the guest's service is not here: ask the other side");
            }
            Some(Command::Shutdown) => return Err(NOT_MET),
        };
        if self.has_met { Ok(Some(to_node)) } else { Err(NOT_MET) }
    }

    fn answered(&mut self, number: u64) {
        let refused = self.refused.take();
        let Some((connection, asked)) = self.asked.remove(&number) else { return };
        let result = refused.map_or(Ok(json!({})), Err);
        self.control.tell(connection, &asked.answer(result).to_string());
    }

    fn status(&self) -> Value {
        let name = |mode: Option<NodeName>| mode.map_or("none", NodeName::name);
        let Status { mode, last_mode, reason } = &self.status;
        json!({
            "mode": name(*mode),
            "last-mode": name(*last_mode),
            "reason": reason,
            "serves": self.serves,
            // The primary's: a secondary does not count them.
            "checkpoints": (self.name == NodeName::Primary).then_some(self.outcome.checkpoints),
            "output": self.outcome.output,
        })
    }

    /// Ends the node, and takes in what it has recorded until then.
    fn finish(mut self) -> SideOutcome {
        self.process.kill();
        // A guest that is off is what was asked for, whether or not its node has still said so.
        let result =
            if self.end == Some(End::PoweredOff) { Ok(json!({})) } else { Err("this side has ended") };
        for (connection, asked) in std::mem::take(&mut self.asked).into_values() {
            self.control.tell(connection, &asked.answer(result.clone()).to_string());
        }
        while let Ok(event) = self.events.recv_timeout(HEARD_WITHIN) {
            match event {
                Event::Node(Heard::Message(_, FromNode::Record(record))) => self.record(record),
                Event::Node(Heard::Gone(_) | Heard::Garbled(..)) => break,
                _ => {}
            }
        }
        // What the node has said last is to come to the peer.
        let until = Instant::now() + HEARD_WITHIN;
        while !self.tunnels.iter().all(Tunnel::is_over) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.control.finish();
        self.clients.finish();
        let records = std::mem::take(&mut self.records);
        let trace = self.options.record.then(|| self.options.trace(records, self.started_us));
        SideOutcome { end: self.end.unwrap_or(End::Asked), trace, ..self.outcome }
    }

    /// What befell the pair is not known here but by what the node is told of it: that stands in the record before it.
    fn record(&mut self, record: Record) {
        let befell = match record.as_input() {
            Some(Input::LinkDown) => Some("cut of the link, or end of the peer"),
            Some(Input::PeerSilent) => Some("silence of the peer"),
            Some(Input::LostHeartbeat) => Some("x-colo-lost-heartbeat, over the control socket"),
            _ => None,
        };
        if let Some(befell) = befell {
            self.records.push(Record::other(record.time_us, None, 0, Kind::Fault, befell));
        }
        self.records.push(record);
    }
}
