//! Follows the world's view one observation at a time, and objects as soon as a client could.
//!
//! Memory grows with the number of requests and replies, unless it is told to [forget](Checker::forget_all_but) old ones;
//! time with their number times its logarithm.

use crate::history::Observation;
use crate::operation::{Operation, Reply, Request, Store};
use crate::violation::Violation;
use colo_protocol::{Arrival, OutputOffset, OutputReceiver};
use std::collections::{BTreeMap, VecDeque};

/// What a checked history held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Requests sent, retries not counted.
    pub requests: u64,
    /// Requests answered.
    pub answered: u64,
    /// Replies that came at a place of the output stream where they had come before.
    pub duplicates: u64,
    /// Replies that answered an answered request again, at another place: to retries.
    pub repeated: u64,
}

/// A request that has been sent.
#[derive(Clone, Debug)]
struct Asked {
    operation: Operation,
    /// The largest serial that any client had seen when it was sent.
    floor: u64,
    reply: Option<Reply>,
    /// The reply has come at its place in the output stream.
    placed: bool,
}

/// Replies that are numbered one after the other, of which the oldest may have been forgotten.
#[derive(Clone, Debug, Default)]
struct Replies {
    forgotten: u64,
    kept: VecDeque<Reply>,
}

impl Replies {
    /// How many there have been.
    fn len(&self) -> u64 {
        self.forgotten + self.kept.len() as u64
    }

    fn push(&mut self, reply: Reply) {
        self.kept.push_back(reply);
    }

    /// The one with this number, from 0, if it has not been forgotten.
    fn get(&self, number: u64) -> Option<Reply> {
        let index = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.kept.get(index).copied()
    }

    /// Forgets the oldest, if there are more than `keep`.
    fn forget_one(&mut self, keep: usize) -> Option<Reply> {
        let oldest = if self.kept.len() > keep { self.kept.pop_front() } else { None };
        self.forgotten += u64::from(oldest.is_some());
        oldest
    }
}

/// Checks a history while it happens.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    asked: BTreeMap<(u32, u64), Asked>,
    /// What has been seen at each place of the output stream.
    seen: Replies,
    /// The reply with serial n at n - 1.
    by_serial: Replies,
    /// What has been seen at places to which the output stream has not come.
    early: BTreeMap<u64, Reply>,
    receiver: OutputReceiver,
    store: Store,
    summary: Summary,
}

impl Checker {
    /// A checker that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the service must hold, by all the replies that the world has seen.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Whether replies have been seen to whose place the output stream has not come: what the service holds is ahead of
    /// the [store](Self::store) then.
    pub fn is_ahead(&self) -> bool {
        !self.early.is_empty()
    }

    /// What has been seen so far.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Takes one observation.
    pub fn observe(&mut self, observation: &Observation) -> Result<(), Violation> {
        match *observation {
            Observation::Issued(request) => self.issued(request),
            Observation::Accepted { offset, reply } => self.accepted(offset, reply),
            Observation::AcceptedEarly { offset, reply } => self.accepted_early(offset, reply),
        }
    }

    /// A client has sent a request, for the first time or again.
    pub fn issued(&mut self, request: Request) -> Result<(), Violation> {
        let Request { client, sequence, operation } = request;
        let floor = self.by_serial.len();
        let asked = self.asked.entry((client, sequence)).or_insert_with(|| {
            self.summary.requests += 1;
            Asked { operation, floor, reply: None, placed: false }
        });
        if asked.operation == operation {
            Ok(())
        } else {
            Err(Violation::SequenceReused { client, sequence })
        }
    }

    /// A reply has reached its client; `offset` is its place in the output stream.
    pub fn accepted(&mut self, offset: OutputOffset, reply: Reply) -> Result<(), Violation> {
        match self.receiver.accept(offset) {
            Arrival::Gap(expected) => Err(Violation::Gap { expected, got: offset }),
            Arrival::Duplicate => self.duplicate(offset, reply),
            Arrival::New => {
                self.seen.push(reply);
                match self.early.remove(&offset.0) {
                    Some(seen) if seen != reply => {
                        Err(Violation::OutputChanged { offset, seen, again: reply })
                    }
                    _ => self.new_reply(reply),
                }
            }
        }
    }

