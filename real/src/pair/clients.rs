//! The clients of the protected service: each has at most one request open, asks again when no answer comes, and never
//! sees anything but what was released.

use super::demand::{Demand, Load};
use super::guest_clock::GuestClock;
use super::measured::Measured;
use super::violation::RunViolation;
use super::windows::Windows;
use crate::abi::{CLIENTS, OP_ADD, OP_GET, OP_PUT, STATUS_OK, STATUS_WRONG_BLOCK};
use crate::control::{RawReply, RawRequest};
use crate::disk::Acknowledged;
use colo_oracle::{Checker, Operation, Reply, Request, Violation};
use colo_protocol::{Arrival, OutputOffset, OutputReceiver};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long output may be missing in front of output that has come. The two nodes are heard by two threads, and on a busy
/// machine the one may be heard long after the other, though it spoke before.
const MISSING_FOR: Duration = Duration::from_secs(2);

/// After how long a client asks again that has one request after the other, whatever becomes of its output.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Replies that the checker keeps. Behind so many none comes again: a service holds a few thousand requests at most.
const KEPT_REPLIES: usize = 1 << 16;

/// All clients of one run, and what they have seen.
#[derive(Debug)]
pub(crate) struct Clients {
    demand: Demand,
    /// After how long a client asks again.
    retry_after: Duration,
    /// Those without a request, the first one first: the service keeps a record of each, and so writes to few pages.
    idle: BTreeSet<u32>,
    /// Requests that each has made.
    sequences: Vec<u64>,
    open: BTreeMap<u32, Open>,
    /// When requests are to be made again, unless they are answered by then, the earliest first.
    retries: VecDeque<(Instant, u32, u64)>,
    receiver: OutputReceiver,
    checker: Checker,
    /// What the disk has to have in the end.
    pub(super) acknowledged: Acknowledged,
    clock: GuestClock,
    windows: Windows,
    /// Output that came before what is in front of it, and when.
    early: Vec<(Instant, u64, Vec<RawReply>)>,
    /// No new requests: the run is to drain.
    draining: bool,
    /// Replies seen, each once.
    pub(crate) seen: u64,
    /// Requests that have been answered: what a service says over and over is seen, and is no answer.
    pub(crate) answered: u64,
    pub(crate) measured: Measured,
}

/// A request that has been made.
#[derive(Debug)]
struct Open {
    request: Request,
    /// When it was to be made, whoever was there to make it.
    since: Instant,
    /// The window of the history that it belongs to.
    window: u64,
    /// A node was promoted meanwhile.
    at_failover: bool,
}

/// Replies that have to be seen after a failover, to know that the survivor really serves.
const REPLIES_AFTER_FAILOVER: u64 = 20;

impl Clients {
    /// Nobody yet.
    pub(crate) fn nobody() -> Self {
        Self::new(0, Demand::Closed, Duration::ZERO)
    }

    /// Clients that are not here, and ask over the network.
    pub(super) fn outside() -> Self {
        Self::new(0, Demand::Outside, Duration::ZERO)
    }

    /// Whether they are not here.
    pub(super) const fn are_outside(&self) -> bool {
        matches!(self.demand, Demand::Outside)
    }

    /// Whether there is nobody.
    pub(crate) fn are_nobody(&self) -> bool {
        self.sequences.is_empty() && !self.are_outside()
    }

    /// Whether the service has shown that it serves, since so many replies had been seen. Of clients that are not here nobody knows
    /// when they will ask.
    pub(super) const fn are_served_since(&self, replies: u64) -> bool {
        self.are_outside() || self.seen >= replies + REPLIES_AFTER_FAILOVER
    }

