//! What a pair gets done in the end: the liveness properties, their names, what they state, and where each comes from.
//!
//! How such a property is checked, and what is assumed of the environment, is the business of the model.

/// A liveness property.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Liveness {
    /// See [`Liveness::statement`], as for all of them.
    FailoverCompletes,
    /// Somebody serves again, and nobody outside had to see to it.
    UnattendedRecovery,
    /// No checkpoint is under way for ever.
    CheckpointEnds,
    /// No output is withheld for ever.
    Release,
    /// A failover that waits for a load does not wait for ever.
    DeferredFailoverCompletes,
    /// A survivor executes.
    SurvivorGoesOn,
    /// Who wants to power off does, and its peer, too.
    Shutdown,
    /// A survivor with a replacement at hand is protected.
    ProtectionAgain,
}

impl Liveness {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::FailoverCompletes,
        Self::UnattendedRecovery,
        Self::CheckpointEnds,
        Self::Release,
        Self::DeferredFailoverCompletes,
        Self::SurvivorGoesOn,
        Self::Shutdown,
        Self::ProtectionAgain,
    ];

    /// The name, as the command line and `--json` print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailoverCompletes => "failover completes",
            Self::UnattendedRecovery => "unattended recovery",
            Self::CheckpointEnds => "checkpoint ends",
            Self::Release => "release",
            Self::DeferredFailoverCompletes => "deferred failover completes",
            Self::SurvivorGoesOn => "survivor goes on",
            Self::Shutdown => "shutdown",
            Self::ProtectionAgain => "protection again",
        }
    }

    /// What must come, in a sentence.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::FailoverCompletes => {
                "a node that is told that its peer is gone serves in the end, or is denied, or has failed"
            }
            Self::UnattendedRecovery => {
                "after a crash or a cut somebody serves in the end, or nobody could, without a manager"
            }
            Self::CheckpointEnds => {
                "a checkpoint that has begun ends: committed, given up, or with its nodes"
            }
            Self::Release => "withheld output leaves in the end, or its VM fails or is discarded",
            Self::DeferredFailoverCompletes => {
                "a failover that waits for a load ends with a promotion or a failure, however the load ends"
            }
            Self::SurvivorGoesOn => "a survivor's VM executes in the end, on a disk that waits for nobody",
            Self::Shutdown => {
                "a guest that wants to power off does; where nothing fails, the peer's VM ends as well"
            }
            Self::ProtectionAgain => "a survivor with a replacement at hand is protected in the end",
        }
    }

    /// What is the matter when it does not hold, in a sentence for a reader of a counterexample.
    pub const fn broken(self) -> &'static str {
        match self {
            Self::FailoverCompletes => "a node that was told that its peer is gone never serves",
            Self::UnattendedRecovery => "somebody could serve, and nobody ever does without being told",
            Self::CheckpointEnds => "the checkpoint is under way for ever",
            Self::Release => "the output is withheld for ever",
            Self::DeferredFailoverCompletes => "the failover waits for ever for a load that has ended",
            Self::SurvivorGoesOn => "the survivor stands still for ever",
            Self::Shutdown => "the guest wanted to power off, and one of the nodes goes on for ever",
            Self::ProtectionAgain => "the survivor has a replacement at hand and is never protected",
        }
    }

    /// Where it comes from.
    pub const fn source(self) -> &'static str {
        match self {
            Self::FailoverCompletes => "series v12, patches 26 and 27; QEMU commits 0e5d6327f3, c937b9a6db",
            Self::UnattendedRecovery => "QEMU docs/COLO-FT: heartbeat has not been implemented yet",
            Self::CheckpointEnds => "QEMU commits 4c477b1400, 2d89779b04",
            Self::Release => "QEMU commits bb70b66ed7, 17475df2c1",
            Self::DeferredFailoverCompletes => "QEMU commit 92c932de6c",
            Self::SurvivorGoesOn => "QEMU commits db00972922, 5529b02da2, 2518aec192",
            Self::Shutdown => "series v12, patch 28; QEMU commit 795969ab1f",
            Self::ProtectionAgain => "QEMU commits 90dfe59b33, 5eb9a3c7b0",
        }
    }

    /// The property of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|property| property.name() == name)
    }
}
