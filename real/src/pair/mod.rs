//! The harness of a real pair: two processes, clients, and the faults of a plan, carried out for real.
//!
//! It stands for the world around the protocol and takes no decision of it. Rules that need a manager find one here;
//! those that need an arbiter find one too: in the memory of this, if the options do not name another.

mod alone;
mod arbitration;
pub(crate) mod clients;
#[cfg(test)]
mod delay_tests;
pub(crate) mod demand;
pub(crate) mod disks;
mod event;
mod failover_times;
mod faults;
mod guest_clock;
#[cfg(test)]
mod hostile_peer;
mod manager;
mod measured;
mod memory;
mod options;
mod power;
pub(crate) mod process;
mod replacement;
mod violation;
mod windows;

use crate::control::{CheckpointFigures, ComparisonFigures, FromNode, ToNode};
use crate::link::Connections;
use crate::node::monotonic_us;
pub use alone::run_alone;
use arbitration::Arbitration;
use clients::Clients;
use colo_protocol::{InputKind, Liveness, NodeName, Property};
use colo_trace::{Event, FaultKind, Gate, Kind, Point, Record};
pub use demand::Load;
use disks::Disks;
pub use event::PairEvent;
use failover_times::FailoverClock;
pub use failover_times::FailoverTimes;
use faults::Strike;
use manager::{Manager, Order};
pub use measured::{Latencies, Measured, Slice};
use memory::Watch;
use options::PATIENCE;
pub use options::{ComparisonOutcome, RunError, RunOptions, RunOutcome, can_strike};
use power::Power;
pub use process::NodeCommand;
use process::{Heard, Number, Process};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
pub use violation::RunViolation;
pub use windows::Opinion;

/// How often clients look at their watches.
const CLIENT_TICK: Duration = Duration::from_millis(2);

/// How long after a failover a peer that lives may take to find out, if it ever does.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Runs a pair once, from boot until it has drained; `directory` is for its sockets, must be private, and is removed as
/// soon as nobody needs it, at the latest in the end. `progress` hears of each completed checkpoint.
pub fn run_pair(
    options: &RunOptions,
    directory: &Path,
    progress: &mut dyn FnMut(&CheckpointFigures),
) -> Result<RunOutcome, RunError> {
    measure_pair(options, directory, progress).map(|(outcome, _)| outcome)
}

/// The same, and what it cost the clients.
pub fn measure_pair(
    options: &RunOptions,
    directory: &Path,
    progress: &mut dyn FnMut(&CheckpointFigures),
) -> Result<(RunOutcome, Measured), RunError> {
    crate::kvm_usable()?;
    let plans = options.replacements.iter().chain([&options.plan]);
    let mut kinds = plans.flat_map(|plan| &plan.faults).map(|fault| fault.action.kind());
    let has_disk = options.workload.disk_blocks > 0;
    let beyond = |kind: &FaultKind| !can_strike(*kind) || (*kind == FaultKind::FailDisk && !has_disk);
    if let Some(kind) = kinds.find(beyond) {
        return Err(RunError::Plan(kind));
    }
    let mut pair = Pair::start(options, directory)?;
    pair.serve(progress)?;
    Ok(pair.finish())
}

/// What has happened that the rules may claim nothing of.
#[derive(Default)]
struct Circumstances {
    /// The plan had a living node taken for dead.
    suspected_wrongly: bool,
    /// The link has lost something for good, and does not say so.
    link_is_silent: bool,
    /// A node was promoted while its peer lived.
    two_may_serve: bool,
}

/// What has become of a pair, of which nothing is left in the next.
#[derive(Default)]
struct Course {
    /// Whether each node waits at a point until its peer hears nothing over the link.
    waits_for_silence: [bool; 2],
    /// Who has asked the arbiter and has no answer.
    asks: [bool; 2],
    /// Why there is none, if that is known.
    arbiter_is_silent: Option<String>,
    /// Who has been promoted: it serves, of whatever use its VM is.
    took_over: [bool; 2],
    /// A node has stopped for good.
    halted: bool,
    /// Whose control channel has been heard to its end.
    ended: [bool; 2],
    circumstances: Circumstances,
    power: Power,
    /// Points at which more strikes as soon as a button is pressed.
    strikes: Vec<Strike>,
    /// A node was told to go on alone.
    told_to_serve: bool,
    /// Points that gates wait for and that have been passed.
    passed: Vec<Point>,
    /// Points at which gates have held something.
    stood_at: Vec<Point>,
    failover: FailoverClock,
    /// The secondary holds no checkpoint of this pair's.
    is_empty: bool,
    /// The survivor's end of the link to a replacement that has not started.
    introduces: Option<Connections>,
    /// When this pair began, on the clock of the records; that of the first is before all of them.
    began_us: u64,
}

