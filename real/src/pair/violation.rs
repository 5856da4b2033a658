//! What a run is judged for: what clients saw that they may not see, or that nobody answered them any more.

use colo_oracle::Violation;
use colo_protocol::NodeName;
use thiserror::Error;

/// What went wrong before the eyes of the clients.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RunViolation {
    /// The clients' history contradicts itself, or a reply in it is lost.
    #[error(transparent)]
    History(#[from] Violation),
    /// The tester that does without serials finds no order of the operations on a key that explains the answers.
    #[error("contradicted: no order of the operations on key {key} explains what the clients were answered")]
    NoOrder {
        /// The key.
        key: u64,
    },
    /// The guest's clock has gone back: a survivor's execution is not the one that the clients have seen.
    #[error(
        "contradicted: operation {serial} was done at {time} ms of the guest's time, after one at {before} ms"
    )]
    TimeWentBack {
        /// The operation's place in the order of all.
        serial: u64,
        /// What its reply tells.
        time: u64,
        /// What a reply before it told.
        before: u64,
    },
    /// The same reply tells two times.
    #[error(
        "contradicted: operation {serial} was done at {time} ms of the guest's time, and before that at {before} ms"
    )]
    TwoTimes {
        /// The operation's place in the order of all.
        serial: u64,
        /// What its reply tells.
        time: u64,
        /// What it told before.
        before: u64,
    },
    /// The service refused a request that is in order.
    #[error("request {sequence} of client {client} was refused with status {status}")]
    Refused {
        /// Who asked.
        client: u64,
        /// Which request.
        sequence: u64,
        /// The service's status word.
        status: u64,
    },
    /// The guest has found that its disk is not that of its memory.
    #[error(
        "contradicted: while it answered request {sequence} of client {client} the guest found block {block} of its disk to hold what it has not written there"
    )]
    WrongBlock {
        /// Who asked.
        client: u64,
        /// Which request.
        sequence: u64,
        /// Which block.
        block: u64,
    },
    /// After the run, a disk is not what it has to be.
    #[error("the {node}'s disk after the run: {problem}")]
    Disk {
        /// Whose.
        node: NodeName,
        /// What is wrong with it.
        problem: String,
    },
    /// A reply to a client that does not exist.
    #[error("unasked: a reply to client {client}, whom nobody knows")]
    UnknownClient {
        /// The number in the reply.
        client: u64,
    },
    /// Nobody was answered for so long that the pair has to count as dead.
    #[error("unanswered: no client has heard anything for {seconds} s")]
    Silence {
        /// How long was waited.
        seconds: u64,
    },
    /// The guest wants to be off, or is on the other node, and one goes on.
    #[error("left on: the guest has powered off, or wants to, and the {node} goes on")]
    LeftOn {
        /// Who goes on.
        node: NodeName,
    },
    /// Nobody was answered for so long because the arbiter did not say who may serve.
    #[error("unanswered: no client has heard anything for {seconds} s: {problem}")]
    ArbiterSilent {
        /// How long was waited.
        seconds: u64,
        /// Which arbiter, and what came of asking it.
        problem: String,
    },
    /// Nobody is left who could answer.
    #[error("unanswered: neither node can serve any more")]
    Unserved,
}

impl RunViolation {
    /// Whether something is missing that should be there; else something is there that should not be.
    pub const fn is_loss(&self) -> bool {
        match self {
            Self::History(violation) => violation.is_loss(),
            Self::Silence { .. } | Self::ArbiterSilent { .. } | Self::Unserved => true,
            Self::NoOrder { .. }
            | Self::LeftOn { .. }
            | Self::WrongBlock { .. }
            | Self::Disk { .. }
            | Self::TimeWentBack { .. }
            | Self::TwoTimes { .. }
            | Self::Refused { .. }
            | Self::UnknownClient { .. } => false,
        }
    }

    /// Whether it is a disk that is not that of its memory, or of what clients were told.
    pub const fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::WrongBlock { .. } | Self::Disk { .. })
    }

    /// Whether it can come from two nodes that serve at once; else it cannot, whatever the rules claim.
    pub(super) const fn rests_on_fencing(&self) -> bool {
        matches!(
            self,
            Self::History(_)
                | Self::NoOrder { .. }
                | Self::TimeWentBack { .. }
                | Self::TwoTimes { .. }
                | Self::Disk { .. }
        )
    }
}
