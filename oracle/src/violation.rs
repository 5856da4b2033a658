//! What a client can object to, each in a sentence. Says nothing of why it came to be.

use crate::operation::{Operation, Reply};
use colo_protocol::OutputOffset;
use thiserror::Error;

/// What the world saw and may not have seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Violation {
    /// The output stream jumps.
    #[error("lost: the output goes on at {got} where it had come to {expected} only")]
    Gap {
        /// Where the next unit should stand.
        expected: OutputOffset,
        /// Where it stands.
        got: OutputOffset,
    },
    /// At one place of the output stream stand two different replies.
    #[error("contradicted: at output {offset}, {again}; but the world had seen there: {seen}")]
    OutputChanged {
        /// The place.
        offset: OutputOffset,
        /// What stood there.
        seen: Reply,
        /// What stands there now.
        again: Reply,
    },
    /// A reply that nobody asked for.
    #[error("unasked: {reply}, but that request was never sent")]
    Unasked {
        /// The reply.
        reply: Reply,
    },
    /// One request, two answers.
    #[error("contradicted: {again}; but it had been answered {} with serial {}", .seen.value, .seen.serial)]
    Contradicted {
        /// The answer before.
        seen: Reply,
        /// The answer now.
        again: Reply,
    },
    /// An operation that was acknowledged before this one began has vanished: its serial is given away again.
    #[error(
        "lost: {reply}, but before that request was sent, client {}'s request {} had been answered with serial {}",
        .seen.client, .seen.sequence, .seen.serial
    )]
    Lost {
        /// The acknowledged operation.
        seen: Reply,
        /// The reply that takes its place.
        reply: Reply,
    },
    /// Two operations at the same time have the same place in the order.
    #[error("serial reused: {reply}, but so was client {}'s request {}", .seen.client, .seen.sequence)]
    SerialReused {
        /// The operation that had the serial.
        seen: Reply,
        /// The reply that has it again.
        reply: Reply,
    },
    /// An operation was applied whose reply the world has not seen, though later ones have come.
    #[error("lost: {reply}, but the reply with serial {expected} has never come")]
    SerialSkipped {
        /// The serial that should have come.
        expected: u64,
        /// What came.
        reply: Reply,
    },
    /// The answer is not what the operations before make it.
    #[error("wrong value: {reply}, but after the operations before it, {operation} gives {expected}")]
    WrongValue {
        /// The operation.
        operation: Operation,
        /// What it should have been answered.
        expected: u64,
        /// The reply.
        reply: Reply,
    },
    /// Nothing has failed since, time has passed, and there is no answer.
    #[error("unanswered: client {client}'s request {sequence} ({operation})")]
    Unanswered {
        /// Who waits.
        client: u32,
        /// For the answer to which request.
        sequence: u64,
        /// What it was.
        operation: Operation,
    },
    /// A client used a sequence number for two requests: the observer's mistake, not the service's.
    #[error("misused: client {client} has sent two different requests {sequence}")]
    SequenceReused {
        /// The client.
        client: u32,
        /// The sequence number.
        sequence: u64,
    },
}

impl Violation {
    /// Whether something is missing that should be there; else something is there that should not be.
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Gap { .. } | Self::Lost { .. } | Self::SerialSkipped { .. } | Self::Unanswered { .. }
        )
    }
}
