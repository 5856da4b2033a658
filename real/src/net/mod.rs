//! The network outside of the machines.
//!
//! ```text
//!   frame       an Ethernet frame
//!   port        what connects a node with the switch
//! ```
//!
//! It carries frames, and takes no part in the protocol: what leaves a machine has been released before it comes here.

mod frame;
#[allow(dead_code, reason = "the switch's end waits for the switch")]
mod port;

pub use frame::{Frame, FrameError, MAX_FRAME_BYTES, MIN_FRAME_BYTES, MacAddress};
pub use port::{PortEnd, Received};
