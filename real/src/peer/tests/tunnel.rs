//! A tunnel carries what a socket would: all bytes, both ends, and that it was lost.

use super::{configs, eventually};
use crate::link::{Link, LinkKind, Moved};
use crate::peer::channel::{Channel, wait};
use crate::peer::secure::{Raw, Secure};
use crate::peer::tunnel::Tunnel;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags};
use std::io::{IoSlice, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

/// A connection over TLS: both ends as their nodes get them.
fn tunnels(kind: LinkKind) -> [(Link, Tunnel); 2] {
    secured(kind).map(|secure| {
        let (end, tunnel) = Channel::Secure(Box::new(secure)).into_end().unwrap();
        (end, tunnel.unwrap())
    })
}

/// The same before there is a tunnel at either end.
fn secured(kind: LinkKind) -> [Secure; 2] {
    let [ours, theirs] = configs();
    let [here, there] = Link::sockets(kind).unwrap();
    let mut both =
        [Secure::new(here, ours.connecting().unwrap()), Secure::new(there, theirs.listening().unwrap())];
    while both.iter().any(|one| one.tls.is_handshaking()) {
        for one in &mut both {
            assert_eq!(one.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        }
    }
    both
}

fn byte(place: usize) -> u8 {
    // Not a power of two, so that a portion that is lost or repeated shows.
    u8::try_from(place % 251).unwrap()
}

/// Moves bytes when there are some, or there is room for some.
fn moved(link: &Link, for_what: PollFlags, mut deed: impl FnMut() -> Moved) -> usize {
    loop {
        match deed() {
            Moved::Bytes(count) => return count,
            Moved::WouldBlock => wait(&mut [PollFd::new(link, for_what)], Duration::from_secs(9)).unwrap(),
            Moved::Gone => panic!("it is gone"),
        }
    }
}

/// Writes so many bytes behind these, waiting for room. How many have been written when the other end is gone.
fn write(link: &mut Link, from: usize, count: usize) -> usize {
    let mut written = 0;
    while written < count {
        let portion: Vec<u8> = (from + written..from + count).take(1 << 16).map(byte).collect();
        match link.write(&[IoSlice::new(&portion)]) {
            Moved::Bytes(moved) => written += moved,
            Moved::WouldBlock => thread::sleep(Duration::from_micros(50)),
            Moved::Gone => break,
        }
    }
    written
}

/// Reads to the end. How many bytes, each of which is the one that is due.
fn read_to_end(link: &mut Link) -> usize {
    let mut buffer = vec![0; 1 << 16];
    let mut read = 0;
    loop {
        match link.read(&mut buffer) {
            Moved::Bytes(count) => {
                assert!(
                    buffer[..count].iter().enumerate().all(|(at, got)| *got == byte(read + at)),
                    "behind {read}"
                );
                read += count;
            }
            Moved::WouldBlock => thread::sleep(Duration::from_micros(50)),
            Moved::Gone => return read,
        }
    }
}

/// What one node does, in this order; in the end it writes no more.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Write(usize),
    Rest(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let write = prop_oneof![1..200_usize, 1000..40_000_usize, 100_000..700_000_usize].prop_map(Deed::Write);
    prop::collection::vec(prop_oneof![3 => write, 1 => (0..3_u64).prop_map(Deed::Rest)], 0..12)
}

fn carry_out(link: &mut Link, deeds: &[Deed]) -> usize {
    let mut written = 0;
    for deed in deeds {
        match *deed {
            Deed::Write(count) => written += write(link, written, count),
            Deed::Rest(millis) => thread::sleep(Duration::from_millis(millis)),
        }
    }
    link.shut_down(Shutdown::Write);
    written
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_both_nodes_write_arrives_as_it_was_written_and_then_its_end(here in deeds(), there in deeds(), kind in prop_oneof![Just(LinkKind::Unix), Just(LinkKind::Tcp)]) {
        let [(near, near_tunnel), (far, far_tunnel)] = tunnels(kind);
        let counts = thread::scope(|scope| {
            let ends = [(&near, here), (&far, there)].map(|(end, deeds)| {
                let [mut writing, mut reading] = [end.another(), end.another()];
                let written = scope.spawn(move || carry_out(&mut writing, &deeds));
                (written, scope.spawn(move || read_to_end(&mut reading)))
            });
            ends.map(|(written, read)| [written, read].map(|thread| thread.join().unwrap()))
        });
        let [[here_written, here_read], [there_written, there_read]] = counts;
        prop_assert_eq!((here_written, there_written), (there_read, here_read));
        eventually(|| near_tunnel.is_over() && far_tunnel.is_over());
    }
}

#[test]
fn behind_an_end_the_other_direction_goes_on() {
    let [(mut near, near_tunnel), (mut far, far_tunnel)] = tunnels(LinkKind::Tcp);
    near.shut_down(Shutdown::Write);
    assert_eq!(read_to_end(&mut far), 0);
    assert!(!near_tunnel.is_over() && !far_tunnel.is_over());
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(carry_out(&mut far, &[Deed::Write(3_000_000)]), 3_000_000));
        assert_eq!(read_to_end(&mut near), 3_000_000);
    });
    eventually(|| near_tunnel.is_over() && far_tunnel.is_over());
}

