//! What becomes of a record: how long anybody waited, and whether a service that never fails could have answered so.

use super::record::{Client, Exchange, Increment, Records};
use colo_oracle::Asked;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// What a service that never fails does not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RedisViolation {
    /// Two increments came to the same.
    #[error("counter {counter}: two increments were answered {value}: one of them is lost")]
    Repeated {
        /// Which counter.
        counter: u64,
        /// What both were answered.
        value: u64,
    },
    /// Fewer increments than were acknowledged.
    #[error("counter {counter} is {value} in the end, and {acknowledged} increments were acknowledged")]
    Lost {
        /// Which counter.
        counter: u64,
        /// What it is.
        value: u64,
        /// How often an increment was acknowledged.
        acknowledged: u64,
    },
    /// More increments than there were.
    #[error(
        "counter {counter} is {value} in the end, and {acknowledged} increments were acknowledged, {open} more asked for"
    )]
    Doubled {
        /// Which counter.
        counter: u64,
        /// What it is.
        value: u64,
        /// How often an increment was acknowledged.
        acknowledged: u64,
        /// How often one was asked for and never answered.
        open: u64,
    },
    /// An increment that came to less than one that was over before it began.
    #[error(
        "counter {counter}: an increment was answered {value} that began when a later one had been answered"
    )]
    Backwards {
        /// Which counter.
        counter: u64,
        /// What it was answered.
        value: u64,
    },
    /// No order of what was asked of a key explains what was answered.
    #[error("key {key}: no order of what was asked explains what was answered")]
    NoOrder {
        /// Which key.
        key: u64,
    },
    /// An answer of the wrong kind.
    #[error("{asked} was answered {answer}")]
    Unexpected {
        /// What was asked.
        asked: String,
        /// What was answered.
        answer: String,
    },
    /// In the end the service did not say what the counters are.
    #[error("what the counters are in the end is not known: {error}")]
    Unknown {
        /// Why.
        error: String,
    },
    /// A connection that did not last.
    #[error("connection {connection} is broken: {error}")]
    Broken {
        /// Which one.
        connection: usize,
        /// Why.
        error: String,
    },
}

/// What clients saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisOutcome {
    /// Requests that were answered.
    pub answered: u64,
    /// Of those: increments of counters that all share.
    pub increments: u64,
    /// What the tester of histories was asked.
    pub asked: Asked,
    /// Connections that were reset.
    pub resets: usize,
    /// Everything that a service that never fails does not do.
    pub violations: Vec<RedisViolation>,
    exchanges: Vec<Vec<Exchange>>,
}

impl RedisOutcome {
    pub(super) fn judge(clients: Vec<Client>, records: &Records, finals: io::Result<Vec<u64>>) -> Self {
        let mut violations: Vec<RedisViolation> =
            clients.iter().filter_map(|client| client.violation.clone()).collect();
        violations.extend(broken(&clients));
        match finals {
            Ok(finals) => {
                let judged =
                    (0..).zip(finals).flat_map(|(counter, value)| judge_counter(counter, value, &clients));
                violations.extend(judged);
            }
            Err(error) => violations.push(RedisViolation::Unknown { error: error.to_string() }),
        }
        let asked = records.keys().history.check().unwrap_or_else(|key| {
            violations.push(RedisViolation::NoOrder { key });
            Asked::default()
        });
        let increments = clients.iter().map(|client| client.increments.len() as u64).sum();
        let exchanges: Vec<Vec<Exchange>> = clients.into_iter().map(|client| client.exchanges).collect();
        let answered = exchanges.iter().map(|exchanges| exchanges.len() as u64).sum();
        let resets = violations.iter().filter(|violation| is_reset(violation)).count();
        Self { answered, increments, asked, resets, violations, exchanges }
    }

    /// The longest that each connection waited for an answer.
    pub fn longest_waits(&self) -> Vec<Duration> {
        let longest = |exchanges: &Vec<Exchange>| exchanges.iter().map(Exchange::lasted).max();
        self.exchanges.iter().map(|exchanges| longest(exchanges).unwrap_or_default()).collect()
    }

    /// The longest that anybody waited for an answer who waited at some time between these: of a failover, the gap that
    /// clients saw.
    pub fn longest_wait_between(&self, from: Instant, to: Instant) -> Duration {
        let waited = |exchange: &&Exchange| exchange.asked <= to && exchange.answered >= from;
        let exchanges = self.exchanges.iter().flatten().filter(waited);
        exchanges.map(Exchange::lasted).max().unwrap_or_default()
    }

    /// When the last of who waited for an answer at this time had it.
    pub fn last_answer_of_who_waited(&self, at: Instant) -> Option<Instant> {
        let waited = |exchange: &&Exchange| exchange.asked <= at && exchange.answered >= at;
        self.exchanges.iter().flatten().filter(waited).map(|exchange| exchange.answered).max()
    }

    /// How long each answered request waited, in no order.
    pub fn waits(&self) -> impl Iterator<Item = Duration> {
        self.exchanges.iter().flatten().map(Exchange::lasted)
    }
}

impl Exchange {
    fn lasted(&self) -> Duration {
        self.answered.duration_since(self.asked)
    }
}

fn broken(clients: &[Client]) -> impl Iterator<Item = RedisViolation> {
    clients.iter().enumerate().filter_map(|(connection, client)| {
        let error = client.connection.as_ref().err()?;
        Some(RedisViolation::Broken { connection, error: format!("{:?}: {error}", error.kind()) })
    })
}

fn is_reset(violation: &RedisViolation) -> bool {
    let reset = format!("{:?}", ErrorKind::ConnectionReset);
    matches!(violation, RedisViolation::Broken { error, .. } if error.starts_with(&reset))
}

/// What is wrong with a counter that has this value in the end.
fn judge_counter(counter: u64, value: u64, clients: &[Client]) -> Vec<RedisViolation> {
    let increments = clients.iter().flat_map(|client| &client.increments);
    let mut increments: Vec<Increment> = increments.filter(|one| one.counter == counter).copied().collect();
    increments.sort_unstable_by_key(|increment| increment.value);
    let acknowledged = increments.len() as u64;
    let open = clients.iter().filter(|client| client.unanswered == Some(counter)).count() as u64;
    let same = increments.windows(2).filter(|pair| pair[0].value == pair[1].value);
    let mut violations: Vec<RedisViolation> =
        same.map(|pair| RedisViolation::Repeated { counter, value: pair[0].value }).collect();
    let greatest = increments.last().map_or(0, |increment| increment.value);
    if value < acknowledged.max(greatest) {
        violations.push(RedisViolation::Lost { counter, value, acknowledged });
    }
    if value > acknowledged + open {
        violations.push(RedisViolation::Doubled { counter, value, acknowledged, open });
    }
    violations.extend(backwards(counter, &increments));
    violations
}

/// Whether one of these, which are in the order of their values, began when one behind it was over.
fn backwards(counter: u64, increments: &[Increment]) -> Option<RedisViolation> {
    let mut first_answered: Option<Instant> = None;
    for Increment { value, when, .. } in increments.iter().rev() {
        if first_answered.is_some_and(|answered| answered < when.asked) {
            return Some(RedisViolation::Backwards { counter, value: *value });
        }
        first_answered = Some(first_answered.map_or(when.answered, |first| first.min(when.answered)));
    }
    None
}
