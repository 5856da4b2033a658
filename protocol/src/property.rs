//! The properties that are claimed of the protocol: their names, what they state, and where each comes from.
//!
//! How a property is checked is the business of whoever watches a run (the model, the oracle).

/// A safety property.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Property {
    /// See [`Property::statement`], as for all of them.
    OutputCommit,
    /// At most one node serves.
    SingleServer,
    /// A running VM is of one checkpoint.
    CheckpointAtomicity,
    /// No way back behind a promise.
    Promise,
    /// Nothing runs while it is captured.
    StillDuringCapture,
    /// The disk is of the memory's epoch.
    Disk,
    /// One request for a checkpoint waits, at most.
    Coalescing,
    /// `COLO_EXIT` says what happened.
    ExitReason,
    /// Without a fault, no error.
    NoErrorWithoutFault,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 9] = [
        Self::OutputCommit,
        Self::SingleServer,
        Self::CheckpointAtomicity,
        Self::Promise,
        Self::StillDuringCapture,
        Self::Disk,
        Self::Coalescing,
        Self::ExitReason,
        Self::NoErrorWithoutFault,
    ];

    /// The name, as the command line and `--json` print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutputCommit => "output commit",
            Self::SingleServer => "single server",
            Self::CheckpointAtomicity => "checkpoint atomicity",
            Self::Promise => "promise",
            Self::StillDuringCapture => "still during capture",
            Self::Disk => "disk",
            Self::Coalescing => "coalescing",
            Self::ExitReason => "exit reason",
            Self::NoErrorWithoutFault => "no error without a fault",
        }
    }

    /// What must hold, in a sentence.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::OutputCommit => {
                "when a node is promoted, all output that its peer has released is in the history it starts from"
            }
            Self::SingleServer => "never do two nodes release output that is not yet committed",
            Self::CheckpointAtomicity => {
                "a VM that runs runs from RAM and devices of one checkpoint, all of them"
            }
            Self::Promise => {
                "the secondary never runs, and is never promoted, from a checkpoint older than its latest promise"
            }
            Self::StillDuringCapture => "no VM executes while its state is being captured",
            Self::Disk => {
                "a promoted node's disk is of its memory's epoch; the secondary replicates before the primary does"
            }
            Self::Coalescing => "at most one request for a checkpoint waits while another is under way",
            Self::ExitReason => "COLO_EXIT says request if and only if the node has completed a failover",
            Self::NoErrorWithoutFault => {
                "without a fault no protocol error occurs and no message is unexpected"
            }
        }
    }

    /// What breaks when it does not hold, in a sentence for a reader of a counterexample.
    pub const fn broken(self) -> &'static str {
        match self {
            Self::OutputCommit => {
                "the world has seen output that the promoted node's history does not contain"
            }
            Self::SingleServer => "both nodes serve the world",
            Self::CheckpointAtomicity => {
                "the running VM is torn: its RAM and its devices are of different checkpoints"
            }
            Self::Promise => "the secondary went back behind a checkpoint that it had promised",
            Self::StillDuringCapture => "the VM executed while its state was being captured",
            Self::Disk => "the VM's memory and its disk are of different epochs",
            Self::Coalescing => "one checkpoint will not answer all requests: each gets one of its own",
            Self::ExitReason => "COLO_EXIT told the manager something else than what had happened",
            Self::NoErrorWithoutFault => "a protocol error occurred although nothing had failed",
        }
    }

    /// Where it comes from.
    pub const fn source(self) -> &'static str {
        match self {
            Self::OutputCommit => "Remus (NSDI 2008), QEMU commit 4fa8ed25b8",
            Self::SingleServer => "VMware FT (OSR 2010): test-and-set before going live",
            Self::CheckpointAtomicity => "QEMU commits 13af18f222, 24fa16f8cc, a8664ba510",
            Self::Promise => "QEMU docs/COLO-FT: a sync-point's sender never knows that its peer has acted",
            Self::StillDuringCapture => "Remus (NSDI 2008)",
            Self::Disk => "QEMU docs/block-replication.txt, commit 8e48ac9586",
            Self::Coalescing => "QEMU commit bb70b66ed7",
            Self::ExitReason => "QEMU commits 1fe6ab267f, 3a43ac4757",
            Self::NoErrorWithoutFault => "QEMU: Unexpected COLO message %d, expected %d",
        }
    }

    /// The property of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|property| property.name() == name)
    }
}
