//! The clients of the protected service: each has one request open, asks again when no answer comes, and never sees
//! anything but what was released.

use super::violation::RunViolation;
use crate::abi::{OP_ADD, OP_GET, OP_PUT, STATUS_OK};
use crate::control::{RawReply, RawRequest};
use colo_oracle::{Checker, Operation, Reply, Request, Summary, Violation};
use colo_protocol::{Arrival, OutputOffset, OutputReceiver};
use std::time::{Duration, Instant};

/// After how long a client asks again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Keys that the clients share.
const KEYS: u64 = 16;

/// All clients of one run, and what they have seen.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    receiver: OutputReceiver,
    checker: Checker,
    /// No new requests: the run is to drain.
    draining: bool,
    /// Replies seen, each once.
    pub(super) seen: u64,
}

#[derive(Debug)]
struct Client {
    number: u32,
    /// The request that is open, and when it was last sent.
    open: Option<(Request, Instant)>,
    sequence: u64,
}

impl Clients {
    /// So many clients, who have asked nothing yet.
    pub(super) fn new(count: u32) -> Self {
        let clients = (0..count).map(|number| Client { number, open: None, sequence: 0 }).collect();
        Self {
            all: clients,
            receiver: OutputReceiver::default(),
            checker: Checker::new(),
            draining: false,
            seen: 0,
        }
    }

    /// The requests to be sent now: new ones, and those that wait for too long.
    pub(super) fn due(&mut self, now: Instant) -> Result<Vec<RawRequest>, RunViolation> {
        let mut due = Vec::new();
        for client in &mut self.all {
            if let Some(request) = client.next(now, self.draining) {
                self.checker.issued(request)?;
                due.push(raw_request(request));
            }
        }
        Ok(due)
    }

    /// Output has left the service; says how much of it is new. An error says what is wrong with it.
    pub(super) fn output(&mut self, first: u64, units: &[RawReply]) -> Result<u64, RunViolation> {
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
        [client, sequence, serial, status, value]: RawReply,
    ) -> Result<(), RunViolation> {
        if status != STATUS_OK {
            return Err(RunViolation::Refused { client, sequence, status });
        }
        let client = u32::try_from(client).map_err(|_| RunViolation::UnknownClient { client })?;
        self.checker.accepted(offset, Reply { client, sequence, serial, value })?;
        let asked = self.all.iter_mut().find(|asked| asked.number == client);
        if let Some(asked) = asked {
            asked.open = asked.open.filter(|(request, _)| request.sequence != sequence);
        }
        Ok(())
    }

    /// No new requests from here on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether every request has been answered.
    pub(super) fn all_answered(&self) -> bool {
        self.all.iter().all(|client| client.open.is_none())
    }

    /// Judges the whole history of a run that was drained.
    pub(super) fn judge(&self) -> Result<Summary, RunViolation> {
        Ok(self.checker.drained()?)
    }
}

impl Client {
    fn next(&mut self, now: Instant, draining: bool) -> Option<Request> {
        match &mut self.open {
            Some((request, sent)) if now.duration_since(*sent) >= RETRY_AFTER => {
                *sent = now;
                Some(*request)
            }
            Some(_) => None,
            None if draining => None,
            None => {
                self.sequence += 1;
                let request =
                    Request { client: self.number, sequence: self.sequence, operation: self.operation() };
                self.open = Some((request, now));
                Some(request)
            }
        }
    }

    /// A mixture of operations on keys that all clients share.
    fn operation(&self) -> Operation {
        let key = (self.sequence * 7 + u64::from(self.number)) % KEYS;
        match self.sequence % 3 {
            0 => Operation::Get { key },
            1 => Operation::Add { key, delta: self.sequence },
            _ => Operation::Put { key, value: (u64::from(self.number) << 32) | self.sequence },
        }
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
