//! The work under turmoil. A link that fails is repaired with the next datagram: each loses as many as elsewhere.

use crate::work::{Assembly, LEAST_LATENCY, MOST_LATENCY, ONE_IN, PATIENCE, PIECE_BYTES, PIECES, piece};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use turmoil::net::UdpSocket;

const PORT: u16 = 7000;

/// Plays `rounds` rounds.
pub(crate) fn play(seed: u64, rounds: u32) -> turmoil::Result {
    let mut simulation = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(1 << 20))
        .tick_duration(LEAST_LATENCY)
        .min_message_latency(LEAST_LATENCY)
        .max_message_latency(MOST_LATENCY)
        .fail_rate(1.0 / f64::from(ONE_IN))
        .repair_rate(1.0)
        .build();
    simulation.host("pong", || async { Ok(answer().await?) });
    simulation.client("ping", async move { Ok(ask(rounds).await?) });
    simulation.run()
}

async fn send(socket: &UdpSocket, to: SocketAddr, message: u32) -> io::Result<()> {
    for number in 0..PIECES {
        socket.send_to(&piece(message, number), to).await?;
    }
    Ok(())
}

async fn answer() -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).await?;
    let peer = SocketAddr::new(turmoil::lookup("ping"), PORT);
    let (mut assembly, mut bytes) = (Assembly::default(), [0; PIECE_BYTES]);
    loop {
        let (length, _) = socket.recv_from(&mut bytes).await?;
        if let Some(message) = assembly.take(&bytes[..length]) {
            send(&socket, peer, message).await?;
        }
    }
}

async fn ask(rounds: u32) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).await?;
    let peer = SocketAddr::new(turmoil::lookup("pong"), PORT);
    let (mut assembly, mut bytes) = (Assembly::default(), [0; PIECE_BYTES]);
    for message in 1..=rounds {
        loop {
            send(&socket, peer, message).await?;
            let answered = async {
                loop {
                    let (length, _) = socket.recv_from(&mut bytes).await?;
                    if assembly.take(&bytes[..length]) == Some(message) {
                        return Ok::<_, io::Error>(());
                    }
                }
            };
            if let Ok(answered) = tokio::time::timeout(PATIENCE, answered).await {
                break answered?;
            }
        }
    }
    Ok(())
}
