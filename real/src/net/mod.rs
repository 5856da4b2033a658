//! The network outside of the machines, in user space: it takes no root.
//!
//! ```text
//!   frame       an Ethernet frame
//!   port        what connects a node, or a client in this process, with the switch
//!   switch      between the nodes of one protected machine and its clients
//!   faults      what befalls frames there, by plan
//!   seen        which places of the guest's output have come by
//!   tap         an interface of the kernel as a client
//!   forwarder   a port of the loopback interface as a client
//!   stack       the TCP/IP stack that the forwarder has
//!   redis       clients of a service that speaks the Redis protocol, and what they say of it
//!   endpoints   who is where in the small network that they make
//!   waking      what threads that poll have in common
//! ```
//!
//! It carries frames, and takes no part in the protocol: what leaves a machine has been released before it comes here.

mod endpoints;
mod faults;
mod forwarder;
mod frame;
mod port;
mod redis;
mod seen;
mod stack;
mod switch;
mod tap;
#[cfg(test)]
mod test_guest;
mod waking;

pub use endpoints::{Endpoint, PREFIX_BITS};
pub use faults::{Copy, Delay, Direction, Fate, FrameFaults, Share};
pub use forwarder::{Forwarder, ForwarderFigures, ForwarderOptions};
pub use frame::{Frame, FrameError, MAX_FRAME_BYTES, MIN_FRAME_BYTES, MacAddress};
pub use port::{PortEnd, Received};
pub use redis::{RedisClients, RedisConnection, RedisLoad, RedisOutcome, RedisViolation, Value};
pub use switch::{FaultFigures, Observer, PortFigures, Side, Switch, SwitchFigures};
pub use tap::{Tap, TapError};