/// A run in progress.
struct Pair<'a> {
    options: &'a RunOptions,
    processes: [Process; 2],
    heard: Receiver<Heard>,
    /// For whoever listens to another node.
    sender: Sender<Heard>,
    clients: Clients,
    /// To whom the network brings requests.
    serving: NodeName,
    started_us: u64,
    outcome: RunOutcome,
    records: Vec<Record>,
    /// When the latest failover was, and how many replies had been seen by then.
    latest_failover: Option<(Instant, u64)>,
    manager: Manager,
    arbitration: Arbitration,
    /// What has become of this pair.
    course: Course,
    /// Pairs that there were before this one.
    pairs: usize,
    /// The secondary is a replacement that holds no checkpoint yet.
    joins: bool,
    /// Since when it is waited for.
    joins_since: Instant,
    /// Faults that struck, and checkpoints that were taken, before this pair was one.
    struck_before: usize,
    checkpoints_before: u64,
    /// What the comparisons of the pairs before came to.
    compared_before: ComparisonFigures,
    /// The directory of the sockets.
    directory: PathBuf,
    /// The two disks' files, if the machine has a disk.
    disks: Option<Disks>,
    /// Nodes that have started.
    started: usize,
    watch: Watch,
    /// The end of the frames that have left, as far as there are any.
    frames_end: u64,
    /// Before that no replacement is tried again.
    no_replacement_before: Option<Instant>,
}

impl<'a> Pair<'a> {
    /// Starts both processes and links them.
    fn start(options: &'a RunOptions, directory: &Path) -> Result<Self, RunError> {
        let (sender, heard) = channel();
        let start = |name| Process::start(name, &options.node, directory, sender.clone());
        let processes = [start(NodeName::Primary)?, start(NodeName::Secondary)?];
        let mut pair = Self {
            options,
            processes,
            heard,
            arbitration: Arbitration::of(options, sender.clone())?,
            sender,
            clients: Clients::nobody(),
            serving: NodeName::Primary,
            started_us: monotonic_us(),
            outcome: RunOutcome::nothing_yet(),
            records: Vec::new(),
            latest_failover: None,
            manager: Manager::new(&options.rules.rules),
            course: Course::default(),
            pairs: 0,
            joins: false,
            joins_since: Instant::now(),
            struck_before: 0,
            checkpoints_before: 0,
            compared_before: ComparisonFigures::default(),
            directory: directory.to_owned(),
            disks: Disks::of(options, directory)?,
            started: 0,
            watch: Watch::default(),
            frames_end: 0,
            no_replacement_before: None,
        };
        for (name, connections) in NodeName::ALL.into_iter().zip(&pair.connections()?) {
            let config = options.node_config(name, pair.disks.as_ref());
            let port = options.port()?;
            pair.process(name).configure(config, Some(connections), port.as_ref());
        }
        Ok(pair)
    }

    /// Both nodes' ends of what connects them.
    fn connections(&self) -> std::io::Result<[Connections; 2]> {
        Connections::pair(self.options.link, &self.options.rules.rules, self.disks.is_some())
    }

    fn tell_both(&mut self, message: &ToNode) {
        for process in &mut self.processes {
            process.tell(message);
        }
    }

    fn process(&mut self, name: NodeName) -> &mut Process {
        &mut self.processes[name as usize]
    }

    fn alive(&self) -> [bool; 2] {
        self.processes.each_ref().map(Process::is_alive)
    }

