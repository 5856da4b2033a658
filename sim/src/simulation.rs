//! One run: everything that there is in it, the loop over its events, and its end.
//!
//! Nothing in this crate decides anything of the protocol: what happens in the surroundings becomes an input of a
//! node's machine, and what the machine asks for is carried out.

use crate::agenda::{Agenda, Event};
use crate::clients::{Clients, Given};
use crate::comparison::Comparison;
use crate::draw::{Draws, Purpose};
use crate::faults::Faults;
use crate::guest::Disk;
use crate::guest_knobs::GuestKnobs;
use crate::inputs::Basis;
use crate::judge::Judge;
use crate::knobs::Knobs;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::marks::{Mark, Marks};
use crate::occasions::Occasion;
use crate::options::Options;
use crate::outcome::{Outcome, Verdict};
use crate::replacement::Replacements;
use crate::replication::Replication;
use crate::side::Side;
use crate::tape::{Place, Tape};
use colo_protocol::{CheckpointNumber, NodeName, Rules};
use colo_trace::{FaultKind, Header, NamedRules, SCHEMA, Trace, Way};
use std::collections::VecDeque;

/// The most events of a run: far beyond any that makes progress.
const MAX_EVENTS: u64 = 20_000_000;

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) options: &'a Options,
    pub(crate) knobs: Knobs,
    pub(crate) guest_knobs: GuestKnobs,
    pub(crate) agenda: Agenda,
    pub(crate) network: Draws,
    pub(crate) nodes: Draws,
    pub(crate) manager: Draws,
    pub(crate) guests: Draws,
    /// Looks of the manager that are planned.
    pub(crate) looks: u32,
    /// To whom the arbiter has given the right to serve alone.
    pub(crate) arbiter: Option<NodeName>,
    pub(crate) sides: [Side; 2],
    pub(crate) link: Link,
    pub(crate) replication: Replication,
    /// The disk that comes with the initial state.
    pub(crate) mirror: Disk,
    pub(crate) replacements: Replacements,
    pub(crate) comparison: Comparison,
    pub(crate) clients: Clients,
    /// Output on its way to the clients.
    pub(crate) world: VecDeque<Given>,
    /// When the last of it arrives.
    pub(crate) world_us: u64,
    pub(crate) faults: Faults,
    pub(crate) judge: Judge,
    pub(crate) ledger: Ledger,
    /// What waits at a closed gate, in the order in which it came there.
    pub(crate) parked: Vec<Event>,
    /// What waits until the network heals.
    pub(crate) until_healed: Vec<Event>,
    /// Something has stood still.
    pub(crate) stands_still: bool,
    pub(crate) tape: Tape,
    pub(crate) marks: Marks,
    pub(crate) draining: bool,
    /// When faults and new requests stopped.
    pub(crate) drained_us: u64,
    /// How many checkpoints there were then.
    pub(crate) drained_at: u64,
    pub(crate) expired: bool,
    pub(crate) checkpoints: u64,
    pub(crate) failovers: u64,
    pub(crate) scratch: Vec<u8>,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(rules: &'a Rules, seed: u64, options: &'a Options) -> Self {
        let knobs = Knobs::draw(seed, rules, options);
        let guest_knobs = GuestKnobs::draw(seed, options);
        let faults = Faults::new(seed, rules, options);
        let careful = options.datagrams || faults.may_have(FaultKind::Corrupt);
        Self {
            rules,
            options,
            agenda: Agenda::default(),
            network: Draws::new(seed, Purpose::Network),
            nodes: Draws::new(seed, Purpose::Nodes),
            manager: Draws::new(seed, Purpose::Manager),
            guests: Draws::new(seed, Purpose::Guests),
            looks: 0,
            arbiter: None,
            sides: NodeName::ALL.map(|name| Side::new(name, rules.dialect, &knobs)),
            link: Link::new(),
            replication: Replication::default(),
            mirror: Disk::default(),
            replacements: Replacements::new(guest_knobs.replacements, options.checkpoints),
            clients: Clients::new(seed, options.clients, guest_knobs.second_opinion),
            world: VecDeque::new(),
            world_us: 0,
            faults,
            judge: Judge::new(careful),
            ledger: Ledger::default(),
            comparison: Comparison::default(),
            parked: Vec::new(),
            until_healed: Vec::new(),
            stands_still: false,
            tape: Tape::new(options.record),
            marks: Marks::default(),
            draining: false,
            drained_us: 0,
            drained_at: 0,
            expired: false,
            checkpoints: 0,
            failovers: 0,
            scratch: Vec::new(),
            knobs,
            guest_knobs,
        }
    }

    pub(crate) fn side(&self, name: NodeName) -> &Side {
        &self.sides[name as usize]
    }

    pub(crate) fn side_mut(&mut self, name: NodeName) -> &mut Side {
        &mut self.sides[name as usize]
    }

    pub(crate) fn place(&self, node: Option<NodeName>) -> Place {
        let checkpoint = node.map_or(CheckpointNumber::default(), |name| self.side(name).checkpoint());
        Place { time_us: self.agenda.now_us(), node, checkpoint }
    }

    /// Runs to the end; returns the number of events.
    pub(crate) fn run(&mut self) -> u64 {
        self.begin_incoming();
        self.begin_clients();
        self.begin_watching();
        self.plan_drain(self.options.checkpoints);
        let mut events = 0;
        while !self.is_over() {
            let Some((order, event)) = self.agenda.next() else { break };
            events += 1;
            assert!(events < MAX_EVENTS, "the run makes no progress");
            self.tape.tick(self.agenda.now_us(), order);
            if self.is_held(event) {
                self.parked.push(event);
            } else if let Some(until_us) = self.waits_until(event) {
                self.put_off(event, until_us);
            } else {
                self.happen(event);
            }
        }
        self.judge_end();
        events
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CarryOut(node) => self.carry_out_planned(node),
            Event::OperationHalf { node, token } => self.operation_half(node, token),
            Event::OperationEnd { node, token } => self.operation_end(node, token),
            Event::Timer { node, token } => self.timer_ran_out(node, token),
            Event::Segment { to, epoch } => self.segment(to, epoch),
            Event::Datagram { to, epoch, number } => self.datagram(to, epoch, number),
            Event::HeldInput(node) => self.held_input(node),
            Event::LinkDown(node) => self.link_down(node),
            Event::GuestTurn(node) => self.guest_turn(node),
            Event::Arrival(request) => self.request_arrives(request),
            Event::Output { units } => self.output_arrives(units),
            Event::DiskWrites { count, epoch } => self.disk_writes_arrive(count, epoch),
            Event::Compare => self.compare(),
            Event::OutputWaits { since } => self.output_waits(since),
            Event::Issue(client) => self.issue(client),
            Event::Retry { client, sequence } => self.retry(client, sequence),
            Event::Patience { node, token } => self.patience_ends(node, token),
            Event::Told { node, input } => {
                self.give(node, input, Basis::Node);
            }
            Event::Replacement => self.replacement_comes(),
            Event::ManagerLook => self.manager_looks(),
            Event::Drain => self.drain(),
            Event::Deadline => self.deadline(),
        }
    }

    fn is_over(&self) -> bool {
        if self.judge.has_judged() || self.expired {
            return true;
        }
        let awake = self.agenda.now_us() >= self.drained_us;
        let ended = || awake && self.looks == 0 && self.remains().is_none() && !self.has_rival();
        if self.draining {
            return (self.clients.all_idle() || self.server().is_none()) && ended();
        }
        self.nobody_can_serve()
    }

    /// Whether no node will ever serve again.
    pub(crate) fn nobody_can_serve(&self) -> bool {
        self.sides.iter().all(Side::is_over)
    }

    pub(crate) fn outcome(mut self, rules: &NamedRules, seed: u64, events: u64) -> Outcome {
        if self.nobody_can_serve() {
            self.marks.hit(Mark::NobodyServes);
        }
        let (protected, pairs) = (self.is_protected(), 1 + self.replacements.came);
        let verdict = self.judge.verdict();
        let hash = self.tape.hash();
        let closed = self.shut();
        let faults = self.faults.finish();
        Outcome {
            seed,
            hash,
            verdict: if verdict.is_some() { Verdict::Violated } else { Verdict::Holds },
            property: verdict.as_ref().map(|verdict| verdict.broken),
            claimed: verdict.as_ref().is_none_or(|verdict| verdict.claimed),
            explanation: verdict.map(|verdict| verdict.sentence),
            events,
            checkpoints: self.checkpoints,
            failovers: self.failovers,
            pairs,
            protected,
            answered: self.clients.answered(),
            virtual_us: self.agenda.now_us(),
            faults: faults.counts,
            plan: faults.plan,
            unreached: faults.unreached,
            closed,
            sometimes: self.marks.counted(self.rules, self.options),
            occasions: faults.occasions.into_iter().map(Occasion::name).collect(),
            trace: self.tape.into_records().map(|records| Trace { header: header(rules, seed), records }),
        }
    }
}

fn header(rules: &NamedRules, seed: u64) -> Header {
    Header {
        schema: SCHEMA,
        rules_name: rules.name.clone(),
        rules: rules.rules,
        seed: Some(seed),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        way: Way::Sim,
    }
}
