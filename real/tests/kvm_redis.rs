//! The guest with a TCP/IP stack of its own, in a real machine: clients that speak TCP to it, frame by frame.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use colo_real::abi;
use colo_real::net::Frame;
use colo_real::vm::{Doorbell, Exit, Guest, Machine, MachineConfig, Network, Workload};
use common::kvm_or_skip;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};

const CLIENT: Ipv4Address = Ipv4Address::new(10, 66, 0, 1);

fn workload() -> Workload {
    Workload { guest: Guest::Redis, pages_per_tick: 3, ..Workload::default() }
}

/// A machine with the service, which has found its card and waits.
fn machine() -> Machine {
    let config = MachineConfig { memory_mib: 16, prefault: false, card: workload().card() };
    let mut machine = Machine::new(&config).unwrap();
    machine.boot(workload().guest.image(), &workload().parameters()).unwrap();
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    assert!(!machine.has_work().unwrap());
    machine
}

/// Runs until there is nothing to do, and gives what was sent on the way; how often there was no room to send.
fn settle(machine: &mut Machine, sent: &mut Vec<Frame>) -> u64 {
    let mut full = 0;
    loop {
        let exit = machine.run().unwrap();
        machine.take_frames(sent).unwrap();
        match exit {
            Exit::Doorbell(Doorbell::CardFull) => full += 1,
            Exit::Doorbell(Doorbell::Idle) => {
                assert!(!machine.has_work().unwrap());
                return full;
            }
            exit => panic!("{exit:?}"),
        }
    }
}

/// The clients' card.
#[derive(Default)]
struct Wire {
    to_clients: VecDeque<Vec<u8>>,
    to_machine: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sent<'a>(&'a mut VecDeque<Vec<u8>>);

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

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sent<'_>)> {
        Some((Received(self.to_clients.pop_front()?), Sent(&mut self.to_machine)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        Some(Sent(&mut self.to_machine))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Clients in the machine's network, and how far they and the machine have come.
struct Clients {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    ports: u16,
    now: Instant,
    /// Everything that the machine was given and has sent.
    given: Vec<Vec<u8>>,
    sent: Vec<Frame>,
    /// How often the machine had no room to send.
    full: u64,
}

impl Clients {
    fn new() -> Self {
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 1])));
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(CLIENT.into(), 24)).unwrap());
        let sockets = SocketSet::new(Vec::new());
        Self {
            wire,
            interface,
            sockets,
            ports: 0,
            now: Instant::ZERO,
            given: Vec::new(),
            sent: Vec::new(),
            full: 0,
        }
    }

    fn connect(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 60_000]);
        let mut socket = Socket::new(buffer(), buffer());
        self.ports += 1;
        let Network { address, port, .. } = workload().network;
        socket.connect(self.interface.context(), (address, port), 40_000 + self.ports).unwrap();
        self.sockets.add(socket)
    }

    fn socket(&mut self, client: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(client)
    }

    /// Clients and machine go on until neither has anything to say; then a millisecond passes, for both.
    fn step(&mut self, machine: &mut Machine) {
        loop {
            let result = self.interface.poll(self.now, &mut self.wire, &mut self.sockets);
            while let Some(frame) = self.wire.to_machine.pop_front() {
                assert!(machine.put_frame(&frame).unwrap(), "there is no room to receive");
                self.given.push(frame);
            }
            let from = self.sent.len();
            if machine.has_work().unwrap() {
                self.full += settle(machine, &mut self.sent);
            }
            self.wire.to_clients.extend(self.sent[from..].iter().map(|frame| frame.to_vec()));
            if result == PollResult::None && self.sent.len() == from {
                break;
            }
        }
        self.now += smoltcp::time::Duration::from_millis(1);
        machine.pass_time(Duration::from_millis(1)).unwrap();
    }

    /// Asks on each of these connections, and waits for the answers, which are as long as these.
    fn ask(&mut self, machine: &mut Machine, clients: &[SocketHandle], request: &str, expected: &[&str]) {
        let mut rest = vec![request.as_bytes(); clients.len()];
        let mut answers = vec![Vec::new(); clients.len()];
        for _ in 0..5_000 {
            for (n, &client) in clients.iter().enumerate() {
                let socket = self.socket(client);
                if socket.may_send() {
                    rest[n] = &rest[n][socket.send_slice(rest[n]).unwrap()..];
                }
                while socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), answers[n].extend_from_slice(bytes))).unwrap();
                }
            }
            if answers.iter().zip(expected).all(|(answer, expected)| answer.len() >= expected.len()) {
                break;
            }
            self.step(machine);
        }
        for (answer, expected) in answers.iter().zip(expected) {
            let answer = String::from_utf8_lossy(answer);
            // Of the longest the beginning says enough.
            assert!(answer == *expected, "{} bytes: {answer:.200}", answer.len());
        }
    }
}

#[test]
fn a_client_speaks_with_the_service_over_tcp_and_leaves() {
    if !kvm_or_skip("a_client_speaks_with_the_service_over_tcp_and_leaves") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    let client = clients.connect();
    let requests = "PING\r\nSET k hello\r\nGET k\r\nINCR n\r\nINCR n\r\n";
    clients.ask(&mut machine, &[client], requests, &["+PONG\r\n+OK\r\n$5\r\nhello\r\n:1\r\n:2\r\n"]);
    clients.ask(&mut machine, &[client], "QUIT\r\n", &["+OK\r\n"]);
    clients.socket(client).close();
    clients.step(&mut machine);
    assert_eq!(clients.socket(client).state(), State::Closed);
}

