//! A second opinion on a history, from a tester that knows nothing of serials: is there any order of the operations that
//! fits what each client was answered and when?
//!
//! The tester is Stateright's, which tries orders one by one. So it is asked key by key, which loses nothing: a history is
//! linearizable if it is for each key. And of each key it is asked for the beginning only, which loses what comes behind:
//! of a linearizable history every beginning is.

use crate::operation::{Operation, Reply, Request};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeMap;

/// The most operations of a key that the tester is asked about.
const MOST: usize = 24;

/// One value of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Cell(u64);

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Operation(Operation),
    /// Writes a value, and the answer says no more than that it was written.
    Write(u64),
}

impl SequentialSpec for Cell {
    type Op = Wish;
    type Ret = u64;

    fn invoke(&mut self, wish: &Wish) -> u64 {
        let (after, answer) = match wish {
            Wish::Operation(operation) => operation.apply(self.0),
            Wish::Write(value) => (Some(*value), WRITTEN),
        };
        self.0 = after.unwrap_or(self.0);
        answer
    }
}

/// The value of the answer to a write that is told nothing of what was there.
const WRITTEN: u64 = 0;

/// Something that a client did or saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Asked(Wish),
    Answered(u64),
}

/// What each client asked and was answered, in the order of real time. Retries and repeated answers are not in it.
#[derive(Clone, Debug, Default)]
pub struct RealTime {
    keys: BTreeMap<u64, Vec<(u32, Event)>>,
    /// What keys held before, where it was not 0.
    before: BTreeMap<u64, u64>,
    /// Each client's open request, by its number.
    open: BTreeMap<u32, (u64, u64)>,
}

/// What the tester was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// Keys.
    pub keys: usize,
    /// Operations in all.
    pub operations: usize,
    /// Operations that it was not asked about, because too many came before.
    pub left_out: usize,
}

impl RealTime {
    /// A key held this before anybody asked for it here: of a history that goes on where another has ended.
    pub fn held(&mut self, key: u64, value: u64) {
        self.before.insert(key, value);
    }

    /// Requests that have not been answered.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// A client has sent a request for the first time; it has no other one open.
    pub fn asked(&mut self, request: Request) {
        let Request { client, sequence, operation } = request;
        self.asks(client, sequence, operation.key(), Wish::Operation(operation));
    }

    /// A client, which has nothing else open, has asked to write a value, and will be told no more than that it was
    /// written: by [`Self::written`].
    pub fn asked_to_write(&mut self, client: u32, sequence: u64, key: u64, value: u64) {
        self.asks(client, sequence, key, Wish::Write(value));
    }

    fn asks(&mut self, client: u32, sequence: u64, key: u64, wish: Wish) {
        self.open.insert(client, (sequence, key));
        self.keys.entry(key).or_default().push((client, Event::Asked(wish)));
    }

    /// A client has been told that what it asked to write was written.
    pub fn written(&mut self, client: u32, sequence: u64) {
        self.answered(Reply { client, sequence, serial: 0, value: WRITTEN });
    }

    /// A reply has reached its client, and it is the first one to that request.
    pub fn answered(&mut self, reply: Reply) {
        let open = self.open.get(&reply.client).filter(|(sequence, _)| *sequence == reply.sequence);
        if let Some((_, key)) = open.copied() {
            self.open.remove(&reply.client);
            self.keys.entry(key).or_default().push((reply.client, Event::Answered(reply.value)));
        }
    }

    /// Asks the tester. An error is a key whose answers no order explains.
    pub fn check(&self) -> Result<Asked, u64> {
        let mut asked = Asked::default();
        for (key, events) in &self.keys {
            let all = events.iter().filter(|(_, event)| matches!(event, Event::Asked(_))).count();
            asked.keys += 1;
            asked.operations += all.min(MOST);
            asked.left_out += all.saturating_sub(MOST);
            let before = self.before.get(key).copied().unwrap_or_default();
            if !is_linearizable(Cell(before), events) {
                return Err(*key);
            }
        }
        Ok(asked)
    }
}

fn is_linearizable(before: Cell, events: &[(u32, Event)]) -> bool {
    let mut tester = LinearizabilityTester::new(before);
    let mut asked = 0;
    for (client, event) in events {
        let taken = match *event {
            Event::Asked(_) if asked == MOST => break,
            Event::Asked(wish) => {
                asked += 1;
                tester.on_invoke(*client, wish).is_ok()
            }
            Event::Answered(value) => tester.on_return(*client, value).is_ok(),
        };
        assert!(taken, "a client has one request open at a time");
    }
    tester.is_consistent()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(client: u32, value: u64) -> Request {
        Request { client, sequence: 1, operation: Operation::Put { key: 7, value } }
    }

    fn get(client: u32, sequence: u64) -> Request {
        Request { client, sequence, operation: Operation::Get { key: 7 } }
    }

    fn reply(request: Request, value: u64) -> Reply {
        Reply { client: request.client, sequence: request.sequence, serial: 0, value }
    }

    #[test]
    fn what_overlaps_may_have_any_order_and_what_does_not_has_one() {
        let mut history = RealTime::default();
        history.asked(put(0, 5));
        history.asked(get(1, 1));
        history.answered(reply(get(1, 1), 5));
        let mut stale = history.clone();
        history.asked(get(1, 2));
        history.answered(reply(get(1, 2), 5));
        assert_eq!(history.check(), Ok(Asked { keys: 1, operations: 3, left_out: 0 }));
        // The value has been seen, and then it has not.
        stale.asked(get(1, 2));
        stale.answered(reply(get(1, 2), 0));
        assert_eq!(stale.check(), Err(7));
    }

    #[test]
    fn a_history_that_goes_on_begins_with_what_was_there() {
        let mut history = RealTime::default();
        history.asked(get(1, 1));
        assert_eq!(history.open(), 1);
        history.answered(reply(get(1, 1), 5));
        assert_eq!((history.open(), history.check()), (0, Err(7)));
        history.held(7, 5);
        assert!(history.check().is_ok());
    }

    #[test]
    fn of_a_write_that_answers_nothing_is_known_what_it_wrote() {
        let mut history = RealTime::default();
        history.asked_to_write(0, 1, 7, 5);
        history.written(0, 1);
        let mut forgotten = history.clone();
        history.asked(get(1, 1));
        history.answered(reply(get(1, 1), 5));
        assert_eq!(history.check(), Ok(Asked { keys: 1, operations: 2, left_out: 0 }));
        forgotten.asked(get(1, 1));
        forgotten.answered(reply(get(1, 1), 0));
        assert_eq!(forgotten.check(), Err(7));
    }

    #[test]
    fn of_a_long_history_the_beginning_is_looked_at() {
        let mut history = RealTime::default();
        for sequence in 1..100 {
            history.asked(get(1, sequence));
            // From the hundredth on it would be wrong, and nobody looks.
            history.answered(reply(get(1, sequence), u64::from(sequence > 50)));
        }
        assert_eq!(history.check(), Ok(Asked { keys: 1, operations: MOST, left_out: 99 - MOST }));
    }
}
