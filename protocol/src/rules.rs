//! The rules of the protocol that somebody, at some time, decided differently: one field a decision.
//!
//! A variant of COLO is a value of [`Rules`]. Nothing here acts; the state machines look a rule up at the one place
//! where it decides. A rule is not part of the state that a model checker hashes.

use crate::effect::ExitReason;
use crate::liveness::Liveness;
use crate::message::Dialect;
use crate::property::Property;

/// A choice of the rules: an enumeration that is read and written in kebab case.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $value:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "kebab-case")
        )]
        pub enum $name { $($(#[$what])* $value),+ }
    };
}

choice! {
    /// Which VMs execute between checkpoints.
    Execution {
        /// The primary's only; all of its output waits for a checkpoint: series v12, Remus.
        #[default]
        Periodic,
        /// Both, and the primary's output is compared with the secondary's: what matches leaves at once, a
        /// difference asks for a checkpoint. QEMU since 3.1.
        Hybrid,
    }
}

choice! {
    /// When the primary lets the output leave that it has withheld since the last checkpoint.
    ReleasePoint {
        /// As soon as the primary's VM is suspended, before any state has been sent: QEMU 3.1 to 5.0, wrong
        /// (fixed by 4fa8ed25b8). A primary that dies after it has shown the world output that the secondary cannot
        /// repeat.
        AtSuspend,
        /// On vmstate-received: the diagram of series v12, and QEMU since 5.1. Safe only if the secondary never goes
        /// back behind a checkpoint that it has confirmed: the confirmation is its promise.
        #[default]
        AfterReceived,
        /// On vmstate-loaded: the final code of series v12 (patch 37). The promise then is vmstate-loaded.
        AfterLoaded,
    }
}

choice! {
    /// What becomes of output that the comparison does not understand.
    UncomparedOutput {
        /// It is withheld until the next checkpoint, like all that has no match.
        #[default]
        Withheld,
        /// It leaves at once: QEMU, for whatever is not IPv4. Wrong: the secondary need not be so far.
        SentAtOnce,
    }
}

choice! {
    /// When the primary's VM runs again.
    ResumePoint {
        /// As soon as its state has been copied aside: Remus. The output of the epoch that then runs stays withheld
        /// until that epoch has its own checkpoint; one checkpoint is on its way while the next epoch runs.
        AfterStaged,
        /// On vmstate-received: the secondary applies the state while the primary runs.
        AfterReceived,
        /// On vmstate-loaded: QEMU in all versions.
        #[default]
        AfterLoaded,
    }
}

choice! {
    /// What becomes of the requests for a checkpoint that come while one is under way.
    PendingRequests {
        /// They are an event: one more checkpoint answers them all. QEMU since 5.1.
        #[default]
        Coalesced,
        /// They are counted, and each gets its checkpoint: QEMU before bb70b66ed7, wrong. N packets that differ pay
        /// for N checkpoints.
        Counted,
    }
}

choice! {
    /// When the secondary applies what it has received.
    Application {
        /// All at once, when all of it has been received and the lock on the VM is held.
        #[default]
        Whole,
        /// The RAM as soon as its end has come, the devices later: QEMU 3.1 to 5.0, wrong (fixed by 24fa16f8cc).
        RamFirst,
    }
}

choice! {
    /// While what a failover of the secondary waits for the checkpoint in hand.
    FailoverDeferral {
        /// It does not wait, not even while state is being loaded: series v12 before patch 27, QEMU before
        /// a8664ba510. Wrong: the VM that runs on is torn between two checkpoints.
        Never,
        /// From the beginning of the load to its end (`vmstate_loading`): patch 27 of series v12, and QEMU today.
        WhileLoading,
        /// From the moment at which the secondary has the whole state, before it says so, until the state is applied.
        #[default]
        FromReceived,
    }
}

choice! {
    /// What becomes of a checkpoint whose load had not begun when the secondary failed over.
    UnloadedCheckpoint {
        /// It is thrown away.
        #[default]
        Discarded,
        /// It is loaded all the same, because nobody looks again after the wait for the lock: QEMU today. Wrong: the
        /// disk has been failed over before, and is that of the checkpoint before.
        LoadedAnyway,
    }
}

choice! {
    /// What becomes of a secondary whose load has failed: its VM is half of one checkpoint, half of another.
    FailedLoad {
        /// It stops for good.
        #[default]
        Fatal,
        /// It waits for x-colo-lost-heartbeat like after any other error, and then goes on from what there is: QEMU
        /// today. Wrong.
        Forgotten,
    }
}

choice! {
    /// When a failover goes on that waits for a load.
    Relaunch {
        /// When the load has ended, however it ended. QEMU since 92c932de6c.
        #[default]
        AfterAnyEnd,
        /// When the load has succeeded: series v12 and QEMU before. Wrong: after a load that fails the node waits for
        /// ever, neither serving nor failed.
        AfterSuccess,
    }
}

choice! {
    /// What a failover does with the link.
    Abort {
        /// It closes both directions at once, and ends what is being sent: patch 26 of series v12, and QEMU.
        #[default]
        AtOnce,
        /// Nothing until what is being sent has been sent: series v12 before that patch. Wrong: over a link that takes
        /// nothing any more that lasts as long as TCP's patience.
        Never,
    }
}

choice! {
    /// Which of the primary's disk writes the secondary's VM sees after a checkpoint.
    DiskCheckpoint {
        /// All that have come: QEMU's block replication. Right only while the primary's VM stands still until
        /// vmstate-loaded.
        #[default]
        AllWrites,
        /// Those that were made before the checkpoint was captured: writes carry the number of their epoch.
        ByEpoch,
    }
}

choice! {
    /// Who finds out that the peer is gone.
    Detection {
        /// A manager outside: a lost link leads to the error state, only x-colo-lost-heartbeat promotes. QEMU.
        #[default]
        External,
        /// A closed connection is taken for the peer's death. Safe only when the peer is known to be fenced.
        LinkClosed,
        /// Silence for longer than a patience is taken for the peer's death: nobody needs to be told, and no node
        /// waits for ever. Safe only with an arbiter, because a peer that is slow is silent too.
        Timeout,
    }
}

choice! {
    /// Who sees to it that never two nodes serve.
    Fencing {
        /// Nobody in the protocol: QEMU leaves it to whoever sends x-colo-lost-heartbeat.
        #[default]
        None,
        /// A node that wants to serve alone has to win an atomic test-and-set first, as VMware FT does on shared
        /// storage; the loser stops for good.
        Arbiter,
    }
}

choice! {
    /// By what a node tells its manager why it left COLO.
    ExitReasonBy {
        /// By whether the failover has completed.
        #[default]
        Completion,
        /// By whether a failover has been asked for and not begun, which is never so any more when it has completed:
        /// QEMU before 1fe6ab267f, wrong.
        Request,
    }
}

choice! {
    /// What becomes of a guest's wish to power off when a failover comes between.
    PendingShutdown {
        /// The survivor powers off.
        #[default]
        Honoured,
        /// It is forgotten: series v12. The guest waits for ever.
        Forgotten,
    }
}

/// A variant of the protocol. [`crate::PRESETS`] and [`crate::BUGS`] name those that this crate knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, default)
)]
pub struct Rules {
    /// Which vocabulary is spoken on the link.
    pub dialect: Dialect,
    /// Which VMs execute between checkpoints.
    pub execution: Execution,
    /// When withheld output leaves.
    pub release: ReleasePoint,
    /// What becomes of output that the comparison does not understand.
    pub uncompared: UncomparedOutput,
    /// When the primary's VM runs again.
    pub resume: ResumePoint,
    /// What becomes of requests for a checkpoint while one is under way.
    pub requests: PendingRequests,
    /// When the secondary applies what it has received.
    pub apply: Application,
    /// While what a failover of the secondary waits.
    pub deferral: FailoverDeferral,
    /// What becomes of a checkpoint whose load had not begun at a failover.
    pub unloaded: UnloadedCheckpoint,
    /// What becomes of a secondary whose load has failed.
    pub failed_load: FailedLoad,
    /// When a failover goes on that waits for a load.
    pub relaunch: Relaunch,
    /// What a failover does with the link.
    pub abort: Abort,
    /// Which disk writes a checkpoint covers.
    pub disk: DiskCheckpoint,
    /// Who finds out that the peer is gone.
    pub detection: Detection,
    /// Who sees to it that never two nodes serve.
    pub fencing: Fencing,
    /// By what a node tells why it left COLO.
    pub exit_reason: ExitReasonBy,
    /// What becomes of a guest's wish to power off when a failover comes between.
    pub shutdown: PendingShutdown,
    /// Rounds of pre-copy: how often the primary sends what was written of its RAM while its VM executes, before it stops
    /// it and sends the rest. None in COLO, which begins to send when the VM stands still.
    pub precopy_rounds: u8,
    /// Milliseconds from the end of one checkpoint to the request of the next (`x-checkpoint-delay`; 200 in v12).
    pub checkpoint_delay_ms: u32,
}

