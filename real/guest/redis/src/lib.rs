//! A service that speaks the Redis protocol over a TCP/IP stack of its own, for a guest that has no operating system.
//!
//! What it does depends on the frames that it is given, on their order, on the time that it is told, and on a seed: on
//! nothing else. Two of it that are given the same frames in the same order send the same bytes in the same connections.
//!
//! ```text
//!   request      what was received, as commands           bounded, and refused in Redis' words
//!   command      what they do, and what is answered       GET SET DEL EXISTS INCR DECR INCRBY DECRBY DBSIZE FLUSHALL
//!                                                         PING ECHO INFO SELECT CLIENT COMMAND CONFIG HELLO QUIT
//!   store        what is kept
//!   connection   requests and answers of one client, as bytes
//!   service      sockets, and the order of everything
//!   limits       how much of what, in how much memory
//! ```
//!
//! This half runs anywhere, and is tested where tests run. `main.rs` is the other: the machine and its card.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod connection;
mod limits;
mod reply;
mod request;
mod service;
mod store;

pub use command::{Counters, execute};
pub use connection::{After, Connection};
pub use limits::Limits;
pub use request::{ARGUMENTS_MAX, BULK_BYTES_MAX, Parsed, ProtocolError, REQUEST_BYTES_MAX, parse};
pub use service::{Address, Service};
pub use store::{KEY_BYTES_MAX, Store, StoreError};
