//! From a client of the kernel to a guest behind the switch and back, whatever befalls frames between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::net::faults::FrameFaults;
use crate::net::test_guest::{DEAF, ECHO, GOODBYE, RESET, TestGuest};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

/// How long something is waited for that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

struct Net {
    forwarder: Forwarder,
    switch: Switch,
    guest: TestGuest,
}

impl Net {
    fn new(faults: &str, port: u16) -> Self {
        let faults: FrameFaults = faults.parse().unwrap();
        let switch = Switch::start(faults).unwrap();
        let guest = TestGuest::start(&switch);
        let forwarder = Forwarder::start(&switch, ForwarderOptions::to_port(port)).unwrap();
        Self { forwarder, switch, guest }
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.forwarder.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What the forwarder has counted, once it is this.
    fn counts(&self, expected: ForwarderFigures) {
        let until = Instant::now() + PATIENCE;
        while self.forwarder.figures() != expected && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.forwarder.figures(), expected);
    }
}

/// Bytes of which none can be taken for another.
fn bytes(count: usize) -> Vec<u8> {
    (0..count / 4).flat_map(|number| u32::try_from(number).unwrap().to_le_bytes()).collect()
}

/// Sends bytes, reads as many back, closes, and says whether it was the same.
fn echoes_before_it_ends(mut stream: TcpStream, sent: &[u8]) -> bool {
    let mut sender = stream.try_clone().unwrap();
    let mut came = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(sent).unwrap());
        stream.read_exact(&mut came).unwrap();
    });
    stream.shutdown(Shutdown::Write).unwrap();
    came == sent && stream.read(&mut [0]).unwrap() == 0
}

/// Sends bytes and closes, reads all that comes back, and says whether it is the same.
fn echoes(mut stream: TcpStream, sent: &[u8]) -> bool {
    let mut sender = stream.try_clone().unwrap();
    let mut came = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(sent).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut came).unwrap();
    });
    came == sent
}

#[test]
fn what_a_client_sends_comes_back_and_both_end_in_peace() {
    let net = Net::new("none", ECHO);
    assert!(net.forwarder.address().ip().is_loopback());
    for count in [0, 4, 1 << 22] {
        assert!(echoes(net.client(), &bytes(count)), "{count} bytes");
    }
    net.counts(ForwarderFigures { accepted: 3, closed: 3, ..ForwarderFigures::default() });
}

#[test]
fn a_question_is_answered_though_nothing_is_closed() {
    let net = Net::new("none", ECHO);
    let mut client = net.client();
    for number in 0..1000_u32 {
        client.write_all(&number.to_le_bytes()).unwrap();
        let mut came = [0; 4];
        client.read_exact(&mut came).unwrap();
        assert_eq!(u32::from_le_bytes(came), number);
    }
}

#[test]
fn several_connections_at_the_same_time_do_not_disturb_each_other() {
    let net = Net::new("none", ECHO);
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let client = net.client();
            scope.spawn(move || assert!(echoes(client, &bytes(number << 16))));
        }
    });
    net.counts(ForwarderFigures { accepted: 8, closed: 8, ..ForwarderFigures::default() });
}

#[test]
fn a_network_that_loses_doubles_delays_and_reorders_frames_loses_no_byte() {
    let net = Net::new("loss=1%,delay=1..3ms@10%,duplicate=2%,reorder=2%,seed=7", ECHO);
    assert!(echoes_before_it_ends(net.client(), &bytes(1 << 18)));
    let faults = net.switch.figures().unwrap().faults;
    let befell = [faults.lost, faults.delayed, faults.doubled, faults.overtaken];
    assert!(befell.iter().all(|count| *count > 0), "{faults:?}");
}

#[test]
fn a_guest_that_has_said_all_can_still_be_told_something() {
    let net = Net::new("none", GOODBYE);
    let mut client = net.client();
    let mut said = Vec::new();
    client.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"goodbye");
    client.write_all(&bytes(1 << 20)).unwrap();
    assert_eq!(net.forwarder.figures().closed, 0, "the client has not ended");
    drop(client);
    net.counts(ForwarderFigures { accepted: 1, closed: 1, ..ForwarderFigures::default() });
}

#[test]
fn a_connection_that_the_guest_resets_or_refuses_is_reset() {
    let net = Net::new("none", RESET);
    let mut client = net.client();
    client.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    net.counts(ForwarderFigures { accepted: 1, reset_by_guest: 1, ..ForwarderFigures::default() });
    let net = Net::new("none", 4444);
    let mut client = net.client();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    net.counts(ForwarderFigures { accepted: 1, refused: 1, ..ForwarderFigures::default() });
}

#[test]
fn a_connection_that_the_client_resets_is_reset_at_the_guest() {
    let net = Net::new("none", ECHO);
    for _ in 0..20 {
        // More often than the guest has sockets: each is free again.
        let mut client = net.client();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        set_linger_zero(&client);
        drop(client);
    }
    net.counts(ForwarderFigures { accepted: 20, reset_by_client: 20, ..ForwarderFigures::default() });
}

fn set_linger_zero(client: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_guest_that_takes_nothing_stops_its_client() {
    let net = Net::new("none", DEAF);
    let mut client = net.client();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let piece = vec![0; 1 << 16];
    let pieces = std::iter::from_fn(|| client.write_all(&piece).ok()).take(1 << 10).count();
    assert!(pieces < 1 << 10, "64 MiB are kept nowhere");
    // It is waited for without work, and its reset is heard all the same.
    set_linger_zero(&client);
    drop(client);
    net.counts(ForwarderFigures { accepted: 1, reset_by_client: 1, ..ForwarderFigures::default() });
}

#[test]
fn a_forwarder_that_ends_resets_its_connections() {
    let net = Net::new("none", ECHO);
    let mut client = net.client();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    let Net { forwarder, switch, guest } = net;
    forwarder.end().unwrap();
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
    drop((guest, switch));
}