impl Rules {
    /// Series v12 as its cover diagram describes it: periodic, released on vmstate-received, promised before that.
    pub const V12: Self = Self {
        dialect: Dialect::V12,
        execution: Execution::Periodic,
        release: ReleasePoint::AfterReceived,
        uncompared: UncomparedOutput::Withheld,
        resume: ResumePoint::AfterLoaded,
        requests: PendingRequests::Coalesced,
        apply: Application::Whole,
        deferral: FailoverDeferral::FromReceived,
        unloaded: UnloadedCheckpoint::Discarded,
        failed_load: FailedLoad::Fatal,
        relaunch: Relaunch::AfterAnyEnd,
        abort: Abort::AtOnce,
        disk: DiskCheckpoint::AllWrites,
        detection: Detection::External,
        fencing: Fencing::None,
        exit_reason: ExitReasonBy::Completion,
        shutdown: PendingShutdown::Honoured,
        precopy_rounds: 0,
        checkpoint_delay_ms: 200,
    };

    /// Series v12 as its final code releases: only on vmstate-loaded.
    pub const LATE_RELEASE: Self =
        Self { release: ReleasePoint::AfterLoaded, deferral: FailoverDeferral::WhileLoading, ..Self::V12 };

    /// Remus (NSDI 2008) over COLO's messages: the primary runs on while its state is on the way, so its disk writes
    /// have to carry their epoch.
    pub const REMUS: Self =
        Self { resume: ResumePoint::AfterStaged, disk: DiskCheckpoint::ByEpoch, ..Self::V12 };