    /// So many clients, who have asked nothing yet; they begin now.
    pub(crate) fn new(count: u32, demand: Demand, retry_after: Duration) -> Self {
        Self {
            demand,
            retry_after,
            idle: (0..count).collect(),
            sequences: (0..count).map(|_| 0).collect(),
            open: BTreeMap::new(),
            retries: VecDeque::new(),
            receiver: OutputReceiver::default(),
            checker: Checker::new(),
            acknowledged: Acknowledged::default(),
            clock: GuestClock::default(),
            windows: Windows::new(),
            early: Vec::new(),
            draining: false,
            seen: 0,
            answered: 0,
            measured: Measured::new(Instant::now()),
        }
    }

    /// So many clients with a request open each; or, if there is a load, as many as it takes, of a service that has a
    /// checkpoint so often.
    pub(crate) fn of_load(count: u32, load: Option<Load>, interval: Duration) -> Self {
        let demand = Demand::new(load, Instant::now());
        if load.is_none() {
            return Self::new(count, demand, RETRY_AFTER);
        }
        let most = u32::try_from(CLIENTS).unwrap_or(u32::MAX);
        // What only waits for a checkpoint is not to be asked twice.
        Self::new(most, demand, RETRY_AFTER + 10 * interval)
    }

    /// The same clients, of a guest that keeps a journal on a disk of so many blocks.
    pub(crate) fn with_disk(self, blocks: u64) -> Self {
        Self { acknowledged: Acknowledged::new(blocks), ..self }
    }

    /// One client more, if all that there are wait, and the guest keeps so many apart.
    pub(crate) fn one_more(&mut self) {
        let count = self.sequences.len();
        if let (Ok(number), true) = (u32::try_from(count), count < CLIENTS && self.idle.is_empty()) {
            self.idle.insert(number);
            self.sequences.push(0);
        }
    }

    /// The requests to be sent now: new ones, and those that wait for too long.
    pub(crate) fn due(&mut self, now: Instant) -> Result<Vec<RawRequest>, RunViolation> {
        let mut due = Vec::new();
        while let Some((_, client, sequence)) = self.retries.pop_front_if(|(at, ..)| *at <= now) {
            let open = self.open.get(&client).filter(|open| open.request.sequence == sequence);
            if let Some(request) = open.map(|open| open.request) {
                due.push(self.send(request, now)?);
            }
        }
        while let Some((client, since)) = self.next(now) {
            let request = self.make(client, since);
            due.push(self.send(request, now)?);
        }
        Ok(due)
    }

