//! Where clients reach the service without any right: a port of the loopback interface. Each connection that is accepted
//! there becomes one to the guest, made by a TCP/IP stack at a port of the switch, and bytes go both ways.
//!
//! What one end does the other sees: no more bytes (a half that is closed), a reset, and no room, which stops the sender. A
//! guest that refuses a connection has it reset, since the kernel has accepted it already.
//!
//! The stack (smoltcp 0.14) does not send the end of a half again if that frame is lost and three acknowledgements come
//! twice meanwhile: a client that says its last word while much is on its way, over a network that loses frames, may wait
//! for its guest for ever. What is sent it does send again.

mod pump;

use super::endpoints::Endpoint;
use super::port::PortEnd;
use super::stack::{Stack, StackPort};
use super::switch::Switch;
use super::waking::{Waker, interest, wait};
use pump::{Ending, Pump};
use rustix::event::{PollFd, PollFlags};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Connections that there are at the same time, at most; whoever comes beyond waits to be accepted.
const MOST: usize = 1024;

/// Connections that are over for the client, and of which the guest has not heard all, at most.
const MOST_ENDING: usize = 256;

/// The ports of the host from which the guest is connected to.
const OWN_PORTS: std::ops::Range<u16> = 49_152..65_535;

/// How long nobody is accepted, if there are too few descriptors.
const BREATH: Duration = Duration::from_millis(10);

/// Where a forwarder listens, and what for.
#[derive(Clone, Copy, Debug)]
pub struct ForwarderOptions {
    /// The port of the loopback interface; 0 picks one.
    pub listen: u16,
    /// Who the forwarder is in the guest's network.
    pub host: Endpoint,
    /// Where the service is: the guest's address, and a port.
    pub service: (Ipv4Addr, u16),
    /// What has to look random is drawn from this.
    pub seed: u64,
}

impl ForwarderOptions {
    /// To this port of the guest of the usual network, from a port that is picked.
    pub const fn to_port(port: u16) -> Self {
        Self { listen: 0, host: Endpoint::HOST, service: (Endpoint::GUEST.ip, port), seed: 0 }
    }
}

/// What a forwarder has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ForwarderFigures {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of those: that the guest refused.
    pub refused: u64,
    /// That the guest reset.
    pub reset_by_guest: u64,
    /// That the client reset.
    pub reset_by_client: u64,
    /// That both ended in peace.
    pub closed: u64,
}

/// What the thread and whoever has started it share.
#[derive(Debug, Default)]
struct Shared {
    figures: Mutex<ForwarderFigures>,
    is_over: AtomicBool,
}

