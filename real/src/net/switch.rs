//! An Ethernet switch in user space: a thread between the ports of one protected machine's nodes and those of its clients.
//! It learns where an address is from whoever sends from it, sends a frame there, and to everybody if it does not know.
//!
//! ```text
//!   port        who is at a port, and what has been counted there
//!   addresses   where which address is
//!   late        frames that arrive later than they came
//!   recent      frames that went to the service lately, and go there again when it has moved
//!   fabric      which way a frame goes
//! ```
//!
//! It takes no part in the protocol. What a node sends at a place of the guest's output that has come before it drops: that
//! is what a survivor's peers do with what they have already (`OutputReceiver`), and the clients of a machine know of no
//! places. It drops what it has no room for, as any network.

mod addresses;
mod fabric;
mod late;
mod port;
mod recent;

use super::faults::{Direction, FrameFaults};
use super::port::{PortEnd, SwitchEnd, connection};
use super::tap::Tap;
use super::waking::Waker;
use fabric::Fabric;
use port::Attachment;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

pub use fabric::FaultFigures;
pub use port::{PortFigures, Side};

/// Is told of each frame that passes between the service and its clients: when, which way, and what it is. What leaves
/// the service is seen before anything befalls it, what goes there after it.
pub type Observer = Box<dyn FnMut(Instant, Direction, &[u8]) + Send>;

/// What a switch has counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwitchFigures {
    /// Every port that there has been, in the order in which they came.
    pub ports: Vec<PortFigures>,
    /// What befell frames between the service and its clients.
    pub faults: FaultFigures,
    /// How often the service has been at another node than before.
    pub moves: u64,
    /// Frames that went to it again then.
    pub sent_again: u64,
}

impl SwitchFigures {
    /// Frames that came from a node at a place that had come before.
    pub fn duplicates(&self) -> u64 {
        self.ports.iter().map(|port| port.duplicates).sum()
    }

    /// Frames for which there was no room anywhere, or which were none by their length.
    pub fn dropped(&self) -> u64 {
        self.ports.iter().map(|port| port.dropped).sum::<u64>() + self.faults.no_room
    }
}

/// What the thread is told.
enum Command {
    Attach(Side, Attachment),
    Faults(FrameFaults),
    Observe(Observer),
    SendAgain(Duration),
    Tell(SyncSender<SwitchFigures>),
    End,
}

/// A switch that runs; it ends when it is dropped.
pub struct Switch {
    commands: Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").finish_non_exhaustive()
    }
}

impl Switch {
    /// A switch without ports, between whose clients and nodes this befalls frames.
    pub fn start(faults: FrameFaults) -> io::Result<Self> {
        let waker = Waker::new()?;
        let (commands, told) = channel();
        let fabric = Fabric::new(faults);
        let heard = waker.clone();
        let thread = Builder::new().name("switch".to_owned()).spawn(move || run(fabric, &told, &heard))?;
        Ok(Self { commands, waker, thread: Some(thread) })
    }

    /// A new port for a node of the protected machine: the end that is handed over to its process.
    pub fn node_port(&self) -> io::Result<OwnedFd> {
        self.port(Side::Node)
    }

    /// A new port for a client in this process.
    pub fn client_port(&self) -> io::Result<PortEnd> {
        self.port(Side::Client).map(PortEnd::new)
    }

    /// A new port at which a TAP device is a client.
    pub fn tap(&self, tap: Tap) -> io::Result<()> {
        self.tell(Command::Attach(Side::Client, Attachment::Tap(tap)))
    }

    /// From now on this befalls frames between the clients and the nodes.
    pub fn befall(&self, faults: FrameFaults) -> io::Result<()> {
        self.tell(Command::Faults(faults))
    }

    /// From now on this is told of each frame.
    pub fn observe(&self, observer: Observer) -> io::Result<()> {
        self.tell(Command::Observe(observer))
    }

    /// From now on the service, when it is at another node, gets again what went to it in the time before that is so long.
    /// Unless this is asked for, it is left to its clients to send again.
    pub fn send_again(&self, of_the_last: Duration) -> io::Result<()> {
        self.tell(Command::SendAgain(of_the_last))
    }

    /// What has been counted so far.
    pub fn figures(&self) -> io::Result<SwitchFigures> {
        let (answer, told) = sync_channel(1);
        self.tell(Command::Tell(answer))?;
        told.recv().map_err(|_| ended())
    }

    /// Ends it; an error is what it had ended with already.
    pub fn end(mut self) -> io::Result<()> {
        self.join()
    }

    fn port(&self, side: Side) -> io::Result<OwnedFd> {
        let (end, other) = connection()?;
        self.tell(Command::Attach(side, Attachment::Socket(SwitchEnd::new(other))))?;
        Ok(end)
    }

    fn tell(&self, command: Command) -> io::Result<()> {
        self.commands.send(command).map_err(|_| ended())?;
        self.waker.wake();
        Ok(())
    }

    fn join(&mut self) -> io::Result<()> {
        // It fails when the thread has ended already.
        let _ = self.tell(Command::End);
        let result = self.thread.take().map(JoinHandle::join);
        result.unwrap_or(Ok(Ok(()))).map_err(|_| ended())?
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `end`.
        let _ = self.join();
    }
}

fn ended() -> io::Error {
    io::Error::other("the switch has ended")
}

/// What the thread does until it is told to end.
fn run(mut fabric: Fabric, told: &Receiver<Command>, waker: &Waker) -> io::Result<()> {
    loop {
        fabric.wait(waker)?;
        waker.hear();
        loop {
            match told.try_recv() {
                Ok(Command::Attach(side, attachment)) => fabric.attach(side, attachment),
                Ok(Command::Faults(faults)) => fabric.faults = faults,
                Ok(Command::Observe(observer)) => fabric.observer = observer,
                Ok(Command::SendAgain(of_the_last)) => fabric.recent.keep_for(of_the_last),
                // Whoever has asked may be gone.
                Ok(Command::Tell(answer)) => drop(answer.send(fabric.figures())),
                Ok(Command::End) | Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => break,
            }
        }
        fabric.work();
    }
}

#[cfg(test)]
mod tests;