    /// When the next request is to be made, if there is somebody to make it.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.demand.due().filter(|_| !self.idle.is_empty())
    }

    /// Who makes the next request now, and since when it was to be made.
    fn next(&mut self, now: Instant) -> Option<(u32, Instant)> {
        let client = *self.idle.first()?;
        if self.draining && matches!(self.demand, Demand::Closed) {
            return None;
        }
        let since = self.demand.next(now)?;
        self.idle.remove(&client);
        Some((client, since))
    }

    fn make(&mut self, client: u32, since: Instant) -> Request {
        let (window, first_key) = self.windows.next(self.checker.store());
        let made = self.sequences.get_mut(client as usize);
        let sequence = made.map_or(1, |made| {
            *made += 1;
            *made
        });
        let operation = self.demand.operation(client, sequence, first_key);
        let request = Request { client, sequence, operation };
        self.windows.asked(request);
        self.open.insert(client, Open { request, since, window, at_failover: false });
        request
    }

    fn send(&mut self, request: Request, now: Instant) -> Result<RawRequest, RunViolation> {
        self.checker.issued(request)?;
        self.retries.push_back((now + self.retry_after, request.client, request.sequence));
        Ok(raw_request(request))
    }

    /// The service is somewhere else from now on. Who waits is told by the network, which has moved, and asks again. (TCP
    /// would find out by itself, after a while that has nothing to do with the pair.)
    pub(crate) fn moved(&mut self) {
        self.retries.clear();
        let now = Instant::now();
        for (client, open) in &mut self.open {
            open.at_failover = true;
            self.retries.push_back((now, *client, open.request.sequence));
        }
    }

    /// Output has left the service; says how much of it is new. An error says what is wrong with it.
    pub(crate) fn output(&mut self, first: u64, units: &[RawReply]) -> Result<u64, RunViolation> {
        if first > self.receiver.next().0 {
            self.early.push((Instant::now(), first, units.to_vec()));
            return Ok(0);
        }
        let mut new = self.take(first, units)?;
        while let Some(next) = self.early.iter().position(|(_, first, _)| *first <= self.receiver.next().0) {
            let (_, first, units) = self.early.swap_remove(next);
            new += self.take(first, &units)?;
        }
        Ok(new)
    }

    /// A unit of output has left the service past what is withheld before it, to which it still belongs.
    pub(crate) fn early_output(&mut self, place: u64, unit: RawReply) -> Result<(), RunViolation> {
        let [client, sequence, serial, _, value, _] = unit;
        let client = u32::try_from(client).map_err(|_| RunViolation::UnknownClient { client })?;
        let reply = Reply { client, sequence, serial, value };
        self.checker.accepted_early(OutputOffset(place), reply)?;
        self.answered(reply)
    }

    /// Whether what is missing in front of output that has come will not come any more.
    pub(crate) fn missing(&self, now: Instant) -> Result<(), RunViolation> {
        let late = self.early.iter().filter(|(came, ..)| now.duration_since(*came) > MISSING_FOR);
        late.map(|(_, first, _)| OutputOffset(*first))
            .min()
            .map_or(Ok(()), |got| Err(Violation::Gap { expected: self.receiver.next(), got }.into()))
    }

    fn take(&mut self, first: u64, units: &[RawReply]) -> Result<u64, RunViolation> {
        let mut new = 0;
        for (place, unit) in (first..).zip(units) {
            let offset = OutputOffset(place);
            match self.receiver.accept(offset) {
                Arrival::New => new += 1,
                Arrival::Duplicate => {}
                Arrival::Gap(expected) => return Err(Violation::Gap { expected, got: offset }.into()),
            }
            self.reply(offset, *unit)?;
        }
        self.seen += new;
        Ok(new)
    }

    fn reply(
        &mut self,
        offset: OutputOffset,
        [client, sequence, serial, status, value, time]: RawReply,
    ) -> Result<(), RunViolation> {
        if status == STATUS_WRONG_BLOCK {
            return Err(RunViolation::WrongBlock { client, sequence, block: value });
        }
        if status != STATUS_OK {
            return Err(RunViolation::Refused { client, sequence, status });
        }
        self.acknowledged.note(serial, [client, sequence, value]);
        let client = u32::try_from(client).map_err(|_| RunViolation::UnknownClient { client })?;
        let reply = Reply { client, sequence, serial, value };
        self.checker.accepted(offset, reply)?;
        self.checker.forget_all_but(KEPT_REPLIES);
        self.clock.told(serial, time)?;
        self.answered(reply)
    }

    /// A client has its answer, if it waits for this one.
    fn answered(&mut self, reply: Reply) -> Result<(), RunViolation> {
        let Reply { client, sequence, .. } = reply;
        let Some(open) = self.open.remove(&client) else { return Ok(()) };
        if open.request.sequence != sequence {
            self.open.insert(client, open);
            return Ok(());
        }
        self.idle.insert(client);
        self.answered += 1;
        self.measured.answered(open.since, Instant::now(), open.at_failover);
        self.windows.answered(open.window, reply)
    }

    /// Whether nobody asks anything new.
    pub(crate) const fn are_draining(&self) -> bool {
        self.draining
    }

    /// No new requests from here on.
    pub(crate) fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        let now = Instant::now();
        self.demand.end(now);
        self.measured.lasted = now.duration_since(self.measured.begun());
    }

    /// Whether every request has been made and answered, and nothing is missing.
    pub(crate) fn all_answered(&self) -> bool {
        self.early.is_empty() && self.open.is_empty() && self.demand.due().is_none()
    }

    /// Judges the whole history of a run that was drained.
    pub(crate) fn judge(&mut self) -> Result<(), RunViolation> {
        self.checker.drained()?;
        self.windows.judge()
    }

    /// Judges the history of a run at whose end the service was gone.
    pub(super) fn judge_what_was_answered(&mut self) -> Result<(), RunViolation> {
        self.windows.judge()
    }

    /// What was measured, however the run has ended.
    pub(crate) fn into_measured(mut self) -> Measured {
        self.drain();
        self.measured.opinion = self.windows.opinion();
        self.measured
    }
}

