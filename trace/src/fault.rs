//! Faults: what can go wrong in a run, and what its surroundings may do at any time. Where, says a plan.
//!
//! Each is one variant with what it needs to be the same again. Whoever runs carries it out, or says that it cannot.

use colo_protocol::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares the faults: of each, what it is, its name in a plan, and its fields. The kinds are the same without fields.
macro_rules! faults {
    ($($(#[$about:meta])* $kind:ident = $name:literal $({ $($(#[$what:meta])* $field:ident: $type:ty),+ })?,)+) => {
        /// What goes wrong.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum FaultAction { $($(#[$about])* $kind $({ $($(#[$what])* $field: $type),+ })?),+ }

        /// [`FaultAction`] without what it carries.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs, reason = "each is the fault of the same name")]
        pub enum FaultKind { $($kind),+ }

        impl FaultAction {
            /// The fault without what it carries.
            pub const fn kind(self) -> FaultKind {
                match self { $(Self::$kind { .. } => FaultKind::$kind),+ }
            }
        }

        impl FaultKind {
            /// Every kind.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// The kind's name, as a plan has it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

faults! {
    /// A node dies, and all that it has not yet put on the link with it.
    Crash = "crash" {
        /// The node.
        node: NodeName
    },
    /// The link is cut: what is in flight is lost, both ends see it closed, each in its time.
    Cut = "cut",
    /// The connection is reset: what is in flight is lost, and both ends know as soon as a packet can tell them.
    Reset = "reset",
    /// A node's direction of the link is closed: what it has sent arrives, the end of the stream behind it, and what it
    /// sends from now on goes nowhere. The other direction is open until its sender closes it.
    HalfClose = "half-close" {
        /// The node whose direction it is.
        node: NodeName
    },
    /// The link delivers nothing for a while, and then goes on.
    Stall = "stall" {
        /// How long, milliseconds.
        for_ms: u32
    },
    /// The link delivers nothing any more, either way, and does not say so, until the network heals.
    Blackhole = "blackhole",
    /// The link delivers nothing to this node any more, and does not say so, until the network heals.
    Partition = "partition" {
        /// The node that hears nothing.
        node: NodeName
    },
    /// A bit of what next comes to this node is flipped on its way.
    Corrupt = "corrupt" {
        /// The node that reads it.
        node: NodeName,
        /// Which bit; beyond the end of what comes, it is counted on from the beginning.
        bit: u32
    },
    /// A node stands still, all of it, and goes on later without knowing.
    Pause = "pause" {
        /// The node.
        node: NodeName,
        /// How long, milliseconds.
        for_ms: u32
    },
    /// A node's clock jumps: what it waits for by the clock comes sooner, or, if it goes back, later.
    ClockJump = "clock-jump" {
        /// The node.
        node: NodeName,
        /// How far, milliseconds; negative: back.
        by_ms: i32
    },
    /// A node's disk does nothing for a while.
    SlowDisk = "slow-disk" {
        /// The node.
        node: NodeName,
        /// How long, milliseconds.
        for_ms: u32
    },
    /// What the node next asks of its disk cannot be done.
    FailDisk = "fail-disk" {
        /// The node.
        node: NodeName
    },
    /// The VM's state cannot be captured, for want of memory say: the capture in hand, or the next one, fails.
    FailSave = "fail-save",
    /// The staged state turns out not to be loadable: the load in hand, or the next one, fails.
    FailLoad = "fail-load",
    /// The guest, or an operator, resets the VM.
    GuestReset = "guest-reset" {
        /// The node whose VM it is.
        node: NodeName
    },
    /// The guest wants to power off.
    GuestShutdown = "guest-shutdown" {
        /// The node whose VM it is.
        node: NodeName
    },
    /// The secondary's guest goes its own way: what it is next asked to write does nothing in it. Means something only
    /// where both VMs execute.
    Diverge = "diverge",
    /// What the primary's guest sends next when it has written is of no kind that the comparison knows. Means something
    /// only where there is one.
    Uncompared = "uncompared",
    /// An operator asks for a checkpoint now.
    CheckpointNow = "checkpoint-now",
    /// The manager sends x-colo-lost-heartbeat, whether or not the peer is dead.
    LostHeartbeat = "lost-heartbeat" {
        /// The node that is told to go on alone.
        node: NodeName
    },
    /// The node's patience with its peer runs out, whether or not it could hear it.
    PeerSilent = "peer-silent" {
        /// The node that takes its peer for dead.
        node: NodeName
    },
}

impl FaultAction {
    /// How long it lasts, milliseconds; 0 for what happens at once, or has no end of its own.
    pub fn lasts_ms(self) -> u64 {
        match self {
            Self::Stall { for_ms } | Self::Pause { for_ms, .. } | Self::SlowDisk { for_ms, .. } => {
                for_ms.into()
            }
            Self::ClockJump { by_ms, .. } => by_ms.unsigned_abs().into(),
            _ => 0,
        }
    }
}

impl FaultKind {
    /// Whether it is something that the link suffers, and both nodes by it.
    pub const fn is_of_the_link(self) -> bool {
        use FaultKind::{Blackhole, Corrupt, Cut, HalfClose, Partition, Reset, Stall};
        matches!(self, Cut | Reset | HalfClose | Stall | Blackhole | Partition | Corrupt)
    }

    /// Whether it is nothing but slowness, or a wish that may come at any time: no node has a reason to see an error.
    pub const fn is_harmless(self) -> bool {
        use FaultKind::{CheckpointNow, ClockJump, GuestReset, GuestShutdown, Pause, SlowDisk, Stall};
        let slow = matches!(self, Stall | Pause | ClockJump | SlowDisk);
        slow || self.is_of_the_guest() || matches!(self, GuestReset | GuestShutdown | CheckpointNow)
    }

    /// Whether it is a choice that guests have all the time. A plan makes it; who draws guests draws it with them.
    pub const fn is_of_the_guest(self) -> bool {
        matches!(self, Self::Diverge | Self::Uncompared)
    }
}

impl FaultAction {
    /// The node that it strikes, if it strikes one of them.
    pub const fn node(self) -> Option<NodeName> {
        match self {
            Self::Crash { node }
            | Self::HalfClose { node }
            | Self::Partition { node }
            | Self::Corrupt { node, .. }
            | Self::Pause { node, .. }
            | Self::ClockJump { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::FailDisk { node }
            | Self::GuestReset { node }
            | Self::GuestShutdown { node }
            | Self::LostHeartbeat { node }
            | Self::PeerSilent { node } => Some(node),
            Self::FailSave | Self::Uncompared | Self::CheckpointNow => Some(NodeName::Primary),
            Self::FailLoad | Self::Diverge => Some(NodeName::Secondary),
            Self::Cut | Self::Reset | Self::Stall { .. } | Self::Blackhole => None,
        }
    }
}

impl fmt::Display for FaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { node } => write!(f, "crash of the {node}"),
            Self::Cut => f.write_str("cut of the link"),
            Self::Reset => f.write_str("reset of the connection"),
            Self::HalfClose { node } => write!(f, "end of what the {node} sends"),
            Self::Stall { for_ms } => write!(f, "stall of the link for {for_ms} ms"),
            Self::Blackhole => f.write_str("blackhole in the link"),
            Self::Partition { node } => write!(f, "partition: nothing comes to the {node}"),
            Self::Corrupt { node, bit } => write!(f, "corruption of bit {bit} of what comes to the {node}"),
            Self::Pause { node, for_ms } => write!(f, "pause of the {node} for {for_ms} ms"),
            Self::ClockJump { node, by_ms } => write!(f, "jump of the {node}'s clock by {by_ms} ms"),
            Self::SlowDisk { node, for_ms } => write!(f, "standstill of the {node}'s disk for {for_ms} ms"),
            Self::FailDisk { node } => write!(f, "failure of the {node}'s disk"),
            Self::FailSave => f.write_str("failure of the capture"),
            Self::FailLoad => f.write_str("failure of the load"),
            Self::GuestReset { node } => write!(f, "reset of the {node}'s guest"),
            Self::GuestShutdown { node } => write!(f, "wish of the {node}'s guest to power off"),
            Self::Diverge => f.write_str("divergence of the secondary's guest"),
            Self::Uncompared => f.write_str("output of the primary's that cannot be compared"),
            Self::CheckpointNow => f.write_str("wish for a checkpoint"),
            Self::LostHeartbeat { node } => write!(f, "lost-heartbeat to the {node}"),
            Self::PeerSilent { node } => write!(f, "end of the {node}'s patience"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Plan};

    #[test]
    fn every_fault_reads_as_it_is_written() {
        let node = NodeName::Secondary;
        let actions = [
            FaultAction::Crash { node },
            FaultAction::Cut,
            FaultAction::Reset,
            FaultAction::HalfClose { node },
            FaultAction::Stall { for_ms: 3 },
            FaultAction::Blackhole,
            FaultAction::Partition { node },
            FaultAction::Corrupt { node, bit: 77 },
            FaultAction::Pause { node, for_ms: 500 },
            FaultAction::ClockJump { node, by_ms: -20 },
            FaultAction::SlowDisk { node, for_ms: 4 },
            FaultAction::FailDisk { node },
            FaultAction::FailSave,
            FaultAction::FailLoad,
            FaultAction::GuestReset { node },
            FaultAction::GuestShutdown { node },
            FaultAction::Diverge,
            FaultAction::Uncompared,
            FaultAction::CheckpointNow,
            FaultAction::LostHeartbeat { node },
            FaultAction::PeerSilent { node },
        ];
        assert!(actions.iter().map(|action| action.kind()).eq(FaultKind::ALL));
        let at = "primary checkpoint 3 after effect vmstate-size".parse().unwrap();
        let plan = Plan::new(actions.into_iter().map(|action| Fault { at, action }).collect());
        let text = plan.to_toml().unwrap();
        assert_eq!(Plan::from_toml(&text).unwrap(), plan);
        for kind in FaultKind::ALL {
            assert!(text.contains(&format!("action = \"{}\"", kind.name())), "{kind:?}");
        }
    }
}
