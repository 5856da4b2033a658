//! A TCP/IP stack in this process, at a port of the switch.

use super::endpoints::{Endpoint, PREFIX_BITS};
use super::frame::MAX_FRAME_BYTES;
use super::port::{PortEnd, Received};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use std::time::{Duration, Instant};

/// Bytes that a connection keeps in each direction.
const BUFFER_BYTES: usize = 1 << 16;

/// A stack, its connections, and the port where it is.
pub(super) struct Stack {
    pub(super) port: StackPort,
    interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    begun: Instant,
}

impl Stack {
    /// The stack that is this endpoint; what has to look random there is drawn from the seed.
    pub(super) fn new(endpoint: Endpoint, port: StackPort, seed: u64) -> Self {
        let mut port = port;
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(endpoint.mac.0)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut port, StackInstant::ZERO);
        let address = IpCidr::new(IpAddress::Ipv4(endpoint.ip), PREFIX_BITS);
        // It has room for one, and has none yet.
        interface.update_ip_addrs(|addresses| addresses.extend([address]));
        Self { port, interface, sockets: SocketSet::new(Vec::new()), begun: Instant::now() }
    }

    /// A new socket, which sends what it is given at once.
    pub(super) fn socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    /// The socket of this handle.
    #[cfg(test)]
    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Begins to connect a socket.
    pub(super) fn connect(
        &mut self,
        handle: SocketHandle,
        to: (IpAddress, u16),
        from: u16,
    ) -> Result<(), tcp::ConnectError> {
        let socket: &mut tcp::Socket<'_> = self.sockets.get_mut(handle);
        socket.connect(self.interface.context(), to, from)
    }

    /// Takes what has come and sends what is to be sent; whether anything was.
    pub(super) fn poll(&mut self) -> bool {
        self.port.end.flush();
        let now = self.now();
        self.interface.poll(now, &mut self.port, &mut self.sockets) == PollResult::SocketStateChanged
    }

    /// How long it can wait if nothing comes; without a bound if there is none.
    pub(super) fn can_wait(&mut self) -> Option<Duration> {
        let now = self.now();
        self.interface.poll_delay(now, &self.sockets).map(|delay| Duration::from_micros(delay.total_micros()))
    }

    /// Not the clock of the wall, which may be set.
    fn now(&self) -> StackInstant {
        let micros = self.begun.elapsed().as_micros();
        StackInstant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A port, as the stack sees it.
pub(super) struct StackPort {
    pub(super) end: PortEnd,
    buffer: Box<[u8; MAX_FRAME_BYTES]>,
    /// The place of the next frame in the guest's output, if this is a guest's stack.
    next_place: Option<u64>,
}

impl StackPort {
    /// A client's port: what it sends has no place.
    pub(super) fn client(end: PortEnd) -> Self {
        Self { end, buffer: Box::new([0; MAX_FRAME_BYTES]), next_place: None }
    }

    /// A guest's port, whose output goes on here.
    #[cfg(test)]
    pub(super) fn guest(end: PortEnd, next_place: u64) -> Self {
        Self { next_place: Some(next_place), ..Self::client(end) }
    }
}

impl Device for StackPort {
    type RxToken<'a> = FrameIn<'a>;
    type TxToken<'a> = FrameOut<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(FrameIn<'_>, FrameOut<'_>)> {
        let Received::Frame(bytes) = self.end.receive(self.buffer.as_mut_slice()) else { return None };
        let frame = self.buffer.get(..bytes)?;
        Some((FrameIn(frame), FrameOut { end: &mut self.end, next_place: &mut self.next_place }))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<FrameOut<'_>> {
        Some(FrameOut { end: &mut self.end, next_place: &mut self.next_place })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME_BYTES;
        capabilities
    }
}

/// A frame that has come.
pub(super) struct FrameIn<'a>(&'a [u8]);

impl phy::RxToken for FrameIn<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame that is to be sent.
pub(super) struct FrameOut<'a> {
    end: &'a mut PortEnd,
    next_place: &'a mut Option<u64>,
}

impl phy::TxToken for FrameOut<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, write: F) -> R {
        let mut frame = vec![0; bytes];
        let result = write(&mut frame);
        self.end.send(*self.next_place, &frame);
        *self.next_place = self.next_place.map(|place| place + 1);
        result
    }
}
