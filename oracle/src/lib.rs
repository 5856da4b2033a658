//! What the outside world saw of a protected service, and whether it is allowed.
//!
//! The service is a store of numbers. It counts the operations that it has applied, and every reply carries that
//! count: the *serial*, a witness of the order in which the operations took effect. A [`Checker`] follows the world's
//! view - requests issued, replies accepted, each at its place in the output stream - and compares it with a reference
//! [`Store`]. It looks at nothing else: whatever it objects to, a client could have noticed. [`RealTime`] asks for a second
//! opinion, which does without serials.
//!
//! This crate knows no virtual machine, no checkpoint and no fault, and decides nothing of the protocol.
#![forbid(unsafe_code)]

mod checker;
mod history;
mod operation;
mod real_time;
mod violation;

pub use checker::{Checker, Summary};
pub use history::{History, Observation};
pub use operation::{Operation, Reply, Request, Store};
pub use real_time::{Asked, RealTime};
pub use violation::Violation;
