//! The work under madsim.

#[cfg(not(madsim))]
compile_error!("run cargo in benches/peers: madsim simulates only with what is in .cargo/config.toml there");

use crate::work::{Assembly, LEAST_LATENCY, MOST_LATENCY, ONE_IN, PATIENCE, PIECE_BYTES, PIECES, piece};
use madsim::net::UdpSocket;
use madsim::runtime::{Handle, Runtime};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PING: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 7_000);
const PONG: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 7_000);

/// Plays `rounds` rounds.
pub(crate) fn play(seed: u64, rounds: u32) -> io::Result<()> {
    let mut config = madsim::Config::default();
    config.net.packet_loss_rate = 1.0 / f64::from(ONE_IN);
    config.net.send_latency = LEAST_LATENCY..MOST_LATENCY;
    let runtime = Runtime::with_seed_and_config(seed, config);
    runtime.block_on(async move {
        let handle = Handle::current();
        let node = |address: SocketAddr| handle.create_node().ip(address.ip()).build();
        let (ping, pong) = (node(PING), node(PONG));
        let _answers = pong.spawn(answer());
        ping.spawn(ask(rounds)).await.map_err(io::Error::other)?
    })
}

async fn send(socket: &UdpSocket, to: SocketAddr, message: u32) -> io::Result<()> {
    for number in 0..PIECES {
        socket.send_to(to, &piece(message, number)).await?;
    }
    Ok(())
}

async fn answer() -> io::Result<()> {
    let socket = UdpSocket::bind(PONG).await?;
    let (mut assembly, mut bytes) = (Assembly::default(), [0; PIECE_BYTES]);
    loop {
        let (length, _) = socket.recv_from(&mut bytes).await?;
        if let Some(message) = assembly.take(&bytes[..length]) {
            send(&socket, PING, message).await?;
        }
    }
}

async fn ask(rounds: u32) -> io::Result<()> {
    let socket = UdpSocket::bind(PING).await?;
    let (mut assembly, mut bytes) = (Assembly::default(), [0; PIECE_BYTES]);
    for message in 1..=rounds {
        loop {
            send(&socket, PONG, message).await?;
            let answered = async {
                loop {
                    let (length, _) = socket.recv_from(&mut bytes).await?;
                    if assembly.take(&bytes[..length]) == Some(message) {
                        return Ok::<_, io::Error>(());
                    }
                }
            };
            if let Ok(answered) = madsim::time::timeout(PATIENCE, answered).await {
                break answered?;
            }
        }
    }
    Ok(())
}
