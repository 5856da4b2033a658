//! A node's process as the harness sees it: started, told, listened to, and killed for real.

use super::options::PATIENCE;
use crate::arbiter::Told;
use crate::control::{FromNode, NodeConfig, ToNode, receive, send, send_with};
use crate::link::Connections;
use colo_protocol::NodeName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long a process may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a process that has closed its control channel may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node may take in nothing of what it is told, though nothing has stopped it: it hangs then. Meanwhile the
/// harness waits, so that it is no longer than clients wait for a reply.
const DEAF_FOR: Duration = PATIENCE;

/// The number of a process, of those that have not been heard to their end.
pub(crate) type Number = u32;

/// What the harness hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message of a node.
    Message(Number, FromNode),
    /// A node's control channel is closed: its process is gone.
    Gone(Number),
    /// A node says something that nobody understands.
    Garbled(Number, io::Error),
    /// The arbiter's answer to what a node has asked.
    Arbiter(Told),
}

/// The command that starts a node; the harness adds the control channel's path and the node's name.
#[derive(Clone, Debug)]
pub struct NodeCommand {
    /// The program.
    pub program: OsString,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

/// What the harness tells a node by.
#[derive(Debug)]
struct Channel {
    stream: UnixStream,
    /// Whether the node takes in what it is told.
    is_heard: bool,
}

impl Channel {
    fn new(stream: UnixStream, deaf_for: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(deaf_for))?;
        Ok(Self { stream, is_heard: true })
    }

    /// Tells the node something. One that takes in nothing is told nothing more: the first half of a message may be
    /// with it. A node that has just died is told of by its reader, and one that hangs by its clients.
    fn tell(&mut self, message: &ToNode) {
        if self.is_heard {
            self.is_heard = send(&mut self.stream, message).is_ok();
        }
    }

    /// The same, and hands it descriptors.
    fn hand(&mut self, message: &ToNode, handed: &[BorrowedFd<'_>]) {
        if self.is_heard {
            self.is_heard = send_with(&mut self.stream, message, handed).is_ok();
        }
    }
}

/// A process that is killed, and waited for, when this is dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        // It fails when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running node. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: NodeName,
    child: Running,
    control: Channel,
    alive: bool,
    /// Until when it stands still.
    paused_until: Option<Instant>,
}

