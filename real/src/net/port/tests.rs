//! What the two ends of a port promise each other, and what becomes of it when one of them is slow or dies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn ends() -> (PortEnd, SwitchEnd) {
    let (port, switch) = connection().unwrap();
    (PortEnd::new(port), SwitchEnd::new(switch))
}

/// What an end of a switch receives, in a form that can be kept.
fn received(end: &mut SwitchEnd) -> Option<(Option<u64>, Vec<u8>)> {
    match end.receive() {
        FromPort::Frame { place, frame } => Some((place, frame.to_vec())),
        FromPort::Nothing | FromPort::Gone => None,
    }
}

#[test]
fn frames_go_to_the_switch_with_their_places_and_come_from_it_bare() {
    let (mut port, mut switch) = ends();
    port.send(Some(7), &[1; 60]);
    port.send(None, &[2; 14]);
    port.send(Some(8), &[3; 1514]);
    assert_eq!(received(&mut switch), Some((Some(7), vec![1; 60])));
    assert_eq!(received(&mut switch), Some((None, vec![2; 14])));
    assert_eq!(received(&mut switch), Some((Some(8), vec![3; 1514])));
    assert_eq!(switch.receive(), FromPort::Nothing);
    switch.send(&[4; 1514]);
    let mut buffer = [0; 1514];
    assert_eq!(port.receive(&mut buffer), Received::Frame(1514));
    assert_eq!(buffer, [4; 1514]);
    assert_eq!(port.receive(&mut buffer), Received::Nothing);
}

#[test]
fn what_is_no_frame_by_its_length_never_arrives() {
    let (mut port, mut switch) = ends();
    for bytes in [0, 13, 1515] {
        port.send(Some(1), &vec![0; bytes]);
    }
    assert_eq!((switch.receive(), port.dropped()), (FromPort::Nothing, 3));
    // Nor if whoever is at the port puts it on the socket.
    for bytes in [1, 8, 8 + 13, 8 + 1515] {
        port.0.send(&[], &vec![0; bytes]);
    }
    assert_eq!(switch.receive(), FromPort::Nothing);
    assert_eq!(switch.dropped(), 4);
    switch.send(&[0; 13]);
    switch.send(&[5; 100]);
    let mut buffer = [0; 64];
    assert_eq!(port.receive(&mut buffer), Received::Nothing, "too short, and too long for the buffer");
}

#[test]
fn what_the_socket_has_no_room_for_waits_in_order_and_what_is_beyond_is_dropped() {
    let (mut port, mut switch) = ends();
    assert!(!port.has_waiting());
    let sent = 4000;
    for place in 0..sent {
        port.send(Some(place), &[0; 1514]);
    }
    assert!(port.has_waiting());
    assert!(port.dropped() > 0 && port.dropped() < sent);
    let mut places = Vec::new();
    loop {
        match received(&mut switch) {
            Some((place, _)) => places.push(place.unwrap()),
            None if port.has_waiting() => port.flush(),
            None => break,
        }
    }
    let kept = sent - port.dropped();
    assert_eq!(
        places,
        (0..kept).collect::<Vec<_>>(),
        "what is dropped is the newest, as long as nothing leaves"
    );
}

#[test]
fn what_a_node_sent_before_it_died_arrives_though_it_died_with_frames_unread() {
    let (mut port, mut switch) = ends();
    switch.send(&[9; 60]);
    for place in 0..3 {
        port.send(Some(place), &[1; 60]);
    }
    drop(port);
    let places: Vec<_> = std::iter::from_fn(|| received(&mut switch)).map(|(place, _)| place).collect();
    assert_eq!(places, [Some(0), Some(1), Some(2)]);
    assert_eq!(switch.receive(), FromPort::Gone);
}

#[test]
fn a_switch_that_is_gone_is_told_and_what_is_sent_to_it_dropped() {
    let (mut port, switch) = ends();
    drop(switch);
    port.send(Some(0), &[0; 60]);
    assert_eq!((port.has_waiting(), port.dropped()), (false, 1));
    assert_eq!(port.receive(&mut [0; 1514]), Received::Gone);
}
