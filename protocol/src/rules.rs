//! The rules of the protocol that somebody, at some time, decided differently: one field a decision.
//!
//! A variant of COLO is a value of [`Rules`]. Nothing here acts; the state machines look a rule up at the one place
//! where it decides. A rule is not part of the state that a model checker hashes.

use crate::message::Dialect;
use crate::property::Property;

/// When the primary lets the output leave that it has withheld since the last checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ReleasePoint {
    /// As soon as the primary's VM is suspended, before any state has been sent: QEMU 3.1 to 5.0, wrong
    /// (fixed by 4fa8ed25b8). A primary that dies after it has shown the world output that the secondary cannot repeat.
    AtSuspend,
    /// On vmstate-received: the diagram of series v12, and QEMU since 5.1. Safe only if the secondary never goes back
    /// behind a checkpoint that it has confirmed: the confirmation is its promise.
    #[default]
    AfterReceived,
    /// On vmstate-loaded: the final code of series v12 (patch 37). The promise then is vmstate-loaded.
    AfterLoaded,
}

/// When the primary's VM runs again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ResumePoint {
    /// As soon as its state has been copied aside: Remus. The output of the epoch that then runs stays withheld until
    /// that epoch has its own checkpoint; one checkpoint is on its way while the next epoch runs.
    AfterStaged,
    /// On vmstate-received: the secondary applies the state while the primary runs.
    AfterReceived,
    /// On vmstate-loaded: QEMU in all versions.
    #[default]
    AfterLoaded,
}

/// While what a failover of the secondary waits for the checkpoint in hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum FailoverDeferral {
    /// It does not wait, not even while state is being loaded: series v12 before patch 27, QEMU before a8664ba510.
    /// Wrong: the VM that runs on is torn between two checkpoints.
    Never,
    /// From the beginning of the load to its end (`vmstate_loading`): patch 27 of series v12, and QEMU today.
    WhileLoading,
    /// From the moment at which the secondary has the whole state, before it says so, until the state is applied.
    #[default]
    FromReceived,
}

/// Who finds out that the peer is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Detection {
    /// A manager outside: a lost link leads to the error state, only x-colo-lost-heartbeat promotes. QEMU.
    #[default]
    External,
    /// A closed connection is taken for the peer's death. Safe only when the peer is known to be fenced.
    LinkClosed,
    /// Silence for longer than a patience is taken for the peer's death: nobody needs to be told, and no node waits
    /// for ever. Safe only with an arbiter, because a peer that is slow is silent too.
    Timeout,
}

/// Who sees to it that never two nodes serve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Fencing {
    /// Nobody in the protocol: QEMU leaves it to whoever sends x-colo-lost-heartbeat.
    #[default]
    None,
    /// A node that wants to serve alone has to win an atomic test-and-set first, as VMware FT does on shared storage;
    /// the loser stops for good.
    Arbiter,
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
    /// When withheld output leaves.
    pub release: ReleasePoint,
    /// When the primary's VM runs again.
    pub resume: ResumePoint,
    /// While what a failover of the secondary waits.
    pub deferral: FailoverDeferral,
    /// Who finds out that the peer is gone.
    pub detection: Detection,
    /// Who sees to it that never two nodes serve.
    pub fencing: Fencing,
    /// Milliseconds from the end of one checkpoint to the request of the next (`x-checkpoint-delay`; 200 in v12).
    pub checkpoint_delay_ms: u32,
}

impl Rules {
    /// Series v12 as its cover diagram describes it: periodic, released on vmstate-received, promised before that.
    pub const V12: Self = Self {
        dialect: Dialect::V12,
        release: ReleasePoint::AfterReceived,
        resume: ResumePoint::AfterLoaded,
        deferral: FailoverDeferral::FromReceived,
        detection: Detection::External,
        fencing: Fencing::None,
        checkpoint_delay_ms: 200,
    };

    /// Series v12 as its final code releases: only on vmstate-loaded.
    pub const LATE_RELEASE: Self =
        Self { release: ReleasePoint::AfterLoaded, deferral: FailoverDeferral::WhileLoading, ..Self::V12 };

    /// Remus (NSDI 2008) over COLO's messages: the primary runs on while its state is on the way.
    pub const REMUS: Self = Self { resume: ResumePoint::AfterStaged, ..Self::V12 };

    /// Better than both: nobody outside has to notice a death, never two nodes serve, whatever anybody suspects, and
    /// the secondary has promised a checkpoint before it says so. With that promise the opposite sync-points of the
    /// protocol book do not pay: each would cost a round trip, and the last message stays unacknowledged anyway.
    pub const STRICT: Self = Self {
        dialect: Dialect::Current,
        detection: Detection::Timeout,
        fencing: Fencing::Arbiter,
        ..Self::V12
    };

    /// Whether sending vmstate-received already is the secondary's promise never to go back behind the checkpoint;
    /// otherwise vmstate-loaded is. It follows from when the primary dares to release.
    pub const fn promises_at_received(&self) -> bool {
        !matches!(self.release, ReleasePoint::AfterLoaded)
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

impl Default for Rules {
    fn default() -> Self {
        Self::V12
    }
}