impl Process {
    /// Starts a node, which connects to a socket in `directory` that is gone then, and a thread that listens to it.
    /// The node does not outlive the thread that calls this.
    pub(crate) fn start<E: From<Heard> + Send + 'static>(
        name: NodeName,
        command: &NodeCommand,
        directory: &Path,
        heard: Sender<E>,
    ) -> io::Result<Self> {
        let path = directory.join(name.name());
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let child = Command::new(&command.program)
            .args(&command.arguments)
            .arg("--control")
            .arg(&path)
            .arg("--name")
            .arg(name.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal is for the harness alone.
            .process_group(0)
            .spawn()?;
        let mut child = Running(child);
        let control = accept(&listener, &mut child.0);
        // Also if nobody came: another may be started in its place.
        std::fs::remove_file(&path)?;
        let control = control?;
        let reader = BufReader::new(control.try_clone()?);
        let control = Channel::new(control, DEAF_FOR)?;
        let number = child.0.id();
        std::thread::spawn(move || listen(number, reader, &heard));
        Ok(Self { name, child, control, alive: true, paused_until: None })
    }

    /// Tells the node something; a dead one hears nothing.
    pub(crate) fn tell(&mut self, message: &ToNode) {
        if self.alive {
            self.control.tell(message);
        }
    }

    /// Whether it would take in something small at once: one that stands still would not, for long.
    pub(crate) fn has_room(&self) -> bool {
        let mut polled = [PollFd::new(&self.control.stream, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// The same, and hands it its ends of what connects it with its peer.
    pub(crate) fn hand(&mut self, message: &ToNode, connections: &Connections) {
        if self.alive {
            self.control.hand(message, &connections.ends());
        }
    }

    /// It is the other side of a pair from now on.
    pub(crate) const fn becomes(&mut self, name: NodeName) {
        self.name = name;
    }

    /// Tells the node how to run: with its peer, if there is to be one, and with the cable of its machine's network card, if there is
    /// a network.
    pub(crate) fn configure(
        &mut self,
        config: NodeConfig,
        peer: Option<&Connections>,
        port: Option<&OwnedFd>,
    ) {
        debug_assert_eq!(config.name, self.name);
        let start = ToNode::Start(Box::new(NodeConfig { has_peer: peer.is_some(), ..config }));
        let handed: Vec<_> =
            peer.map(Connections::ends).into_iter().flatten().chain(port.map(AsFd::as_fd)).collect();
        if self.alive {
            self.control.hand(&start, &handed);
        }
    }

    /// Whether the harness has not killed it and has not heard of its death.
    pub(crate) const fn is_alive(&self) -> bool {
        self.alive
    }

    /// Stops the process with SIGSTOP, until [`Self::wake`] is called when the time is over.
    pub(crate) fn pause(&mut self, duration: Duration) {
        self.signal(Signal::STOP);
        self.paused_until = Some(Instant::now() + duration);
    }

    /// Waits until a pause has reached all threads of the process, or it has ended.
    pub(crate) fn wait_until_it_stands_still(&self) {
        if let Some(pid) = self.pid() {
            // What is found is left for whoever waits for its end. It fails when that has been waited for.
            let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(pid), options);
        }
    }

    /// Lets the process go on, with SIGCONT, if its pause is over.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.paused_until.take_if(|until| now >= *until).is_some() {
            self.signal(Signal::CONT);
        }
    }

    /// Whether it stands still: what is told to it may fill the channel.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It fails when the process has just ended: its reader tells.
            let _ = kill_process(pid, signal);
        }
    }

    /// The process's number, dead or alive.
    pub(crate) fn number(&self) -> Number {
        self.child.0.id()
    }

    /// The same, as the kernel has it: until it has been waited for, it is nobody else's.
    fn pid(&self) -> Option<Pid> {
        self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// The process's number, while it lives.
    pub(crate) fn id(&self) -> Option<u32> {
        self.alive.then(|| self.child.0.id())
    }

    /// Its name.
    pub(crate) const fn name(&self) -> NodeName {
        self.name
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.alive = false;
        self.child.kill();
    }

    /// How the process has ended that closed its control channel; it is gone then.
    pub(crate) fn ended(&mut self) -> String {
        let deadline = Instant::now() + END_TIMEOUT;
        while Instant::now() < deadline {
            match self.child.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(status)) => return format!("its process ended by itself ({status})"),
                Err(error) => return format!("its process cannot be waited for: {error}"),
            }
        }
        self.kill();
        "it closed its control channel, and did not end".to_owned()
    }
}

/// Passes on what a node says, to its end.
fn listen<E: From<Heard>>(number: Number, mut reader: BufReader<UnixStream>, heard: &Sender<E>) {
    let last = loop {
        match receive(&mut reader) {
            Ok(Some(message)) => {
                if heard.send(Heard::Message(number, message).into()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break Heard::Garbled(number, error),
            // A death may leave half a line, or reset the channel.
            Ok(None) | Err(_) => break Heard::Gone(number),
        }
    };
    // If the harness no longer listens there is nobody to tell.
    let _ = heard.send(last.into());
}

fn accept(listener: &UnixListener, child: &mut Child) -> io::Result<UnixStream> {
    let deadline = Instant::now() + HELLO_TIMEOUT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("the node's process ended at once: {status}")));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the node's process did not connect"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_takes_in_nothing_holds_the_harness_up_once() {
        let (stream, _never_read) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(stream, Duration::from_millis(50)).unwrap();
        let begun = Instant::now();
        (0..1 << 20).for_each(|_| channel.tell(&ToNode::GoOn));
        assert!(!channel.is_heard && begun.elapsed() < Duration::from_secs(10));
    }
}
