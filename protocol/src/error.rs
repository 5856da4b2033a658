//! What can be wrong with an input.

use crate::input::InputKind;
use crate::message::MessageKind;
use crate::output::OutputOffset;
use thiserror::Error;

/// What was wrong with an input. The commands that are refused change nothing; after the others the node is in its
/// error state, out of COLO, and waits for x-colo-lost-heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum ProtocolError {
    /// The peer said something that this state does not allow (QEMU: "Unexpected COLO message %d, expected %d").
    #[error("unexpected COLO message {got}, expected {}", Expected(*.expected))]
    UnexpectedMessage {
        /// What came.
        got: MessageKind,
        /// What this state waits for, if it waits for a message.
        expected: Option<MessageKind>,
    },
    /// The environment told something that cannot have happened in this state.
    #[error("unexpected input {input} in state {state}")]
    UnexpectedInput {
        /// What came.
        input: InputKind,
        /// The name of the state.
        state: &'static str,
    },
    /// The peer's bytes are not what they should be; the decoder has said where and why.
    #[error("the stream from the peer cannot be read (state {state})")]
    BadStream {
        /// The name of the state.
        state: &'static str,
    },
    /// The output stream did not go on where it was.
    #[error("guest output ends at {end}, but {produced} had been produced")]
    OutputWentBack {
        /// The end that came.
        end: OutputOffset,
        /// The end before.
        produced: OutputOffset,
    },
    /// x-colo-lost-heartbeat refused: a failover is under way or done.
    #[error("COLO failover is already activated")]
    FailoverAlreadyActivated,
    /// protect refused: only a survivor that has nothing left to do can be the primary of a new pair.
    #[error("the VM does not serve alone, or not yet (state {state})")]
    NotAlone {
        /// The name of the state.
        state: &'static str,
    },
    /// x-colo-lost-heartbeat refused: the node is not (yet) protected, or cannot serve any more.
    #[error("the VM is not in COLO mode (state {state})")]
    NotInColoMode {
        /// The name of the state.
        state: &'static str,
    },
}

impl ProtocolError {
    /// Whether it only refuses a command: nothing has changed.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::FailoverAlreadyActivated | Self::NotInColoMode { .. } | Self::NotAlone { .. })
    }
}

struct Expected(Option<MessageKind>);

impl core::fmt::Display for Expected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(kind) => kind.fmt(f),
            None => f.write_str("none"),
        }
    }
}
