//! The service's operations and replies, and the reference store that says what each reply must be.

use std::collections::BTreeMap;
use std::fmt;

/// What a client asks of the service. Keys and values are plain numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Writes a value; answered with the value before (0 if there was none).
    Put {
        /// Where.
        key: u64,
        /// What.
        value: u64,
    },
    /// Reads a value; answered with it (0 if there is none).
    Get {
        /// Where.
        key: u64,
    },
    /// Adds to a value, wrapping; answered with the sum.
    Add {
        /// Where.
        key: u64,
        /// How much.
        delta: u64,
    },
}

impl Operation {
    /// The key that it is about.
    pub const fn key(self) -> u64 {
        match self {
            Self::Put { key, .. } | Self::Get { key } | Self::Add { key, .. } => key,
        }
    }

    /// What it makes of the value that is there: the value to store (none for a read), and the answer.
    pub const fn apply(self, before: u64) -> (Option<u64>, u64) {
        match self {
            Self::Put { value, .. } => (Some(value), before),
            Self::Get { .. } => (None, before),
            Self::Add { delta, .. } => {
                let sum = before.wrapping_add(delta);
                (Some(sum), sum)
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value } => write!(f, "put {key} {value}"),
            Self::Get { key } => write!(f, "get {key}"),
            Self::Add { key, delta } => write!(f, "add {key} {delta}"),
        }
    }
}

/// A client's request. A retry is the same request: same client, same sequence, same operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// Who asks.
    pub client: u32,
    /// The client's how-manieth request, from 1.
    pub sequence: u64,
    /// What for.
    pub operation: Operation,
}

impl Request {
    /// Whether to execute it changes what the service has stored, and is a write to its disk.
    pub const fn writes(self) -> bool {
        !matches!(self.operation, Operation::Get { .. })
    }
}

/// The service's answer: one unit of its output. A retried request is answered by the identical reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reply {
    /// Who asked.
    pub client: u32,
    /// Which of the client's requests it answers.
    pub sequence: u64,
    /// The how-manieth operation that the service has applied this was, from 1.
    pub serial: u64,
    /// The answer itself.
    pub value: u64,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "client {}'s request {} is answered {} with serial {}",
            self.client, self.sequence, self.value, self.serial
        )
    }
}

/// The reference: what the service must hold after the operations applied so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Store {
    values: BTreeMap<u64, u64>,
}

impl Store {
    /// Applies one operation and returns the answer.
    pub fn apply(&mut self, operation: Operation) -> u64 {
        let (after, answer) = operation.apply(self.value(operation.key()));
        if let Some(after) = after {
            self.values.insert(operation.key(), after);
        }
        answer
    }

    /// The value of a key, 0 if it was never written.
    pub fn value(&self, key: u64) -> u64 {
        self.values.get(&key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_answers_the_old_value_get_the_value_and_add_the_new_one() {
        let mut store = Store::default();
        assert_eq!(store.apply(Operation::Put { key: 7, value: 5 }), 0);
        assert_eq!(store.apply(Operation::Put { key: 7, value: 6 }), 5);
        assert_eq!(store.apply(Operation::Get { key: 7 }), 6);
        assert_eq!(store.apply(Operation::Add { key: 7, delta: u64::MAX }), 5);
        assert_eq!(store.apply(Operation::Get { key: 8 }), 0);
    }
}
