//! What was asked and answered, as it happens: by each client what is its own, and by all what needs one order.

use super::connection::{RedisConnection, Value};
use super::outcome::RedisViolation;
use super::tickets::{Ticket, Tickets, Wish};
use colo_oracle::{Operation, RealTime, Reply, Request};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A request, from when it was sent to when it was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exchange {
    pub(super) asked: Instant,
    pub(super) answered: Instant,
}

/// An increment of a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Increment {
    pub(super) counter: u64,
    pub(super) value: u64,
    pub(super) when: Exchange,
}

/// What all clients write to.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<Keys>);

/// What happened to keys that are no counters.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) history: RealTime,
    /// How often those have been answered of which not all is answered.
    answered: BTreeMap<u64, u64>,
}

impl Records {
    /// One thread that has panicked has left a record as good as any.
    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// A request of a key is answered. Whether it was the last one, of so many.
    fn is_last(&mut self, key: u64, of: u64) -> bool {
        let answered = self.answered.entry(key).or_default();
        *answered += 1;
        let is_last = *answered == of;
        if is_last {
            self.answered.remove(&key);
        }
        is_last
    }
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    number: u32,
    /// Or why it is broken.
    pub(super) connection: io::Result<RedisConnection>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) increments: Vec<Increment>,
    /// The counter whose increment was never answered.
    pub(super) unanswered: Option<u64>,
    pub(super) violation: Option<RedisViolation>,
}

impl Client {
    pub(super) const fn new(number: u32, connection: RedisConnection) -> Self {
        Self {
            number,
            connection: Ok(connection),
            exchanges: Vec::new(),
            increments: Vec::new(),
            unanswered: None,
            violation: None,
        }
    }

    /// Asks for one thing. Whether it can go on.
    pub(super) fn exchange(&mut self, tickets: &Tickets, records: &Records) -> bool {
        match tickets.next() {
            Ticket::Count { counter } => self.count(counter, &tickets.counter_name(counter)),
            Ticket::Key { key, wish } => self.wish((key, wish), tickets, records),
        }
    }

    fn count(&mut self, counter: u64, name: &str) -> bool {
        self.unanswered = Some(counter);
        let Some((answer, when)) = self.ask(&["INCR", name]) else { return false };
        self.unanswered = None;
        let Value::Integer(value) = answer else { return self.unexpected("INCR", &answer) };
        let Ok(value) = u64::try_from(value) else { return self.unexpected("INCR", &answer) };
        self.increments.push(Increment { counter, value, when });
        true
    }

    fn wish(&mut self, (key, wish): (u64, Wish), tickets: &Tickets, records: &Records) -> bool {
        let name = &tickets.key_name(key);
        let (client, sequence) = (self.number, self.exchanges.len() as u64 + 1);
        let asked = |operation| records.keys().history.asked(Request { client, sequence, operation });
        let written;
        let words: &[&str] = match wish {
            Wish::Get => {
                asked(Operation::Get { key });
                &["GET", name]
            }
            Wish::Increment => {
                asked(Operation::Add { key, delta: 1 });
                &["INCR", name]
            }
            Wish::Set(value) => {
                records.keys().history.asked_to_write(client, sequence, key, value);
                written = value.to_string();
                &["SET", name, &written]
            }
        };
        let Some((answer, _)) = self.ask(words) else { return false };
        let mut keys = records.keys();
        match (wish, &answer) {
            (Wish::Set(_), Value::Word(word)) if word == "OK" => keys.history.written(client, sequence),
            (Wish::Get | Wish::Increment, Value::Bulk(_) | Value::Integer(_)) => {
                let Some(value) = answer.number() else { return self.unexpected(words[0], &answer) };
                keys.history.answered(Reply { client, sequence, serial: 0, value });
            }
            _ => return self.unexpected(words[0], &answer),
        }
        let is_last = keys.is_last(key, tickets.asked_per_key());
        drop(keys);
        // Nobody asks for it again: it is not to be kept.
        !is_last || self.ask(&["DEL", name]).is_some()
    }

    fn ask(&mut self, words: &[&str]) -> Option<(Value, Exchange)> {
        let asked = Instant::now();
        match self.connection.as_mut().ok()?.ask(words) {
            Ok(answer) => {
                let exchange = Exchange { asked, answered: Instant::now() };
                self.exchanges.push(exchange);
                Some((answer, exchange))
            }
            Err(error) => {
                self.connection = Err(error);
                None
            }
        }
    }

    /// Something was answered that no service answers: nothing more is asked.
    fn unexpected(&mut self, asked: &str, answer: &Value) -> bool {
        let (asked, answer) = (asked.to_owned(), format!("{answer:?}"));
        self.violation = Some(RedisViolation::Unexpected { asked, answer });
        false
    }
}