/// What a checkpoint has of a connection is all of it: the other machine goes on in it, and does not count another.
#[test]
fn a_connection_goes_on_in_another_machine() {
    if !kvm_or_skip("a_connection_goes_on_in_another_machine") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    let client = clients.connect();
    clients.ask(&mut machine, &[client], "INCR n\r\n", &[":1\r\n"]);
    for round in 2..8 {
        let config = MachineConfig { memory_mib: 16, prefault: false, card: workload().card() };
        let mut other = Machine::new(&config).unwrap();
        for page in 0..machine.memory().pages() {
            other.write_page(page, machine.page(page).unwrap()).unwrap();
        }
        let mut state = machine.state();
        machine.save(&mut state).unwrap();
        other.restore(&state).unwrap();
        machine = other;
        clients.ask(&mut machine, &[client], "INCR n\r\n", &[&format!(":{round}\r\n")]);
    }
    let stats = "# Stats\r\ntotal_connections_received:1\r\ntotal_commands_processed:8\r\n";
    let stats = format!("${}\r\n{stats}\r\n", stats.len());
    clients.ask(&mut machine, &[client], "INFO stats\r\n", &[&stats]);
}

/// More comes of frames that lie together in the queue than there is room for.
#[test]
fn a_full_card_is_emptied_and_nothing_is_lost() {
    if !kvm_or_skip("a_full_card_is_emptied_and_nothing_is_lost") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    let connections: Vec<_> = (0..12).map(|_| clients.connect()).collect();
    let value = "v".repeat(60_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000\r\n{value}\r\n");
    clients.ask(&mut machine, &connections[..1], &set, &["+OK\r\n"]);
    let got = format!("$60000\r\n{value}\r\n").repeat(2);
    clients.ask(&mut machine, &connections, "GET k\r\nGET k\r\n", &[got.as_str(); 12]);
    assert!(clients.full > 0, "the card was never full");
}

/// The other machine is given them all at once, or one by one: what it sends is the same, to the byte.
#[test]
fn a_machine_that_is_given_the_same_frames_sends_the_same() {
    if !kvm_or_skip("a_machine_that_is_given_the_same_frames_sends_the_same") {
        return;
    }
    let (mut first, mut clients) = (machine(), Clients::new());
    let connections: Vec<_> = (0..8).map(|_| clients.connect()).collect();
    let answer = "+PONG\r\n".repeat(5);
    clients.ask(&mut first, &connections, &"PING\r\n".repeat(5), &[answer.as_str(); 8]);
    clients.step(&mut first);
    for at_once in [1, 7, 50] {
        let (mut second, mut sent) = (machine(), Vec::new());
        for frames in clients.given.chunks(at_once) {
            for frame in frames {
                assert!(second.put_frame(frame).unwrap());
            }
            settle(&mut second, &mut sent);
        }
        assert!(sent == clients.sent, "{at_once} at once");
    }
}

/// There is no C library in the machine to move and compare bytes: the guest has its own.
#[test]
fn keys_by_the_hundred_are_kept_and_found_again() {
    if !kvm_or_skip("keys_by_the_hundred_are_kept_and_found_again") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    let client = clients.connect();
    // In no order, with beginnings that many share and lengths that differ.
    let keys: Vec<String> = (0..600).map(|n| "k".repeat(n % 7) + &(n * 379 % 601).to_string()).collect();
    let lines = |command: fn(&String) -> String| keys.iter().map(command).collect::<Vec<_>>().concat();
    let set = lines(|key| format!("SET {key} <{key}>\r\n"));
    clients.ask(&mut machine, &[client], &set, &[&"+OK\r\n".repeat(keys.len())]);
    let got = lines(|key| format!("${}\r\n<{key}>\r\n", key.len() + 2));
    clients.ask(&mut machine, &[client], &lines(|key| format!("GET {key}\r\n")), &[&got]);
    let distinct = keys.iter().collect::<std::collections::BTreeSet<_>>().len();
    clients.ask(&mut machine, &[client], "DBSIZE\r\n", &[&format!(":{distinct}\r\n")]);
    clients.ask(
        &mut machine,
        &[client],
        &lines(|key| format!("DEL {key}\r\n")),
        &[&":1\r\n".repeat(distinct)],
    );
    clients.ask(&mut machine, &[client], "DBSIZE\r\n", &[":0\r\n"]);
}

#[test]
fn behind_a_reset_the_service_knows_nothing_and_serves() {
    if !kvm_or_skip("behind_a_reset_the_service_knows_nothing_and_serves") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    for _ in 0..3 {
        let client = clients.connect();
        clients.ask(&mut machine, &[client], "DBSIZE\r\nINCR n\r\nDBSIZE\r\n", &[":0\r\n:1\r\n:1\r\n"]);
        machine.reset(workload().guest.image(), &workload().parameters()).unwrap();
        assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
        clients.socket(client).abort();
        clients.step(&mut machine);
    }
}

#[test]
fn ticks_are_worked_off_and_leave_the_service_as_it_was() {
    if !kvm_or_skip("ticks_are_worked_off_and_leave_the_service_as_it_was") {
        return;
    }
    let (mut machine, mut clients) = (machine(), Clients::new());
    let client = clients.connect();
    for round in 1..200 {
        machine.tick().unwrap();
        assert!(machine.has_work().unwrap());
        clients.ask(&mut machine, &[client], "INCR n\r\n", &[&format!(":{round}\r\n")]);
    }
    let mut pages = Vec::new();
    machine.harvest(&mut pages).unwrap();
    machine.tick().unwrap();
    settle(&mut machine, &mut clients.sent);
    machine.harvest(&mut pages).unwrap();
    // The writer has the lower quarter of the working area, and has gone on from where it was.
    let first = abi::WORK / abi::PAGE_BYTES;
    let of_writer = first..first + (machine.memory().pages() - first) / 4;
    assert_eq!(pages.iter().filter(|page| of_writer.contains(page)).count(), 3, "{pages:?}");
}
