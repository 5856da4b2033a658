//! The COLO protocol: the two state machines and the wire codec.
//!
//! COLO (COarse-grain LOck-stepping) keeps a secondary virtual machine ready to take over from a primary, checkpoint
//! by checkpoint. Every decision of the protocol - what may be sent, saved, released, loaded, resumed, failed over,
//! and when - is taken in this crate and nowhere else. It does no I/O, reads no clock, starts no thread and draws no
//! random number; its environment (a model checker, a simulator, a pair of real virtual machines) brings [`Input`]s
//! in and carries [`Effect`]s out.
//!
//! ```text
//!               Primary                                   Secondary
//!                                                         initial state loaded
//!     running   <------------- checkpoint-ready ---------
//!               -------------- checkpoint-request ------>
//!               <------------- checkpoint-reply ---------
//!     suspend, save
//!               -------------- vmstate-send ------------>
//!               -------------- RAM --------------------->  staged, not applied
//!               -------------- vmstate-size, devices --->  staged, not applied
//!               <------------- vmstate-received ---------  promised
//!     release                                              lock, load
//!               <------------- vmstate-loaded -----------
//!     resume
//! ```
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod catalogue;
mod common;
mod comparison;
mod effect;
mod error;
mod failover;
mod input;
mod liveness;
mod message;
mod mode;
mod node;
mod output;
pub mod packets;
mod presets;
mod primary;
mod property;
pub mod reach;
mod rules;
mod secondary;
pub mod table;
mod transition;
pub mod wire;

pub use catalogue::{DEFECTS, Defect, Nature, Place};
pub use comparison::{Compared, PeerOutput};
pub use effect::{Effect, EffectKind, Effects, ExitReason, Operation, Step};
pub use error::ProtocolError;
pub use failover::{ColoMode, Failover, Status, StatusReason};
pub use input::{Input, InputKind};
pub use liveness::Liveness;
pub use message::{Dialect, Message, MessageKind};
pub use mode::Mode;
pub use node::{EffectQueue, Machine, Node, NodeName};
pub use output::{Arrival, CheckpointNumber, OutputBuffer, OutputOffset, OutputReceiver, WithheldOutput};
pub use presets::{BUGS, Bug, Excuse, PRESETS, Preset, bug_named, excuses, rules_named};
pub use primary::{Primary, PrimaryPhase};
pub use property::Property;
pub use rules::{
    Abort, Application, Detection, DiskCheckpoint, Execution, ExitReasonBy, FailedLoad, FailoverDeferral,
    Fencing, PendingRequests, PendingShutdown, Relaunch, ReleasePoint, ResumePoint, Rules, UncomparedOutput,
    UnloadedCheckpoint,
};
pub use secondary::{Secondary, SecondaryPhase};
pub use transition::{Phase, Transition};