fn raw_request(request: Request) -> RawRequest {
    let (operation, value) = match request.operation {
        Operation::Put { value, .. } => (OP_PUT, value),
        Operation::Get { .. } => (OP_GET, 0),
        Operation::Add { delta, .. } => (OP_ADD, delta),
    };
    [request.client.into(), request.sequence, operation, request.operation.key(), value]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn units(count: u64) -> Vec<RawReply> {
        (0..count).map(|_| [0, 1, 0, STATUS_OK + 1, 0, 0]).collect()
    }

    /// What is said of units is not the matter here: they are refused when they are taken, and not before.
    #[test]
    fn output_that_is_heard_too_early_waits_for_what_is_in_front_of_it() {
        let mut clients = Clients::new(1, Demand::Closed, RETRY_AFTER);
        assert_eq!(clients.output(3, &units(2)), Ok(0));
        assert!(!clients.all_answered());
        let now = Instant::now();
        assert_eq!(clients.missing(now), Ok(()));
        let missing = clients.missing(now + MISSING_FOR + RETRY_AFTER).map_err(|error| error.to_string());
        assert_eq!(missing, Err("lost: the output goes on at 3 where it had come to 0 only".to_owned()));
        assert!(matches!(clients.output(0, &units(3)), Err(RunViolation::Refused { .. })));
    }

    /// The answers of a service to the first requests of its clients: each adds 1 to a key of its own.
    fn answers(asked: &[RawRequest], answered: u64) -> Vec<RawReply> {
        let answer = |(serial, [client, sequence, ..]): (u64, &RawRequest)| {
            [*client, *sequence, serial, STATUS_OK, 1, 0]
        };
        (answered + 1..).zip(asked).map(answer).collect()
    }

    #[test]
    fn a_request_waits_from_when_it_was_to_be_made_though_nobody_was_there_to_make_it() {
        let begun = Instant::now();
        let demand = Demand::new(Some(Load { per_second: 1_000, seed: 1 }), begun);
        let mut clients = Clients::new(1, demand, RETRY_AFTER);
        // One client only, and no answer for a second: the others of that second wait for it.
        let late = begun + Duration::from_secs(1);
        assert_eq!(clients.due(begun).unwrap().len(), 1);
        assert_eq!(clients.due(late).unwrap().len(), 1, "the same one again");
        assert!(clients.next_due().is_none());
        clients.demand.end(late);
        assert!(!clients.all_answered());
        clients.idle.extend(1..2_000);
        clients.sequences.resize(2_000, 0);
        let waited = clients.due(late).unwrap().len();
        assert!(waited > 900, "{waited}");
        let since = clients.open.values().map(|open| open.since);
        assert!(since.max().unwrap() <= late && clients.demand.due().is_none());
    }

    #[test]
    fn who_waits_when_the_service_moves_asks_again_at_once() {
        let mut clients = Clients::new(2, Demand::Closed, RETRY_AFTER);
        let now = Instant::now();
        let asked = clients.due(now).unwrap();
        clients.output(0, &answers(&asked[..1], 0)).unwrap();
        clients.moved();
        clients.drain();
        assert_eq!(clients.due(Instant::now()).unwrap(), asked[1..]);
        clients.output(1, &answers(&asked[1..], 1)).unwrap();
        assert!(clients.all_answered());
        assert_eq!(clients.judge(), Ok(()));
        assert_eq!((clients.measured.latency.count(), clients.measured.at_failover.count()), (2, 1));
    }
}