#[test]
fn what_a_node_has_said_last_arrives_though_it_has_gone_and_hears_nothing() {
    for _ in 0..8 {
        let [(mut near, near_tunnel), (mut far, far_tunnel)] = tunnels(LinkKind::Tcp);
        thread::scope(|scope| {
            let mut sending = far.another();
            // It stops when the node that reads nothing has gone.
            scope.spawn(move || while write(&mut sending, 0, 1 << 16) > 0 {});
            assert_eq!(write(&mut near, 0, 3_000_000), 3_000_000);
            drop(near);
            assert_eq!(read_to_end(&mut far), 3_000_000);
            far.shut_down(Shutdown::Both);
        });
        eventually(|| near_tunnel.is_over() && far_tunnel.is_over());
    }
}

/// A node's end of a tunnel, the tunnel, and the other end as a peer has it who does what it likes.
fn with_peer() -> (Link, Tunnel, Secure) {
    let [near, far] = secured(LinkKind::Tcp);
    let (end, tunnel) = Channel::Secure(Box::new(near)).into_end().unwrap();
    (end, tunnel.unwrap(), far)
}

/// Sends so many bytes, as a peer does.
fn send(peer: &mut Secure, count: usize) {
    let bytes: Vec<u8> = (0..count).map(byte).collect();
    let mut sent = 0;
    while sent < count {
        sent += peer.write(&bytes[sent..]).unwrap();
    }
    while !peer.flush().unwrap() {}
}

fn is_lost(near: &mut Link, tunnel: &Tunnel) {
    eventually(|| tunnel.is_over());
    assert_eq!(near.read(&mut [0; 1]), Moved::Gone);
    assert_eq!(near.write(&[IoSlice::new(b"x")]), Moved::Gone);
}

#[test]
fn a_link_that_ends_without_a_word_is_lost_both_ways_behind_what_had_come() {
    let (mut near, tunnel, mut peer) = with_peer();
    send(&mut peer, 100_000);
    rustix::net::shutdown(&peer.socket, rustix::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut near), 100_000);
    is_lost(&mut near, &tunnel);
    let end = peer.read(&mut [0; 1]).unwrap_err();
    assert_ne!(end.kind(), std::io::ErrorKind::WouldBlock, "nor can the peer go on");
}

