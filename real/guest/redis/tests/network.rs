//! The service from outside: clients with a TCP/IP stack, a wire that may lose frames, and what the service promises on it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_guest_redis::{Counters, Service};
use common::{Card, Faults, Network, address, limits};
use proptest::prelude::*;
use smoltcp::socket::tcp::State;

/// Asks, and says what the answer is to be.
fn assert_answers(
    network: &mut Network,
    client: smoltcp::iface::SocketHandle,
    request: &str,
    expected: &str,
) {
    let answer = network.ask(client, request.as_bytes(), expected.len());
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[test]
fn a_client_connects_and_what_it_asks_in_one_breath_is_answered_in_order() {
    let mut network = Network::new(&limits(4), 64, Faults::none());
    let client = network.connect();
    assert_answers(
        &mut network,
        client,
        "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\nGET k\r\nINCR n\r\nINCR n\r\n",
        "+PONG\r\n+OK\r\n$5\r\nhello\r\n:1\r\n:2\r\n",
    );
    let expected =
        Counters { connected_clients: 1, total_connections_received: 1, total_commands_processed: 5 };
    assert_eq!(network.service.counters(), &expected);
}

#[test]
fn a_connection_that_was_closed_makes_room_for_another() {
    let mut network = Network::new(&limits(1), 64, Faults::none());
    for round in 1..=5 {
        let client = network.connect();
        assert_answers(&mut network, client, "INCR n\r\n", &format!(":{round}\r\n"));
        network.socket(client).close();
        network.until(|network| matches!(network.state(client), State::TimeWait | State::Closed));
        network.step();
    }
    let expected =
        Counters { connected_clients: 0, total_connections_received: 5, total_commands_processed: 5 };
    assert_eq!(network.service.counters(), &expected);
}

#[test]
fn who_says_quit_is_answered_and_then_the_connection_ends() {
    let mut network = Network::new(&limits(1), 64, Faults::none());
    let client = network.connect();
    assert_answers(&mut network, client, "QUIT\r\nPING\r\n", "+OK\r\n");
    network.until(|network| network.state(client) == State::CloseWait);
    assert!(!network.socket(client).can_recv());
    assert_eq!(network.service.counters().connected_clients, 0);
    // Whatever still comes is taken and not answered, and the place is free when TCP says so.
    network.ask(client, &b"INCR n\r\n".repeat(5_000), 0);
    network.socket(client).close();
    let next = network.connect();
    network.until(|network| network.state(next) == State::Closed);
    network.now_us += 10_000_000;
    network.step();
    let next = network.connect();
    assert_answers(&mut network, next, "GET n\r\n", "$-1\r\n");
}

#[test]
fn who_comes_when_all_places_are_taken_is_refused_and_nobody_else_notices() {
    let mut network = Network::new(&limits(2), 64, Faults::none());
    let (first, second) = (network.connect(), network.connect());
    assert_answers(&mut network, first, "PING\r\n", "+PONG\r\n");
    assert_answers(&mut network, second, "PING\r\n", "+PONG\r\n");
    let third = network.connect();
    network.until(|network| network.state(third) == State::Closed);
    assert_answers(&mut network, first, "PING\r\n", "+PONG\r\n");
}

#[test]
fn a_client_that_resets_its_connection_leaves_nothing_behind() {
    let mut network = Network::new(&limits(1), 64, Faults::none());
    for _ in 0..3 {
        let client = network.connect();
        assert_answers(&mut network, client, "PING\r\n", "+PONG\r\n");
        network.socket(client).abort();
        network.step();
        assert_eq!(network.service.counters().connected_clients, 0);
    }
    assert_eq!(network.service.counters().total_connections_received, 3);
}

#[test]
fn a_client_that_is_gone_without_a_word_is_forgotten_after_five_minutes() {
    let mut network = Network::new(&limits(1), 64, Faults::none());
    let client = network.connect();
    assert_answers(&mut network, client, "PING\r\n", "+PONG\r\n");
    network.faults = Faults::new(0, 100, 0, 0);
    let from = network.now_us;
    network.until(|network| network.service.counters().connected_clients == 0);
    let after_s = (network.now_us - from) / 1_000_000;
    assert!((299..=301).contains(&after_s), "{after_s} s");
}

#[test]
fn a_client_that_says_nothing_and_is_there_stays() {
    let mut network = Network::new(&limits(1), 64, Faults::none());
    let client = network.connect();
    assert_answers(&mut network, client, "PING\r\n", "+PONG\r\n");
    let until = network.now_us + 400_000_000;
    network.until(|network| network.now_us >= until);
    assert_answers(&mut network, client, "PING\r\n", "+PONG\r\n");
}

#[test]
fn long_values_go_through_a_card_with_little_room() {
    for room in [1, 2, 64] {
        let mut network = Network::new(&limits(1), room, Faults::none());
        let client = network.connect();
        let value = "v".repeat(colo_guest_redis::BULK_BYTES_MAX);
        let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
        let got = format!("+OK\r\n{}", format!("${}\r\n{value}\r\n", value.len()).repeat(3));
        assert_answers(&mut network, client, &(set + "GET k\r\nGET k\r\nGET k\r\n"), &got);
    }
}

#[test]
fn while_nothing_is_to_be_sent_the_service_wants_no_time_but_to_ask_whether_its_clients_are_there() {
    let mut network = Network::new(&limits(4), 64, Faults::none());
    assert_eq!(network.service.next_us(0), None);
    let client = network.connect();
    assert_answers(&mut network, client, "PING\r\n", "+PONG\r\n");
    let now = network.now_us;
    let wait_s = (network.service.next_us(now).unwrap() - now) / 1_000_000;
    assert!((50..=60).contains(&wait_s), "{wait_s} s");
    network.socket(client).abort();
    network.step();
    assert_eq!(network.service.next_us(network.now_us), None);
}

/// Clients that count the same number up side by side, each some times; what each was told, in its order.
fn counted(faults: Faults, clients: usize, times: usize) -> (Network, Vec<Vec<i64>>) {
    let mut network = Network::new(&limits(clients), 64, faults);
    let handles: Vec<_> = (0..clients).map(|_| network.connect()).collect();
    let mut told = vec![Vec::new(); clients];
    let mut asked = vec![0; clients];
    network.until(|network| {
        for (n, &handle) in handles.iter().enumerate() {
            let socket = network.socket(handle);
            assert!(socket.is_open(), "a connection was reset");
            if asked[n] == told[n].len() && asked[n] < times && socket.may_send() {
                assert_eq!(socket.send_slice(b"INCR n\r\n"), Ok(8));
                asked[n] += 1;
            }
            let answer =
                socket.can_recv().then(|| socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap());
            if let Some(answer) = answer {
                let text = String::from_utf8(answer).unwrap();
                told[n].push(text.strip_prefix(':').unwrap().trim_end().parse().unwrap());
            }
        }
        told.iter().all(|told| told.len() == times)
    });
    (network, told)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_count_is_lost_or_doubled_whatever_befalls_frames(
        seed in any::<u64>(), lost in 0_u64..25, doubled in 0_u64..25, late in 0_u64..25, clients in 1_usize..6,
    ) {
        let (network, told) = counted(Faults::new(seed, lost, doubled, late), clients, 20);
        prop_assert!(told.iter().all(|told| told.is_sorted_by(|a, b| a < b)), "a client was told {told:?}");
        let mut all: Vec<i64> = told.into_iter().flatten().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=i64::try_from(clients * 20).unwrap()).collect::<Vec<_>>());
        prop_assert_eq!(network.service.counters().total_connections_received, clients as u64);
        prop_assert!(lost + doubled + late < 10 || network.faults.befallen > 0);
    }

    /// The other side is given the same frames at other times, sooner or later than the first, and all that it does of its own
    /// is to wait: it sends the same.
    #[test]
    fn two_services_that_are_given_the_same_frames_send_the_same(clients in 1_usize..6, delay_us in 0_u64..50_000) {
        let (network, _) = counted(Faults::none(), clients, 20);
        let mut card = Card::new(1 << 20);
        let mut second = Service::new(&address(7), &limits(clients), &mut card, 0);
        for (at_us, frame) in &network.given {
            card.incoming.push_back(frame.clone());
            prop_assert!(second.take_frame(at_us + delay_us, &mut card));
        }
        prop_assert_eq!(Vec::from(card.outgoing), network.taken);
        prop_assert_eq!(second.counters(), network.service.counters());
    }

    #[test]
    fn no_frame_whatever_it_holds_ends_the_service(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..20)) {
        let mut card = Card::new(64);
        let mut service = Service::new(&address(7), &limits(2), &mut card, 0);
        for mut frame in frames {
            // Addressed to the service, so that it is looked at.
            let header = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
            frame.splice(0..frame.len().min(14), header);
            card.incoming.push_back(frame);
            service.take_frame(1, &mut card);
        }
        prop_assert_eq!(service.counters(), &Counters::default());
    }
}