    /// Serves the clients until enough has happened and all is answered, or nothing more can happen.
    fn serve(&mut self, progress: &mut dyn FnMut(&CheckpointFigures)) -> Result<(), RunError> {
        let mut last_reply = (0, Instant::now());
        let patience = self.options.patience();
        while !self.is_done() && self.outcome.violation.is_none() {
            self.ask();
            let now = Instant::now();
            self.processes.iter_mut().for_each(|process| process.wake(now));
            if let Err(violation) = self.clients.missing(Instant::now()) {
                self.violate(violation);
            }
            if let Some(violation) = self.left_on() {
                self.violate(violation);
            }
            if self.manager.is_due(Instant::now()) {
                self.manage();
            }
            self.replace()?;
            self.watch.look(&self.processes, &mut self.clients.measured);
            match self.heard.recv_timeout(until_next(&self.clients)) {
                Ok(heard) => self.hear(heard, progress)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.clients.answered != last_reply.0 {
                last_reply = (self.clients.answered, Instant::now());
            }
            if self.clients.are_nobody() && last_reply.1.elapsed() > PATIENCE {
                return Err(RunError::NotReady);
            }
            if last_reply.1.elapsed() > patience && !self.clients.are_outside() {
                self.violate(self.silence(patience.as_secs()));
            }
        }
        Ok(())
    }

    /// The clients' requests that are due go to the node that serves.
    fn ask(&mut self) {
        if self.enough() {
            self.clients.drain();
        } else if self.closed().any(|gate| gate.until.event == Event::Input(InputKind::GuestOutput)) {
            // Something waits for output, and clients whose replies are withheld ask for none.
            self.clients.one_more();
        }
        match self.clients.due(Instant::now()) {
            Ok(requests) => {
                let serving = self.process(self.serving);
                // Nothing is lost: a client that gets no answer asks again.
                let heard = !serving.is_paused();
                requests
                    .into_iter()
                    .filter(|_| heard)
                    .for_each(|request| serving.tell(&ToNode::Request(request)));
            }
            Err(violation) => self.violate(violation),
        }
    }

    /// Whether the time is over for which the run is to go on, if it is for a time.
    fn has_lasted(&self) -> Option<bool> {
        self.options.lasts.map(|lasts| self.clients.measured.begun().elapsed() >= lasts)
    }

    /// Whether nothing new is to be begun.
    fn has_done_enough(&self) -> bool {
        self.options.is_stopped() || self.has_lasted() == Some(true)
    }

    /// Whether all that the run is for has happened.
    fn enough(&self) -> bool {
        if self.options.is_stopped() {
            return true;
        }
        if self.is_about_to_power_off() {
            return false;
        }
        let lasted = self.has_lasted();
        if self.clients.are_outside() {
            return lasted == Some(true);
        }
        if self.latest_failover.is_some() && self.has_replacements() && lasted != Some(true) || self.joins {
            return false;
        }
        if let Some((at, replies)) = self.latest_failover {
            // A failover behind the end finds nobody who asks anything new: that what was asked is answered has to do.
            let peer = self.serving.peer();
            let settled = self.is_settled(peer) || at.elapsed() > self.settles_within(peer);
            return settled
                && lasted.unwrap_or(true)
                && (self.clients.are_served_since(replies) || self.clients.are_draining());
        }
        let checkpoints = self.outcome.checkpoints.len() as u64 - self.checkpoints_before;
        lasted.unwrap_or(checkpoints >= self.options.checkpoints)
            && !self.clients.are_nobody()
            && self.processes.iter().all(Process::is_alive)
    }

    /// Whether a node whose peer serves has done whatever it will do about it. Until then it might serve, too.
    fn is_settled(&self, node: NodeName) -> bool {
        let alive = self.processes[node as usize].is_alive();
        let took_over = self.course.took_over == [true; 2];
        let waits = self.course.asks[node as usize];
        !alive || !waits && (!self.manager.is_usable(node) || self.course.halted || took_over)
    }

    /// How long it may take to do that: what waits for the arbiter takes as long as that does.
    const fn settles_within(&self, node: NodeName) -> Duration {
        if self.course.asks[node as usize] { PATIENCE } else { SETTLES_WITHIN }
    }

    fn is_done(&self) -> bool {
        self.has_drained() || self.guest_is_gone() || self.is_lost()
    }

    fn has_drained(&self) -> bool {
        self.enough() && self.clients.all_answered()
    }

    /// Whether nobody is left who could serve.
    fn is_lost(&self) -> bool {
        let alive = self.alive();

        let could = |node| {
            let Course { asks, took_over, .. } = &self.course;
            self.manager.is_usable(node) || asks[node as usize] || took_over[node as usize]
        };
        !NodeName::ALL.into_iter().any(|node| alive[node as usize] && could(node))
    }

    fn violate(&mut self, violation: RunViolation) {
        self.note(None, Kind::Violation, violation.to_string());
        self.outcome.violation.get_or_insert(violation);
    }

    fn hear(&mut self, heard: Heard, progress: &mut dyn FnMut(&CheckpointFigures)) -> Result<(), RunError> {
        match heard {
            Heard::Gone(number) => self.gone(self.role(number))?,
            Heard::Garbled(number, error) => {
                let name = self.role(number);
                match garbled(name, &error) {
                    RunError::Node(_, problem) => self.fails(name, problem)?,
                    other => return Err(other),
                }
            }
            Heard::Message(number, message) => self.told(self.role(number), message, progress)?,
            Heard::Arbiter(told) => self.arbiter_says(told),
        }
        Ok(())
    }

    /// Which side the process is now. Who is not the primary is the secondary: nobody else is heard any more.
    fn role(&self, number: Number) -> NodeName {
        let [primary, secondary] = &self.processes;
        debug_assert!([primary, secondary].iter().any(|process| process.number() == number));
        if primary.number() == number { NodeName::Primary } else { NodeName::Secondary }
    }

    fn told(
        &mut self,
        name: NodeName,
        message: FromNode,
        progress: &mut dyn FnMut(&CheckpointFigures),
    ) -> Result<(), RunError> {
        match message {
            FromNode::Output(first, units) => self.output(name, first, &units),
            FromNode::Frames { first, count } => self.frames_left(name, first + count, count),
            FromNode::EarlyOutput(place, unit) => {
                if let Err(violation) = self.clients.early_output(place, unit) {
                    self.violate(violation);
                }
            }
            FromNode::Compared(figures) => {
                self.outcome.comparison.figures = self.compared_before.and(figures);
            }
            FromNode::Diverged { lost, anew } => {
                self.outcome.comparison.lost += lost;
                self.outcome.comparison.diverged += u64::from(anew);
            }
            FromNode::Checkpoint(figures) => {
                progress(&figures);
                self.clients.measured.checkpoint(&figures, Instant::now());
                if !self.options.endures {
                    // A service that lasts has no end of them.
                    self.outcome.checkpoints.push(figures);
                }
            }
            // What a survivor says of its old pair may be heard when there is another already.
            FromNode::Passed(pair, _) | FromNode::AtGate(pair, _) | FromNode::ColoExit { pair, .. }
                if pair < self.pairs => {}
            FromNode::AtPoint(pair, ..) if pair < self.pairs => self.process(name).tell(&ToNode::GoOn),
            FromNode::Passed(_, point) => self.pass(name, point),
            FromNode::AtGate(_, point) => self.course.stood_at.push(point),
            FromNode::AtPoint(_, point, actions) => self.strike(name, point, &actions),
            FromNode::TookOver => self.took_over(name),

            FromNode::Pressed => self.strike_on(name),
            FromNode::WantsOff => self.course.power.wanted(name),
            FromNode::PoweredOff => self.powered_off(name),
            FromNode::ColoExit { unusable, .. } => {
                self.course.power.left(name);
                let holds_nothing = self.course.is_empty && name == NodeName::Secondary;
                self.manager.exited(name, unusable || holds_nothing, Instant::now());
            }
            FromNode::NotInColo => self.manager.refused(name, self.alive(), Instant::now()),
            FromNode::AskArbiter => self.arbitrate(name),
            FromNode::Halted => {
                self.course.halted = true;
                self.manager.halted(name);
            }
            FromNode::IsDeaf => self.is_deaf(name),
            FromNode::Record(record) => self.records.push(record),
            FromNode::Failed(problem) => self.fails(name, problem)?,
            FromNode::Started => self.started(),
            FromNode::Disk(figures) => self.disks.iter_mut().for_each(|disks| disks.told(name, figures)),
            FromNode::Joined => self.joined(),
            FromNode::Protected(figures) => self.outcome.entries.push(figures),
            FromNode::LostReplacement => self.joins = false,
            // Nobody here asks for an answer.
            FromNode::Hello(_) | FromNode::Said(_) | FromNode::TakesNoCheckpoint => {}
        }
        Ok(())
    }

    /// Frames have left for the network that end there in the output. What a survivor sends again answers nobody; and where both
    /// VMs execute, a place in the one's output says nothing of the other's.
    fn frames_left(&mut self, name: NodeName, end: u64, count: u64) {
        self.clients.seen += count;
        if end > self.frames_end && !self.options.rules.rules.is_hybrid() {
            self.frames_end = end;
            self.has_replied(name);
        }
    }

    /// Output has left that nobody has seen before: after a failover, that is its end.
    fn has_replied(&mut self, name: NodeName) {
        if let Some(times) = (name == self.serving).then(|| self.course.failover.replied()).flatten() {
            let reply_us = u64::try_from(times.reply.as_micros()).unwrap_or(u64::MAX);
            self.outcome.takeover_us.push(reply_us);
            self.clients.measured.failovers.push(times);
        }
    }

    fn output(&mut self, name: NodeName, first: u64, units: &[crate::control::RawReply]) {
        match self.clients.output(first, units) {
            Ok(0) => {}
            Ok(_) => self.has_replied(name),
            Err(violation) => self.violate(violation),
        }
        if self.options.record {
            let until = first + units.len() as u64;
            self.note(Some(name), Kind::Client, format!("output {first} to {until} seen"));
        }
    }

    /// A node has started. After the second clients are served; after the last that there can be nobody will look for
    /// anything in the sockets' directory.
    fn started(&mut self) {
        self.started += 1;
        self.introduce();
        if self.started >= self.processes.len() {
            self.begin();
        }
        let last = self.processes.len() + self.options.replacements.len();
        if self.started == last && !self.options.endures {
            // If somebody else has put something there it stays, with the directory.
            let _ = std::fs::remove_dir(&self.directory);
        }
    }

    /// From here on the clients ask; what is measured begins now.
    fn begin(&mut self) {
        if self.clients.are_nobody() {
            self.clients = self.options.clients_from_now();
            self.tell(self.protected());
        }
    }

    /// The event that both nodes are what they are to be.
    fn protected(&self) -> PairEvent {
        let [primary, secondary] = self.processes.each_ref().map(Process::number);
        PairEvent::Protected { primary, secondary }
    }

    fn took_over(&mut self, name: NodeName) {
        // The peer may have died before it had started.
        self.begin();
        self.serving = name;
        self.course.took_over[name as usize] = true;
        self.course.circumstances.two_may_serve |= self.process(name.peer()).is_alive();
        self.manager.serves(name);
        self.outcome.failovers += 1;
        self.tell(PairEvent::TookOver { node: name, process: self.processes[name as usize].number() });
        self.clients.moved();
        self.course.failover.promoted();
        self.latest_failover = Some((Instant::now(), self.clients.seen));
        self.joins = false;
    }

    /// A node has passed a point that gates wait for: the peer hears of it if it has any of them.
    fn pass(&mut self, name: NodeName, point: Point) {
        self.course.passed.push(point);
        let peer = name.peer();
        if self.plan().gates.iter().any(|gate| gate.until == point && gate.hold.node == peer) {
            self.process(peer).tell(&ToNode::Passed(point));
        }
    }

    /// The gates that have held something and have not opened.
    fn closed(&self) -> impl Iterator<Item = &Gate> {
        let gates = self.plan().gates.iter();
        gates.filter(|gate| {
            self.course.stood_at.contains(&gate.hold) && !self.course.passed.contains(&gate.until)
        })
    }

    /// A process is dead. If nobody here has killed it then this is no fault of the plan.
    fn gone(&mut self, name: NodeName) -> Result<(), RunError> {
        self.course.ended[name as usize] = true;
        let process = self.process(name);
        if !process.is_alive() {
            return Ok(());
        }
        let how = process.ended();
        self.fails(name, how)
    }

    /// A node has died, or says why it will, and nobody here has seen to that. A service that endures goes on with the other.
    fn fails(&mut self, name: NodeName, how: String) -> Result<(), RunError> {
        if !self.options.endures {
            return Err(RunError::Node(name, how));
        }
        let process = self.process(name);
        if !process.is_alive() {
            return Ok(());
        }
        let number = process.number();
        self.note_end(name, &how);
        self.tell(PairEvent::Died { node: name, process: number, how });
        self.kill(name);
        if name == NodeName::Secondary && self.course.introduces.take().is_some() {
            // A replacement that its survivor has not heard of: nobody else says that it will not join.
            self.joins = false;
        }
        self.manage();
        Ok(())
    }

    /// Whoever wants to hear of it does.
    fn tell(&self, event: PairEvent) {
        if let Some(events) = &self.options.events {
            // Nobody listens any more.
            let _ = events.send((Instant::now(), event));
        }
    }

    /// The manager looks, and does what is to be done.
    fn manage(&mut self) {
        match self.manager.look(self.alive()) {
            Some(Order::Fence(victim)) => {
                self.note(Some(victim), Kind::Fault, "fenced by the manager".to_owned());
                self.kill(victim);
                self.manage();
            }
            Some(Order::Promote(node)) => self.lost_heartbeat(node, false),
            None => {}
        }
    }

    fn lost_heartbeat(&mut self, node: NodeName, planned: bool) {
        self.course.failover.told();
        self.course.told_to_serve = true;
        self.manager.serves(node);
        self.process(node).tell(&ToNode::LostHeartbeat { planned });
    }

    fn note(&mut self, node: Option<NodeName>, kind: Kind, text: String) {
        if self.options.record {
            self.records.push(Record::other(monotonic_us(), node, 0, kind, text));
        }
    }

    /// A process of this pair has ended that nobody here has killed. What its peer saw of that may have been recorded by now; so
    /// its end stands where it was, behind the last that it has told.
    fn note_end(&mut self, name: NodeName, how: &str) {
        if !self.options.record {
            return;
        }
        let last = self.records.iter().rev().find(|record| record.node == Some(name));
        let time_us = last.map_or(0, |record| record.time_us).max(self.course.began_us);
        self.records.push(Record::other(time_us, Some(name), 0, Kind::Fault, format!("crash: {how}")));
    }

    /// Ends both nodes, and takes in what they have recorded until then: a record that is cut where somebody stopped
    /// listening would have the one node answer what the other has not said.
    fn hear_the_rest(&mut self) {
        let mut living = self.alive();
        // Both at once: neither is to see the other die.
        self.processes.iter_mut().for_each(|process| process.pause(SETTLES_WITHIN));
        self.processes.iter().for_each(Process::wait_until_it_stands_still);
        self.processes.iter_mut().for_each(Process::kill);
        while living.contains(&true) {
            match self.heard.recv_timeout(SETTLES_WITHIN) {
                Ok(Heard::Message(_, FromNode::Record(record))) => self.records.push(record),
                Ok(Heard::Message(..) | Heard::Arbiter(_)) => {}
                Ok(Heard::Gone(number) | Heard::Garbled(number, _)) => {
                    living[self.role(number) as usize] = false;
                }
                Err(_) => return,
            }
        }
    }

    fn finish(mut self) -> (RunOutcome, Measured) {
        // If somebody else has put something there, or it is gone already, so be it.
        let _ = std::fs::remove_dir(&self.directory);
        if self.outcome.violation.is_none() {
            let verdict = match (self.has_drained(), self.guest_is_gone()) {
                (true, _) => self.clients.judge(),
                // Who waited for an answer gets none.
                (false, true) => self.clients.judge_what_was_answered(),
                (false, false) => Err(RunViolation::Unserved),
            };
            if let Err(violation) = verdict {
                self.violate(violation);
            }
        }
        if self.options.record {
            self.hear_the_rest();
        }
        self.look_at_the_disks();
        self.outcome.claimed = self.outcome.violation.as_ref().is_none_or(|found| self.claims(found));
        self.end_pair();
        self.outcome.replies = self.clients.seen;
        self.outcome.began_us = self.started_us;
        if self.options.record {
            let records = std::mem::take(&mut self.records);
            self.outcome.trace = Some(self.options.trace(records, self.started_us));
        }
        (self.outcome, self.clients.into_measured())
    }

    /// Whether the rules stand for it that this cannot happen.
    fn claims(&self, violation: &RunViolation) -> bool {
        let rules = &self.options.rules.rules;
        if matches!(violation, RunViolation::LeftOn { .. }) {
            return rules.claims_liveness(Liveness::Shutdown, self.course.circumstances.link_is_silent);
        }
        if matches!(violation, RunViolation::ArbiterSilent { .. }) {
            // They stand for nothing where the arbiter does not answer.
            return false;
        }
        if matches!(violation, RunViolation::Silence { .. }) && self.course.circumstances.link_is_silent {
            let told = self.course.told_to_serve;
            let broken = if told { Liveness::FailoverCompletes } else { Liveness::CheckpointEnds };
            return rules.claims_liveness(broken, true);
        }
        let two_served = violation.rests_on_fencing() && self.course.circumstances.two_may_serve;
        !two_served || rules.claims(Property::SingleServer, self.course.circumstances.suspected_wrongly)
    }
}

/// How long to listen before clients look at their watches again.
pub(crate) fn until_next(clients: &Clients) -> Duration {
    let due = clients.next_due().map(|due| due.saturating_duration_since(Instant::now()));
    due.map_or(CLIENT_TICK, |due| due.min(CLIENT_TICK))
}

pub(crate) fn garbled(name: NodeName, error: &std::io::Error) -> RunError {
    RunError::Node(name, format!("what it says cannot be read: {error}"))
}
