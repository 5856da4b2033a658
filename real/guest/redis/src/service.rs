//! The service on its network: so many sockets that listen, and behind each that is taken a connection.
//!
//! It is moved by frames, one at a time, and by time. All that comes of a frame is given to the card before the next is looked
//! at: how connections and requests follow one another does not depend on how many frames wait.

use alloc::vec;
use alloc::vec::Vec;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};

use crate::command::Counters;
use crate::connection::{After, Connection};
use crate::limits::{Limits, RECEIVE_BYTES, TRANSMIT_BYTES};
use crate::store::Store;

/// A client of which nothing has been heard for so long is asked whether it is there,
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// and if it says nothing for so long its connection is over.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Time passes at least so much before the stack is looked at again though nothing has come, microseconds.
const LEAST_WAIT_US: u64 = 1_000;

/// Where the service is, and what it draws from.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// The card's address.
    pub hardware: [u8; 6],
    /// The address of the service.
    pub ip: Ipv4Address,
    /// Bits of its network's prefix.
    pub prefix_bits: u8,
    /// Its port.
    pub port: u16,
    /// All that is to look random is drawn from this.
    pub seed: u64,
}

/// The service.
pub struct Service {
    interface: Interface,
    sockets: SocketSet<'static>,
    places: Vec<Place>,
    port: u16,
    store: Store,
    counters: Counters,
}

/// A socket, and who has it.
struct Place {
    socket: SocketHandle,
    client: Client,
}

/// Who has a socket.
enum Client {
    /// Nobody yet.
    Expected,
    /// Somebody who asks and is answered.
    Served(Connection),
    /// Somebody to whom nothing is left to be said; TCP takes its time to end. When it has is a matter of time, and so nobody is
    /// told of it: two services that were given the same frames are to say the same.
    Gone,
}

impl Service {
    /// A service that knows nothing and that nobody has asked anything.
    ///
    /// # Panics
    /// If the address is none that a card, or a machine, can have.
    pub fn new(address: &Address, limits: &Limits, device: &mut impl Device, now_us: u64) -> Self {
        let hardware = HardwareAddress::Ethernet(EthernetAddress(address.hardware));
        let mut config = Config::new(hardware);
        config.random_seed = address.seed;
        let mut interface = Interface::new(config, device, instant(now_us));
        interface.update_ip_addrs(|addresses| {
            // There is room for one.
            let _ = addresses.push(IpCidr::new(address.ip.into(), address.prefix_bits));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let places = (0..limits.connections)
            .map(|_| Place { socket: sockets.add(socket()), client: Client::Expected })
            .collect();
        let mut service = Self {
            interface,
            sockets,
            places,
            port: address.port,
            store: Store::new(limits.store_bytes),
            counters: Counters::default(),
        };
        service.serve();
        service
    }

    /// Takes a frame from the card, if there is one and the card has room for what may be answered at once, does what it asks
    /// for, and gives to the card what is to be sent. Whether there was one.
    ///
    /// What the card had no room for is sent by [`send`](Self::send).
    pub fn take_frame(&mut self, now_us: u64, device: &mut impl Device) -> bool {
        let now = instant(now_us);
        let result = self.interface.poll_ingress_single(now, device, &mut self.sockets);
        if result == PollIngressSingleResult::None {
            return false;
        }
        self.send(now_us, device);
        true
    }

    /// Gives to the card what is to be sent now, until that is all or the card is full.
    pub fn send(&mut self, now_us: u64, device: &mut impl Device) {
        let now = instant(now_us);
        self.serve();
        while self.interface.poll_egress(now, device, &mut self.sockets) == PollResult::SocketStateChanged {}
        // What has been sent may have been the last of a connection.
        self.serve();
    }

    /// When there is something to be sent though nothing comes: later than now, or never.
    pub fn next_us(&mut self, now_us: u64) -> Option<u64> {
        let delay = self.interface.poll_delay(instant(now_us), &self.sockets)?;
        Some(now_us.saturating_add(delay.total_micros().max(LEAST_WAIT_US)))
    }

    /// What it has counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it keeps.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Lets every connection go on as far as it can.
    fn serve(&mut self) {
        for place in &mut self.places {
            let socket = self.sockets.get_mut::<Socket<'_>>(place.socket);
            place.go_on(socket, self.port, &mut self.store, &mut self.counters);
        }
    }
}

impl Place {
    /// Follows what has become of the socket.
    fn go_on(&mut self, socket: &mut Socket<'_>, port: u16, store: &mut Store, counters: &mut Counters) {
        if matches!(socket.state(), State::Closed | State::Listen | State::SynReceived) {
            if matches!(self.client, Client::Served(_)) {
                counters.connected_clients -= 1;
            }
            self.client = Client::Expected;
            return listen(socket, port);
        }
        if matches!(self.client, Client::Expected) {
            counters.connected_clients += 1;
            counters.total_connections_received += 1;
            self.client = Client::Served(Connection::new(counters.total_connections_received));
        }
        if let Client::Served(connection) = &mut self.client
            && exchange(socket, connection, store, counters) == After::Ends
        {
            counters.connected_clients -= 1;
            self.client = Client::Gone;
            socket.close();
        }
        if matches!(self.client, Client::Gone) {
            // What still comes is nobody's.
            while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|bytes| bytes > 0) {}
        }
    }
}

/// Listens, if it does not.
fn listen(socket: &mut Socket<'_>, port: u16) {
    // One that listens, or has just been found by somebody, says that it does. One that is closed can listen at any port but 0,
    // and at that there is no service.
    let _ = socket.listen(port);
}

/// Takes what has come, answers it, and hands over what is to be sent, as far as there is room; whether there will be more.
fn exchange(
    socket: &mut Socket<'_>,
    connection: &mut Connection,
    store: &mut Store,
    counters: &mut Counters,
) -> After {
    loop {
        let received = receive(socket, connection);
        connection.work(store, counters);
        let sent = socket.send_slice(connection.waiting()).unwrap_or(0);
        connection.sent(sent);
        if received == 0 && sent == 0 {
            break;
        }
    }
    let asks_no_more = !socket.may_recv() && connection.waiting().is_empty();
    if connection.is_over() || asks_no_more { After::Ends } else { After::Stays }
}

/// Hands what has come to the connection; how much that was.
fn receive(socket: &mut Socket<'_>, connection: &mut Connection) -> usize {
    let room = connection.room();
    let taken = socket.recv(|bytes| {
        let bytes = &bytes[..bytes.len().min(room)];
        connection.receive(bytes);
        (bytes.len(), bytes.len())
    });
    taken.unwrap_or(0)
}

/// A socket without anything that waits in the hope that more will come: what is to be sent is sent, so that two machines that
/// received the same send the same.
fn socket() -> Socket<'static> {
    let mut socket =
        Socket::new(SocketBuffer::new(vec![0; RECEIVE_BYTES]), SocketBuffer::new(vec![0; TRANSMIT_BYTES]));
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_timeout(Some(TIMEOUT));
    socket
}

/// A time as the stack has it.
fn instant(us: u64) -> Instant {
    Instant::from_micros(i64::try_from(us).unwrap_or(i64::MAX))
}