/// A forwarder that runs; it ends when it is dropped, and with it all its connections.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Forwarder {
    /// A forwarder at a new port of this switch.
    pub fn start(switch: &Switch, options: ForwarderOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (shared, waker) = (Arc::new(Shared::default()), Waker::new()?);
        let thread = Thread::new(switch.client_port()?, listener, options, Arc::clone(&shared));
        let heard = waker.clone();
        let thread = Builder::new().name("forwarder".to_owned()).spawn(move || thread.run(&heard))?;
        Ok(Self { address, shared, waker, thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has been counted so far.
    pub fn figures(&self) -> ForwarderFigures {
        *self.shared.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; an error is what it had ended with already.
    pub fn end(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.waker.wake();
        let result = self.thread.take().map(JoinHandle::join);
        result.unwrap_or(Ok(Ok(()))).map_err(|_| io::Error::other("the forwarder has panicked"))?
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `end`.
        let _ = self.join();
    }
}

/// What the thread has.
struct Thread {
    listener: TcpListener,
    options: ForwarderOptions,
    stack: Stack,
    pumps: Vec<Pump>,
    /// Connections whose client is gone, until the guest has heard all.
    ending: Vec<SocketHandle>,
    next_port: u16,
    shared: Arc<Shared>,
}

impl Thread {
    fn new(end: PortEnd, listener: TcpListener, options: ForwarderOptions, shared: Arc<Shared>) -> Self {
        let stack = Stack::new(options.host, StackPort::client(end), options.seed);
        let next_port = OWN_PORTS.start;
        Self { listener, options, stack, pumps: Vec::new(), ending: Vec::new(), next_port, shared }
    }

    fn run(mut self, waker: &Waker) -> io::Result<()> {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.wait(waker)?;
            waker.hear();
            self.accept();
            // Until nothing has come, and nothing has moved.
            while self.stack.poll() | self.advance() {}
            self.bury();
        }
        Ok(())
    }

    /// Waits until a client or the guest has something, or room for something, or somebody comes.
    fn wait(&mut self, waker: &Waker) -> io::Result<()> {
        let at_most = self.stack.can_wait();
        let mut fds = vec![
            PollFd::new(waker, PollFlags::IN),
            PollFd::new(&self.stack.port.end, interest(self.stack.port.end.has_waiting())),
        ];
        if self.pumps.len() < MOST {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let first_pump = fds.len();
        let mut polled = Vec::new();
        for (number, pump) in self.pumps.iter().enumerate() {
            if let Some(interest) = pump.interest(self.stack.sockets.get(pump.handle())) {
                polled.push(number);
                fds.push(PollFd::from_borrowed_fd(pump.as_fd(), interest));
            }
        }
        wait(&mut fds, at_most)?;
        let broken = fds.iter().skip(first_pump).map(|fd| fd.revents().contains(PollFlags::ERR));
        let broken: Vec<bool> = broken.collect();
        drop(fds);
        for (number, is_broken) in polled.into_iter().zip(broken) {
            if let Some(pump) = self.pumps.get_mut(number) {
                pump.client_is_broken = is_broken;
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while self.pumps.len() < MOST {
            match self.listener.accept() {
                Ok((stream, _)) => self.connect(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Too few descriptors, perhaps: whoever wants something waits.
                Err(_) => return std::thread::sleep(BREATH),
            }
        }
    }

    /// Begins a connection to the guest for one that has been accepted; one for which that cannot be done is closed.
    fn connect(&mut self, stream: TcpStream) {
        self.count(|figures| figures.accepted += 1);
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            return;
        }
        let handle = self.stack.socket();
        let (address, port) = self.options.service;
        let own_port = self.own_port();
        match self.stack.connect(handle, (address.into(), port), own_port) {
            Ok(()) => self.pumps.push(Pump::new(stream, handle)),
            Err(_) => {
                self.stack.sockets.remove(handle);
            }
        }
    }

    /// A port from which no connection is.
    fn own_port(&mut self) -> u16 {
        let is_used = |port: u16| {
            let handles = self.pumps.iter().map(Pump::handle).chain(self.ending.iter().copied());
            let mut sockets = handles.map(|handle| self.stack.sockets.get::<Socket<'_>>(handle));
            sockets.any(|socket| socket.local_endpoint().is_some_and(|endpoint| endpoint.port == port))
        };
        let count = OWN_PORTS.len();
        let from = OWN_PORTS.skip(usize::from(self.next_port - OWN_PORTS.start)).chain(OWN_PORTS);
        // There are more ports than connections.
        let port = from.take(count).find(|port| !is_used(*port)).unwrap_or(OWN_PORTS.start);
        self.next_port = if port + 1 < OWN_PORTS.end { port + 1 } else { OWN_PORTS.start };
        port
    }

    /// Moves what can be moved; whether anything was.
    fn advance(&mut self) -> bool {
        let mut has_moved = false;
        let mut endings = Vec::new();
        self.pumps.retain_mut(|pump| {
            let (moved, ending) = pump.advance(self.stack.sockets.get_mut(pump.handle()));
            has_moved |= moved || ending.is_some();
            endings.extend(ending.map(|ending| (ending, pump.handle())));
            ending.is_none()
        });
        for (ending, handle) in endings {
            self.ending.push(handle);
            self.count(|figures| match ending {
                Ending::Closed => figures.closed += 1,
                Ending::Refused => figures.refused += 1,
                Ending::ResetByGuest => figures.reset_by_guest += 1,
                Ending::ResetByClient => figures.reset_by_client += 1,
            });
        }
        has_moved
    }

    /// Forgets connections of which the guest has heard all; and the oldest ones, if there are too many.
    fn bury(&mut self) {
        let too_many = self.ending.len().saturating_sub(MOST_ENDING);
        let mut number = 0;
        let sockets = &mut self.stack.sockets;
        self.ending.retain(|handle| {
            let state = sockets.get::<Socket<'_>>(*handle).state();
            let is_over = state == State::Closed || number < too_many;
            number += 1;
            if is_over {
                sockets.remove(*handle);
            }
            !is_over
        });
    }

    fn count(&self, count: impl FnOnce(&mut ForwarderFigures)) {
        count(&mut self.shared.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests;
