//! One side of a pair whose other side is on another host: a node, and what of the world around it is here.
//!
//! ```text
//!   side      the loop: what the node says, what is asked of it, who serves
//!   arbitration  the arbiter as a side knows it
//!   monitor   what is said over the control socket, in the shape of QEMU's machine protocol (QMP)
//!   lines     sockets at which others speak in lines
//!   service   what clients and a side tell each other
//!   remote    clients of a service that may be at either side, and their judgement
//!   relay     a network that is slow, stands still, or is cut, when it is told
//! ```
//!
//! No decision of the protocol is taken here: a manager's command is passed on, and the core says what becomes of it.

mod arbitration;
mod lines;
mod monitor;
mod relay;
mod remote;
mod service;
mod side;

pub use lines::Door;
pub use monitor::{Command, MonitorError, execute};
pub use relay::{Relay, RelayCommand};
pub use remote::{RemoteOptions, RemoteOutcome, run_clients};
pub use side::{End, Meeting, SideError, SideEvent, SideOptions, SideOutcome, run_side};