    /// Synchronous, and yet the primary does not wait for the load: it runs again when the secondary has the whole state,
    /// which is also the secondary's promise. The secondary applies it meanwhile, so its disk has to know which writes
    /// are the next epoch's. Nothing is copied aside, unlike [`Rules::REMUS`].
    pub const FAST: Self =
        Self { resume: ResumePoint::AfterReceived, disk: DiskCheckpoint::ByEpoch, ..Self::V12 };

    /// QEMU as it is today (10.2), gaps included: hybrid, the output compared.
    pub const QEMU: Self = Self {
        dialect: Dialect::Current,
        execution: Execution::Hybrid,
        uncompared: UncomparedOutput::SentAtOnce,
        deferral: FailoverDeferral::WhileLoading,
        unloaded: UnloadedCheckpoint::LoadedAnyway,
        failed_load: FailedLoad::Forgotten,
        checkpoint_delay_ms: 20_000,
        ..Self::V12
    };

    /// Better than both: nobody outside has to notice a death, never two nodes serve, whatever anybody suspects, and
    /// the secondary has promised a checkpoint before it says so. With that promise the opposite sync-points of the
    /// protocol book do not pay: each would cost a round trip, and the last message stays unacknowledged anyway.
    /// A guest that powers off says so on the link, as in series v12: a link that only closes would be taken for a death.
    /// It may be hybrid too; periodic, it runs in all three ways.
    pub const STRICT: Self = Self { detection: Detection::Timeout, fencing: Fencing::Arbiter, ..Self::V12 };

    /// Whether sending vmstate-received already is the secondary's promise never to go back behind the checkpoint;
    /// otherwise vmstate-loaded is. It follows from when the primary dares to release.
    pub const fn promises_at_received(&self) -> bool {
        !matches!(self.release, ReleasePoint::AfterLoaded)
    }

    /// What a node tells its manager when its failover has completed.
    pub(crate) const fn reason_of_completion(&self) -> ExitReason {
        match self.exit_reason {
            ExitReasonBy::Completion => ExitReason::Request,
            ExitReasonBy::Request => ExitReason::Error,
        }
    }

    /// How many sections of RAM a checkpoint has: one for each round of pre-copy, and that of the stop.
    pub const fn ram_sections(&self) -> usize {
        self.precopy_rounds as usize + 1
    }

    /// Whether both VMs execute between checkpoints.
    pub const fn is_hybrid(&self) -> bool {
        matches!(self.execution, Execution::Hybrid)
    }
}

impl Rules {
    /// Whether somebody outside has to tell a node that its peer is gone, and to fence the peer before.
    pub fn has_manager(&self) -> bool {
        self.detection == Detection::External
    }

    /// Whether each node watches for its peer's silence by itself.
    pub fn watches_silence(&self) -> bool {
        self.detection == Detection::Timeout
    }

    /// Whether a protocol of these rules stands for `property`, when the manager may or may not take a node that is
    /// alive for dead. Where nothing fences, two servers are possible whenever a wrong suspicion is; and a node that
    /// judges by itself takes a link that was cut for a peer that has died.
    pub fn claims(&self, property: Property, wrong_suspicions: bool) -> bool {
        let suspects_wrongly = wrong_suspicions || self.detection != Detection::External;
        property != Property::SingleServer || self.fencing == Fencing::Arbiter || !suspects_wrongly
    }
}

impl Rules {
    /// Whether a protocol of these rules stands for a liveness property, when links may or may not go silent. Where a
    /// manager finds out that a node is gone, nothing is claimed of what happens without one. Over a silent link
    /// nothing is claimed to end unless the nodes watch for silence by themselves: no manager sees it, nor does a node
    /// that waits for the link to be closed. Such a node does not recover by itself either when it was its own error
    /// that closed the link: nobody closes it once more.
    pub fn claims_liveness(&self, property: Liveness, silent_links: bool) -> bool {
        match property {
            Liveness::FailoverCompletes | Liveness::DeferredFailoverCompletes | Liveness::SurvivorGoesOn => {
                true
            }
            _ if self.watches_silence() => true,
            Liveness::UnattendedRecovery => false,
            _ => !silent_links,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::V12
    }
}
