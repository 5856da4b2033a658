//! A network in memory: the service at one end, a client's stack at the other, and between them a wire on which frames are lost, doubled and late.
//! Time passes only where the test says so.

use colo_guest_redis::{Address, Limits, Service};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};
use std::collections::VecDeque;

pub(crate) const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
pub(crate) const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
pub(crate) const PORT: u16 = 6379;

/// A card: frames that have come, and frames that are to go, of which there is room for so many.
pub(crate) struct Card {
    pub(crate) incoming: VecDeque<Vec<u8>>,
    pub(crate) outgoing: VecDeque<Vec<u8>>,
    pub(crate) room: usize,
}

impl Card {
    pub(crate) fn new(room: usize) -> Self {
        Self { incoming: VecDeque::new(), outgoing: VecDeque::new(), room }
    }
}

pub(crate) struct Received(Vec<u8>);
pub(crate) struct Sent<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received, Sent<'_>)> {
        if self.outgoing.len() >= self.room {
            return None;
        }
        let frame = self.incoming.pop_front()?;
        Some((Received(frame), self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        (self.outgoing.len() < self.room).then_some(Sent(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// What befalls frames on the wire: drawn, each so often of a hundred times.
pub(crate) struct Faults {
    drawn: u64,
    lost: u64,
    doubled: u64,
    late: u64,
    /// How often something has.
    pub(crate) befallen: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64, lost: u64, doubled: u64, late: u64) -> Self {
        Self { drawn: seed, lost, doubled, late, befallen: 0 }
    }

    pub(crate) fn none() -> Self {
        Self::new(0, 0, 0, 0)
    }

    fn befalls(&mut self, of_100: u64) -> bool {
        self.drawn =
            self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let befalls = (self.drawn >> 33) % 100 < of_100;
        self.befallen += u64::from(befalls);
        befalls
    }

    /// Carries a frame to the end of a queue, or before the last that is there.
    fn carry(&mut self, frame: Vec<u8>, queue: &mut VecDeque<Vec<u8>>) {
        if self.befalls(self.lost) {
            return;
        }
        if self.befalls(self.doubled) {
            queue.push_back(frame.clone());
        }
        queue.push_back(frame);
        if queue.len() > 1 && self.befalls(self.late) {
            queue.swap(queue.len() - 1, queue.len() - 2);
        }
    }
}

pub(crate) struct Network {
    pub(crate) service: Service,
    pub(crate) card: Card,
    pub(crate) now_us: u64,
    pub(crate) faults: Faults,
    /// Every frame that the service was given, with when, and every one that it sent.
    pub(crate) given: Vec<(u64, Vec<u8>)>,
    pub(crate) taken: Vec<Vec<u8>>,
    interface: Interface,
    client: Card,
    sockets: SocketSet<'static>,
    next_port: u16,
}

pub(crate) fn address(seed: u64) -> Address {
    Address { hardware: [2, 0, 0, 0, 0, 2], ip: SERVER, prefix_bits: 24, port: PORT, seed }
}

pub(crate) fn limits(connections: usize) -> Limits {
    Limits { connections, store_bytes: 1 << 20 }
}

impl Network {
    pub(crate) fn new(limits: &Limits, room: usize, faults: Faults) -> Self {
        let mut card = Card::new(room);
        let service = Service::new(&address(7), limits, &mut card, 0);
        let mut client = Card::new(1 << 20);
        let hardware = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 1]));
        let mut config = Config::new(hardware);
        config.random_seed = 1;
        let mut interface = Interface::new(config, &mut client, Instant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(CLIENT.into(), 24)).unwrap());
        let sockets = SocketSet::new(Vec::new());
        Self {
            service,
            card,
            now_us: 0,
            faults,
            given: Vec::new(),
            taken: Vec::new(),
            interface,
            client,
            sockets,
            next_port: 40_000,
        }
    }

    /// A client that connects; it has not yet.
    pub(crate) fn connect(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 64 << 10]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        self.next_port += 1;
        socket.connect(self.interface.context(), (SERVER, PORT), self.next_port).unwrap();
        self.sockets.add(socket)
    }

    pub(crate) fn socket(&mut self, client: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(client)
    }

    pub(crate) fn state(&mut self, client: SocketHandle) -> State {
        self.socket(client).state()
    }

    /// Everything goes to and fro at this time, until nothing does; then a millisecond passes.
    pub(crate) fn step(&mut self) {
        loop {
            let moved = self.clients_move() | self.service_moves();
            if !moved {
                break;
            }
        }
        self.now_us += 1_000;
    }

    fn clients_move(&mut self) -> bool {
        let now = Instant::from_micros(i64::try_from(self.now_us).unwrap());
        let result = self.interface.poll(now, &mut self.client, &mut self.sockets);
        while let Some(frame) = self.client.outgoing.pop_front() {
            self.faults.carry(frame, &mut self.card.incoming);
        }
        result == PollResult::SocketStateChanged
    }

    fn service_moves(&mut self) -> bool {
        let mut moved = false;
        while let Some(frame) = self.card.incoming.front() {
            let given = (self.now_us, frame.clone());
            if self.service.take_frame(self.now_us, &mut self.card) {
                self.given.push(given);
            }
            moved |= self.deliver();
        }
        self.service.send(self.now_us, &mut self.card);
        moved | self.deliver()
    }

    /// The card's frames go to the clients, and the card is asked for more, until there is none.
    fn deliver(&mut self) -> bool {
        let mut moved = false;
        while !self.card.outgoing.is_empty() {
            moved = true;
            while let Some(frame) = self.card.outgoing.pop_front() {
                self.taken.push(frame.clone());
                self.faults.carry(frame, &mut self.client.incoming);
            }
            self.service.send(self.now_us, &mut self.card);
        }
        moved
    }

    /// Steps until something is so.
    pub(crate) fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = self.now_us + 600_000_000;
        while !holds(self) {
            assert!(self.now_us < deadline, "ten minutes have passed");
            self.step();
        }
    }

    /// Sends all of it on a client's connection, and waits for so many bytes of answer.
    pub(crate) fn ask(&mut self, client: SocketHandle, request: &[u8], bytes: usize) -> Vec<u8> {
        let (mut rest, mut answer) = (request, Vec::new());
        self.until(|network| {
            let socket = network.socket(client);
            if socket.may_send() {
                rest = &rest[socket.send_slice(rest).unwrap()..];
            }
            if socket.can_recv() {
                socket
                    .recv(|bytes| {
                        answer.extend_from_slice(bytes);
                        (bytes.len(), ())
                    })
                    .unwrap();
            }
            rest.is_empty() && answer.len() >= bytes
        });
        answer
    }
}
