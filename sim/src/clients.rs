//! The clients, and the network between them and the nodes: a request goes to whichever VM executes.
//!
//! Each client has one open request at a time, sends it again when no answer comes, and moves on when one does.

use crate::agenda::Event;
use crate::draw::{Draws, Purpose};
use crate::marks::Mark;
use crate::options::MAX_CLIENTS;
use crate::outcome::Broken;
use crate::simulation::Simulation;
use colo_oracle::{Checker, Operation, RealTime, Reply, Request};
use colo_protocol::{NodeName, OutputOffset};
use colo_trace::Kind;

/// One request in so many takes a long way round, and may come after its successor.
const STRAGGLERS: u64 = 32;
/// How many times as long.
const STRAGGLER_FACTOR: u64 = 40;

/// A unit of output that the world has been given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) offset: OutputOffset,
    pub(crate) reply: Reply,
    /// It was let go past what stands before it.
    pub(crate) early: bool,
}

/// A client.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    sequence: u64,
    open: Option<Request>,
}

/// All clients, what they have seen, and the requests that no VM has been there for.
#[derive(Debug)]
pub(crate) struct Clients {
    draws: Draws,
    all: Vec<Client>,
    checker: Checker,
    /// What the second opinion is asked about, if it is asked.
    real_time: Option<RealTime>,
    waiting: Vec<Request>,
}

impl Clients {
    pub(crate) fn new(seed: u64, clients: u32, second_opinion: bool) -> Self {
        Self {
            draws: Draws::new(seed, Purpose::Clients),
            all: (0..clients.min(MAX_CLIENTS)).map(|_| Client::default()).collect(),
            checker: Checker::new(),
            real_time: second_opinion.then(RealTime::default),
            waiting: Vec::new(),
        }
    }

    /// Whether no request is open.
    pub(crate) fn all_idle(&self) -> bool {
        self.all.iter().all(|client| client.open.is_none())
    }

    /// How many requests were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.checker.summary().answered
    }

    /// What the clients have seen.
    pub(crate) const fn checker(&self) -> &Checker {
        &self.checker
    }

    /// What there is for a second opinion.
    pub(crate) const fn real_time(&self) -> Option<&RealTime> {
        self.real_time.as_ref()
    }

    fn operation(&mut self, keys: u64) -> Operation {
        let key = self.draws.below(keys);
        match self.draws.below(4) {
            0 => Operation::Get { key },
            1 => Operation::Put { key, value: self.draws.below(1 << 32) },
            _ => Operation::Add { key, delta: 1 + self.draws.below(1 << 20) },
        }
    }
}

impl Simulation<'_> {
    pub(crate) fn begin_clients(&mut self) {
        for (client, _) in (0..).zip(self.clients.all.clone()) {
            self.think(client);
        }
    }

    fn think(&mut self, client: u32) {
        let delay_us = self.clients.draws.within(self.knobs.think);
        self.agenda.after(delay_us, Event::Issue(client));
    }

    /// A client sends its next request.
    pub(crate) fn issue(&mut self, number: u32) {
        if self.draining {
            return;
        }
        let operation = self.clients.operation(self.knobs.keys);
        let client = &mut self.clients.all[number as usize];
        client.sequence += 1;
        let request = Request { client: number, sequence: client.sequence, operation };
        client.open = Some(request);
        self.tape.other(self.place(None), Kind::Client, "request", Some(text(request)));
        let seen = self.clients.checker.issued(request);
        if let Some(real_time) = &mut self.clients.real_time {
            real_time.asked(request);
        }
        assert!(seen.is_ok(), "clients never use a sequence number twice: {seen:?}");
        self.send_request(request);
    }

    /// A client has waited long enough: the same request again, if there is no answer yet.
    pub(crate) fn retry(&mut self, client: u32, sequence: u64) {
        let open = self.clients.all[client as usize].open;
        if let Some(request) = open.filter(|request| request.sequence == sequence) {
            self.marks.hit(Mark::RequestRetried);
            self.tape.other(self.place(None), Kind::Client, "request again", Some(text(request)));
            self.send_request(request);
        }
    }

    fn send_request(&mut self, request: Request) {
        let Request { client, sequence, .. } = request;
        let mut delay_us = self.network.within(self.knobs.client_latency);
        if self.network.one_in(STRAGGLERS) {
            delay_us *= STRAGGLER_FACTOR;
        }
        self.agenda.after(delay_us, Event::Arrival(request));
        self.agenda.after(self.knobs.retry_us, Event::Retry { client, sequence });
    }

    /// A request has crossed the network: to every VM that executes, or it waits for one. Where both execute, each node
    /// keeps for its VM what comes while that stands still.
    pub(crate) fn request_arrives(&mut self, request: Request) {
        let mirrored = self.rules.is_hybrid();
        let mut delivered = false;
        for node in NodeName::ALL {
            let side = self.side_mut(node);
            if side.alive && (side.guest.executing || mirrored) {
                side.inbox.push(request);
                delivered = true;
                self.wake(node);
            }
        }
        if !delivered && !self.clients.waiting.contains(&request) {
            self.clients.waiting.push(request);
        }
    }

    /// A VM executes again: what waited in the network goes to it.
    pub(crate) fn requests_flow_to(&mut self, node: NodeName) {
        for request in std::mem::take(&mut self.clients.waiting) {
            self.side_mut(node).inbox.push(request);
        }
        self.wake(node);
    }

    /// Released output reaches the clients.
    pub(crate) fn output_arrives(&mut self, units: usize) {
        for _ in 0..units {
            let Some(Given { offset, reply, early }) = self.world.pop_front() else { return };
            self.tape.reply(self.place(None), Kind::Client, offset, reply);
            let checker = &mut self.clients.checker;
            let duplicates = checker.summary().duplicates;
            let seen =
                if early { checker.accepted_early(offset, reply) } else { checker.accepted(offset, reply) };
            if let Err(violation) = seen {
                self.broken(Broken::ClientHistory, violation.to_string());
                return;
            }
            if self.clients.checker.summary().duplicates > duplicates {
                self.marks.hit(Mark::DuplicateOutputDropped);
            }
            if let Some(real_time) = &mut self.clients.real_time {
                real_time.answered(reply);
            }
            self.answered(reply.client, reply.sequence);
        }
    }

    fn answered(&mut self, number: u32, sequence: u64) {
        let client = &mut self.clients.all[number as usize];
        if client.open.is_some_and(|request| request.sequence == sequence) {
            client.open = None;
            self.think(number);
        }
    }
}

fn text(request: Request) -> String {
    format!("client {} request {}: {}", request.client, request.sequence, request.operation)
}
