//! One node's process: the core, a VM, an end of the link, and a line to the harness.
//!
//! ```text
//!   driver        the loop: gives inputs to the core, takes its effects, one at a time
//!     |-- effects     those that are done at once
//!     |-- operations  those that are begun, advance in stages, and end by an input
//!     |-- gates       what a plan holds
//!     |-- stream      the end of the link
//!     |-- vcpu        the guest's thread, suspended and resumed
//!     |-- comparison  both VMs' output, where both execute
//!     |-- mirror      the connection over which requests go to the other VM and output comes back
//!     |-- inbox       requests on their way to the guest
//!     |-- peer_units  what the secondary's guest has sent
//!     |-- divergence  a guest that goes its own way
//!     |-- ram_cache   the memory of the checkpoint, where the secondary's guest executes beside it
//!     |-- unit        what a guest is given and what it sends: requests and replies, or frames
//!     |-- port        the cable of the machine's network card
//!     |-- outgoing    bytes on their way to the link
//!     |-- inbound     bytes that have come in, kept while they are staged
//!     |-- disk        the machine's disk, and its connection to the peer's
//!     |-- introduction  a survivor's memory on its way to a replacement
//!     |-- saved       the state that has been captured, on its way into the link's format
//!     |-- silence     patience with the peer
//!     `-- staging     the checkpoint that is coming in
//!   alone         a machine without all of that
//!   confinement   what the process may still ask of the kernel once it runs
//! ```
//!
//! No decision of the protocol is taken here.

mod alone;
mod comparison;
mod confinement;
mod disk;
mod divergence;
mod driver;
mod effects;
mod gates;
mod inbound;
mod inbox;
mod introduction;
mod mirror;
mod operations;
mod outgoing;
mod peer_units;
mod port;
mod ram_cache;
mod saved;
mod silence;
mod staging;
mod stream;
mod unit;
mod vcpu;
mod withheld;

use crate::control::{FromNode, NodeConfig, ToNode, receive, send};
use crate::handing::Receiving;
use crate::link::Connections;
use crate::net::PortEnd;
use crate::vm::{Machine, MachineConfig};
use colo_protocol::NodeName;
use port::Port;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
pub use silence::patience_with_peer;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use thiserror::Error;

pub(crate) use driver::monotonic_us;

/// Why a node's process cannot go on.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The virtual machine.
    #[error(transparent)]
    Machine(#[from] crate::Error),
    /// The harness.
    #[error("the control channel: {0}")]
    Control(io::Error),
    /// The harness has gone: nobody needs this node any more.
    #[error("the harness has gone")]
    Orphaned,
    /// The disk could not be set up.
    #[error("the disk: {0}")]
    Disk(io::Error),
    /// The kernel does not confine the process.
    #[error("seccomp, without which no node runs: {0}; a kernel with CONFIG_SECCOMP_FILTER has it")]
    Confinement(#[from] seccompiler::Error),
    /// The guest.
    #[error("{0}")]
    Guest(String),
    /// Something that must not happen.
    #[error("{0}")]
    Internal(String),
}

/// The line to the harness.
struct Control {
    input: BufReader<Receiving>,
    output: UnixStream,
}

impl Control {
    fn connect(path: &Path) -> io::Result<Self> {
        let output = UnixStream::connect(path)?;
        let input = Receiving::new(output.try_clone()?);
        Ok(Self { input: BufReader::new(input), output })
    }

    fn tell(&mut self, message: &FromNode) -> Result<(), NodeError> {
        send(&mut self.output, message).map_err(|_| NodeError::Orphaned)
    }

    /// Waits for the next message.
    fn listen(&mut self) -> Result<ToNode, NodeError> {
        receive(&mut self.input).map_err(NodeError::Control)?.ok_or(NodeError::Orphaned)
    }

    /// What connects the node with its peer, as it was handed over with the last message.
    fn take_connections(&mut self, config: &NodeConfig) -> Result<Connections, NodeError> {
        let has_disk = config.disk.is_some();
        let handed = Connections::handed(&config.rules, has_disk, || self.input.get_mut().taken());
        handed.ok_or_else(|| NodeError::Internal("not all connections have been handed over".to_owned()))
    }

    /// The cable of the network card, if the machine has one and it was plugged in: handed over behind the connections.
    fn take_port(&mut self, config: &NodeConfig) -> Option<Port> {
        let card = config.workload.card()?;
        let end = PortEnd::new(self.input.get_mut().taken()?);
        Some(Port::new(end, card, config.rules.is_hybrid()))
    }

    /// Whether a message has been read from the socket already.
    fn has_buffered(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }

    /// The message that is there now, if one is; does not wait for one.
    fn overhear(&mut self) -> Result<Option<ToNode>, NodeError> {
        let mut polled = [PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN)];
        if self.has_buffered() || wait_for(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0 {
            return self.listen().map(Some);
        }
        Ok(None)
    }
}

/// Waits until one of them is ready, or the time is over; a signal may end it early. How many are ready.
fn wait_for(polled: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, NodeError> {
    match poll(polled, timeout) {
        Ok(ready) => Ok(ready),
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(NodeError::Internal(format!("poll: {error}"))),
    }
}

/// Runs a node that is told by the harness at `control` what to do, until the harness goes; with it goes the process,
/// whatever it is doing.
pub fn run_node(control: &Path, name: NodeName) -> Result<(), NodeError> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| NodeError::Internal(format!("PR_SET_PDEATHSIG: {error}")))?;
    // A harness that has gone before that is found out at the next word.
    let mut control = Control::connect(control).map_err(NodeError::Control)?;
    control.tell(&FromNode::Hello(name))?;
    let ToNode::Start(config) = control.listen()? else {
        return Err(NodeError::Internal("the harness did not begin with Start".to_owned()));
    };
    let result = run(&mut control, *config);
    match result {
        Err(NodeError::Orphaned) => Ok(()),
        Err(error) => {
            // If the harness has gone as well there is nobody left to tell.
            let _ = control.tell(&FromNode::Failed(error.to_string()));
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// Both sides of a first pair boot the same program: that is the initial state, and nothing of it has to be sent.
fn run(control: &mut Control, config: NodeConfig) -> Result<(), NodeError> {
    let mut machine = Machine::new(&MachineConfig {
        memory_mib: config.memory_mib,
        prefault: true,
        card: config.workload.card(),
    })?;
    if !config.joins {
        machine.boot(config.workload.guest.image(), &config.workload.parameters())?;
    }
    machine.forget_dirty()?;
    if !config.has_peer {
        let disk = disk::of_nobody(&config)?;
        let port = control.take_port(&config);
        return alone::run(control, machine, disk, port);
    }
    let mut connections = control.take_connections(&config)?;
    let port = control.take_port(&config);
    let disk = disk::of_pair(&config, &mut connections)?;
    let driver = driver::Driver::new(config, machine, connections, disk, port)?;
    // Before a byte of the peer has been looked at, or the guest has executed.
    confinement::confine()?;
    driver.run(control)
}
