//! The work over the simulator's own network: its agenda, its link, its draws, and the fingerprint of all that happens.

use crate::work::{Assembly, LEAST_LATENCY, MOST_LATENCY, ONE_IN, PATIENCE, PIECES, piece};
use colo_protocol::NodeName;
use colo_sim::network::{DatagramNetwork, Happening};

const PING: NodeName = NodeName::Primary;
const PONG: NodeName = NodeName::Secondary;

/// Plays `rounds` rounds.
pub(crate) fn play(seed: u64, rounds: u32) {
    let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let latency = (us(LEAST_LATENCY), us(MOST_LATENCY));
    let mut network = DatagramNetwork::new(seed, 10_000 / u64::from(ONE_IN), latency);
    let (mut asked, mut answered) = (Assembly::default(), Assembly::default());
    let (mut message, mut attempt, mut bytes) = (0, 0, Vec::new());
    let ask = |network: &mut DatagramNetwork, message, attempt| {
        send(network, PONG, message);
        network.wake(us(PATIENCE), attempt);
    };
    let mut happening = Some(Happening::Woke(attempt));
    while let Some(happened) = happening {
        match happened {
            Happening::Arrived(PONG) => {
                if let Some(number) = asked.take(&bytes) {
                    send(&mut network, PING, number);
                }
            }
            Happening::Arrived(PING) if answered.take(&bytes) != Some(message) => {}
            Happening::Woke(number) if number != attempt => {}
            Happening::Arrived(PING) if message == rounds => break,
            Happening::Arrived(PING) | Happening::Woke(_) => {
                message += u32::from(message == 0 || happened == Happening::Arrived(PING));
                attempt += 1;
                ask(&mut network, message, attempt);
            }
        }
        happening = network.next(&mut bytes);
    }
    assert_eq!(message, rounds, "every round is played");
}

fn send(network: &mut DatagramNetwork, to: NodeName, message: u32) {
    for number in 0..PIECES {
        network.send(to, &piece(message, number));
    }
}