#[test]
fn a_reset_loses_the_link_both_ways() {
    let (mut near, tunnel, mut peer) = with_peer();
    send(&mut peer, 1000);
    rustix::net::sockopt::set_socket_linger(&peer.socket, Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert!(read_to_end(&mut near) <= 1000);
    is_lost(&mut near, &tunnel);
}

#[test]
fn a_reset_is_noticed_when_nothing_is_to_be_read() {
    let (mut near, tunnel, mut peer) = with_peer();
    peer.end();
    assert_eq!(read_to_end(&mut near), 0);
    rustix::net::sockopt::set_socket_linger(&peer.socket, Some(Duration::ZERO)).unwrap();
    drop(peer);
    is_lost(&mut near, &tunnel);
}

#[test]
fn a_byte_that_was_changed_on_the_way_loses_the_link_and_nothing_of_its_record_arrives() {
    let (mut near, tunnel, mut peer) = with_peer();
    send(&mut peer, 50_000);
    peer.tls.writer().write_all(b"these do not arrive").unwrap();
    let mut record = Vec::new();
    peer.tls.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    assert_eq!(Raw(&peer.socket).write(&record).unwrap(), record.len());
    assert_eq!(read_to_end(&mut near), 50_000);
    is_lost(&mut near, &tunnel);
}

#[test]
fn who_does_not_read_stops_who_writes_and_loses_nothing() {
    let [(mut near, _near_tunnel), (mut far, _far_tunnel)] = tunnels(LinkKind::Unix);
    let portion: Vec<u8> = (0..251 * 1000).map(byte).collect();
    let mut written = 0;
    let mut stuck_since = Instant::now();
    while stuck_since.elapsed() < Duration::from_millis(300) {
        match near.write(&[IoSlice::new(&portion[written % portion.len()..])]) {
            Moved::Bytes(count) => {
                written += count;
                stuck_since = Instant::now();
            }
            Moved::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Moved::Gone => panic!("it is gone"),
        }
        assert!(written < 3 << 20, "more than 3 MiB are held by two tunnels and six sockets");
    }
    near.shut_down(Shutdown::Write);
    assert_eq!(read_to_end(&mut far), written);
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn a_tunnel_at_rest_takes_no_processor() {
    let program = std::env::current_exe().unwrap();
    let test = "peer::tests::tunnel::tunnels_at_rest_in_every_state";
    let output = std::process::Command::new(program).args(["--exact", test, "--ignored"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "measures a process's time, in a process of its own"]
fn tunnels_at_rest_in_every_state() {
    let idle = tunnels(LinkKind::Tcp);
    let one_ended = tunnels(LinkKind::Tcp);
    one_ended[0].0.shut_down(Shutdown::Write);
    let both_ended_and_unread = tunnels(LinkKind::Tcp);
    let mut full = tunnels(LinkKind::Unix);
    let mut full_and_gone = tunnels(LinkKind::Unix);
    for link in [&mut full[0].0, &mut full_and_gone[0].0] {
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(300) {
            if link.write(&[IoSlice::new(&vec![7; 100_000])]) == Moved::WouldBlock {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let [(gone, _), (unread, _)] = &full_and_gone;
    gone.shut_down(Shutdown::Both);
    unread.shut_down(Shutdown::Write);
    let (mut near, _tunnel, mut silent) = with_peer();
    silent.end();
    near.shut_down(Shutdown::Write);
    assert_eq!(near.read(&mut [0; 1]), near.read(&mut [0; 1]));
    let (gone_from_silence, _other_tunnel, _silent) = with_peer();
    drop(gone_from_silence);
    thread::sleep(Duration::from_millis(200));
    let before = processor_time();
    thread::sleep(Duration::from_millis(500));
    let taken = processor_time().checked_sub(before).unwrap();
    assert!(taken < Duration::from_millis(20), "{taken:?} in 500 ms");
    drop((idle, one_ended, both_ended_and_unread, full));
}

/// Figures for the book: `cargo test --release -p colo-real --lib figures_of_a_tunnel -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn figures_of_a_tunnel() {
    let plain = || Link::pair(LinkKind::Tcp).unwrap();
    let secure = || tunnels(LinkKind::Tcp).map(|(link, _)| link);
    for (name, pair) in [("plain", &plain as &dyn Fn() -> [Link; 2]), ("tunnel", &secure)] {
        let [mut near, mut far] = pair();
        let [near_poll, far_poll] = [&near, &far].map(Link::another);
        let bytes = 4_usize << 30;
        let (since, before) = (Instant::now(), processor_time());
        thread::scope(|scope| {
            scope.spawn(|| {
                let portion = vec![7; 1 << 20];
                let mut left = bytes;
                while left > 0 {
                    left -= moved(&near_poll, PollFlags::OUT, || {
                        near.write(&[IoSlice::new(&portion[..left.min(1 << 20)])])
                    });
                }
            });
            let mut buffer = vec![0; 1 << 20];
            let mut left = bytes;
            while left > 0 {
                left -= moved(&far_poll, PollFlags::IN, || far.read(&mut buffer));
            }
        });
        let rate = bytes as u128 / since.elapsed().as_micros();
        let taken = processor_time().checked_sub(before).unwrap() / 4;
        let mut trips = Vec::new();
        let [mut near, mut far] = pair();
        let [near_poll, far_poll] = [&near, &far].map(Link::another);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut buffer = [0; 64];
                    moved(&far_poll, PollFlags::IN, || far.read(&mut buffer));
                    moved(&far_poll, PollFlags::OUT, || far.write(&[IoSlice::new(&buffer)]));
                }
            });
            for _ in 0..20_000 {
                let since = Instant::now();
                moved(&near_poll, PollFlags::OUT, || near.write(&[IoSlice::new(&[7; 64])]));
                moved(&near_poll, PollFlags::IN, || near.read(&mut [0; 64]));
                trips.push(since.elapsed());
            }
        });
        trips.sort();
        println!(
            "{name}: {rate} MB/s, {taken:?} of a processor for each GiB, a round trip {:?} (p50), {:?} (p99)",
            trips[10_000], trips[19_800]
        );
    }
}
