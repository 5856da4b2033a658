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

/// How long output may be missing in front of output that has come. The two nodes are heard by two threads, and on a busy
/// machine the one may be heard long after the other, though it spoke before.
const MISSING_FOR: Duration = Duration::from_secs(2);

/// The most clients: all that the guest keeps apart.
const MAX_CLIENTS: u32 = 256;

/// Keys that the clients share.
const KEYS: u64 = 16;

/// All clients of one run, and what they have seen.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    receiver: OutputReceiver,
    checker: Checker,
    /// Output that came before what is in front of it, and when.
    early: Vec<(Instant, u64, Vec<RawReply>)>,
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
            early: Vec::new(),
            draining: false,
            seen: 0,
        }
    }

    /// One client more, if all that there are wait, and there are not too many.
    pub(super) fn one_more(&mut self) {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        if count < MAX_CLIENTS && self.all.iter().all(|client| client.open.is_some()) {
            self.all.push(Client { number: count, open: None, sequence: 0 });
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

    /// Whether what is missing in front of output that has come will not come any more.
    pub(super) fn missing(&self, now: Instant) -> Result<(), RunViolation> {
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

    /// Whether every request has been answered, and nothing is missing.
    pub(super) fn all_answered(&self) -> bool {
        self.early.is_empty() && self.all.iter().all(|client| client.open.is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn units(count: u64) -> Vec<RawReply> {
        (0..count).map(|_| [0, 1, 0, STATUS_OK + 1, 0]).collect()
    }

    /// What is said of units is not the matter here: they are refused when they are taken, and not before.
    #[test]
    fn output_that_is_heard_too_early_waits_for_what_is_in_front_of_it() {
        let mut clients = Clients::new(1);
        assert_eq!(clients.output(3, &units(2)), Ok(0));
        assert!(!clients.all_answered());
        let now = Instant::now();
        assert_eq!(clients.missing(now), Ok(()));
        let missing = clients.missing(now + MISSING_FOR + RETRY_AFTER).map_err(|error| error.to_string());
        assert_eq!(missing, Err("lost: the output goes on at 3 where it had come to 0 only".to_owned()));
        assert!(matches!(clients.output(0, &units(3)), Err(RunViolation::Refused { .. })));
    }
}
