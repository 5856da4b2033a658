//! How far a failover has come, and what a node answers to query-colo-status.
//!
//! The automaton is QEMU's (`FailoverStatus`); what makes it move is in the two machines.

use core::fmt;

/// How far a failover has come on one node.
///
/// ```text
///     none ---> require ---> active ---> completed
///                  |            ^
///                  +-> relaunch-+     a load is in hand, and ends first
/// ```
///
/// QEMU goes from relaunch back to none and asks itself again; nothing can come between, so here the end of the load
/// leads on at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Failover {
    /// No failover has been asked for.
    #[default]
    None,
    /// A failover was asked for by command and has not begun: QEMU's command returns, and a bottom half of the main loop
    /// does the rest. A node that sees by itself that its peer is gone begins at once.
    Require,
    /// The node is failing over: it waits for the end of what is in hand, or for the arbiter.
    Active,
    /// The failover waits until what is being loaded has been applied.
    Relaunch,
    /// The node serves alone.
    Completed,
}

impl Failover {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Require => "require",
            Self::Active => "active",
            Self::Relaunch => "relaunch",
            Self::Completed => "completed",
        }
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The part that a node plays in COLO (`COLOMode`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ColoMode {
    /// None: not in COLO.
    None,
    /// The primary.
    Primary,
    /// The secondary.
    Secondary,
}

impl ColoMode {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// Why a node is not, or not for long, in COLO (`COLOExitReason`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatusReason {
    /// It is, or never was.
    None,
    /// A failover was asked for, and has completed.
    Request,
    /// A failover is under way.
    Processing,
    /// An error, and nobody has asked for a failover since; or one that did not succeed.
    Error,
}

impl StatusReason {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Request => "request",
            Self::Processing => "processing",
            Self::Error => "error",
        }
    }
}

/// What a node answers to query-colo-status (`qmp_query_colo_status`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// The part that it plays now. A node in its error state has not left COLO: it waits for x-colo-lost-heartbeat.
    pub mode: ColoMode,
    /// The part that it has played last, the present one included.
    pub last_mode: ColoMode,
    /// Why it is not in COLO any more.
    pub reason: StatusReason,
}

impl Status {
    /// The status of a node whose part is `role`; whether it `takes_part` still, and whether it has `exited` COLO.
    pub(crate) const fn new(role: ColoMode, takes_part: bool, exited: bool, failover: Failover) -> Self {
        let reason = match (failover, takes_part) {
            (Failover::Completed, _) => StatusReason::Request,
            (Failover::Require | Failover::Active | Failover::Relaunch, true) => StatusReason::Processing,
            _ if exited => StatusReason::Error,
            _ => StatusReason::None,
        };
        Self { mode: if takes_part { role } else { ColoMode::None }, last_mode: role, reason }
    }
}
