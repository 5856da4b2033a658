//! What a switch does with frames, seen from its ports.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::net::frame::{MAX_FRAME_BYTES, MacAddress};
use crate::net::port::Received;
use std::sync::{Arc, Mutex};

const GUEST: MacAddress = MacAddress([2, 0, 0, 0, 0x66, 2]);
const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0x66, 1]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0x66, 3]);

/// How long something is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A frame between these two, told apart by a number.
fn frame(from: MacAddress, to: MacAddress, number: u8) -> Vec<u8> {
    [&to.0[..], &from.0, &[0x88, 0xb5, number]].concat()
}

/// The number of the next frame that comes to this port.
fn next(port: &mut PortEnd) -> u8 {
    arrived(port, PATIENCE).expect("a frame has to come")
}

fn arrived(port: &mut PortEnd, wait: Duration) -> Option<u8> {
    let until = Instant::now() + wait;
    let mut buffer = [0; MAX_FRAME_BYTES];
    loop {
        match port.receive(&mut buffer) {
            Received::Frame(bytes) => return Some(buffer[bytes - 1]),
            Received::Gone => panic!("the switch is gone"),
            Received::Nothing if Instant::now() > until => return None,
            Received::Nothing => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

/// That what comes next to this port is what is sent now to everybody, and so nothing was before it.
fn nothing_before(sender: &mut PortEnd, from: MacAddress, number: u8, ports: &mut [&mut PortEnd]) {
    sender.send(None, &frame(from, MacAddress::BROADCAST, number));
    for port in ports {
        assert_eq!(next(port), number);
    }
}

fn node(switch: &Switch) -> PortEnd {
    PortEnd::new(switch.node_port().unwrap())
}

fn harmless() -> Switch {
    Switch::start(FrameFaults::default()).unwrap()
}

#[test]
fn what_is_for_nobody_known_goes_to_everybody_and_what_is_for_somebody_to_them() {
    let switch = harmless();
    let (mut node, mut client, mut other) =
        (node(&switch), switch.client_port().unwrap(), switch.client_port().unwrap());
    client.send(None, &frame(CLIENT, GUEST, 1));
    assert_eq!((next(&mut node), next(&mut other)), (1, 1), "nobody knows the guest");
    node.send(Some(0), &frame(GUEST, CLIENT, 2));
    assert_eq!(next(&mut client), 2);
    client.send(None, &frame(CLIENT, GUEST, 3));
    assert_eq!(next(&mut node), 3);
    // Clients reach each other too, and nobody has his own frame back.
    other.send(None, &frame(OTHER, CLIENT, 4));
    assert_eq!(next(&mut client), 4);
    nothing_before(&mut client, CLIENT, 5, &mut [&mut node, &mut other]);
    nothing_before(&mut node, GUEST, 6, &mut [&mut client, &mut other]);
}

#[test]
fn what_one_node_sends_is_not_for_the_other() {
    let switch = harmless();
    let (mut one, mut two, mut client) = (node(&switch), node(&switch), switch.client_port().unwrap());
    one.send(Some(0), &frame(GUEST, MacAddress::BROADCAST, 1));
    one.send(Some(1), &frame(GUEST, CLIENT, 2));
    assert_eq!((next(&mut client), next(&mut client)), (1, 2));
    nothing_before(&mut client, CLIENT, 3, &mut [&mut one, &mut two]);
}

#[test]
fn an_announcement_moves_the_guest_to_its_survivor() {
    let switch = harmless();
    let (mut primary, mut secondary) = (node(&switch), node(&switch));
    let mut client = switch.client_port().unwrap();
    primary.send(Some(0), &frame(GUEST, CLIENT, 1));
    assert_eq!(next(&mut client), 1);
    client.send(None, &frame(CLIENT, GUEST, 2));
    assert_eq!(next(&mut primary), 2);
    secondary.send(None, &frame(GUEST, MacAddress::BROADCAST, 3));
    assert_eq!(next(&mut client), 3);
    client.send(None, &frame(CLIENT, GUEST, 4));
    assert_eq!(next(&mut secondary), 4);
    nothing_before(&mut client, CLIENT, 5, &mut [&mut primary, &mut secondary]);
}

#[test]
fn what_went_to_a_node_that_died_goes_to_its_survivor_if_that_is_asked_for() {
    let switch = harmless();
    switch.send_again(Duration::from_mins(1)).unwrap();
    let (mut primary, mut secondary) = (node(&switch), node(&switch));
    let mut client = switch.client_port().unwrap();
    primary.send(Some(0), &frame(GUEST, CLIENT, 1));
    assert_eq!(next(&mut client), 1);
    client.send(None, &frame(CLIENT, GUEST, 2));
    client.send(None, &frame(CLIENT, GUEST, 3));
    assert_eq!((next(&mut primary), next(&mut primary)), (2, 3));
    drop(primary);
    secondary.send(None, &frame(GUEST, MacAddress::BROADCAST, 4));
    assert_eq!((next(&mut secondary), next(&mut secondary)), (2, 3));
    // Once, and not when it says something more.
    secondary.send(Some(1), &frame(GUEST, CLIENT, 5));
    assert_eq!((next(&mut client), next(&mut client)), (4, 5));
    nothing_before(&mut client, CLIENT, 6, &mut [&mut secondary]);
    let figures = switch.figures().unwrap();
    assert_eq!((figures.moves, figures.sent_again), (1, 2));
}

#[test]
fn what_a_survivor_sends_again_reaches_nobody_and_is_counted() {
    let switch = harmless();
    let (mut primary, mut secondary) = (node(&switch), node(&switch));
    let mut client = switch.client_port().unwrap();
    for place in 0..4 {
        primary.send(Some(place), &frame(GUEST, CLIENT, 10 + u8::try_from(place).unwrap()));
    }
    drop(primary);
    assert_eq!([0; 4].map(|_| next(&mut client)), [10, 11, 12, 13]);
    // The survivor does not know what its peer had sent: from place 2 on it sends again, and it goes on at 4.
    for place in 2..6 {
        secondary.send(Some(place), &frame(GUEST, CLIENT, 20 + u8::try_from(place).unwrap()));
    }
    assert_eq!([next(&mut client), next(&mut client)], [24, 25]);
    // What has no place is never one that has come before.
    secondary.send(None, &frame(GUEST, CLIENT, 30));
    secondary.send(None, &frame(GUEST, CLIENT, 30));
    assert_eq!([next(&mut client), next(&mut client)], [30, 30]);
    let figures = switch.figures().unwrap();
    assert_eq!((figures.duplicates(), figures.ports[1].duplicates, figures.dropped()), (2, 2, 0));
    let is_there: Vec<bool> = figures.ports.iter().map(|port| port.is_there).collect();
    assert_eq!(is_there, [false, true, true]);
}

#[test]
fn a_replacement_takes_part_and_who_is_gone_is_looked_for_everywhere() {
    let switch = harmless();
    let mut client = switch.client_port().unwrap();
    for round in 0..50 {
        let mut replacement = node(&switch);
        client.send(None, &frame(CLIENT, GUEST, round));
        assert_eq!(next(&mut replacement), round, "the guest was at a port that is gone");
        replacement.send(Some(round.into()), &frame(GUEST, CLIENT, round));
        assert_eq!(next(&mut client), round);
        drop(replacement);
        while switch.figures().unwrap().ports.last().unwrap().is_there {
            std::thread::yield_now();
        }
    }
    let figures = switch.figures().unwrap();
    assert_eq!(figures.ports.len(), 51);
    assert!(figures.ports[1..].iter().all(|port| (port.received, port.sent) == (1, 1)), "{figures:?}");
}

#[test]
fn faults_befall_what_passes_between_the_service_and_its_clients_and_nothing_else() {
    let switch = Switch::start("loss=100%".parse().unwrap()).unwrap();
    let (mut node, mut client, mut other) =
        (node(&switch), switch.client_port().unwrap(), switch.client_port().unwrap());
    node.send(Some(0), &frame(GUEST, MacAddress::BROADCAST, 1));
    client.send(None, &frame(CLIENT, MacAddress::BROADCAST, 2));
    assert_eq!(next(&mut other), 2, "another client");
    while switch.figures().unwrap().faults.lost < 2 {
        std::thread::yield_now();
    }
    switch.befall(FrameFaults::default()).unwrap();
    nothing_before(&mut node, GUEST, 3, &mut [&mut client, &mut other]);
    nothing_before(&mut client, CLIENT, 4, &mut [&mut node]);
}

#[test]
fn what_is_doubled_comes_twice_and_what_is_overtaken_behind_the_next() {
    let switch = Switch::start("duplicate=100%".parse().unwrap()).unwrap();
    let (mut node, mut client) = (node(&switch), switch.client_port().unwrap());
    node.send(Some(0), &frame(GUEST, CLIENT, 1));
    assert_eq!((next(&mut client), next(&mut client)), (1, 1));
    switch.befall("reorder=50%,seed=1".parse().unwrap()).unwrap();
    for number in 0..200 {
        node.send(Some(u64::from(number) + 1), &frame(GUEST, CLIENT, number));
    }
    let mut numbers: Vec<u8> = std::iter::repeat_with(|| next(&mut client)).take(200).collect();
    assert!(!numbers.is_sorted(), "some have been overtaken");
    let late = numbers.iter().enumerate().map(|(at, number)| at.abs_diff(usize::from(*number))).max();
    assert_eq!(late, Some(1), "by one");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<u8>>());
    // One that no other overtakes comes all the same.
    switch.befall("reorder=100%".parse().unwrap()).unwrap();
    client.send(None, &frame(CLIENT, GUEST, 7));
    assert_eq!(next(&mut node), 7);
}

#[test]
fn what_is_delayed_comes_so_much_later_and_to_where_its_destination_then_is() {
    let switch = Switch::start("delay=100ms".parse().unwrap()).unwrap();
    let (mut primary, mut secondary) = (node(&switch), node(&switch));
    let mut client = switch.client_port().unwrap();
    primary.send(None, &frame(GUEST, CLIENT, 1));
    assert_eq!(next(&mut client), 1);
    let sent = Instant::now();
    client.send(None, &frame(CLIENT, GUEST, 2));
    while switch.figures().unwrap().faults.to_service < 1 {
        std::thread::yield_now();
    }
    drop(primary);
    secondary.send(None, &frame(GUEST, CLIENT, 3));
    assert_eq!(next(&mut secondary), 2);
    assert!(sent.elapsed() >= Duration::from_millis(100));
}

#[test]
fn whoever_looks_on_is_told_of_each_frame_and_when_it_passed() {
    let switch = harmless();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looking = Arc::clone(&seen);
    switch
        .observe(Box::new(move |at, direction, frame| {
            looking.lock().unwrap().push((at, direction, frame[frame.len() - 1]));
        }))
        .unwrap();
    let (mut node, mut client) = (node(&switch), switch.client_port().unwrap());
    client.send(None, &frame(CLIENT, GUEST, 1));
    assert_eq!(next(&mut node), 1);
    node.send(Some(0), &frame(GUEST, CLIENT, 2));
    node.send(Some(0), &frame(GUEST, CLIENT, 3));
    assert_eq!(next(&mut client), 2);
    switch.end().unwrap();
    let seen = seen.lock().unwrap();
    let what: Vec<_> = seen.iter().map(|(_, direction, number)| (*direction, *number)).collect();
    assert_eq!(what, [(Direction::ToService, 1), (Direction::FromService, 2)]);
    assert!(seen.is_sorted_by_key(|(at, ..)| *at));
}

#[test]
fn a_switch_that_ends_leaves_its_ports_alone() {
    let switch = harmless();
    let mut client = switch.client_port().unwrap();
    drop(switch);
    assert_eq!(client.receive(&mut [0; MAX_FRAME_BYTES]), Received::Gone);
}