    /// A reply has reached its client past what stands before it in the output stream, to which it still belongs: of
    /// output that is not compared, a service may hold nothing back. That its value is right is seen when the stream
    /// has come to its place.
    pub fn accepted_early(&mut self, offset: OutputOffset, reply: Reply) -> Result<(), Violation> {
        if offset < self.receiver.next() {
            return self.duplicate(offset, reply);
        }
        let Some(asked) = self.asked.get_mut(&(reply.client, reply.sequence)) else {
            return Err(Violation::Unasked { reply });
        };
        match (asked.reply, self.early.insert(offset.0, reply)) {
            (Some(seen), _) if seen != reply => return Err(Violation::Contradicted { seen, again: reply }),
            (_, Some(seen)) if seen != reply => {
                return Err(Violation::OutputChanged { offset, seen, again: reply });
            }
            (Some(_), _) => self.summary.repeated += 1,
            (None, _) => self.summary.answered += 1,
        }
        asked.reply = Some(reply);
        Ok(())
    }

    /// Forgets what was seen before the latest `keep` replies, and the requests that they answered: then a run may go on
    /// for ever. Whoever calls it knows that no reply can come again behind so many others; one that does counts as
    /// unasked, and output that comes once more from before that is not compared.
    pub fn forget_all_but(&mut self, keep: usize) {
        while let Some(reply) = self.by_serial.forget_one(keep) {
            self.asked.remove(&(reply.client, reply.sequence));
        }
        while self.seen.forget_one(keep).is_some() {}
    }

    /// The run is over, faults have stopped long ago: whatever was asked has been answered.
    pub fn drained(&self) -> Result<Summary, Violation> {
        let open = self.asked.iter().find(|(_, asked)| asked.reply.is_none());
        match open {
            None => Ok(self.summary),
            Some((&(client, sequence), asked)) => {
                Err(Violation::Unanswered { client, sequence, operation: asked.operation })
            }
        }
    }

    fn duplicate(&mut self, offset: OutputOffset, again: Reply) -> Result<(), Violation> {
        self.summary.duplicates += 1;
        match self.seen.get(offset.0) {
            Some(seen) if seen != again => Err(Violation::OutputChanged { offset, seen, again }),
            _ => Ok(()),
        }
    }

    fn new_reply(&mut self, reply: Reply) -> Result<(), Violation> {
        let Some(asked) = self.asked.get_mut(&(reply.client, reply.sequence)) else {
            return Err(Violation::Unasked { reply });
        };
        if let Some(seen) = asked.reply.filter(|seen| asked.placed || *seen != reply) {
            self.summary.repeated += 1;
            return if seen == reply { Ok(()) } else { Err(Violation::Contradicted { seen, again: reply }) };
        }
        // The service applies one operation after the other and answers each at once, so new serials stand in the
        // output stream one after the other.
        let expected = self.by_serial.len() + 1;
        if reply.serial > expected {
            return Err(Violation::SerialSkipped { expected, reply });
        }
        if reply.serial < expected {
            return Err(serial_taken(&self.by_serial, asked.floor, reply));
        }
        let answered = asked.reply.replace(reply).is_some();
        asked.placed = true;
        self.by_serial.push(reply);
        self.summary.answered += u64::from(!answered);
        let (operation, value) = (asked.operation, self.store.apply(asked.operation));
        if value == reply.value {
            Ok(())
        } else {
            Err(Violation::WrongValue { operation, expected: value, reply })
        }
    }
}

/// Why a reply may not have a serial that another one has had.
fn serial_taken(by_serial: &Replies, floor: u64, reply: Reply) -> Violation {
    match reply.serial.checked_sub(1).and_then(|number| by_serial.get(number)) {
        Some(seen) if reply.serial <= floor => Violation::Lost { seen, reply },
        Some(seen) => Violation::SerialReused { seen, reply },
        // Serials are counted from 1; or whoever had it is forgotten.
        None => Violation::SerialSkipped { expected: by_serial.len() + 1, reply },
    }
}
